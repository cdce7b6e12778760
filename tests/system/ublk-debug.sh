# SPDX-License-Identifier: MIT
# goal: what tests cannot see, the kernel's own checkers do: our driver touches no memory that is not its
#       own, takes no lock in the wrong order, sleeps nowhere it must not, and leaks nothing
# method: a debug kernel (KASAN, lockdep, kmemleak, page_owner); fio in each way of moving data, random
#       commands with kills, each allocation of ADD_DEV, START_DEV and a request failing once; any report
#       fails the test, and any page that the driver has at the end
# kernels: 6.1-debug
# cpus: 2
# memory-mb: 2048
# timeout-s: 700
# allow-dmesg: use-after-free debug is enabled
# modules: ublk_drv
# kernel-args: page_owner=on
# suite: debug

# shellcheck disable=SC1091
. /lab/data.sh
. /lab/ublk.sh
. /lab/hostile.sh

CASE_TIMEOUT_S=$((500 * ${LAB_SCALE:-1}))
# Freed memory is kept for a while, so that late users are found.
MEMORY_NOISE_KB=262144

# is_busy: requests are in flight.
is_busy() {
	awk '{ exit $1 + $2 == 0 }' "/sys/block/${DISK##*/}/inflight"
}

# moves FEATURES [OPTION...]: a verified load, and the daemon killed under another.
moves() {
	moves_features=$1
	shift
	truncate -s 16M "$WORK/file"
	serve --file "$WORK/file" --size 16M --queues 2 --depth 32 --cache --fua --discard 4096 \
		${moves_features:+--features "$moves_features"} "$@"
	check "fio" fio --filename="$DISK" --direct=1 --ioengine=libaio --iodepth=16 --randseed=7 --verify=crc32c \
		--verify_fatal=1 --verify_state_save=0 --thread --name=all --rw=randrw --bs=4k --size=2m
	check "trim" blkdiscard "$DISK"
	fio --filename="$DISK" --direct=1 --ioengine=libaio --iodepth=16 --thread --name=killed --rw=randrw --bs=4k \
		--size=16m --allow_file_create=0 --time_based --runtime=$((60 * LAB_SCALE)) >/dev/null 2>&1 &
	wait_for is_busy || fail "the load" "does not begin"
	kill -KILL "$SERVER"
	wait
	[ ! -f "$DISK" ] || fail "the load" "made a file of its own: $DISK"
	check "delete" timeout -k 5 "$WAIT_TIMEOUT_S" ublk_server delete --id "$ID"
	wait_for no_ublk || fail "delete" "something is left"
}

failing_allocations() {
	ublk_fail 2>"$WORK/fail.err" || fail "ublk_fail" "ended with $?: $(cat "$WORK/fail.err")"
	check "no device is left" no_ublk
}

PAGES=/sys/kernel/debug/page_owner

# driver_pages: the records of pages that the driver asked for and has; what the kernel's own caches took
# on its behalf, KASAN's notes and the kernel's page tables stay (kmemleak looks into the slabs).
driver_pages() {
	# A record has to fit into what is asked for at a time.
	dd if=$PAGES bs=4096 of="$WORK/owners" 2>"$WORK/dd.err" || fail "page_owner" "$(cat "$WORK/dd.err")"
	awk 'BEGIN { RS = ""; ORS = "\n\n" } /\[ublk_drv\]/ && !/\(slab|pcpu_|kasan_|__p(te|md|ud|4d)_alloc/' "$WORK/owners"
}

# pages_are_seen: the check that follows can fail.
pages_are_seen() {
	serve --size 16M --queues 2 --depth 32
	driver_pages >"$WORK/pages"
	grep -q ublk_queue_alloc "$WORK/pages" || fail "page_owner" "no page of a device that is there"
	delete_disk
}

no_driver_pages() {
	driver_pages >"$WORK/pages"
	sed 's/^/# /' "$WORK/pages" | head -n 60
	[ ! -s "$WORK/pages" ]
}

# debug_case NAME COMMAND...: whatever the last one has left.
debug_case() {
	remove_devices
	run_case "$@"
}

debug_case "copied data" moves ''
debug_case "user-copy" moves user-copy
debug_case "need-get-data" moves need-get-data
debug_case "per-io-daemon" moves per-io-daemon --threads 2
debug_case "each allocation fails once" failing_allocations
debug_case "random commands and kills" hostile_siege 3 --seconds "${HOSTILE_SECONDS:-60}" \
	${HOSTILE_SEED:+--seed $HOSTILE_SEED}
debug_case "a normal device works" hostile_normal_device
debug_case "pages are seen" pages_are_seen
remove_devices
check "no page is left" no_driver_pages
check "the driver can be unloaded" modprobe -r ublk_drv
