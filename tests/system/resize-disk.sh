# SPDX-License-Identifier: MIT
# goal: a grown export grows its disk, in use; a shrunk one does not shrink it; an older kernel says why not
# method: nbdkit's file plugin over a file that is truncated larger and smaller; resize, look, write. A
#   server behind a relay is followed by one of another size and another version of TLS
# kernels: 7.3
# long-kernels: 6.12
# timeout-s: 600
# modules: ublk_drv ext4 loop tls
# suite: test
# allow-dmesg: I/O error

. /lab/data.sh
. /lab/ublk.sh
. /lab/tls-path.sh

URI=nbd://localhost

# The file plugin takes the size anew for each connection.
start_file() {
	rm -f "$WORK/disk"
	truncate -s 32M "$WORK/disk"
	start_logged s 10809 file "$WORK/disk"
	connect_disk "$@" $URI
}

size_is() {
	check_equal "the device's size" "$1" "$(blockdev --getsize64 "$DISK")"
	check_equal "status" "$1" "$(status_of .size_bytes)"
	check_equal "list" "$1" "$(ublk-nbd list -o json | json '.[0].size_bytes')"
}

# A server fixes the size when a connection is made, so those that were open before do not reach what
# is new: all are replaced.
grows() {
	start_file
	check "mkfs" mkfs.ext4 -q -F "$DISK"
	check "mount" mount "$DISK" /mnt
	check "resize to the same size" ublk-nbd resize "$DISK"
	size_is $((32 << 20))
	truncate -s 64M "$WORK/disk"
	expect_exit "resize" 0 ublk-nbd resize "$DISK"
	has_grown
	check "fsck" e2fsck -fn "$DISK"
	check "all connections reach the new end" disk_torture -d 8 -b 64M -n 200 -t -z -u $URI "$DISK"
	check_equal "requests that failed" 0 "$(status_of .stats.errors)"
	check_equal "JSON" "[$((64 << 20)),$((64 << 20))]" \
		"$(ublk-nbd resize -o json "$DISK" | jq -c '[.old_size_bytes, .size_bytes]')"
	disconnect_disk
	client_kept_to s
	stop_server s
}

has_grown() {
	size_is $((64 << 20))
	check "the filesystem grows while it is mounted" resize2fs "$DISK"
	check "fill what is new" dd if=/dev/urandom of=/mnt/file bs=1M count=40
	check "umount" umount /mnt
}

# The size is of whole blocks, and the last of them works.
grows_to_odd_size() {
	start_file
	truncate -s $(((48 << 20) + 700)) "$WORK/disk"
	expect_exit "resize" 0 ublk-nbd resize "$DISK"
	size_is $(((48 << 20) + 512))
	check "the last block" dd if="$DISK" of=/dev/null bs=512 skip=$((48 << 11)) count=1 iflag=direct
	disconnect_disk
	stop_server s
}

old_kernel_says_why() {
	start_file
	truncate -s 64M "$WORK/disk"
	expect_exit "resize" 5 ublk-nbd resize "$DISK"
	said 'driver' 'disconnect'
	size_is $((32 << 20))
	check "the disk works" dd if=/dev/urandom of="$DISK" bs=1M count=32 oflag=direct
	disconnect_disk
	connect_disk $URI
	size_is $((64 << 20))
	disconnect_disk
	stop_server s
}

never_shrinks() {
	start_file
	truncate -s 16M "$WORK/disk"
	expect_exit "resize" 4 ublk-nbd resize "$DISK"
	said "$((16 << 20))" "$((32 << 20))"
	size_is $((32 << 20))
	check "what is left works" dd if=/dev/urandom of="$DISK" bs=1M count=16 oflag=direct
	truncate -s 32M "$WORK/disk"
	check "the server has it again" ublk-nbd resize "$DISK"
	check "all works" dd if="$DISK" of=/dev/null bs=1M iflag=direct
	disconnect_disk
	stop_server s
}

server_is_gone() {
	start_file --timeout 5 --connect-timeout 5
	stop_server s KILL
	expect_exit "resize" 3 ublk-nbd resize "$DISK"
	said '10809'
	disconnect_any
}

# Nothing was written: the flush has nothing to lose, or is reported as lost.
disconnect_any() {
	timeout 30 ublk-nbd disconnect "$DISK" >"$WORK/said" 2>&1
	data_rc=$?
	[ $data_rc = 0 ] || [ $data_rc = 8 ] || fail "disconnect" "exited with $data_rc: $(cat "$WORK/said")"
	check "nothing is left" wait_for no_device_left
}

# A grown server that grants a new connection anything else than the disk was built on: the disk stays
# what it is, with the connection that it has.
differs() {
	start_server s hostile_server --unix "$WORK/s.sock" --size 32M --first-size 16M --greeting "$1"
	lab_wait_ready s grep -q '^ready' "$WORK/s.log"
	connect_disk --connections 1 "nbd+unix:///?socket=$WORK/s.sock"
	expect_exit "resize" "$2" ublk-nbd resize "$DISK"
	[ "$2" = 0 ] || said 'grants a new connection other flags, limits'
	size_is $(($3 << 20))
	check "the disk works" dd if=/dev/urandom of="$DISK" bs=1M count="$3" oflag=direct
	check_equal "connections lost" 0 "$(status_of .stats.connections_lost)"
	disconnect_disk
	stop_server s
}

# relay_to NAME PORT: what is dialled from now on; connections that are open stay with who has them.
relay_to() {
	start_server "$1" socat "TCP-LISTEN:$TLS_PORT,fork,reuseaddr" "TCP:localhost:$2"
	wait_listen "$1" "$TLS_PORT"
}

