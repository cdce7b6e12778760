# SPDX-License-Identifier: MIT
# shellcheck shell=dash disable=SC2034
#
# The server, or the daemon, goes away under a verified load at depth 32, COUNT times in each way: see
# tests/system/kill-*.sh.

TIMEOUT_S=$((4 * SCALE))
LIMIT_MS=$((TIMEOUT_S * 1000 + MARGIN_MS))
# An fsync may wait for the flush of another, which is condemned on one connection, before its own begins,
# on a connection that was idle till then.
STOPPED_FLUSH_LIMIT_MS=$((2 * TIMEOUT_S * 1000 + MARGIN_MS))
# How long I/O may hang once nobody serves it: the kernel finds a dead daemon by itself.
DAEMON_LIMIT_MS=$((4000 * SCALE))

# One connection or four, mapped or user copy, structured or simple, by turns.
connect_turn() {
	case $(($1 % 4)) in
	0) lab_turn="--connections 1 --payload mapped" ;;
	1) lab_turn="--connections 4 --payload user-copy" ;;
	2) lab_turn="--connections 4 --payload mapped --no-structured" ;;
	3) lab_turn="--connections 1 --payload user-copy" ;;
	esac
	log_mark
	# shellcheck disable=SC2086 # words
	connect_disk --timeout "$TIMEOUT_S" --queue-depth 32 $lab_turn nbd://127.0.0.1
}

# listed_state: of $DISK, by `list`: DEVICE, NAME, SIZE (two words), STATE.
listed_state() {
	ublk-nbd list | awk -v d="$DISK" '$1 == d { print $5 }'
}

# after_the_server NAME [FLUSH_LIMIT_MS]: what must be so once the server is lost.
after_the_server() {
	finish_load 40
	note "$1: $(cat "$WORK/load.out")"
	check_load_failed "$LIMIT_MS" "${2:-$LIMIT_MS}"
	check_equal "live connections" 0 "$(status_value .connections_live)"
	check_equal "state in the list" failing "$(listed_state)"
}

is_live() {
	[ "$(status_value .state)" = live ]
}

# Acknowledged writes were not flushed: disconnect says so, and removes the disk by force only.
leave_the_server() {
	disconnect_exits 6
	check "its message" grep -q 'acknowledged write.* \(is\|are\) not flushed' "$WORK/disconnect.log"
	disconnect_exits 8 --force
	check "its message" grep -q 'flush.* failed' "$WORK/disconnect.log"
	check_nothing_left
}

server_killed() {
	start_nbdkit server 10809 memory 16M
	connect_turn "$1"
	start_load --until-dead --seconds $((25 * SCALE))
	stop_server server KILL
	after_the_server "killed"
	leave_the_server
}

# Its kernel goes on acknowledging; its answers never come, until it is too late for them. (nbdkit 1.32
# would abort once it goes on and finds its clients gone.)
server_stopped() {
	start_hostile server 10809 --size 16M
	connect_turn "$1"
	start_load --until-dead --seconds $((25 * SCALE))
	kill -STOP "$(server_pid server)"
	after_the_server "stopped" "$STOPPED_FLUSH_LIMIT_MS"
	check_log 'no answer to '
	kill -CONT "$(server_pid server)"
	wait_for is_live || fail "state" "$(status_value .state) once it goes on"
	# It may have lost what it had acknowledged: that is not taken back.
	expect_fail "fsync" sync "$DISK"
	disconnect_exits 8
	check "its message" grep -q 'flush.* failed' "$WORK/disconnect.log"
	check_nothing_left
	check "the server serves others" nbdinfo --size nbd://127.0.0.1
	stop_server server
}

# One that goes on before the deadline has done no harm.
server_paused() {
	start_nbdkit server 10809 memory 16M
	connect_turn "$1"
	start_load --seconds $((4 * SCALE))
	kill -STOP "$(server_pid server)"
	sleep 0.7
	kill -CONT "$(server_pid server)"
	finish_load 30
	note "paused: $(cat "$WORK/load.out")"
	check_load_clean
	disconnect_disk
	check_nothing_left
	stop_server server
}

