# SPDX-License-Identifier: MIT
# goal: every way to name and to reach a server gives a working disk
# method: connect over each, write, compare with the server through libnbd
# kernels: 7.3
# long-kernels: 6.12
# timeout-s: 600
# modules: ublk_drv vsock_loopback ext4
# load: 90
# suite: test

. /lab/data.sh

SOCKET=$WORK/s.sock

# works TARGET [URI]: a disk of TARGET has what the server has, by libnbd's URI.
works() {
	connect_disk "$1"
	check "write" dd if=/dev/urandom of="$DISK" bs=64k count=16 oflag=direct
	same_bytes "${2:-$1}"
	peer=$(status_of .peer)
	note "$1 is $peer"
	disconnect_disk
}

over_vsock() {
	start_nbdkit s vsock:10809 memory 8M
	works nbd+vsock://1
	check_equal "peer" vsock:1:10809 "$peer"
	works nbd+vsock://1:10809/name
	stop_server s
}

over_ipv6() {
	start_nbdkit s 10809 -i ::1 memory 8M
	works 'nbd://[::1]'
	check_equal "peer" '[::1]:10809' "$peer"
	works '[::1]:10809' 'nbd://[::1]:10809'
	stop_server s
}

over_unix() {
	start_nbdkit s "$SOCKET" memory 8M
	works "nbd+unix:///?socket=$SOCKET"
	works "nbd+unix:///a%20name/with/slashes?socket=$SOCKET"
	stop_server s
}

# nbdkit listens on no abstract socket: socat does.
over_abstract() {
	rm -f "$SOCKET"
	start_nbdkit s "$SOCKET" memory 8M
	start_server relay socat ABSTRACT-LISTEN:disk-socket,fork "UNIX-CONNECT:$SOCKET"
	wait_listen relay @disk-socket
	works 'nbd+unix:///?socket=@disk-socket' "nbd+unix:///?socket=$SOCKET"
	stop_server relay
	stop_server s
}

# Two addresses of one name, of which the first refuses.
first_refuses() {
	echo '::1 two-addresses
127.0.0.1 two-addresses' >>/etc/hosts
	start_nbdkit s 10809 -i 127.0.0.1 memory 8M
	works nbd://two-addresses nbd://127.0.0.1
	check_equal "peer" 127.0.0.1:10809 "$peer"
	stop_server s
}

# The first swallows packets: it gets its share of the time, then the second has its turn. (An IPv6
# address, because getaddrinfo puts it before 127.0.0.1.)
first_swallows() {
	ip link add hole type dummy || fail "a dummy interface" "the kernel has none"
	ip link set hole up
	ip addr add 2001:db8::1/64 dev hole nodad
	ip neigh add 2001:db8::7 lladdr 02:00:00:00:00:07 dev hole
	echo '2001:db8::7 black-hole
127.0.0.1 black-hole' >>/etc/hosts
	start_nbdkit s 10809 -i 127.0.0.1 memory 8M
	check_equal "the first address" 2001:db8::7 "$(getent ahosts black-hole | awk 'NR == 1 { print $1 }')"
	start=$(uptime_ms)
	connect_disk --connect-timeout 8 nbd://black-hole
	took=$(($(uptime_ms) - start))
	note "connecting took $took ms"
	[ "$took" -ge 2000 ] || fail "the first address" "was not waited for ($took ms)"
	check_equal "peer" 127.0.0.1:10809 "$(status_of .peer)"
	disconnect_disk
	stop_server s
	start=$(uptime_ms)
	expect_exit "nobody answers" 3 ublk-nbd connect --connect-timeout 3 'nbd://[2001:db8::7]'
	said '2001:db8::7' 'no answer in time'
	[ $(($(uptime_ms) - start)) -lt 10000 ] || fail "--connect-timeout 3" "took $(($(uptime_ms) - start)) ms"
	ip link del hole
}

nobody_there() {
	expect_exit "a port nobody listens on" 3 ublk-nbd connect nbd://127.0.0.1:9
	said '127.0.0.1:9' refused
	expect_exit "a socket that is not there" 3 ublk-nbd connect "nbd+unix:///?socket=$WORK/none"
	said "$WORK/none"
	expect_exit "a name that is not known" 3 ublk-nbd connect nbd://no-such-host.invalid
	said no-such-host.invalid
	expect_exit "a port nobody listens on, vsock" 3 ublk-nbd connect nbd+vsock://1:99
	said 'vsock:1:99'
	check "nothing is left" no_device_left
}

# The server knows one name exactly.
export_names() {
	truncate -s 8M "$WORK/disk"
	name='a name/with 100% of +/x'
	start_qemu_nbd s 10809 -f raw -x "$name" "$WORK/disk"
	uri='nbd://localhost/a%20name/with%20100%25%20of%20+/x'
	works "$uri"
	connect_disk --export "$name" nbd://localhost
	check_equal "export" "$name" "$(status_of .export)"
	disconnect_disk
	connect_disk "localhost:10809/$name"
	check_equal "export of the plain form" "$name" "$(status_of .export)"
	disconnect_disk
	expect_exit "another export" 4 ublk-nbd connect nbd://localhost/other
	said other
	check "nothing is left" no_device_left
	stop_server s
}

