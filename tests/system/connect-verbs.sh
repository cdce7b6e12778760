# SPDX-License-Identifier: MIT
# goal: what the command line promises of connect, list, status and disconnect holds on real devices
# method: one memory server, disks made in every way, exit codes and words checked
# kernels: 7.3
# long-kernels: 6.12
# timeout-s: 600
# modules: ublk_drv ext4 dm_mod loop
# files: README.md
# suite: test

. /lab/data.sh

URI=nbd://localhost

count_disks() {
	ublk-nbd list -o json "$@" | json '.[].device' | wc -l
}

json_is_valid() {
	connect_disk --owner alice $URI/one
	check "status is JSON" sh -c "ublk-nbd status -o json $DISK | jq -e .device"
	check_equal "list" "[\"$DISK\",\"alice\",\"one\"]" \
		"$(ublk-nbd list -o json | jq -c '.[0] | [.device, .owner, .export]')"
	ublk-nbd connect -o json $URI/two >"$WORK/json" 2>"$WORK/said" || fail "connect -o json" "$(cat "$WORK/said")"
	other=$(json .device <"$WORK/json")
	[ -b "$other" ] || fail "connect -o json" "names '$other'"
	check_equal "its export" two "$(json .export <"$WORK/json")"
	check_equal "its state" live "$(json .state <"$WORK/json")"
	check_equal "list by owner" 1 "$(count_disks --owner alice)"
	check_equal "list" 2 "$(count_disks)"
	check "list for people" sh -c "ublk-nbd list | grep -q '$DISK .*alice.*/one'"
	check "status for people" sh -c "ublk-nbd status $other | grep -q two"
	ublk-nbd disconnect --all || fail "disconnect --all" "exited with $?"
	check "nothing is left" no_device_left
	check_equal "list of nothing, for programs" '[]' "$(ublk-nbd list -o json | jq -c .)"
	check_equal "list of nothing, for people" '' "$(ublk-nbd list)"
}

# strange_name WHERE JSON: the export's name, as text and exactly.
strange_name() {
	check_equal "the export in $1" "61ff62 $(printf 'a\357\277\275b')" \
		"$(printf '%s' "$2" | jq -r '"\(.export_hex) \(.export)"')"
}

# An export's name may be any bytes but NUL: programs are given all of them, with a daemon and without.
names_of_other_bytes() {
	cat >"$WORK/names" <<'END'
#!/bin/sh
case $1 in
list_exports) printf 'INTERLEAVED\na\377b\nodd\n' ;;
get_size) echo 1M ;;
pread) dd if=/dev/zero bs="$3" count=1 2>/dev/null ;;
*) exit 2 ;;
esac
END
	chmod 755 "$WORK/names"
	start_nbdkit names "$WORK/names.sock" sh "$WORK/names"
	uri="nbd+unix:///a%FFb?socket=$WORK/names.sock"
	check_equal "its exports" 61ff62 "$(ublk-nbd exports -o json "$uri" | json '.exports[0].name_hex')"
	connect_disk "$uri"
	check "list, for people" sh -c "ublk-nbd list | grep -q 'a%FFb'"
	strange_name "list" "$(ublk-nbd list -o json | jq '.[0]')"
	strange_name "status" "$(ublk-nbd status -o json "$DISK")"
	pid=$(status_of .pid)
	kill -KILL "$pid"
	wait_for gone "$pid"
	strange_name "a dead disk's list" "$(ublk-nbd list -o json | jq '.[0]')"
	strange_name "a dead disk's status" "$(ublk-nbd status -o json "$DISK" 2>/dev/null)"
	disconnect_disk
	stop_server names
}

# connect prints the path only when the disk can be used: read at once, from another process.
usable_at_once() {
	for _ in 1 2 3 4 5; do
		connect_disk $URI
		dd if="$DISK" of=/dev/null bs=4096 count=1 iflag=direct 2>"$WORK/dd" ||
			fail "the first read" "$(cat "$WORK/dd")"
		check_equal "state" live "$(status_of .state)"
		disconnect_disk
	done
	check "nothing is left" no_device_left
}

idempotent() {
	connect_disk --idempotent $URI/one
	first=$DISK
	check_equal "the same again" "$first" "$(ublk-nbd connect --idempotent $URI/one)"
	check_equal "the same, written otherwise" "$first" "$(ublk-nbd connect --idempotent --export one localhost)"
	connect_disk --idempotent $URI/two
	[ "$DISK" != "$first" ] || fail "another export" "is the same device"
	connect_disk --idempotent --read-only $URI/one
	[ "$DISK" != "$first" ] || fail "another option" "is the same device"
	connect_disk $URI/one
	[ "$DISK" != "$first" ] || fail "without --idempotent" "it is the same device"
	check_equal "disks" 4 "$(count_disks)"
	disconnect_disk "$first"
	check_equal "the disk after that one" "$DISK" "$(ublk-nbd connect --idempotent $URI/one)"
	connect_disk --idempotent --owner me $URI/one
	check_equal "disks, with somebody's" 4 "$(count_disks)"
	check_equal "mine" "$DISK" "$(ublk-nbd connect --idempotent --owner me $URI/one)"
	connect_disk --idempotent --device 9 $URI/one
	check_equal "the number asked for" /dev/ublkb9 "$DISK"
	connect_disk --idempotent [ nbdkit memory 1M ]
	check_equal "a server of its own" "$DISK" "$(ublk-nbd connect --idempotent [ nbdkit memory 1M ])"
	connect_disk --idempotent [ nbdkit memory 2M ]
	check_equal "disks" 7 "$(count_disks)"
	expect_exit "--idempotent and --foreground" 2 ublk-nbd connect --idempotent --foreground $URI/one
	check "disconnect all" ublk-nbd disconnect --all
	check "nothing is left" no_device_left
}

