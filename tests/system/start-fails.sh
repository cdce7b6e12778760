# SPDX-License-Identifier: MIT
# goal: a start that fails half-way leaves nothing 10 s later, and the device's number is free
# method: a FETCH that the kernel refuses (the daemon's node of the char device is /dev/zero's), and a
#         daemon killed while the kernel reads the partition table from a server that does not answer, with
#         one tag and with many: drivers that do not notice by themselves that a daemon has died
# kernels: 7.3
# long-kernels: 6.12 6.12-own 7.3-own
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

fetch_fails() {
	start_hostile hostile "$SOCKET"
	# The kernel makes no node where there is one, and leaves this one alone.
	mknod /dev/ublkc0 c 1 5
	lab_start_ms=$(uptime_ms)
	ublk-nbd connect --device 0 "$TARGET" >"$WORK/connect.log" 2>&1
	lab_rc=$?
	rm /dev/ublkc0
	check_equal "exit code of connect" 5 $lab_rc
	check "its sentence" grep -q 'queue [0-9]* failed: ' "$WORK/connect.log"
	note "$(cat "$WORK/connect.log")"
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

a_case "a FETCH fails" fetch_fails
a_case "the daemon is killed early, many tags" daemon_killed_early 128
a_case "the daemon is killed early, one tag" daemon_killed_early 1
