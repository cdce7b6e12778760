# SPDX-License-Identifier: MIT
# goal: a partition table that is read through a slow server: connect waits and prints the disk only
#       when it can be used; ^C, SIGTERM and even SIGKILL of it while it waits leave nothing behind;
#       a server that never answers ends it with an error
# method: the hostile server answers the first reads after five seconds, or never. 6.12 reads the
#         partition table inside START_DEV, 7.3 after it
# kernels: 7.3
# long-kernels: 6.12
# cpus: 2
# timeout-s: 300
# modules: ublk_drv
# load: 85
# suite: test

# shellcheck disable=SC1091,SC2034 # /lab is tests/system/guest; the libraries read these
. /lab/faults.sh

SOCKET=$WORK/hostile.sock
TARGET="nbd+unix:///?socket=$SOCKET"
# After ^C, until nothing is left.
END_MS=$((6000 * SCALE))

# start_connect ARGUMENT...: in the background; its exit code will be in $WORK/exit.
start_connect() {
	rm -f "$WORK/exit" "$WORK/device"
	began_ms=$(uptime_ms)
	# A shell's background job ignores SIGINT; env gives it back.
	env --default-signal=INT sh -c '
		"$@" >'"$WORK"'/device 2>'"$WORK"'/connect.log &
		echo $! >'"$WORK"'/connect.pid
		wait $!
		echo $? >'"$WORK"'/exit' sh env --default-signal=INT ublk-nbd connect --connections 1 "$@" "$TARGET" &
	wait_for test -s "$WORK/connect.pid"
}

# The kernel has begun to read the disk.
reading_began() {
	[ "$(cat /sys/block/ublkb*/inflight | awk '{ n += $1 } END { print n + 0 }')" -gt 0 ] ||
		grep -qs . /sys/class/ublk-char/ublkc*/dev
}

waits_for_slow_server() {
	start_hostile hostile "$SOCKET" --delay-ms 5000 --delay-first 2
	start_connect --timeout 30
	WAIT_TIMEOUT_S=$((40 * SCALE))
	wait_for test -s "$WORK/exit" || fail "connect" "does not end"
	took_ms=$(($(uptime_ms) - began_ms))
	check_equal "exit code of connect ($(cat "$WORK/connect.log"))" 0 "$(cat "$WORK/exit")"
	[ $took_ms -ge 5000 ] || fail "connect" "came back after $took_ms ms, before anything was read"
	DISK=$(cat "$WORK/device")
	began_ms=$(uptime_ms)
	check "the disk reads at once" dd if="$DISK" of=/dev/null bs=64k count=4 iflag=direct
	[ $(($(uptime_ms) - began_ms)) -lt $((2500 * SCALE)) ] || fail "the disk" "was not usable when it was printed"
	disconnect_disk
	check_nothing_left
	stop_server hostile
}

# interrupted SIGNAL EXIT-CODE
interrupted() {
	start_hostile hostile "$SOCKET" --delay-ms 5000
	start_connect --timeout 30
	wait_for reading_began || fail "connect" "does not get to the disk: $(cat "$WORK/connect.log")"
	sleep 1
	[ ! -s "$WORK/device" ] || fail "connect" "printed the disk before it was read"
	began_ms=$(uptime_ms)
	kill "-$1" "$(cat "$WORK/connect.pid")"
	wait_for test -s "$WORK/exit" || fail "connect" "does not end"
	check_equal "exit code of connect ($(cat "$WORK/connect.log"))" "$2" "$(cat "$WORK/exit")"
	check_nothing_left
	took_ms=$(($(uptime_ms) - began_ms))
	note "SIG$1: nothing left after $took_ms ms"
	[ $took_ms -le $END_MS ] || fail "the end" "took $took_ms ms"
	[ ! -s "$WORK/device" ] || fail "connect" "printed a disk that is gone"
	stop_server hostile
}

# never_answers: the server takes the handshake and no read.
never_answers() {
	start_hostile hostile "$SOCKET" --deaf read
	start_connect --timeout $((2 * SCALE))
	wait_for test -s "$WORK/exit" || fail "connect" "does not end"
	check_equal "exit code of connect" 3 "$(cat "$WORK/exit")"
	check "it gives a reason" test -s "$WORK/connect.log"
	note "$(cat "$WORK/connect.log")"
	check_nothing_left
	stop_server hostile
}

# The first read fails: a disk that cannot be read is not reported as usable.
fails_at_once() {
	start_hostile hostile "$SOCKET" --fail read
	start_connect --timeout 5
	wait_for test -s "$WORK/exit" || fail "connect" "does not end"
	check_equal "exit code of connect ($(cat "$WORK/connect.log"))" 4 "$(cat "$WORK/exit")"
	check_nothing_left
	stop_server hostile
}

a_case() {
	CASE_TIMEOUT_S=$((90 * SCALE))
	run_case "$@"
	remove_all
	stop_server hostile
}

a_case "connect waits for the partition table" waits_for_slow_server
a_case "interrupted by ^C" interrupted INT 130
a_case "ended by SIGTERM" interrupted TERM 130
a_case "killed" interrupted KILL 137
a_case "a server that answers no read" never_answers
a_case "a server that fails every read" fails_at_once