# One whose I/O fails for want of its server is no disk to be had; once the server is back it is.
idempotent_but_failing() {
	start_nbdkit passing 10810 memory 1M
	connect_disk --idempotent --dead-timeout 0 nbd://127.0.0.1:10810
	stop_server passing KILL
	dd if="$DISK" of=/dev/null bs=4096 count=1 iflag=direct 2>/dev/null && fail "a dead server" "is read from"
	check "its state" wait_for state_is failing
	first=$DISK
	expect_exit "no second disk" 6 ublk-nbd connect --idempotent --dead-timeout 0 nbd://127.0.0.1:10810
	said "$first" failing "ublk-nbd disconnect $first"
	check_equal "JSON" failing "$(ublk-nbd list -o json | json '.[0].state')"
	check_equal "disks" 1 "$(count_disks)"
	start_nbdkit passing 10810 memory 1M
	check "its state, then" wait_for state_is live
	connect_disk --idempotent --dead-timeout 0 nbd://127.0.0.1:10810
	check_equal "the disk" "$first" "$DISK"
	check "disconnect all" ublk-nbd disconnect --all
	stop_server passing
}

# One idle connection of several is lost, and cannot be made anew: the disk works with the other.
idempotent_but_degraded() {
	start_nbdkit behind 10812 memory 16M
	start_server front socat TCP-LISTEN:10811,fork,reuseaddr TCP:127.0.0.1:10812
	wait_listen front 10811
	connect_disk --idempotent --connections 2 nbd://127.0.0.1:10811
	check_equal "its state at first" live "$(listed_state)"
	child=$(ps -eo pid,ppid | awk -v s="$(server_pid front)" '$2 == s { print $1; exit }')
	kill -KILL "$(server_pid front)" # nobody can dial; its children go on
	kill -KILL "$child"
	check "its state" wait_for state_is degraded
	check_equal "JSON of list" degraded "$(ublk-nbd list -o json | json '.[0].state')"
	ublk-nbd status -o json "$DISK" >"$WORK/status.json"
	check_equal "JSON of status" degraded "$(json .state <"$WORK/status.json")"
	check_equal "lost" 1 "$(json .connections_lost <"$WORK/status.json")"
	lost=$(json '.connections[] | select(.state != "live") | .queue' <"$WORK/status.json")
	check_equal "the queue without one" "[$lost]" "$(jq -c .queues_cut_off <"$WORK/status.json")"
	expect_exit "status" 10 ublk-nbd status "$DISK"
	said 'state: +degraded' "queue $lost, dead, .*closed the connection" "cut off: +queue $lost .CPUs" \
		'lost 1 of 2 connections'
	expect_exit "the same disk" 0 ublk-nbd connect --idempotent --connections 2 nbd://127.0.0.1:10811
	said "^$DISK\$"
	check_equal "disks" 1 "$(count_disks)"
	rm "$WORK/front.pid"
	start_server front socat TCP-LISTEN:10811,fork,reuseaddr TCP:127.0.0.1:10812
	check "its state, once it can be dialled" wait_for state_is live
	expect_exit "status, then" 0 ublk-nbd status "$DISK"
	check "disconnect all" ublk-nbd disconnect --all
	stop_server front
	stop_server behind
}

# listed_state: of $DISK, by `list`: DEVICE, NAME, SIZE (two words), STATE.
listed_state() {
	ublk-nbd list | awk -v d="$DISK" '$1 == d { print $5 }'
}

state_is() {
	[ "$(listed_state)" = "$1" ]
}

# Five at once ask for the same disk: one is made.
idempotent_at_once() {
	for i in 1 2 3 4 5; do
		ublk-nbd connect --idempotent $URI/race >"$WORK/race.$i" 2>&1 &
	done
	wait
	check_equal "devices" 1 "$(cat "$WORK"/race.? | sort -u | wc -l)"
	check_equal "disks" 1 "$(count_disks)"
	check "disconnect all" ublk-nbd disconnect --all
}

owners() {
	connect_disk --owner alice $URI/one
	alice=$DISK
	connect_disk --owner bob $URI/two
	check "all of alice's" ublk-nbd disconnect --all --owner alice
	check "hers is gone" lab_no_node "${alice##*/}"
	check "his is not" test -b "$DISK"
	expect_exit "--owner without --all" 2 ublk-nbd disconnect --owner bob "$DISK"
	check "none of carol's" ublk-nbd disconnect --all --owner carol
	check "his is there still" test -b "$DISK"
	disconnect_disk
}

