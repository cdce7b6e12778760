# SPDX-License-Identifier: MIT
# goal: a start that fails half-way leaves nothing 10 s later, and the device's number is free
# method: a preloaded library spoils one FETCH; a daemon is killed while the kernel reads the partition table
#         (6.12 does that in START_DEV) from a server that does not answer, with one tag and with many
# kernels: 7.3
# long-kernels: 6.12 6.1-own 7.3-own
# cpus: 2
# timeout-s: 300
# modules: ublk_drv
# load: 50
# suite: test

# shellcheck disable=SC1091,SC2034 # /lab is tests/system/guest; the libraries read these
. /lab/faults.sh

SOCKET=$WORK/hostile.sock
TARGET="nbd+unix:///?socket=$SOCKET"
LIMIT_MS=$((10000 * SCALE))

# check_gone_within_limit SINCE_MS
check_gone_within_limit() {
	check_nothing_left
	lab_took_ms=$(($(uptime_ms) - $1))
	note "nothing is left after $lab_took_ms ms"
	[ "$lab_took_ms" -le "$LIMIT_MS" ] || fail "what is left" "took $lab_took_ms ms to go, more than $LIMIT_MS"
}

# number_is_free: a disk of a well server gets it.
number_is_free() {
	stop_server hostile
	start_hostile hostile "$SOCKET"
	connect_disk --device 0 "$TARGET"
	disconnect_disk
	check_nothing_left
}

# fetch_refused QUEUE:TAG OPTION...
fetch_refused() {
	lab_which=$1
	shift
	start_hostile hostile "$SOCKET"
	lab_start_ms=$(uptime_ms)
	REFUSE_FETCH=$lab_which LD_PRELOAD=/usr/local/tests/refuse_fetch.so \
		ublk-nbd connect --device 0 "$@" "$TARGET" >"$WORK/connect.log" 2>&1
	check_equal "exit code of connect ($(cat "$WORK/connect.log"))" 5 $?
	check "its words" grep -q 'driver refused a command: Invalid argument' "$WORK/connect.log"
	check_gone_within_limit "$lab_start_ms"
	number_is_free
}

reads_itself() {
	[ "$(awk '{ print $1 + $2 }' /sys/block/ublkb0/inflight)" -gt 0 ]
}

# daemon_killed_early DEPTH
daemon_killed_early() {
	start_hostile hostile "$SOCKET" --deaf read
	ublk-nbd connect --device 0 --queue-depth "$1" --timeout 100 "$TARGET" >"$WORK/connect.log" 2>&1 &
	lab_connect=$!
	wait_for reads_itself || fail "the start" "is never seen waiting for a read: $(cat "$WORK/connect.log")"
	lab_start_ms=$(uptime_ms)
	# shellcheck disable=SC2046 # words
	kill -KILL $(pidof ublk-nbd-disk)
	wait_for gone $lab_connect || fail "connect" "does not end"
	note "connect ended after $(($(uptime_ms) - lab_start_ms)) ms: $(cat "$WORK/connect.log")"
	check_gone_within_limit "$lab_start_ms"
	number_is_free
}

a_case() {
	run_case "$@"
	remove_all
	stop_server hostile
}

a_case "the last FETCH is refused" fetch_refused 0:127
a_case "a FETCH of the second queue is refused" fetch_refused 1:5 --connections 2
[ -z "$LAB_LONG" ] || a_case "the only FETCH is refused, mapped" fetch_refused 0:0 --queue-depth 1 --payload mapped
a_case "the daemon is killed early, many tags" daemon_killed_early 128
a_case "the daemon is killed early, one tag" daemon_killed_early 1
