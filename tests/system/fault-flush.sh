# SPDX-License-Identifier: MIT
# goal: a flush that fails on the way out is never hidden: the daemon exits with 8, and so does
#       disconnect, with a sentence; nothing is left all the same
# method: a server whose flushes fail, one that never answers them, and one that is dead, each left by
#         SIGTERM and by disconnect; --foreground shows the daemon's exit code. A server that flushes
#         is the counter-check
# kernels: 7.3
# cpus: 2
# timeout-s: 240
# modules: ublk_drv
# load: 85
# suite: test

# shellcheck disable=SC1091,SC2034 # /lab is tests/system/guest; the libraries read these
. /lab/faults.sh

SOCKET=$WORK/hostile.sock
TARGET="nbd+unix:///?socket=$SOCKET"

# connect_foreground: sets DISK; its exit code will be in $WORK/exit.
connect_foreground() {
	log_mark
	rm -f "$WORK/exit" "$WORK/device"
	(
		ublk-nbd connect --foreground --timeout 1 --connections 1 "$TARGET" \
			>"$WORK/device" 2>"$WORK/foreground.log"
		echo $? >"$WORK/exit"
	) &
	wait_for test -s "$WORK/device" || fail "connect" "$(cat "$WORK/foreground.log")"
	DISK=$(cat "$WORK/device")
}

write_some() {
	check "writing" dd if=/dev/zero of="$DISK" bs=64k count=8 oflag=direct conv=nocreat
}

# by_sigterm CODE
by_sigterm() {
	kill -TERM "$(daemon_pid "$DISK")"
	wait_for test -s "$WORK/exit" || fail "SIGTERM" "the daemon does not end"
	check_equal "the daemon's exit code" "$1" "$(cat "$WORK/exit")"
	[ "$1" = 0 ] || check "its sentence" grep -q 'flushing on the way out failed' "$WORK/foreground.log"
	check_nothing_left
}

# by_disconnect CODE
by_disconnect() {
	disconnect_exits "$1"
	[ "$1" = 0 ] || check "its sentence" grep -q 'flush.* failed' "$WORK/disconnect.log"
	wait_for test -s "$WORK/exit" || fail "disconnect" "the daemon does not end"
	check_equal "the daemon's exit code" "$1" "$(cat "$WORK/exit")"
	check_nothing_left
}

# leave WAY CODE SERVER-OPTION...
leave() {
	lab_way=$1
	lab_code=$2
	shift 2
	start_hostile hostile "$SOCKET" "$@"
	connect_foreground
	write_some
	$lab_way "$lab_code"
	stop_server hostile
}

leave_dead_server() {
	start_hostile hostile "$SOCKET"
	connect_foreground
	write_some
	stop_server hostile KILL
	$1 8
}

# Nothing was written: there is nothing to lose.
leave_dead_server_unwritten() {
	start_hostile hostile "$SOCKET"
	connect_foreground
	check "reading" dd if="$DISK" of=/dev/null bs=64k count=8 iflag=direct
	stop_server hostile KILL
	by_sigterm 0
}

a_case() {
	run_case "$@"
	stop_server hostile
	remove_all
}

for way in by_sigterm by_disconnect; do
	a_case "the flush works, $way" leave $way 0
	a_case "the flush fails, $way" leave $way 8 --fail flush
	a_case "the flush is never answered, $way" leave $way 8 --deaf flush
	a_case "the server is dead, $way" leave_dead_server $way
done
a_case "the server is dead, nothing was written" leave_dead_server_unwritten