# A disk's name stands wherever its device does, and belongs to one disk at a time.
names() {
	connect_disk --name data.1 $URI/one
	check_equal "list" data.1 "$(ublk-nbd list -o json | json '.[].name')"
	check "list for people" sh -c "ublk-nbd list | grep -q '$DISK *data.1 '"
	check_equal "status by name" "$DISK" "$(ublk-nbd status -o json data.1 | json .device)"
	check "status for people" sh -c "ublk-nbd status data.1 | grep -q '^name: *data.1'"
	! kernel_at_least 6 16 || check "resize by name" ublk-nbd resize data.1
	expect_exit "the name is taken" 6 ublk-nbd connect --name data.1 $URI/two
	said "$DISK" data.1
	expect_exit "its partition's link is, too" 6 ublk-nbd connect --name data.1-part2 $URI/two
	check_equal "the same again" "$DISK" "$(ublk-nbd connect --idempotent --name data.1 $URI/one)"
	check_equal "without a name" "$DISK" "$(ublk-nbd connect --idempotent $URI/one)"
	expect_exit "another disk of that name" 6 ublk-nbd connect --idempotent --name data.1 $URI/two
	said "$DISK"
	kill -KILL "$(status_of .pid)"
	check "it is dead" wait_for sh -c 'ublk-nbd list | grep -q dead'
	expect_exit "a dead disk has its name" 6 ublk-nbd connect --name data.1 $URI/two
	expect_exit "disconnect by name, unflushed" 8 ublk-nbd disconnect data.1
	expect_exit "nobody has it" 7 ublk-nbd status data.1
	said "no disk has the name 'data.1'"
	rm -f "$WORK"/race.? # of an earlier case
	for i in 1 2 3 4; do
		ublk-nbd connect --name race $URI/$i >"$WORK/race.$i" 2>"$WORK/race-said.$i" &
	done
	wait
	check_equal "of four at once" 1 "$(cat "$WORK"/race.? | wc -l)"
	check_equal "are told which disk has it" 3 "$(grep -l "'race' is taken: $(cat "$WORK"/race.?)" "$WORK"/race-said.? | wc -l)"
	check "disconnect all" ublk-nbd disconnect --all
	check_equal "files of it" "" "$(find /run/ublk-nbd/state -name '*.name')"
}

numbers() {
	connect_disk --device 5 $URI
	check_equal "the number asked for" /dev/ublkb5 "$DISK"
	expect_exit "a number that is taken" 6 ublk-nbd connect --device 5 $URI
	said ublkb5 taken
	check "the first one works still" dd if="$DISK" of=/dev/null bs=4096 count=1 iflag=direct
	disconnect_disk 5
	connect_disk --device 5 $URI
	disconnect_disk ublkb5
	connect_disk --device 5 $URI
	disconnect_disk /dev/ublkb5
	expect_exit "no such disk" 7 ublk-nbd disconnect 5
	said '5'
	expect_exit "no such disk's status" 7 ublk-nbd status /dev/ublkb5
	expect_exit "no such disk to resize" 7 ublk-nbd resize 5
	expect_exit "no disk's name" 2 ublk-nbd disconnect /dev/sda
	said /dev/sda
}

# The node may be gone (a container's /dev, an admin): the disk is still removed.
# README's example of --name does what README says, on the third disk of a machine as there.
names_as_in_readme() {
	sed -n '/^    # ublk-nbd connect --name /,/^$/s/^    //p' /lab/README.md >"$WORK/example"
	check "README has it" grep -q '^# ublk-nbd disconnect' "$WORK/example"
	connect_disk $URI/one
	connect_disk $URI/two
	while read -r line; do
		case $line in
		'# '*)
			printf '%s\n' "$line"
			sh -c "${line#??}" </dev/null 2>&1
			;;
		esac
	done <"$WORK/example" >"$WORK/got"
	check_equal "what it prints" "$(cat "$WORK/example")" "$(cat "$WORK/got")"
	check_equal "disks" 2 "$(count_disks)"
	check "disconnect all" ublk-nbd disconnect --all
}

node_is_gone() {
	connect_disk --device 3 $URI
	rm "$DISK"
	check "status" ublk-nbd status "$DISK"
	check "disconnect" ublk-nbd disconnect "$DISK"
	check "nothing is left" wait_for no_device_left
}

wrong_use() {
	expect_exit "no verb" 2 ublk-nbd
	expect_exit "no such verb" 2 ublk-nbd frobnicate
	said frobnicate
	expect_exit "no target" 2 ublk-nbd connect
	expect_exit "no such option" 2 ublk-nbd connect --frobnicate $URI
	said frobnicate
	expect_exit "no such scheme" 2 ublk-nbd connect http://localhost
	said http
	expect_exit "no such query" 2 ublk-nbd connect "$URI?frob=1"
	said frob
	expect_exit "a depth that is none" 2 ublk-nbd connect --queue-depth 0 $URI
	expect_exit "an ordinary user" 5 setpriv --reuid 1000 --regid 1000 --clear-groups ublk-nbd connect $URI
	said root
	check "help" ublk-nbd --help
	check "help of a verb" ublk-nbd connect --help
	check "nothing is left" no_device_left
}

# --foreground: it stays, and ends with 0 when told to.
in_the_foreground() {
	rm -f "$WORK/out"
	ublk-nbd connect --foreground $URI >"$WORK/out" 2>"$WORK/err" &
	front=$!
	wait_for test -s "$WORK/out" || fail "connect --foreground" "$(cat "$WORK/err")"
	DISK=$(cat "$WORK/out")
	check "the disk works" dd if="$DISK" of=/dev/null bs=4096 count=1 iflag=direct
	kill -TERM "$front"
	wait "$front"
	check_equal "its exit code" 0 $?
	check "nothing is left" no_device_left
}

