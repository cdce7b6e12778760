# SPDX-License-Identifier: MIT
# shellcheck shell=dash
#
# Hostile userspace against a ublk driver, and what must be as before afterwards. To be read after lib.sh,
# data.sh and ublk.sh.

# Programs that ran leave this much behind in caches that nobody can empty: within 4 minutes 2.8 MiB at most.
MEMORY_NOISE_KB=6144
TASKS_NOISE=64

# What the kernel holds that no file and no program has, in KiB, with its caches emptied. Pages that a CPU
# keeps at hand for the next to ask are free, and counted nowhere else: up to 20 MiB, which come and go.
kernel_memory_kb() {
	sync
	echo 3 >/proc/sys/vm/drop_caches
	for hostile_cache in /sys/kernel/slab/*/shrink; do
		echo 1 >"$hostile_cache"
	done
	awk '$1 == "count:" { at_hand += $2 * 4 }
		FILENAME ~ /meminfo/ { v[$1] = $2 }
		END { print v["MemTotal:"] - v["MemFree:"] - v["Buffers:"] - v["Cached:"] - v["AnonPages:"] - at_hand
	}' /proc/meminfo /proc/zoneinfo
}

# Tasks that the kernel knows, the dead that somebody still refers to among them.
kernel_tasks() {
	awk '$1 == "task_struct" { print $2 }' /proc/slabinfo
}

# hostile_run OPTION...: the generator; what it says when it is not content is the reason.
hostile_run() {
	ublk_hostile --scale "${LAB_SCALE:-1}" "$@" 2>"$WORK/hostile.err"
	hostile_rc=$?
	[ $hostile_rc = 0 ] || fail "ublk_hostile" "ended with $hostile_rc: $(cat "$WORK/hostile.err")"
}

# memory_settles KB TASKS: what is freed later, by RCU or a worker, has some time for it.
memory_settles() {
	[ "$(kernel_memory_kb)" -le $(($1 + MEMORY_NOISE_KB)) ] && [ "$(kernel_tasks)" -le $(($2 + TASKS_NOISE)) ]
}

# hostile_siege WARM-UP-S OPTION...: with the kernel's memory compared before and after.
hostile_siege() {
	hostile_warm=$1
	shift
	ublk_hostile --scale "${LAB_SCALE:-1}" --seconds "$hostile_warm" 2>/dev/null >&2
	hostile_before_kb=$(kernel_memory_kb)
	hostile_before=$(kernel_tasks)
	hostile_run "$@"
	check "no device is left" no_ublk
	wait_for memory_settles "$hostile_before_kb" "$hostile_before" ||
		fail "memory" "$hostile_before_kb KB and $hostile_before tasks before, $(kernel_memory_kb) KB and $(kernel_tasks) tasks after"
	note "the kernel's memory: $hostile_before_kb KB before, $(kernel_memory_kb) KB after;" \
		"tasks: $hostile_before before, $(kernel_tasks) after"
}

# A device as others have it, behind all that.
hostile_normal_device() {
	truncate -s 32M "$WORK/file"
	serve --file "$WORK/file" --size 32M --queues 2 --depth 32
	check "fio" fio --filename="$DISK" --direct=1 --ioengine=libaio --iodepth=16 --randseed=7 --verify=crc32c \
		--verify_fatal=1 --verify_state_save=0 --thread --name=all --rw=randrw --bs=4k --size=8m
	sync "$DISK"
	drop_caches
	check "the file has what the disk has" cmp "$DISK" "$WORK/file"
	delete_disk
}
