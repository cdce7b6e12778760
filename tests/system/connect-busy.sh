# SPDX-License-Identifier: MIT
# goal: a disk in use is not taken away by accident, and is on purpose; a daemon that lives is not killed
#       because nobody can talk to it, and what it serves is flushed
# method: mount it, hold it open, map it; disconnect, SIGTERM once and twice; look at what stays and what
#         goes. The same without the daemon's socket, with another runtime directory, while it is stopped,
#         and by several commands at once. On 6.12, whose driver cannot tell who has a disk open, suite test
#         has what depends on that alone
# kernels: 7.3 6.12
# long-kernels: 6.12
# timeout-s: 600
# modules: ublk_drv ext4 loop
# load: 70
# suite: test
# allow-dmesg: I/O error|EXT4-fs error|EXT4-fs \(ublkb[0-9]+\)|JBD2|Aborting journal

. /lab/data.sh

URI=nbd://localhost

mounted_disk() {
	start_logged s 10809 memory 64M
	connect_disk $URI
	check "mkfs" mkfs.ext4 -q -F "$DISK"
	check "mount" mount "$DISK" /mnt
	DAEMON=$(status_of .pid)
}

still_works() {
	cp /lab/lib.sh /mnt/file && sync /mnt/file && drop_caches && cmp /lab/lib.sh /mnt/file
}

complaints() {
	cat /run/ublk-nbd/state/daemon.log "$WORK"/*.err 2>/dev/null | grep -c 'in use'
}

disconnect_is_refused() {
	mounted_disk
	expect_exit "disconnect while mounted" 6 ublk-nbd disconnect "$DISK"
	said "$DISK" '/mnt' 'force'
	check "the filesystem works still" still_works
	check "umount" umount /mnt
	disconnect_disk
	check "nothing is left" no_device_left
	client_kept_to s
	check_equal "the data is at the server" "$(seen s connections)" "$(seen s disconnects)"
	connect_disk $URI
	check "fsck" e2fsck -fn "$DISK"
	disconnect_disk
	stop_server s
}

# Drivers before 7.0 cannot tell whether someone has the disk open: there the processes are looked at.
held_open() {
	start_nbdkit s 10809 memory 16M
	connect_disk $URI
	hold_open "$DISK"
	expect_exit "disconnect while a program has it open" 6 ublk-nbd disconnect "$DISK"
	said "$DISK" "$HOLDER|sleep"
	let_go
	disconnect_disk
	stop_server s
}

# refused_by WORD: disconnect is, and names this.
refused_by() {
	expect_exit "disconnect" 6 ublk-nbd disconnect "$DISK"
	said "$1"
}

# The daemon's own look, on its way to the end.
sigterm_is_refused() {
	before=$(complaints)
	kill -TERM "$DAEMON"
	check "it says that the disk is in use" wait_for more_complaints
	check "the disk works" dd if="$DISK" of=/dev/null bs=4096 count=1 iflag=direct
}

# Held in ways that no name in /dev tells of: by another node of the same number, in a process of another
# user; by a mapping whose descriptor is closed; by a partition; by a loop device.
held_otherwise() {
	start_nbdkit s 10809 memory 64M
	connect_disk $URI
	DAEMON=$(status_of .pid)
	# shellcheck disable=SC2046 # two numbers
	check "another node" mknod -m 666 "$WORK/other" b $(tr : ' ' <"/sys/block/${DISK##*/}/dev")
	chmod 755 "$WORK"
	# shellcheck disable=SC2016 # the inner shell's
	setpriv --reuid 1000 --regid 1000 --clear-groups sh -c 'exec 3<"$0"; exec sleep 1000' "$WORK/other" &
	HOLDER=$!
	check "it is held open" wait_for test -e "/proc/$HOLDER/fd/3"
	refused_by "open in process $HOLDER"
	let_go
	hold_mapped "$DISK" &
	HOLDER=$!
	check "it is mapped" wait_for grep -q "$DISK" "/proc/$HOLDER/maps"
	refused_by "$HOLDER .hold_mapped"
	sigterm_is_refused
	let_go
	echo 'label: gpt
