# SPDX-License-Identifier: MIT
# goal: udev names a disk by owner and export, its partitions and filesystems too, and forgets them
# method: run udev with our rule; connect, look at /dev/disk, disconnect, look again
# kernels: 7.3
# long-kernels: 7.3 6.12
# timeout-s: 600
# modules: ublk_drv ext4
# load: 75
# suite: test

. /lab/data.sh

LINKS=/dev/disk/by-ublk-nbd

link_of() {
	readlink -f "$LINKS/$1"
}

link_comes_and_goes() {
	connect_disk --owner alice nbd://localhost/data
	check_equal "the link, at once" "$DISK" "$(link_of alice/data)"
	disconnect_disk
	udevadm settle
	check "the link is gone" test ! -e $LINKS/alice/data -a ! -L $LINKS/alice/data
	connect_disk nbd://localhost
	check_equal "without names" "$DISK" "$(link_of default/default)"
	disconnect_disk
}

# doctor promises links only where the rule is.
doctor_looks_for_the_rule() {
	rule=$(find /etc/udev /usr/lib/udev /lib/udev -name 54-ublk-nbd.rules 2>/dev/null | head -n 1)
	[ -n "$rule" ] || fail "the test" "there is no rule"
	ublk-nbd doctor >"$WORK/doctor"
	check "links are promised" grep -q 'udev.*disks get links' "$WORK/doctor"
	mv "$rule" "$WORK/rule"
	ublk-nbd doctor >"$WORK/doctor"
	mv "$WORK/rule" "$rule"
	check "the rule is missed" grep -q 'udev.*has not the rule' "$WORK/doctor"
}

odd_names() {
	connect_disk --owner bob 'nbd://localhost/../../etc/pass%20wd'
	check_equal "a harmless link" "$DISK" "$(readlink -f "$(find $LINKS/bob -type l)")"
	check "inside of its folder" test "$(find $LINKS/bob -type l | wc -l)" = 1
	disconnect_disk
}

partitions_and_filesystems() {
	connect_disk --owner carol nbd://localhost/parts
	printf 'label: gpt\nsize=16M, name=one\nsize=+, name=two\n' | sfdisk -q "$DISK" || fail "sfdisk" "does not write"
	check "partitions" wait_for test -b "${DISK}p2"
	# What is written between udev's look at a new device and its watch, udev never sees.
	udevadm settle
	check "mkfs" mkfs.ext4 -q -F -L label-of-mine -U 01234567-89ab-cdef-0123-456789abcdef "${DISK}p2"
	check "a partition's link" wait_for test "$LINKS/carol/parts-part2" -ef "${DISK}p2"
	check "the new filesystem's link" wait_for test /dev/disk/by-label/label-of-mine -ef "${DISK}p2"
	disconnect_disk
	udevadm settle
	check "all links are gone" test ! -L /dev/disk/by-label/label-of-mine -a ! -L "$LINKS/carol/parts-part2"
	connect_disk --owner carol nbd://localhost/parts
	check "they come again" wait_for test /dev/disk/by-uuid/01234567-89ab-cdef-0123-456789abcdef -ef "${DISK}p2"
	check "by partition name" wait_for test /dev/disk/by-partlabel/two -ef "${DISK}p2"
	check "mount by label" mount LABEL=label-of-mine /mnt
	check "umount" umount /mnt
	disconnect_disk
}

# event N ACTION: the Nth event of this kind about $DISK that udev has told programs of, with its
# properties.
event() {
	awk -v RS= -v node="DEVNAME=$DISK" -v action="ACTION=$2" -v n="$1" '
		index("\n" $0 "\n", "\n" node "\n") && index($0, "\n" action "\n") && ++seen == n' "$WORK/events"
}