start_version() { # NAME PORT VERSION SIZE
	start_server "$1" tls_server --port "$2" --cert "$PKI/server-cert.pem" --key "$PKI/server-key.pem" \
		--size "$4" --tls "$3"
	lab_wait_ready "$1" grep -q '^ready' "$WORK/$1.log"
}

# With TLS 1.2 the kernel decrypts, with 1.3 the daemon does: other buffers. after_version VERSION CODE MIB
after_version() {
	[ -d "$PKI" ] || make_pki
	start_version before 10801 1.2 32M
	relay_to relay1 10801
	connect_tls
	live=$(status_of .connections_live)
	expect_modes auto
	start_version after 10802 "$1" 48M
	kill -KILL "$(server_pid relay1)"
	relay_to relay2 10802
	# Written, and not flushed: what a lost connection would lose.
	check "write" dd if=/dev/urandom of="$DISK" bs=1M count=8 oflag=direct conv=notrunc
	expect_exit "resize" "$2" ublk-nbd resize "$DISK"
	[ "$2" = 0 ] || said 'another kind' 'TLSv1.3, daemon sends, daemon receives' 'before: TLSv1.2, .*kernel receives'
	size_is $(($3 << 20))
	check "the disk works" dd if=/dev/urandom of="$DISK" bs=1M count="$3" oflag=direct conv=notrunc
	check_healthy
	check_equal "live connections" "$live" "$(status_of .connections_live)"
	check_equal "state" live "$(status_of .state)"
	disconnect_disk
	stop_server relay2
	stop_server before
	stop_server after
}

# within SECONDS NAME CODE COMMAND...: as expect_exit, and in time.
within() {
	lab_limit_ms=$(($1 * 1000 * ${LAB_SCALE:-1}))
	shift
	lab_start_ms=$(uptime_ms)
	expect_exit "$@"
	lab_took_ms=$(($(uptime_ms) - lab_start_ms))
	note "$1: $lab_took_ms ms"
	[ "$lab_took_ms" -le "$lab_limit_ms" ] || fail "$1" "took $lab_took_ms ms"
}

# Nothing can be written to the runtime directory: a disk is resized and removed all the same, by its daemon and by
# whoever removes what a killed daemon left.
runtime_hangs() {
	truncate -s 16M "$WORK/runtime"
	check "mkfs" mkfs.ext4 -q -F "$WORK/runtime"
	check "mount" mount -o loop "$WORK/runtime" /mnt
	export UBLK_NBD_RUNTIME_DIR=/mnt/run
	start_file
	second=$(ublk-nbd connect --name second $URI) || fail "connect" "a second disk"
	check "writing to it" dd if=/dev/zero of="$second" bs=4096 count=1 oflag=direct conv=nocreat
	# What is left behind hangs on purpose, and the kernel is not to complain of it.
	hung=$(cat /proc/sys/kernel/hung_task_timeout_secs)
	echo 0 >/proc/sys/kernel/hung_task_timeout_secs
	check "the runtime directory hangs" fsfreeze --freeze /mnt
	if has_feature update-size; then
		truncate -s 64M "$WORK/disk"
		within 8 "resize" 0 ublk-nbd resize "$DISK"
		check_equal "the device's size" $((64 << 20)) "$(blockdev --getsize64 "$DISK")"
		within 8 "status" 0 ublk-nbd status "$DISK"
	fi
	within 15 "disconnect" 0 ublk-nbd disconnect "$DISK"
	check "the disk is gone" test ! -e "/sys/block/${DISK##*/}"
	[ -z "$LAB_LONG" ] || second_is_killed
	check "thaw" fsfreeze --unfreeze /mnt
	[ -n "$LAB_LONG" ] || disconnect_disk "$second"
	check "whatever hung ends" wait_for umount /mnt
	echo "$hung" >/proc/sys/kernel/hung_task_timeout_secs
	unset UBLK_NBD_RUNTIME_DIR
	stop_server s
}

second_is_killed() {
	kill -KILL "$(json .pid <"$UBLK_NBD_RUNTIME_DIR/state/${second##*/ublkb}.json")"
	within 15 "disconnect, the daemon killed" 8 ublk-nbd disconnect --force "$second"
	check "the disk is gone" test ! -e "/sys/block/${second##*/}"
}

resize() {
	clean_slate
	run_case "$@"
}

# The driver says itself whether it can (GET_FEATURES, which doctor shows).
driver_resizes() {
	ublk-nbd doctor | grep 'ublk driver' | grep -q 'has .*resize'
}

# UPDATE_SIZE came with 6.16, and our own driver has it on every kernel.
doctor_knows() {
	if has_feature update-size; then
		check "doctor says that it does" driver_resizes
	else
		expect_fail "doctor says that it does" driver_resizes
	fi
}

run_case "doctor knows whether the driver resizes" doctor_knows
if has_feature update-size; then
	resize "the disk grows while it is in use" grows
	resize "it grows to whole blocks" grows_to_odd_size
	resize "a server that has grown" differs fine 0 32
	for what in flags-differ limits-differ block-differs framing-differs; do
		resize "a server that has grown and changed: $what" differs $what 4 16
	done
	if has_tls_module; then
		resize "a server that has grown, with TLS" after_version 1.2 0 48
		resize "a server that has grown, with another TLS" after_version 1.3 4 32
	else
		skip "a server that has grown, with another TLS" "this kernel has no TLS"
	fi
else
	resize "an older driver's refusal is clear" old_kernel_says_why
fi
resize "it never shrinks" never_shrinks
resize "the runtime directory hangs" runtime_hangs
resize "no server to ask" server_is_gone