start=2048, size=65536' | sfdisk -q "$DISK" || fail "sfdisk" "does not write a table"
	check "the partition" wait_for test -b "${DISK}p1"
	hold_open "${DISK}p1"
	refused_by "open in process $HOLDER"
	let_go
	loop=$(losetup -f --show "$DISK")
	refused_by "${loop##*/}"
	check "losetup -d" losetup -d "$loop"
	disconnect_disk
	stop_server s
}

# A command and a daemon that do not see all processes say so.
not_all_are_seen() {
	start_nbdkit s 10809 memory 16M
	unshare --fork --pid --mount-proc sh -c "ublk-nbd connect $URI && ublk-nbd disconnect 0" >"$WORK/said" 2>&1 ||
		fail "connect, disconnect" "$(cat "$WORK/said")"
	said 'not all processes can be seen from here'
	connect_disk $URI
	expect_exit "disconnect where all are seen" 0 ublk-nbd disconnect "$DISK"
	check_equal "what it said" '' "$(cat "$WORK/said")"
	check "nothing is left" no_device_left
	stop_server s
}

# Without its node, too, a mounted disk is seen to be in use, and one that is not goes.
node_gone() {
	mounted_disk
	rm "$DISK"
	expect_exit "disconnect of a mounted disk without a node" 6 ublk-nbd disconnect "$DISK"
	said /mnt
	check "the filesystem works still" still_works
	check "umount" umount /mnt
	expect_exit "disconnect without a node" 0 ublk-nbd disconnect "$DISK"
	check "nothing is left" no_device_left
	stop_server s
}

# --- without a conversation ----------------------------------------------------------------------------

# written_disk: one that was written to; what was written is not flushed.
written_disk() {
	start_logged s 10809 memory 64M
	connect_disk $URI
	DAEMON=$(status_of .pid)
	check "writing" dd if=/dev/urandom of="$DISK" bs=64k count=16 oflag=direct
	place=$(log_place s)
}

# alone COMMAND...: disconnects the disk without its daemon's help. It is flushed, and nobody is killed.
alone() {
	expect_exit "disconnect" 0 "$@" ublk-nbd disconnect "$DISK"
	! grep -q kill "$WORK/said" || fail "disconnect" "$(cat "$WORK/said")"
	check "the daemon has ended" gone "$DAEMON"
	check "it was flushed" test "$(seen s flushes "$place")" -gt 0
	check_equal "the daemon left politely" "$(seen s connections)" "$(seen s disconnects)"
	check "nothing is left" no_device_left
	stop_server s
}

other_directory() {
	written_disk
	alone env UBLK_NBD_RUNTIME_DIR="$WORK/other-directory"
}

no_socket() {
	written_disk
	forget_socket
	alone
}

forget_socket() {
	find /run/ublk-nbd -name "${DISK##*ublkb}.sock" -exec rm {} +
}

# It is not known when it will go on: nobody waits for longer than he is told to.
stopped_daemon() {
	written_disk
	kill -STOP "$DAEMON"
	expect_exit "disconnect" 6 timeout 20 ublk-nbd disconnect --timeout 4 "$DISK"
	said 'was not removed' "$DAEMON"
	kill -CONT "$DAEMON"
	check "the disk works" dd if="$DISK" of=/dev/null bs=64k count=16 iflag=direct
	disconnect_disk
	check_equal "the daemon left politely" "$(seen s connections)" "$(seen s disconnects)"
	check "nothing is left" no_device_left
	stop_server s
}

# mounted_elsewhere: mounts it where only a mount namespace of HOLDER has it.
mounted_elsewhere() {
	start_logged s 10809 memory 64M
	connect_disk $URI
	DAEMON=$(status_of .pid)
	check "mkfs" mkfs.ext4 -q -F "$DISK"
	# shellcheck disable=SC2016 # the inner shell's
	unshare -m sh -c 'mount "$0" /mnt && exec sleep 1000' "$DISK" &
	HOLDER=$!
	check "it is mounted" wait_for grep -q "$DISK" "/proc/$HOLDER/mountinfo"
}

