# SPDX-License-Identifier: MIT
# goal: a disk in use is not taken away by accident, and is on purpose
# method: mount it, hold it open; disconnect, SIGTERM once and twice; look at what stays and what goes
# kernels: 7.3
# long-kernels: 6.12
# timeout-s: 600
# modules: ublk_drv ext4
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

# Without TRY_STOP_DEV (before 7.0) a driver cannot tell whether someone has the disk open: only
# exclusive users, as mounts are, count there.
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

busy "disconnect while mounted is refused" disconnect_is_refused
if kernel_at_least 7 0; then
	busy "disconnect while held open is refused" held_open
	busy "a SIGTERM beside a disconnect that is refused" term_beside_disconnect
	busy "two SIGTERMs before it is known to be in use" term_twice_early
else
	skip "disconnect while held open is refused" "TRY_STOP_DEV, which is in 7.0"
	skip "a SIGTERM beside a disconnect that is refused" "TRY_STOP_DEV, which is in 7.0"
	skip "two SIGTERMs before it is known to be in use" "TRY_STOP_DEV, which is in 7.0"
fi
busy "disconnect --force" forced
busy "SIGTERM while mounted: it stays and says so once" term_once
busy "SIGTERM and SIGINT at once are not a second one" term_and_int
busy "a second SIGTERM forces" term_twice
busy "a disk mounted before another was connected goes" two_disks
