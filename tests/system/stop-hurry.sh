# SPDX-License-Identifier: MIT
# goal: a disk that stops keeps its promises to whoever waits or hurries it: it is not killed in the
#       middle of its last flush, a forced stop ends within seconds whatever the server does, everybody
#       who asked is answered
# method: servers that are slow with a flush, or never answer the fsync's or the last one; disconnect,
#         --force and SIGTERM in the midst of a stop; the clock is set; the attendant process is killed
# kernels: 7.3
# cpus: 2
# timeout-s: 300
# modules: ublk_drv
# suite: test

# shellcheck disable=SC1091,SC2034 # /lab is tests/system/guest; the libraries read these
. /lab/faults.sh

SOCKET=$WORK/hostile.sock
TARGET="nbd+unix:///?socket=$SOCKET"
# A forced stop gives the server 5 s.
FORCED_MS=$((5000 + MARGIN_MS))

# served TIMEOUT-S SERVER-OPTION...: a server and its disk, written to; sets DISK, DAEMON, NUMBER.
served() {
	lab_timeout_s=$1
	shift
	start_hostile hostile "$SOCKET" "$@"
	log_mark
	rm -f "$WORK/exit"
	connect_disk --timeout "$lab_timeout_s" --connections 1 "$TARGET"
	DAEMON=$(daemon_pid "$DISK")
	NUMBER=${DISK##*/ublkb}
	check "writing" dd if=/dev/zero of="$DISK" bs=64k count=8 oflag=direct conv=nocreat
}

# start_disconnect FILE [OPTION...]: in the background; FILE will hold its exit code.
start_disconnect() {
	lab_file=$1
	shift
	rm -f "$lab_file"
	(
		ublk-nbd disconnect "$@" "$NUMBER" >"$lab_file.log" 2>&1
		echo $? >"$lab_file.part"
		mv "$lab_file.part" "$lab_file"
	) &
}

# check_ended_with CODE FILE
check_ended_with() {
	wait_for test -s "$2" || fail "disconnect" "does not end"
	[ "$(cat "$2")" = "$1" ] || sed 's/^/# /' "$2.log"
	check_equal "exit code of disconnect" "$1" "$(cat "$2")"
}

# check_ends_within MS: the daemon does.
check_ends_within() {
	lab_start_ms=$(uptime_ms)
	wait_for gone "$DAEMON" || fail "the daemon" "does not end"
	lab_took_ms=$(($(uptime_ms) - lab_start_ms))
	[ "$lab_took_ms" -le "$1" ] || fail "the daemon" "took $lab_took_ms ms to end, more than $1"
}

# in_last_flush: the device is stopped, the daemon is not yet gone.
in_last_flush() {
	lab_no_node "${DISK##*/}" && ! gone "$DAEMON"
}

# Each flush takes 3 s: the fsync's, then the last one, in the midst of which the clock jumps.
clock_is_set() {
	served 10 --delay-ms 3000 --delay-only flush
	start_disconnect "$WORK/exit" --timeout 60
	wait_for in_last_flush || fail "the last flush" "is never seen"
	check "setting the clock" date -s "@$(($(date +%s) + 3600))"
	check_ended_with 0 "$WORK/exit"
	# A daemon that gave up would be mourned, or tidied up behind, by disconnect: that ends with 0 too.
	check_equal "what disconnect said" "" "$(cat "$WORK/exit.log")"
	! log_has 'does not end' || fail "the daemon" "gave its last flush up"
	check_nothing_left
}

# A gentle disconnect waits for a server that answers no FLUSH; its user gives up, and forces it.
gentle_then_forced() {
	served 30 --deaf flush
	start_disconnect "$WORK/gentle" --timeout 100
	# The same once more, and this one has the patience to be told.
	start_disconnect "$WORK/patient" --timeout 100
	sleep 1
	timeout -s INT 1 ublk-nbd disconnect "$NUMBER" >/dev/null 2>&1
	disconnect_exits 8 --force
	check_ended_with 8 "$WORK/gentle"
	check_ended_with 8 "$WORK/patient"
	check_nothing_left
}

# A second signal hurries the last flush; the daemon says that it failed.
second_signal() {
	served 30 --deaf flush --deaf-after 1
	kill -TERM "$DAEMON"
	wait_for in_last_flush || fail "the last flush" "is never seen"
	sleep 2
	in_last_flush || fail "the last flush" "is not waited for"
	kill -TERM "$DAEMON"
	check_ends_within "$FORCED_MS"
	check_log 'flushing on the way out failed'
	check_nothing_left
}

# Who asks meanwhile joins those who wait: nobody kills the daemon; --force hurries it for all.
asked_in_last_flush() {
	served 30 --deaf flush --deaf-after 1
	start_disconnect "$WORK/first" --timeout 100
	wait_for in_last_flush || fail "the last flush" "is never seen"
	start_disconnect "$WORK/second" --timeout 100
	sleep 2
	in_last_flush || fail "the last flush" "is not waited for: $(cat "$WORK/second.log")"
	disconnect_exits 8 --force
	check_ended_with 8 "$WORK/first"
	check_ended_with 8 "$WORK/second"
	check_nothing_left
}

a_case() {
	run_case "$@"
	remove_all
	stop_server hostile
}

a_case "the clock is set during the last flush" clock_is_set
a_case "a gentle disconnect hangs, --force does not" gentle_then_forced
a_case "a second SIGTERM during the last flush" second_signal
a_case "disconnect during the last flush" asked_in_last_flush
