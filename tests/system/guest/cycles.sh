# SPDX-License-Identifier: MIT
# shellcheck shell=dash disable=SC2010
#
# COUNT connects and disconnects, and what is different afterwards: see tests/system/cycle-connect*.sh.

# The first cycles fill caches: they are not counted.
WARM_UP=4
# What a cycle may cost the kernel for good, in KiB, all noise included; a leaked queue, bio set or
# request map is far larger.
LEFT_KB_PER_CYCLE=20
NOISE_KB=6144
# So many batches of COUNT cycles in a row have to cost more than that for it to be a leak.
BATCHES=2

# one_cycle N: connections, payload and the way out take turns.
one_cycle() {
	lab_payload=mapped
	[ $(($1 % 2)) = 0 ] || lab_payload=user-copy
	connect_disk --connections $((1 + $1 % 4)) --payload $lab_payload --owner "cycle$1" nbd://127.0.0.1
	dd if=/dev/urandom of="$DISK" bs=64k count=4 oflag=direct conv=nocreat 2>/dev/null || fail "writing" "cycle $1"
	dd if="$DISK" of=/dev/null bs=64k count=4 iflag=direct 2>/dev/null || fail "reading" "cycle $1"
	case $(($1 % 5)) in
	3)
		lab_daemon=$(daemon_pid "$DISK")
		kill -TERM "$lab_daemon"
		wait_for gone "$lab_daemon" || fail "SIGTERM" "cycle $1"
		;;
	4)
		kill -KILL "$(daemon_pid "$DISK")"
		disconnect_exits 8 # what it wrote was not flushed
		;;
	*) disconnect_disk ;;
	esac
	# The number is free again, so is the node.
	wait_for no_device || fail "devices" "cycle $1: $(ls /dev | grep ublk)"
}

cycles() {
	lab_cycle=$1
	while [ "$lab_cycle" -le "$2" ]; do
		one_cycle "$lab_cycle"
		lab_cycle=$((lab_cycle + 1))
	done
}

# What must be the same before and after, a line each.
inventory() {
	printf 'devices: %s\n' "$(ls /sys/class/ublk-char /sys/block | grep -c ublk)"
	printf 'nodes: %s\n' "$(find /dev -name 'ublk*' ! -name ublk-control | wc -l)"
	printf 'links: %s\n' "$(find /dev/disk -name '*ublk*' 2>/dev/null | wc -l)"
	printf 'daemons: %s\n' "$(our_processes | wc -l)"
	printf 'processes: %s\n' "$(grep -LsE '^(kworker|kthreadd)' /proc/[0-9]*/comm |
		while read -r lab_comm; do
			[ -s "${lab_comm%comm}cmdline" ] && echo "$lab_comm"
		done | wc -l)"
	printf 'files: %s\n' "$(left_files | wc -l)"
	printf 'temporary files: %s\n' "$(find /tmp /run /dev/shm -xdev ! -path "$WORK/*" | wc -l)"
	printf 'mounts: %s\n' "$(wc -l </proc/self/mountinfo)"
	printf 'users of the driver: %s\n' "$(awk '$1 == "ublk_drv" { print $3 }' /proc/modules)"
	printf 'connections at the server: %s\n' \
		"$(find "/proc/$(server_pid server)/fd" -lname 'socket:*' | wc -l)"
	printf 'descriptors of the server: %s\n' \
		"$(find "/proc/$(server_pid server)/fd" -mindepth 1 -maxdepth 1 | wc -l)"
	printf 'threads of the server: %s\n' "$(find "/proc/$(server_pid server)/task" -mindepth 1 -maxdepth 1 | wc -l)"
}

# KiB of free pages that the CPUs keep for themselves, which MemFree leaves out: tens of MiB at times.
memory_of_cpus_kb() {
	awk '$1 == "count:" { n += $2 } END { print n * 4 }' /proc/zoneinfo
}

# KiB that are neither free nor to be had back, nor a process's own (the server's, for one; of ours none
# is left).
memory_used_kb() {
	sync
	echo 3 >/proc/sys/vm/drop_caches
	sleep 1
	awk -v free_kb="$(memory_of_cpus_kb)" '/^(MemTotal):/ { t = $2 - free_kb }
		/^(MemFree|Buffers|Cached|SReclaimable|AnonPages|PageTables):/ { t -= $2 }
		END { print t }' /proc/meminfo
}

# The kernel frees much of a disk's memory only some time after the disk is gone.
memory_is_back() {
	lab_left_kb=$(($(memory_used_kb) - lab_before_kb))
	echo "$lab_left_kb" >"$WORK/left_kb"
	[ "$lab_left_kb" -le $((NOISE_KB + LEFT_KB_PER_CYCLE * COUNT)) ]
}

# batch FIRST: COUNT cycles from this one on; only the same is there afterwards. Says what memory it cost.
batch() {
	inventory >"$WORK/before"
	lab_before_kb=$(memory_used_kb)
	cp /proc/meminfo "$WORK/meminfo"
	cycles "$1" $(($1 + COUNT - 1))
	check_nothing_left
	sleep 1
	inventory >"$WORK/after"
	diff "$WORK/before" "$WORK/after" >"$WORK/diff" ||
		fail "something is left" "$(grep '^[<>]' "$WORK/diff" | tr '\n' ' ')"
	wait_for memory_is_back && return
	paste "$WORK/meminfo" /proc/meminfo | awk '$2 != $5 { print "#", $1, $2, $5, $5 - $2 }'
	return 1
}

# The kernel's own stocks may grow once, by tens of MiB; what leaks does so in each batch.
files_and_memory() {
	start_nbdkit server 10809 memory 16M
	cycles 1 $WARM_UP
	check_nothing_left
	sleep 1
	lab_first=$((WARM_UP + 1))
	until batch $lab_first; do
		lab_first=$((lab_first + COUNT))
		note "$(cat "$WORK/left_kb") KiB more in use after $COUNT cycles"
		[ $lab_first -le $((WARM_UP + BATCHES * COUNT)) ] ||
			fail "memory" "$(cat "$WORK/left_kb") KiB more in use after each of $BATCHES times $COUNT cycles"
	done
	note "$COUNT cycles, $(cat "$WORK/left_kb") KiB more in use"
	check "the driver is nobody's" modprobe -r ublk_drv
	stop_server server
}
