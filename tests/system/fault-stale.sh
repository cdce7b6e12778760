# SPDX-License-Identifier: MIT
# goal: a write that a server never answered, and carries out long after its connection was given up,
#       overwrites nothing that was acknowledged since: its place takes no more writes, on any
#       connection or queue (--quiet-time never), or none for the quiet time; every other place does, and
#       all can be read
# method: the hostile server carries its first write out three times --timeout later, whatever became of
#         the client; other connections of the same disk, on the same queue and on another, go on
# kernels: 7.3
# cpus: 2
# timeout-s: 240
# modules: ublk_drv
# load: 80
# suite: test

# shellcheck disable=SC1091,SC2034 # /lab is tests/system/guest; the libraries read these
. /lab/faults.sh

SOCKET=$WORK/hostile.sock
TIMEOUT_S=$((2 * SCALE))

# put LETTER OFFSET-IN-BLOCKS: a block of 4 KiB full of it, from the given CPU.
put() {
	head -c 4096 /dev/zero | tr '\0' "$1" >"$WORK/block"
	taskset "$CPU" dd if="$WORK/block" of="$DISK" bs=4096 count=1 seek="$2" oflag=direct conv=nocreat
}

# block_is LETTER OFFSET-IN-BLOCKS
block_is() {
	head -c 4096 /dev/zero | tr '\0' "$1" >"$WORK/block"
	taskset "$CPU" dd if="$DISK" bs=4096 count=1 skip="$2" iflag=direct 2>/dev/null | cmp -s - "$WORK/block"
}

# late_write CONNECTIONS PAYLOAD LATER-CPU: two CPUs, so two queues.
late_write() {
	start_hostile hostile "$SOCKET" --size 8M --late-write $((TIMEOUT_S * 3000))
	log_mark
	connect_disk --timeout $TIMEOUT_S --queue-depth 32 --connections "$1" --payload "$2" \
		"nbd+unix:///?socket=$SOCKET"
	check_equal "connections" "$1" "$(status_value .connections_live)"
	CPU=1
	expect_fail "the write that is not answered" put X 100
	check_equal "connections lost" 1 "$(status_value .stats.connections_lost)"
	CPU=$3
	expect_fail "a newer write there" put Y 100
	check "as an output error" grep -q 'Input/output error' "$WORK/failed-output"
	check_log 'never answered an earlier write there'
	expect_fail "zeroing there" fallocate --zero-range --offset 405504 --length 8192 "$DISK"
	expect_fail "trimming there" blkdiscard -f -o 405504 -l 8192 "$DISK"
	check "a write beside it" put Z 101
	check "a write before it" put Z 99
	check "it came to pass" wait_for grep -q '^late' "$WORK/hostile.log"
	check "the block is what the server made it" block_is X 100
	check "the block behind" block_is Z 101
	check "the block before" block_is Z 99
	expect_fail "a write there, later" put Y 100
	[ "$(status_value .stats.hold_refusals)" -ge 4 ] || fail "status" "does not count the refusals"
	# The queue whose connection was lost can flush nothing: 8, where it is asked to.
	timeout -k 5 "$WAIT_TIMEOUT_S" ublk-nbd disconnect "$DISK" 2>"$WORK/disconnect.log"
	lab_rc=$?
	[ $lab_rc = 0 ] || [ $lab_rc = 8 ] || fail "disconnect" "exited with $lab_rc: $(cat "$WORK/disconnect.log")"
	check_nothing_left
	stop_server hostile
}

a_case() {
	CASE_TIMEOUT_S=$((60 * SCALE))
	run_case "$@"
	stop_server hostile
	remove_all
}

a_case "an unanswered write comes late, same queue" late_write 4 user-copy 1
a_case "an unanswered write comes late, another queue" late_write 2 mapped 2

# sent_again QUIET-S LETTER: the unanswered write is sent again on a new connection and acknowledged; a newer one
# follows as soon as it may. LETTER is what stands there once the old one has come late.
sent_again() {
	start_hostile hostile "$SOCKET" --size 8M --late-write $((TIMEOUT_S * 3000))
	log_mark
	connect_disk --dead-timeout $((60 * SCALE)) --quiet-time "$1" --timeout $TIMEOUT_S --queue-depth 32 \
		--connections 1 "nbd+unix:///?socket=$SOCKET"
	CPU=1
	check "the write that is not answered, sent again" put X 100
	check_equal "connections lost" 1 "$(status_value .stats.connections_lost)"
	began_ms=$(uptime_ms)
	head -c 4096 /dev/zero | tr '\0' Y >"$WORK/newer"
	dd if="$WORK/newer" of="$DISK" bs=4096 count=1 seek=100 oflag=direct conv=nocreat 2>"$WORK/newer.log" &
	newer=$!
	[ "$1" = 0 ] || wait_for one_is_held || fail "the newer write" "is not held"
	beside_ms=$(uptime_ms)
	check "a write beside it" put Z 101
	[ "$1" = 0 ] || check "a read of it" block_is X 100
	beside_ms=$(($(uptime_ms) - beside_ms))
	check "the newer write" wait $newer
	note "a newer write took $(($(uptime_ms) - began_ms)) ms, one beside it and a read $beside_ms ms"
	[ "$1" = 0 ] || [ $beside_ms -lt $(($1 * 500)) ] || fail "what is beside it" "took $beside_ms ms"
	check "the old one came late" wait_for grep -q '^late' "$WORK/hostile.log"
	check "what stands there" block_is "$2" 100
	disconnect_exits 0
	check_nothing_left
	stop_server hostile
}

one_is_held() {
	[ "$(status_value .server.waiting)" = 1 ] && [ "$(status_value .holds.ranges)" = 1 ]
}

a_case "an unanswered write comes late, within the quiet time" sent_again $((TIMEOUT_S * 4)) Y
a_case "an unanswered write comes late, without a quiet time: the control" sent_again 0 X