in_another_namespace() {
	mounted_elsewhere
	expect_exit "disconnect" 6 ublk-nbd disconnect "$DISK"
	said "mount namespace of process $HOLDER"
	forget_socket
	expect_exit "disconnect without its socket" 6 ublk-nbd disconnect "$DISK"
	said "mount namespace of process $HOLDER"
	check "the filesystem works still" nsenter -m -t "$HOLDER" touch /mnt/file
	let_go
	expect_exit "once it is unmounted" 0 ublk-nbd disconnect "$DISK"
	check "nothing is left" no_device_left
	stop_server s
}

# A daemon that is dead needs no force, but where its disk is mounted.
dead_and_mounted() {
	mounted_disk
	kill -KILL "$DAEMON"
	check "it is dead" wait_for gone "$DAEMON"
	expect_exit "disconnect while mounted" 6 ublk-nbd disconnect "$DISK"
	said /mnt
	umount -l /mnt
	expect_exit "disconnect" 8 ublk-nbd disconnect "$DISK"
	said 'nobody flushed it'
	check "nothing is left" wait_for no_device_left
	stop_server s
}

# killed_in_foreground EXIT WORDS OPTION [COMMAND...]: connect with OPTION ends so when its daemon is killed,
# after COMMAND.
killed_in_foreground() {
	want=$1
	words=$2
	option=$3
	shift 3
	rm -f "$WORK/out"
	ublk-nbd connect --foreground --device 4 "$option" $URI >"$WORK/out" 2>"$WORK/front" &
	front=$!
	wait_for test -s "$WORK/out" || fail "connect --foreground" "$(cat "$WORK/front")"
	DISK=/dev/ublkb4
	[ $# = 0 ] || check "$*" "$@"
	kill -KILL "$(status_of .pid)"
	wait "$front"
	check_equal "its exit code" "$want" $?
	grep -q "was killed by signal 9" "$WORK/front" || fail "its words" "$(cat "$WORK/front")"
	grep -q "$words" "$WORK/front" || fail "its words, '$words'" "$(cat "$WORK/front")"
}

format_and_mount() {
	mkfs.ext4 -q -F "$DISK" && mount "$DISK" /mnt
}

# So does the command that stays with its disk, when its daemon is killed.
dead_in_the_foreground() {
	start_nbdkit s 10809 memory 64M
	killed_in_foreground 1 killed --read-only
	check "nothing is left" no_device_left
	killed_in_foreground 8 'nobody flushed it' --verbose \
		dd if=/dev/zero of="/dev/ublkb4" bs=4096 count=1 oflag=direct
	check "nothing is left" no_device_left
	killed_in_foreground 6 'in use (.*/mnt' --verbose format_and_mount
	check "the disk is left" test -e /sys/class/ublk-char/ublkc4
	umount -l /mnt
	expect_exit "disconnect" 8 ublk-nbd disconnect "$DISK"
	check "nothing is left" wait_for no_device_left
	stop_server s
}

# Neither its daemon can be asked nor the disk be opened to flush it: without its node, and for whoever may not
# make another. Drivers without TRY_STOP_DEV cannot tell then that it is not in use.
cannot_be_opened() {
	start_nbdkit s 10809 memory 16M
	connect_disk $URI
	number=${DISK#/dev/ublkb}
	check "a write" dd if=/dev/zero of="$DISK" bs=4096 count=1 oflag=direct
	rm "$DISK"
	if kernel_at_least 7 0; then
		expect_exit "disconnect" 8 env UBLK_NBD_RUNTIME_DIR=/run/other \
			setpriv --bounding-set -mknod ublk-nbd disconnect "$number"
		said 'it could not be opened for that'
	else
		expect_exit "disconnect" 6 env UBLK_NBD_RUNTIME_DIR=/run/other \
			setpriv --bounding-set -mknod ublk-nbd disconnect "$number"
		said 'is in use cannot be told'
		check "disconnect" ublk-nbd disconnect "$number"
	fi
	check "nothing is left" wait_for no_device_left
	stop_server s
}

# Whoever comes while the daemon ends is told how that ended, or that the disk is gone. at_once OPTION: of
# the second command.
at_once() {
	start_nbdkit s 10809 memory 64M
	connect_disk $URI
	DAEMON=$(status_of .pid)
	check "writing" dd if=/dev/urandom of="$DISK" bs=64k count=16 oflag=direct
	commands=0
	while [ -e "/dev/ublkc${DISK##*ublkb}" ]; do
		commands=$((commands + 1))
		option=
		[ $commands != 2 ] || option=$1
		{
			# shellcheck disable=SC2086 # none, or one
			ublk-nbd disconnect $option "$DISK" >"$WORK/at-once.$commands" 2>&1
			echo "exit $?" >>"$WORK/at-once.$commands"
		} &
		sleep 0.02
	done
	check "all end" wait_for all_have_exited
	check_equal "those that did not say the truth" '' \
		"$(tail -qn 1 "$WORK"/at-once.* | grep -vE '^exit (0|7)$')$(grep -h kill "$WORK"/at-once.*)"
	check "somebody removed it" grep -q '^exit 0$' "$WORK"/at-once.*
	note "$commands commands: $(tail -qn 1 "$WORK"/at-once.* | sort | uniq -c | xargs)"
	rm "$WORK"/at-once.*
	check "the daemon has ended" gone "$DAEMON"
	check "nothing is left" no_device_left
	stop_server s
}

all_have_exited() {
	[ "$(cat "$WORK"/at-once.* | grep -c '^exit ')" = "$commands" ]
}

forced() {
	mounted_disk
	expect_exit "disconnect --force" 0 ublk-nbd disconnect --force "$DISK"
	check "the daemon is gone" wait_for gone "$DAEMON"
	check "the node is gone" wait_for lab_no_node "${DISK##*/}"
	check "umount" umount -l /mnt
	check "nothing is left" wait_for no_device_left
	stop_server s
}

term_once() {
	mounted_disk
	before=$(complaints)
	kill -TERM "$DAEMON"
	check "it says that the disk is in use" wait_for more_complaints
	sleep 1
	check_equal "it says so once" $((before + 1)) "$(complaints)"
	check_equal "state" live "$(status_of .state)"
	check "the filesystem works still" still_works
	# The time for a second signal to mean force is over: it is a first one again.
	sleep 5
	before=$(complaints)
	kill -TERM "$DAEMON"
	check "it says so again" wait_for more_complaints
	check_equal "state after that" live "$(status_of .state)"
	check "the filesystem works even now" still_works
	check "umount" umount /mnt
	sleep 5
	kill -TERM "$DAEMON"
	check "unmounted, it ends" wait_for gone "$DAEMON"
	check "nothing is left" no_device_left
	check_equal "politely" "$(seen s connections)" "$(seen s disconnects)"
	stop_server s
}

more_complaints() {
	[ "$(complaints)" -gt "$before" ]
}

term_twice() {
	mounted_disk
	check "a file" dd if=/dev/zero of=/mnt/file bs=64k count=1 conv=fsync status=none
	before=$(complaints)
	kill -TERM "$DAEMON"
	check "it says that the disk is in use" wait_for more_complaints
	# Two within 200 ms are one: nobody has read the sentence by then.
	sleep 0.3
	kill -TERM "$DAEMON"
	check "it ends" wait_for gone "$DAEMON"
	check "the device is gone" wait_for lab_no_node "${DISK##*/}"
	expect_fail "reading a file anew" sh -c 'echo 3 >/proc/sys/vm/drop_caches; cat /mnt/file >/dev/null'
	umount -l /mnt
	check "nothing is left" wait_for no_device_left
	stop_server s
}

# Two who stop it at the same moment, or one who does not wait to hear that it is in use, are no force.
term_and_int() {
	mounted_disk
	before=$(complaints)
	kill -TERM "$DAEMON"
	kill -INT "$DAEMON"
	kill -TERM "$DAEMON"
	check "it says that the disk is in use" wait_for more_complaints
	sleep 2
	check_equal "state" live "$(status_of .state)"
	check "the filesystem works still" still_works
	check "umount" umount /mnt
	disconnect_disk
	check "nothing is left" no_device_left
	stop_server s
}

# Two signals while whoever holds it open is still given time to go: then the end is forced.
term_twice_early() {
	start_nbdkit s 10809 memory 16M
	connect_disk $URI
	DAEMON=$(status_of .pid)
	hold_open "$DISK"
	before=$(complaints)
	kill -TERM "$DAEMON"
	sleep 0.7
	kill -TERM "$DAEMON"
	sleep 0.3
	check "the holder has its time" kill -0 "$DAEMON"
	check "it ends" wait_for gone "$DAEMON"
	check_equal "complaints" "$before" "$(complaints)"
	let_go
	check "nothing is left" wait_for no_device_left
	stop_server s
}

# A signal that comes while a disconnect is on its way to being refused counts as a first one.
term_beside_disconnect() {
	start_nbdkit s 10809 memory 16M
	connect_disk $URI
	DAEMON=$(status_of .pid)
	hold_open "$DISK"
	before=$(complaints)
	ublk-nbd disconnect "$DISK" >/dev/null 2>&1 &
	beside=$!
	# An opener is given two seconds to go.
	sleep 1
	check "the disconnect is under way" kill -0 $beside
	kill -TERM "$DAEMON"
	check "it says that the disk is in use" wait_for more_complaints
	sleep 0.3
	kill -TERM "$DAEMON"
	check "a second one ends it" wait_for gone "$DAEMON"
	wait $beside
	let_go
	check "nothing is left" wait_for no_device_left
	stop_server s
}

# Two disks: one is mounted, the other comes and goes; then the first goes.
two_disks() {
	mounted_disk
	first=$DISK
	connect_disk $URI/other
	check "umount the first" umount /mnt
	disconnect_disk "$first"
	check "the other works" dd if="$DISK" of=/dev/null bs=1M count=4 iflag=direct
	disconnect_disk
	check "nothing is left" no_device_left
	stop_server s
}

busy() {
	clean_slate
	run_case "$@"
}

busy "disconnect while held open is refused" held_open
busy "disconnect while held in other ways is refused" held_otherwise
busy "the node is gone" node_gone
if ! kernel_at_least 7 0; then
	busy "not all processes are seen" not_all_are_seen
	[ -n "${LAB_LONG:-}" ] || return 0
fi
busy "a SIGTERM beside a disconnect that is refused" term_beside_disconnect
busy "two SIGTERMs before it is known to be in use" term_twice_early
busy "disconnect while mounted is refused" disconnect_is_refused
busy "disconnect while it is mounted in another mount namespace" in_another_namespace
busy "disconnect with another runtime directory" other_directory
busy "disconnect without the daemon's socket" no_socket
busy "disconnect while the daemon is stopped" stopped_daemon
busy "disconnect of a dead daemon's disk that is mounted" dead_and_mounted
busy "a daemon killed below connect --foreground" dead_in_the_foreground
busy "disconnect of a disk that cannot be opened" cannot_be_opened
busy "several disconnects at once" at_once ""
busy "several disconnects at once, one of them forced" at_once --force
busy "disconnect --force" forced
busy "SIGTERM while mounted: it stays and says so once" term_once
busy "SIGTERM and SIGINT at once are not a second one" term_and_int
busy "a second SIGTERM forces" term_twice
busy "a disk mounted before another was connected goes" two_disks