# A supervisor that has stopped reading, with as much as its socket takes: it is told once it reads, and the signals that
# come meanwhile go to the daemon.
supervisor_is_stopped() {
	qlen=$(cat /proc/sys/net/unix/max_dgram_qlen)
	echo 0 >/proc/sys/net/unix/max_dgram_qlen
	socat -u UNIX-RECV:"$WORK/notify" OPEN:"$WORK/told",creat,append &
	supervisor=$!
	check "a supervisor" wait_for test -S "$WORK/notify"
	echo "$qlen" >/proc/sys/net/unix/max_dgram_qlen
	kill -STOP "$supervisor"
	echo somebody | socat -u STDIN UNIX-SENDTO:"$WORK/notify"
	for told in no yes; do
		rm -f "$WORK/out"
		NOTIFY_SOCKET=$WORK/notify ublk-nbd connect --foreground $URI >"$WORK/out" 2>"$WORK/err" &
		front=$!
		wait_for test -s "$WORK/out" || fail "connect --foreground" "$(cat "$WORK/err")"
		if [ $told = yes ]; then
			kill -CONT "$supervisor"
			check "it is told" wait_for grep -q READY=1 "$WORK/told"
		fi
		kill -TERM "$front"
		wait_for gone "$front" || fail "SIGTERM" "is not passed on"
		wait "$front"
		check_equal "its exit code" 0 $?
		check "nothing is left" no_device_left
	done
	check "it is told of the end" wait_for grep -q STOPPING=1 "$WORK/told"
	kill "$supervisor"
}

# Whoever connects need not know of the module.
loads_the_driver() {
	check "unload it" modprobe -r ublk_drv
	check "the node goes" wait_for test ! -e /dev/ublk-control
	expect_exit "doctor says so" 0 ublk-nbd doctor
	said 'connect loads the module ublk_drv'
	connect_disk $URI
	check "the disk works" dd if="$DISK" of=/dev/null bs=4096 count=1 iflag=direct
	disconnect_disk
	check "nothing is left" no_device_left
}

doctor_is_content() {
	expect_exit "doctor" 0 ublk-nbd doctor
	expect_exit "doctor, and a server" 0 ublk-nbd doctor $URI
	said 'ublk driver' 'loaded; has .*user copy' 'structured'
	expect_exit "and nobody there" 3 ublk-nbd doctor nbd://localhost:1
}

# Rings forbidden to all, and to those without privileges.
doctor_explains_io_uring() {
	[ -e /proc/sys/kernel/io_uring_disabled ] || fail "the test" "this kernel has no io_uring_disabled"
	echo 2 >/proc/sys/kernel/io_uring_disabled
	expect_exit "forbidden to all" 5 ublk-nbd doctor
	said 'FAIL  io_uring: switched off on this machine: sysctl kernel.io_uring_disabled=0'
	echo 1 >/proc/sys/kernel/io_uring_disabled
	expect_exit "forbidden to a plain user" 5 setpriv --reuid 65534 --regid 65534 --clear-groups ublk-nbd doctor
	said 'FAIL  io_uring: allowed for CAP_SYS_ADMIN'
	expect_exit "and not to root" 0 ublk-nbd doctor
	echo 0 >/proc/sys/kernel/io_uring_disabled
}

# private_dev NODE...: runs what follows -- with a /dev of its own that holds these of the kernel's nodes.
cat >"$WORK/private-dev" <<'END'
#!/bin/sh
mkdir -p /tmp/nodes
while [ "$1" != -- ]; do
	cp -a "/dev/$1" /tmp/nodes/
	shift
done
shift
mount -t tmpfs none /dev
cp -a /tmp/nodes/. /dev/
rm -r /tmp/nodes
exec "$@"
END
chmod 755 "$WORK/private-dev"

# agree NAME WORDS COMMAND...: under it doctor and connect refuse in the same words, which hold WORDS.
agree() {
	agree_name=$1
	agree_words=$2
	shift 2
	"$@" ublk-nbd doctor >"$WORK/doctor.out" 2>&1
	check_equal "$agree_name: doctor" 5 $?
	"$@" ublk-nbd connect $URI >"$WORK/connect.out" 2>&1
	check_equal "$agree_name: connect" 5 $?
	doctor=$(sed -n 's/^  FAIL  //p' "$WORK/doctor.out" | head -n 1)
	case $doctor in
	*"$agree_words"*) ;;
	*) fail "$agree_name: doctor's words" "$(cat "$WORK/doctor.out")" ;;
	esac
	check_equal "$agree_name: connect's words" "ublk-nbd: connect: $doctor" "$(cat "$WORK/connect.out")"
	check "$agree_name: no device is left" no_device_left
}

doctor_and_connect_agree() {
	agree "a user namespace" "this is a user namespace" unshare -Ur
	agree "a plain user" "without CAP_SYS_ADMIN" setpriv --reuid 65534 --regid 65534 --clear-groups
	agree "a /dev of its own" "so new disks do not appear in it: in a container pass the host's /dev" \
		unshare -m "$WORK/private-dev" null ublk-control --
	agree "and without the driver's node" "/dev/ublk-control is not in this /dev: in a container" \
		unshare -m "$WORK/private-dev" null --
	agree "a runtime directory that cannot be" "is not a directory" env UBLK_NBD_RUNTIME_DIR=/etc/passwd
	echo 2 >/proc/sys/kernel/io_uring_disabled
	agree "no io_uring" "switched off on this machine" env
	echo 0 >/proc/sys/kernel/io_uring_disabled
	expect_exit "doctor" 0 ublk-nbd doctor
	connect_disk $URI
	disconnect_disk
}