# A disk of a slow server is "not ready" when it appears, whatever reads disks by itself keeps off it, and
# it has no link; then comes a "change", and it has. (udev's own reads are slow too: connect waits five
# seconds for them, and no longer.)
starting_disk_is_left_alone() {
	start_nbdkit slow 10810 --filter=delay memory 64M rdelay=300ms
	udevadm monitor --udev --property --subsystem-match=block >"$WORK/events" &
	monitor=$!
	wait_for grep -q '^UDEV' "$WORK/events" || fail "udevadm monitor" "does not start"
	connect_disk --owner dora --timeout 60 nbd://localhost:10810/slow
	check "the link" wait_for test "$LINKS/dora/slow" -ef "$DISK"
	udevadm settle
	kill $monitor
	event 1 add >"$WORK/add"
	event 1 change >"$WORK/change"
	check "told of when it appears: not ready" grep -qx SYSTEMD_READY=0 "$WORK/add"
	check "and to be left alone" grep -qx UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG=1 "$WORK/add"
	check_equal "links then" 0 "$(grep -c "^DEVLINKS=.*$LINKS" "$WORK/add")"
	check "a change when it is usable" test -s "$WORK/change"
	check_equal "not ready then" 0 "$(grep -c 'SYSTEMD_READY=0\|STORAGE_RULES_FLAG' "$WORK/change")"
	check "its link then" grep -q "^DEVLINKS=.*$LINKS/dora/slow" "$WORK/change"
	disconnect_disk
	stop_server slow
}

# connect_slow ARGUMENT...: begins a connect whose disk is usable, and which waits for udev, whose reads are slow.
connect_slow() {
	start_nbdkit slow 10810 --filter=delay memory 64M rdelay=700ms
	udevadm monitor --kernel --subsystem-match=block >"$WORK/uevents" &
	monitor=$!
	wait_for grep -q '^KERNEL' "$WORK/uevents" || fail "udevadm monitor" "does not start"
	ublk-nbd connect --owner eve --timeout 60 "$@" nbd://localhost:10810/slow >"$WORK/eve" 2>"$WORK/eve.err" &
	connect=$!
	check "it becomes usable" wait_for grep -q 'KERNEL.* change ' "$WORK/uevents"
	kill $monitor
	sleep 1
	check "it is not reported yet" test ! -s "$WORK/eve"
}

# At worst the daemon is killed, 11 s after it was told to end: one that ends gently waits for what udev and the
# kernel's partition scan are still reading.
INTERRUPTED_MS=15000

interrupt_slow() {
	start=$(uptime_ms)
	kill -INT "$connect"
	connect_status=0
	wait "$connect" || connect_status=$?
	check_equal "its exit status" 130 "$connect_status"
	took=$(($(uptime_ms) - start))
	[ $took -le $((INTERRUPTED_MS * ${LAB_SCALE:-1})) ] || fail "the interruption" "took $took ms"
	check_equal "what it printed" "" "$(cat "$WORK/eve")"
	check "it says so" grep -q 'interrupted: what was made is removed again' "$WORK/eve.err"
}

# A ^C while udev's links are waited for takes the disk down.
interrupted_while_udev_reads() {
	connect_slow
	interrupt_slow
	check "nothing is left" wait_for no_device_left
	stop_server slow
}

# The same when somebody has it open by then.
interrupted_while_in_use() {
	connect_slow
	hold_open "$(echo /dev/ublkb[0-9]*)"
	INTERRUPTED_MS=30000 # the killed daemon's device is removed by connect, behind those reads, too
	interrupt_slow
	let_go
	check "nothing is left" wait_for no_device_left
	stop_server slow
}

# Who waits with --idempotent for one that is interrupted gets a disk that stays.
interrupted_before_another() {
	connect_slow --idempotent
	ublk-nbd connect --owner eve --timeout 60 --idempotent nbd://localhost:10810/slow >"$WORK/other" 2>"$WORK/other.err" &
	other=$!
	sleep 0.5
	interrupt_slow
	other_status=0
	wait $other || other_status=$?
	check_equal "the other one's exit status" 0 "$other_status"
	DISK=$(cat "$WORK/other")
	check "its disk is there" test -b "$DISK"
	check_equal "its state" live "$(status_of .state)"
	check "udev has read it" udevadm settle --timeout=30
	disconnect_disk
	stop_server slow
}

start_udev
start_nbdkit s 10809 memory 64M
verbs="link_comes_and_goes doctor_looks_for_the_rule odd_names partitions_and_filesystems starting_disk_is_left_alone
	interrupted_while_udev_reads"
[ -z "${LAB_LONG:-}" ] || verbs="$verbs interrupted_while_in_use interrupted_before_another"
for verb in $verbs; do
	umount -l /mnt 2>/dev/null
	ublk-nbd disconnect --all --force >/dev/null 2>&1
	run_case "$(echo "$verb" | tr _ ' ')" "$verb"
done