server_raves() {
	start_hostile server 10809 --size 16M --seed "$1" --wrong-after 60 --wrong garbage,garbage,garbage,garbage
	connect_turn "$1"
	start_load --until-error --seconds $((25 * SCALE))
	finish_load 40
	note "garbage: $(cat "$WORK/load.out")"
	check_load_failed "$LIMIT_MS"
	check_log 'the server broke the protocol'
	disconnect_exits 8 --force
	check_nothing_left
	stop_server server
	start_hostile server 10809 --garbage
	expect_fail "connect to a server that sends noise" timeout -k 5 20 \
		ublk-nbd connect --connect-timeout 5 nbd://127.0.0.1
	check_nothing_left
	stop_server server
}

# --- the daemon -----------------------------------------------------------------------------------

daemon_killed() {
	start_nbdkit server 10809 memory 16M
	connect_turn "$1"
	start_load --until-dead --seconds $((25 * SCALE))
	kill -KILL "$(daemon_pid "$DISK")"
	finish_load 40
	note "daemon killed: $(cat "$WORK/load.out")"
	check_load_failed "$DAEMON_LIMIT_MS"
	check_equal "state in the list" dead "$(listed_state)"
	disconnect_exits 8
	check_nothing_left
	start_nbdkit_again
}

# nbdkit 1.32 aborts now and then when many requests' client is gone all at once: that, and nothing else, is
# no fault of ours.
server_survives() {
	gone "$(server_pid server)" || return 0
	check "it was nbdkit's own assertion" grep -i 'assert' "$WORK/server.log"
	note "nbdkit aborted: $(grep -i 'assert' "$WORK/server.log")"
	start_nbdkit server 10809 memory 16M
}

# The server is as good as before, and so is the device's number.
start_nbdkit_again() {
	lab_old_disk=$DISK
	server_survives
	connect_disk --timeout "$TIMEOUT_S" nbd://127.0.0.1
	check_equal "the device" "$lab_old_disk" "$DISK"
	check "reading it" dd if="$DISK" of=/dev/null bs=64k count=16 iflag=direct
	disconnect_disk
	check_nothing_left
	stop_server server
}

# A daemon that hangs: without --force a disk in use is left alone; with it, the daemon is killed first.
daemon_stopped() {
	start_nbdkit server 10809 memory 16M
	connect_turn "$1"
	start_load --until-dead --seconds $((25 * SCALE))
	kill -STOP "$(daemon_pid "$DISK")"
	check_equal "state in the list" silent "$(listed_state)"
	disconnect_exits 6
	disconnect_exits 8 --force
	check "it says what it did" grep -q 'is killed' "$WORK/disconnect.log"
	finish_load 40
	note "daemon stopped: $(cat "$WORK/load.out")"
	# Its requests waited for as long as nobody did anything: that time is no measure.
	[ "$LOAD_STATUS" = 3 ] || fail "load" "status $LOAD_STATUS: $(cat "$WORK/load.out")"
	check_nothing_left
	stop_server server
}

# Nobody uses the disk, but whether all of it is flushed only the daemon could tell: it is not killed.
daemon_stopped_idle() {
	start_nbdkit server 10809 memory 16M
	connect_turn "$1"
	DAEMON=$(daemon_pid "$DISK")
	kill -STOP "$DAEMON"
	disconnect_exits 6 --timeout 4
	check "it says so" grep -q 'was not removed' "$WORK/disconnect.log"
	check "the daemon lives" kill -0 "$DAEMON"
	disconnect_exits 8 --force # in the middle of that command's flush
	check "it says what it did" grep -q 'is killed' "$WORK/disconnect.log"
	check_nothing_left
	stop_server server
}

# repeat NAME FUNCTION: COUNT cases.
repeat() {
	CASE_TIMEOUT_S=$((120 * SCALE))
	lab_turns=0
	while [ $lab_turns -lt "$COUNT" ]; do
		lab_turns=$((lab_turns + 1))
		run_case "$1, $lab_turns of $COUNT" "$2" $lab_turns
		stop_server server KILL
		remove_all
	done
}
