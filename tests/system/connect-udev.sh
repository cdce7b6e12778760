# SPDX-License-Identifier: MIT
# goal: udev names a disk by what its user asked for, its partitions and filesystems too, and forgets them
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
	connect_disk --name alice.data nbd://localhost/data
	check_equal "the link, at once" "$DISK" "$(link_of alice.data)"
	check_equal "status has it" "$LINKS/alice.data" "$(status_of .link)"
	disconnect_disk alice.data
	udevadm settle
	check "the link is gone" test ! -e $LINKS/alice.data -a ! -L $LINKS/alice.data
	connect_disk nbd://localhost
	check_equal "without a name" "$DISK" "$(link_of localhost:10809:)"
	disconnect_disk "$LINKS/localhost:10809:"
	connect_disk [ nbdkit memory 1M ]
	check_equal "a server of its own" "" "$(status_of .link)"
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
	connect_disk 'nbd://localhost/../../etc/pass%20wd'
	check_equal "a harmless link" "$DISK" "$(link_of localhost:10809:..=2F..=2Fetc=2Fpass=20wd)"
	check_equal "links" 1 "$(find $LINKS -type l | wc -l)"
	disconnect_disk
	# A file's name has 255 bytes, and a partition's link needs some of them.
	connect_disk "nbd://localhost/$(printf '%0230d' 0)"
	check "the longest" test -e "$LINKS/localhost:10809:$(printf '%0230d' 0)"
	disconnect_disk
	ublk-nbd connect "nbd://localhost/$(printf '%0240d' 0)" >"$WORK/long" 2>"$WORK/said" || fail "a longer one" "$(cat "$WORK/said")"
	said 'too long for a link' '--name'
	check_equal "links" 0 "$(find $LINKS -type l 2>/dev/null | wc -l)"
	disconnect_disk "$(cat "$WORK/long")"
	# The server has a say in nothing of it: nbdkit's exportname filter answers with a name of its own.
	start_nbdkit other 10811 --filter=exportname memory 1M default-export=localhost:10809:
	connect_disk nbd://localhost:10811
	check_equal "whatever the server calls it" "$LINKS/localhost:10811:" "$(status_of .link)"
	disconnect_disk
	stop_server other
}

# second_connect ARGUMENT...: of what is connected already; it is told, and both lose the link.
second_connect() {
	first=$DISK
	ublk-nbd connect "$@" >"$WORK/second" 2>"$WORK/said" || fail "the second connect" "$(cat "$WORK/said")"
	DISK=$(cat "$WORK/second")
	said "$first has the same server, port and export" '--name NAME'
}

# Two disks of one server, port and export have no link, and none by and by: it would be the wrong disk's.
one_text_two_disks() {
	start_nbdkit b 10814 memory 32M
	connect_disk nbd://localhost/a_b
	second_connect nbd://localhost:10809/a_b
	udevadm settle
	check "neither has it" test ! -L $LINKS/localhost:10809:a_b
	check_equal "the first's status" "|$DISK" "$(status_of '.link + "|" + .link_shared_with' "$first")"
	check_equal "the second's status" "|$first" "$(status_of '.link + "|" + .link_shared_with')"
	check "for people" sh -c "ublk-nbd status $first | grep -q '^link: *none: $DISK has'"
	# Other texts of one server, other servers, other exports: other links.
	for target in nbd://127.0.0.1/a_b nbd://localhost:10814/a_b nbd://localhost/a/b; do
		ublk-nbd connect $target >>"$WORK/others" 2>"$WORK/said" || fail "connect $target" "$(cat "$WORK/said")"
		check_equal "what is said of $target" "" "$(cat "$WORK/said")"
	done
	check_equal "links" 'localhost:10809:a=2Fb localhost:10814:a_b 127.0.0.1:10809:a_b' \
		"$(cd $LINKS && echo localhost:* 127*)"
	connect_disk --name mine nbd://localhost/a_b
	check_equal "one with a name" "$DISK" "$(link_of mine)"
	disconnect_disk "$(cat "$WORK/second")"
	udevadm settle
	check "it does not come back" test ! -L $LINKS/localhost:10809:a_b
	ublk-nbd disconnect "$first" || fail "disconnect" "of the first"
	connect_disk nbd://localhost/a_b
	check_equal "one alone has it" "$DISK" "$(link_of localhost:10809:a_b)"
	ublk-nbd disconnect --all || fail "disconnect --all" "exited with $?"
	stop_server b
}

partitions_and_filesystems() {
	connect_disk --name carol nbd://localhost/parts
	printf 'label: gpt\nsize=16M, name=one\nsize=+, name=two\n' | sfdisk -q "$DISK" || fail "sfdisk" "does not write"
	check "partitions" wait_for test -b "${DISK}p2"
	# What is written between udev's look at a new device and its watch, udev never sees.
	udevadm settle
	check "mkfs" mkfs.ext4 -q -F -L label-of-mine -U 01234567-89ab-cdef-0123-456789abcdef "${DISK}p2"
	check "a partition's link" wait_for test "$LINKS/carol-part2" -ef "${DISK}p2"
	check "the new filesystem's link" wait_for test /dev/disk/by-label/label-of-mine -ef "${DISK}p2"
	disconnect_disk
	udevadm settle
	check "all links are gone" test ! -L /dev/disk/by-label/label-of-mine -a ! -L "$LINKS/carol-part2"
	connect_disk --name carol nbd://localhost/parts
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
	connect_disk --name dora --timeout 60 nbd://localhost:10810/slow
	check "the link" wait_for test "$LINKS/dora" -ef "$DISK"
	udevadm settle
	kill $monitor
	event 1 add >"$WORK/add"
	event 1 change >"$WORK/change"
	check "told of when it appears: not ready" grep -qx SYSTEMD_READY=0 "$WORK/add"
	check "and to be left alone" grep -qx UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG=1 "$WORK/add"
	check_equal "links then" 0 "$(grep -c "^DEVLINKS=.*$LINKS" "$WORK/add")"
	check "a change when it is usable" test -s "$WORK/change"
	check_equal "not ready then" 0 "$(grep -c 'SYSTEMD_READY=0\|STORAGE_RULES_FLAG' "$WORK/change")"
	check "its link then" grep -q "^DEVLINKS=.*$LINKS/dora" "$WORK/change"
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
verbs="link_comes_and_goes doctor_looks_for_the_rule odd_names one_text_two_disks partitions_and_filesystems starting_disk_is_left_alone
	interrupted_while_udev_reads"
[ -z "${LAB_LONG:-}" ] || verbs="$verbs interrupted_while_in_use interrupted_before_another"
for verb in $verbs; do
	umount -l /mnt 2>/dev/null
	ublk-nbd disconnect --all --force >/dev/null 2>&1
	run_case "$(echo "$verb" | tr _ ' ')" "$verb"
done