plain_form() {
	start_nbdkit s 10810 memory 8M
	works localhost:10810 nbd://localhost:10810
	works localhost:10810/some/export nbd://localhost:10810/some/export
	works 127.0.0.1:10810 nbd://127.0.0.1:10810
	stop_server s
}

# child_of PID NAME: its child with that name in the process table.
child_of() {
	for stat in /proc/[0-9]*/stat; do
		read -r line <"$stat" 2>/dev/null || continue
		name=${line#*(}
		# shellcheck disable=SC2086 # state and parent
		set -- "$1" "$2" ${line##*) }
		[ "$4" = "$1" ] && [ "${name%%)*}" = "$2" ] && echo "${line%% *}"
	done
}

# activated WORD...: a disk of that server.
activated() {
	connect_disk [ "$@" ]
	DAEMON=$(status_of .pid)
	MINDER=$(child_of "$DAEMON" ublk-nbd-minder)
	SERVER=$(child_of "$MINDER" "$1")
	[ -n "$SERVER" ] || fail "the server" "is no child of the daemon's minder"
	check "write" dd if=/dev/urandom of="$DISK" bs=64k count=16 oflag=direct
}

# IO_FLUSHER: PF_MEMALLOC_NOIO and PF_LOCAL_THROTTLE among the flags in field 9.
is_io_flusher() {
	read -r line <"/proc/$1/stat"
	# shellcheck disable=SC2086
	set -- ${line##*) }
	[ $(($7 & 0x180000)) = $((0x180000)) ]
}

# What sweeps a login or a control group, and whatever else ends a process by default, in the middle of use.
swept() {
	for number in 15 1 2; do
		kill "-$number" "$SERVER"
	done
	aside=$(child_of "$DAEMON" ublk-nbd-aside)
	for number in $(seq 64); do
		case $number in
		9 | 15 | 17 | 18 | 19 | 31) continue ;; # KILL; TERM is the daemon's own stop; CHLD CONT STOP SYS
		esac
		kill "-$number" "$MINDER"
		kill "-$number" "$aside"
		[ "$number" = 2 ] || kill "-$number" "$DAEMON" # INT is as TERM
	done
	kill -15 "$aside"
}

own_server_swept() {
	for server in "nbdkit memory 8M" "qemu-nbd -t -f raw $WORK/image"; do
		truncate -s 8M "$WORK/image"
		# shellcheck disable=SC2086 # words
		activated $server
		check "an IO_FLUSHER" is_io_flusher "$SERVER"
		check "mkfs" mkfs.ext4 -q -F "$DISK"
		check "mount" mount "$DISK" /mnt
		swept
		check "write" dd if=/dev/urandom of=/mnt/file bs=64k count=16 conv=fsync
		for pid in "$DAEMON" "$MINDER" "$aside" "$SERVER"; do
			! gone "$pid" || fail "a process" "$(cat /proc/"$pid"/comm) has ended"
		done
		check "umount" umount /mnt
		disconnect_disk
		check "the server ends with the disk" gone "$SERVER"
	done
	check "nothing is left" no_device_left
}

own_server() {
	activated nbdkit memory 8M
	check_equal "target" '[ nbdkit memory 8M ]' "$(status_of .target)"
	disconnect_disk
	check "nbdkit ends with the disk" wait_for gone "$SERVER"
	check "nothing is left" no_device_left
}

own_server_after_kill() {
	activated nbdkit memory 8M
	kill -KILL "$DAEMON"
	check "the daemon is gone" wait_for gone "$DAEMON"
	check "nbdkit ends with the daemon" wait_for gone "$SERVER"
	expect_fail "reading" dd if="$DISK" of=/dev/null bs=4096 count=1 iflag=direct
	expect_exit "disconnect" 8 ublk-nbd disconnect "$DISK" # the kernel took its counts away
	check "nothing is left" no_device_left
}

own_server_fails() {
	expect_exit "a program that does not exist" 3 ublk-nbd connect [ no-such-program ]
	said no-such-program
	expect_exit "a program that ends at once" 3 ublk-nbd connect [ nbdkit no-such-plugin ]
	said nbdkit
	check "nothing is left" no_device_left
}

# A server that writes its own words and takes an option that looks like ours.
own_server_options() {
	connect_disk [ nbdkit --filter=log memory 8M logfile="$WORK/own.nbd" ] --read-only
	check_equal "ro" 1 "$(blockdev --getro "$DISK")"
	[ "$(seen own reads)" -gt 0 ] || fail "its log" "has no reads"
	disconnect_disk
}

# Otherwise only the first line of a name counts.
echo 'multi on' >/etc/host.conf

kind() {
	clean_slate
	run_case "$@"
}

kind "vsock" over_vsock
kind "IPv6" over_ipv6
kind "a unix socket" over_unix
kind "an abstract unix socket" over_abstract
kind "a name whose first address refuses" first_refuses
kind "a name whose first address swallows packets" first_swallows
kind "nobody there" nobody_there
kind "export names" export_names
kind "host:port/export" plain_form
kind "a server of one's own ends with the disk" own_server
kind "a server of one's own ends with a killed daemon" own_server_after_kill
kind "signals that end whoever does not expect them" own_server_swept
kind "a server of one's own that does not start" own_server_fails
kind "a server of one's own with options" own_server_options
