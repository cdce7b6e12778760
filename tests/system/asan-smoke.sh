# SPDX-License-Identifier: MIT
# goal: the daemon touches no memory that is not its own and loses none, in good times and bad
# method: programs built with -fsanitize=address,undefined (leaks are reported when the daemon ends): fio
#         with crc32c, a clean end; then a killed server, a protocol breach in every class, a failing
#         flush, an interrupted start; any report fails the test (vm/init). That reports are seen at
#         all is shown by a program that has a leak
# kernels: 7.3
# cpus: 2
# memory-mb: 1024
# timeout-s: 400
# modules: ublk_drv
# sanitizers: address,undefined
# suite: long

# shellcheck disable=SC1091,SC2034 # /lab is tests/system/guest; the libraries read these
. /lab/faults.sh
. /lab/fault-kill.sh

SOCKET=$WORK/hostile.sock
UNIX="nbd+unix:///?socket=$SOCKET"

# The daemon in use is the sanitized one, and reports have a place to go.
is_sanitized() {
	start_nbdkit server 10809 memory 16M
	connect_disk nbd://127.0.0.1
	check "the daemon has ASan in it" grep -q libasan "/proc/$(daemon_pid "$DISK")/maps"
	check "it reports to files" test -n "$SANITIZER_REPORTS"
	disconnect_disk
	stop_server server
}

# A daemon that cannot be looked at still tells of its leaks: shown with a program that gives away the
# same rights and then leaks.
leaks_are_seen() {
	sanitizer_leak >"$WORK/leak.out" 2>&1
	check_equal "its exit code" 99 $?
	lab_report=$(grep -l 'LeakSanitizer: detected memory leaks' "$SANITIZER_REPORTS"/*) ||
		fail "the leak" "was not reported: $(cat "$WORK/leak.out")"
	rm -f "$lab_report"
}

# verify PAYLOAD CONNECTIONS
verify() {
	start_nbdkit server 10809 memory 64M
	connect_disk --connections "$2" --payload "$1" nbd://127.0.0.1
	check "fio" timeout -k 5 $((60 * SCALE)) fio --name=asan --filename="$DISK" --direct=1 --ioengine=libaio \
		--iodepth=32 --rw=randrw --bsrange=512-256k --blockalign=512 --size=8M --verify=crc32c \
		--verify_fatal=1 --verify_backlog=64
	check "trim" blkdiscard --length 4M "$DISK"
	check "zeroes" blkdiscard --zeroout --length 1M "$DISK"
	check "status" ublk-nbd status "$DISK"
	disconnect_disk
	check_nothing_left
	stop_server server
}

# breach NAME
breach() {
	start_hostile hostile "$SOCKET" --framing "$1" --wrong "$2,$3,$4" --wrong-from 2 --size 16M
	connect_disk --timeout $((3 * SCALE)) --queue-depth 32 --connections 4 "$UNIX"
	start_load --until-dead --seconds 8
	finish_load 40
	[ "$(load_value wrong)" = 0 ] || fail "the load" "$(cat "$WORK/load.out")"
	lab_daemon=$(daemon_pid "$DISK")
	disconnect_disk_or_8
	wait_for gone "$lab_daemon" || fail "the daemon" "does not end"
	check_nothing_left
	stop_server hostile
}

disconnect_disk_or_8() {
	timeout -k 5 "$WAIT_TIMEOUT_S" ublk-nbd disconnect "$DISK" >"$WORK/disconnect.log" 2>&1
	lab_rc=$?
	[ $lab_rc = 0 ] || check_equal "exit code of disconnect" 8 $lab_rc
}

start_fails() {
	start_hostile hostile "$SOCKET" --fail read
	expect_fail "connect" timeout 30 ublk-nbd connect --timeout 3 "$UNIX"
	stop_server hostile
	start_hostile hostile "$SOCKET" --greeting garbage
	expect_fail "connect" timeout 30 ublk-nbd connect --connect-timeout 3 "$UNIX"
	stop_server hostile
	expect_fail "connect" timeout 30 ublk-nbd connect --connect-timeout 3 "$UNIX"
	check_nothing_left
}

a_case() {
	CASE_TIMEOUT_S=$((120 * SCALE))
	run_case "$@"
	remove_all
	stop_server server
	stop_server hostile
}

a_case "the daemon is a sanitized one" is_sanitized
a_case "a leak is reported, whatever rights were given up" leaks_are_seen
a_case "fio verifies, user copy" verify user-copy 4
a_case "fio verifies, mapped" verify mapped 1
COUNT=1
repeat "the server is killed" server_killed
repeat "the server is stopped" server_stopped
a_case "the protocol is broken, structured" breach structured overlap stall-in-payload error-value-unknown
a_case "the protocol is broken, extended" breach extended length-negative reset-in-payload garbage
a_case "the start fails" start_fails