# What nobody chose: user copy, which both kernels have; and what somebody did.
defaults_and_wishes() {
	connect_disk $URI
	check_equal "the payload that is chosen" user-copy "$(status_of .payload)"
	check_equal "the depth that is chosen" 128 "$(status_of .queue_depth)"
	check_equal "tags in the kernel" 128 "$(cat "/sys/block/${DISK##*/}/mq/0/nr_tags")"
	check_equal "how soon a dead daemon is noticed, ms" 1000 "$(cat "/sys/block/${DISK##*/}/queue/io_timeout")"
	disconnect_disk
	for depth in 1 7 200; do
		connect_disk --connections 1 --queue-depth $depth --payload mapped $URI
		check_equal "the payload asked for" mapped "$(status_of .payload)"
		check_equal "the depth asked for" $depth "$(status_of .queue_depth)"
		check_equal "tags in the kernel" $depth "$(cat "/sys/block/${DISK##*/}/mq/0/nr_tags")"
		check "the disk works" dd if="$DISK" of=/dev/null bs=64k count=20 iflag=direct
		disconnect_disk
	done
}

# At depth 32 one send carries several requests, and one receive brings several replies.
batches() {
	connect_disk --connections 1 $URI
	check "fio" fio --filename="$DISK" --name=x --rw=randread --bs=4k --direct=1 --ioengine=libaio \
		--iodepth=32 --iodepth_batch_submit=8 --size=16m
	wire=$(status_of .stats.wire_requests)
	sends=$(status_of .stats.sends)
	receives=$(status_of .stats.receives)
	note "$wire requests, $sends sends, $receives receives"
	[ "$wire" -ge 4096 ] || fail "requests" "$wire were sent"
	check "both are counted" test "$sends" -gt 0 -a "$receives" -gt 0
	[ $((sends * 2)) -lt "$wire" ] || fail "sends" "$sends for $wire requests"
	[ $((receives * 2)) -lt "$wire" ] || fail "receives" "$receives for $wire replies"
	disconnect_disk
}

daemon_log_lines() {
	[ ! -e /run/ublk-nbd/state/daemon.log ] || wc -l </run/ublk-nbd/state/daemon.log
}

# Where there is a journal, what the daemon says goes there, with its priority, and into no file.
says_it_to_the_journal() {
	journal_stub "$WORK/journal" &
	stub=$!
	check "a journal" wait_for test -S /run/systemd/journal/stdout
	start_nbdkit j 10810 memory 16M
	connect_disk nbd://localhost:10810
	before=$(daemon_log_lines)
	stop_server j KILL
	check "an error" wait_for grep -q "^<3>${DISK##*/}: .* is given up" "$WORK/journal"
	check_equal "by the name of" ublk-nbd "$(head -n 1 "$WORK/journal")"
	check_equal "lines in the file" "$before" "$(daemon_log_lines)"
	ublk-nbd disconnect --force "$DISK"
	check "nothing is left" wait_for no_device_left
	# Without the library that speaks to it the file is the log's place.
	library=$(echo /usr/lib/*/libsystemd.so.0)
	check "hiding libsystemd" mount --bind /dev/null "$library"
	streams=$(grep -c '^ublk-nbd$' "$WORK/journal")
	connect_disk -v $URI
	disconnect_disk
	check "umount" umount "$library"
	[ "$(daemon_log_lines)" -gt "${before:-0}" ] || fail "without libsystemd" "nothing is in the file"
	check_equal "streams to the journal" "$streams" "$(grep -c '^ublk-nbd$' "$WORK/journal")"
	kill $stub
	rm -r /run/systemd/journal
}

# Under another prefix, with none of it where it was built for: the daemon is found beside its program.
moved_elsewhere() {
	mkdir -p /opt/moved/bin /opt/moved/libexec
	cp /usr/local/bin/ublk-nbd /opt/moved/bin/
	cp -R /usr/local/libexec/ublk-nbd /opt/moved/libexec/
	mv /usr/local/libexec/ublk-nbd /usr/local/libexec/hidden
	expect_exit "without its daemon" 5 ublk-nbd connect $URI
	said 'ublk-nbd-disk' 'make install'
	expect_exit "without the program for maps" 5 ublk-nbd map $URI
	said '/usr/local/libexec/ublk-nbd/ublk-nbd-map' 'make install' libnbd
	check "a map" /opt/moved/bin/ublk-nbd map $URI
	DISK=$(/opt/moved/bin/ublk-nbd connect $URI 2>"$WORK/said") || fail "connect" "$(cat "$WORK/said")"
	check_equal "the daemon" /opt/moved/libexec/ublk-nbd/ublk-nbd-disk \
		"$(readlink "/proc/$(status_of .pid)/exe")"
	disconnect_disk
	mv /usr/local/libexec/hidden /usr/local/libexec/ublk-nbd
}

# in_container NAME COMMAND...: in its namespaces.
in_container() {
	container=$(cat "$WORK/$1.init")
	shift
	nsenter --target "$container" --mount --pid "$@"
}

# start_container NAME COMMAND: a shell's script as the first process of a pid namespace, with a /run of its own; it
# stays when that is done. Waits until it has connected its disk.
start_container() {
	rm -f "$WORK/$1.disk"
	unshare --mount --propagation private --pid --fork --kill-child --mount-proc sh -c "
		mkdir -p /run/ublk-nbd && mount -t tmpfs none /run/ublk-nbd && $2; sleep 1000" >"$WORK/$1.log" 2>&1 &
	container=$!
	wait_for test -s "$WORK/$1.disk" || fail "container $1" "$(cat "$WORK/$1.log")"
	tr -d ' ' <"/proc/$container/task/$container/children" >"$WORK/$1.init"
}

end_container() {
	kill -KILL "$(cat "$WORK/$1.init")"
}

pid_in() {
	in_container "$1" sh -c 'cat /run/ublk-nbd/state/*.json' | json .pid
}

# Two containers of one image number their processes alike; each sees the other's disk, and none of its processes.
two_containers() {
	start_container two "ublk-nbd connect --device 7 $URI/two >$WORK/two.disk &&
		mkfs.ext4 -q -F /dev/ublkb7 && mount /dev/ublkb7 /mnt"
	check "it is mounted there" wait_for in_container two grep -q ' /mnt ext4 ' /proc/mounts
	start_container one "ublk-nbd connect --device 8 $URI/one >$WORK/one.disk"
	check_equal "the daemons' numbers, each in its container" "$(pid_in two)" "$(pid_in one)"
	check_equal "the other's disk, by list" unseen \
		"$(in_container one ublk-nbd list -o json | json '.[] | select(.number == 7).state')"
	in_container one ublk-nbd disconnect --all >"$WORK/said" 2>&1
	! grep -q 'killed' "$WORK/said" || fail "its own daemon" "is killed: $(cat "$WORK/said")"
	check "its own disk is gone" wait_for test ! -e /dev/ublkb8
	check "the other's is not" in_container two sh -c 'echo there >/mnt/file && sync /mnt/file'
	# One whose daemon is killed is removed by who started it, and it alone.
	rm -f "$WORK/out" # of an earlier case: what is there next is connect's
	# shellcheck disable=SC2016 # the inner shell's
	in_container one sh -c 'echo $(($0 - 1)) >/proc/sys/kernel/ns_last_pid
		exec ublk-nbd connect --foreground --read-only --device 8 nbd://localhost/one' "$(pid_in two)" >"$WORK/out" 2>"$WORK/err" &
	front=$!
	wait_for test -s "$WORK/out" || fail "connect --foreground" "$(cat "$WORK/err")"
	check_equal "its daemon's number" "$(pid_in two)" "$(pid_in one)"
	in_container one sh -c "kill -KILL \$(jq .pid /run/ublk-nbd/state/8.json)"
	wait "$front"
	check_equal "connect's exit code, its daemon killed" 1 $?
	check "its disk is gone" wait_for test ! -e /dev/ublkb8
	check "the other's is not" in_container two sh -c 'echo again >/mnt/file && sync /mnt/file'
	check_equal "its state there" live "$(in_container two ublk-nbd status -o json 7 | json .state)"
	in_container two umount /mnt
	check "disconnect there" in_container two ublk-nbd disconnect 7
	end_container one
	end_container two
	check "nothing is left" wait_for no_device_left
}

# A runtime directory that was there is left as it is, /tmp too.
runtime_in_tmp() {
	before=$(stat -c '%a %U' /tmp)
	export UBLK_NBD_RUNTIME_DIR=/tmp
	connect_disk $URI
	check_equal "/tmp" "$before" "$(stat -c '%a %U' /tmp)"
	check_equal "what we made in it" "700 root" "$(stat -c '%a %U' /tmp/state)"
	check_equal "list" live "$(ublk-nbd list -o json | json '.[].state')"
	UBLK_NBD_RUNTIME_DIR='' expect_exit "without it" 1 ublk-nbd status "$DISK"
	said 'cannot be asked from here'
	chmod 750 /tmp/state
	expect_exit "once others may look into it" 5 ublk-nbd connect $URI
	said '/tmp/state has mode 0750' 'chmod it to 0700'
	check_equal "its mode" 750 "$(stat -c %a /tmp/state)"
	chmod 700 /tmp/state
	disconnect_disk
	rm -r /tmp/state
	mkdir -m 700 /tmp/elsewhere
	ln -s elsewhere /tmp/state
	expect_exit "a link" 5 ublk-nbd connect $URI
	said '/tmp/state is a link'
	rm /tmp/state
	mkdir -m 700 /tmp/state
	chown 1000 /tmp/state
	expect_exit "another user's" 5 ublk-nbd connect $URI
	said '/tmp/state belongs to uid 1000'
	check_equal "nothing is in there" "" "$(find /tmp/state /tmp/elsewhere -mindepth 1)"
	rm -r /tmp/state /tmp/elsewhere
}

# old_daemon: serves device 9 as 0.1.0's daemons do, with their mark and their files.
old_daemon() {
	[ -e "$WORK/ublk-nbd-disk" ] || cp "$(command -v ublk_server)" "$WORK/ublk-nbd-disk"
	rm -f "$WORK/old.out"
	"$WORK/ublk-nbd-disk" serve --id 9 --size 16M --tag 0x6e626475 >"$WORK/old.out" 2>&1 &
	OLD=$!
	wait_for test -s "$WORK/old.out" || fail "the old daemon" "does not start"
	jq --argjson pid $OLD '.pid = $pid | del(.identity, .config.name)' "$WORK/record" >/run/ublk-nbd/9.json
}

# old_answers: its half of a conversation.
cat >"$WORK/old_answers" <<'EOF'
while read -r line; do
	case $line in
	*status*) echo "{\"ok\": true, \"status\": {\"number\": 9, \"pid\": $OLD, \"device\": \"/dev/ublkb9\", \"state\": \"live\"}}" ;;
	*disconnect*)
		ublk_server stop --id 9 >&2
		kill "$OLD"
		ublk_server delete --id 9 >&2
		rm -f /run/ublk-nbd/9.*
		echo '{"ok": true, "flush": "ok"}'
		;;
	esac
done
EOF

# What a disk of 0.1.0 knows of its daemon is a process number.
of_version_0_1_0() {
	connect_disk --owner past $URI/old
	cat /run/ublk-nbd/state/*.json >"$WORK/record"
	disconnect_disk
	old_daemon
	check_equal "without an answer" '["silent","past",true]' \
		"$(ublk-nbd list -o json | jq -c ".[] | [.state, .owner, .pid == $OLD]")"
	OLD=$OLD socat UNIX-LISTEN:/run/ublk-nbd/9.sock,fork EXEC:"sh $WORK/old_answers" &
	check "its socket" wait_for test -S /run/ublk-nbd/9.sock
	check_equal "with an answer" live "$(ublk-nbd status -o json 9 | json .state)"
	check "disconnect" ublk-nbd disconnect 9
	kill $! 2>/dev/null
	check "it is gone" wait_for no_device_left
	old_daemon
	OLD=1 socat UNIX-LISTEN:/run/ublk-nbd/9.sock,fork EXEC:"sh $WORK/old_answers" &
	check "a socket of somebody else" wait_for test -S /run/ublk-nbd/9.sock
	check_equal "he is not believed" silent "$(ublk-nbd list -o json | json '.[].state')"
	kill $! 2>/dev/null
	kill -KILL $OLD
	check "its death is noticed" wait_for sh -c 'ublk-nbd list | grep -q "ublkb9 .*dead .*past"'
	expect_exit "disconnect, of a dead one" 8 ublk-nbd disconnect 9
	check "it is gone" wait_for no_device_left
}

# daemons: the process of each disk, without those beside it.
daemons() {
	for comm in /proc/[0-9]*/comm; do
		read -r name <"$comm" 2>/dev/null || continue
		[ "$name" != ublk-nbd-disk ] || echo "$comm" | tr -dc '0-9\n'
	done
}

# of_daemons: what runs the daemon's program, those beside it included.
of_daemons() {
	for exe in /proc/[0-9]*/exe; do
		case $(readlink "$exe") in
		*/ublk-nbd-disk) echo "$exe" | tr -dc '0-9\n' ;;
		esac
	done
}

no_daemon() {
	[ -z "$(of_daemons)" ]
}

# gone_soon: nothing is left of the disk 10 s later (more on a slow machine), its processes included.
gone_soon() {
	lab_within $((10 * ${LAB_SCALE:-1})) no_daemon || fail "after 10 s" "there are processes: $(of_daemons)"
	no_device_left || fail "after 10 s" "there is $data_left"
}

# Whoever asked for the disk cannot be told of it: there is none then.
stdout_fails() {
	ublk-nbd connect $URI >/dev/full 2>"$WORK/said"
	check_equal "no space, exit" 1 $?
	no_device_left || fail "no space" "there is $data_left"
	said 'standard output: No space left'
	ublk-nbd connect -o json $URI >&- 2>"$WORK/said"
	check_equal "closed, exit" 1 $?
	no_device_left || fail "closed" "there is $data_left"
	{
		ublk-nbd connect --idempotent $URI 2>"$WORK/said"
		echo $? >"$WORK/rc"
	} | true
	check_equal "reader gone, exit" 1 "$(cat "$WORK/rc")"
	no_device_left || fail "reader gone" "there is $data_left"
	ublk-nbd connect --foreground $URI >/dev/full 2>"$WORK/said"
	check_equal "in the foreground, exit" 1 $?
	no_device_left || fail "in the foreground" "there is $data_left"
	gone_soon
}

# A pipe that is full and that nobody reads, as standard output: FULL.
full_pipe() {
	rm -f "$WORK/full"
	mkfifo "$WORK/full"
	sleep 1000 <>"$WORK/full" &
	FULL=$!
	head -c 65536 /dev/zero >"$WORK/full"
}

# connect is killed when the disk can be used, before it has told anybody.
killed_before_told() {
	full_pipe
	ublk-nbd connect $URI >"$WORK/full" 2>"$WORK/said" &
	asker=$!
	check "the disk is there" wait_for sh -c 'ublk-nbd status -o json 0 | grep -q live'
	kill -KILL $asker
	gone_soon
	if [ -n "${LAB_LONG:-}" ]; then # it waits for 5 s
		ublk-nbd connect $URI >"$WORK/full" 2>"$WORK/said"
		check_equal "exit where nobody reads" 1 $?
		said 'nobody has read'
		gone_soon
	fi
	kill $FULL
}

# The daemon is killed while the kernel reads the partition table through it.
killed_while_starting() {
	start_nbdkit slow 10811 --filter=delay memory 16M rdelay=1000
	ublk-nbd connect --device 0 nbd://localhost:10811 >"$WORK/out" 2>"$WORK/said" &
	asker=$!
	check "the kernel reads" wait_for grep -qs '[1-9]' /sys/block/ublkb0/inflight
	kill -KILL "$(daemons)"
	gone_soon
	wait $asker
	[ $? = 1 ] || fail "connect" "$(cat "$WORK/said")"
	check "the number is free" ublk-nbd connect --device 0 $URI
	ublk-nbd disconnect 0
	gone_soon
	stop_server slow KILL
}

# Who logs, and who complains, waits for nothing: neither for a file whose filesystem hangs nor for a pipe that
# nobody reads. The disk ends in time; what is told of it waits in other processes.
log_hangs() {
	connect_disk $URI
	held=$DISK
	check "mkfs" mkfs.ext4 -q -F "$held"
	check "mount" mount "$held" /mnt
	full_pipe
	# What writes the log hangs on purpose, and the kernel is not to complain of it.
	hung=$(cat /proc/sys/kernel/hung_task_timeout_secs)
	echo 0 >/proc/sys/kernel/hung_task_timeout_secs
	for log in /mnt/log ${LAB_LONG:+"$WORK/full"}; do
		start_nbdkit other 10812 memory 16M
		rm -f "$WORK/out"
		ublk-nbd connect --foreground --dead-timeout 0 --device 5 nbd://localhost:10812 >"$WORK/out" 2>"$log" &
		front=$!
		check "a disk that logs to $log" wait_for test -s "$WORK/out"
		exec 9>>"$log" # nothing can be opened there soon
		check "the log's filesystem hangs" fsfreeze --freeze /mnt
		stop_server other KILL
		expect_exit "a read of the disk" 1 timeout 30 dd if=/dev/ublkb5 of=/dev/null bs=4096 count=1 iflag=direct
		expect_exit "status" 11 timeout 30 ublk-nbd status 5
		ublk-nbd disconnect -v --force 5 2>&9 &
		check "the disk ends" wait_for test ! -e /dev/ublkb5
		# No daemon is left behind for the log's sake; in the middle of a write its writer cannot go.
		for pid in $(daemons); do
			[ "$pid" = "$(status_of .pid "$held")" ] || check "its daemon ends" wait_for gone "$pid"
		done
		check "thaw" fsfreeze --unfreeze /mnt
		[ "$log" = /mnt/log ] || kill "$FULL"
		wait $!
		wait "$front"
	done
	exec 9>&-
	kill "$FULL" 2>/dev/null
	echo "$hung" >/proc/sys/kernel/hung_task_timeout_secs
	check "its log" test -s /mnt/log
	check "umount" umount /mnt
	disconnect_disk "$held"
	gone_soon
}

# The runtime directory is on a file system that hangs: every command ends, and the disk can be removed.
directory_hangs() {
	truncate -s 16M "$WORK/fs.img"
	loop=$(losetup -f --show "$WORK/fs.img")
	echo "0 32768 linear $loop 0" | dmsetup create --noudevsync frozen
	dmsetup mknodes
	check "mkfs" mkfs.ext4 -q -F /dev/mapper/frozen
	check "mount" mount /dev/mapper/frozen /mnt
	mkdir -m 700 /mnt/run
	export UBLK_NBD_RUNTIME_DIR=/mnt/run
	connect_disk $URI
	check "writing" dd if=/dev/urandom of="$DISK" bs=4k count=4 oflag=direct
	sync
	# What waits for it hangs on purpose, and the kernel is not to complain of it.
	hung=$(cat /proc/sys/kernel/hung_task_timeout_secs)
	echo 0 >/proc/sys/kernel/hung_task_timeout_secs
	check "it hangs" dmsetup suspend --noudevsync --nolockfs frozen
	drop_caches
	expect_exit "status" 5 timeout 30 ublk-nbd status "${DISK##*/ublkb}"
	said 'does not answer'
	timeout 30 ublk-nbd list >"$WORK/list.log" 2>&1
	[ $? -lt 100 ] || fail "list" "does not end"
	expect_exit "disconnect" 0 timeout 60 ublk-nbd disconnect "${DISK##*/ublkb}"
	said 'going on without it'
	check "the device is gone" wait_for lab_no_node "${DISK##*/}"
	check "it goes on" dmsetup resume --noudevsync frozen
	unset UBLK_NBD_RUNTIME_DIR
	gone_soon
	check "umount" wait_for umount /mnt
	dmsetup remove --noudevsync frozen
	losetup -d "$loop"
	echo "$hung" >/proc/sys/kernel/hung_task_timeout_secs
}

start_nbdkit s 10809 memory 16M
for verb in loads_the_driver doctor_is_content doctor_explains_io_uring doctor_and_connect_agree \
	defaults_and_wishes batches json_is_valid names_of_other_bytes usable_at_once idempotent \
	idempotent_but_failing idempotent_but_degraded idempotent_at_once owners names \
	names_as_in_readme numbers node_is_gone wrong_use in_the_foreground supervisor_is_stopped \
	says_it_to_the_journal stdout_fails killed_before_told killed_while_starting log_hangs directory_hangs two_containers \
	runtime_in_tmp of_version_0_1_0; do
	ublk-nbd disconnect --all --force >/dev/null 2>&1
	[ ! -e /proc/sys/kernel/io_uring_disabled ] || echo 0 >/proc/sys/kernel/io_uring_disabled
	run_case "$(echo $verb | tr _ ' ')" $verb
done
run_case "moved elsewhere" moved_elsewhere
