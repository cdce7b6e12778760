# SPDX-License-Identifier: MIT
# goal: a disk that stops keeps its promises to whoever waits or hurries it: it is not killed in the
#       middle of its last flush, a forced stop ends within seconds whatever the server does, everybody
#       who asked is answered; without a conversation, too, it is flushed, or stays
# method: servers that are slow with a flush, or never answer the fsync's or the last one; disconnect,
#         --force and SIGTERM in the midst of a stop; the clock is set; the attendant process is killed
# kernels: 7.3
# cpus: 2
# timeout-s: 600
# modules: ublk_drv
# load: 50
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

# Stopped in the midst of it, the daemon answers nobody: it is not killed for that, and goes on.
stopped_in_last_flush() {
	served 30 --delay-ms 1500 --delay-only flush
	start_disconnect "$WORK/first" --timeout 100
	wait_for in_last_flush || fail "the last flush" "is never seen"
	kill -STOP "$DAEMON"
	disconnect_exits 6 --timeout 2
	check "its sentence" grep -q 'was not removed' "$WORK/disconnect.log"
	kill -CONT "$DAEMON"
	check_ended_with 0 "$WORK/first"
	check_equal "what the first said" "" "$(cat "$WORK/first.log")"
	check_nothing_left
}

# attendant_of PID: the process beside the daemon.
attendant_of() {
	grep -l "^PPid:[[:space:]]*$1\$" /proc/[0-9]*/status 2>/dev/null | cut -d/ -f3 |
		while read -r lab_pid; do
			grep -q '^ublk-nbd-aside$' "/proc/$lab_pid/comm" && echo "$lab_pid"
		done
}

# check_idle: the daemon uses no CPU worth mentioning.
check_idle() {
	lab_before_ms=$(daemon_cpu_ms)
	sleep 3
	lab_used_ms=$(($(daemon_cpu_ms) - lab_before_ms))
	[ $lab_used_ms -lt 1000 ] || fail "the daemon" "used $lab_used_ms ms of CPU time in 3 s"
}

# Killed while nobody needs it: that is said at once, and SIGTERM works.
attendant_killed() {
	served 10
	lab_attendant=$(attendant_of "$DAEMON")
	check_equal "it is kept from the OOM killer" -1000 "$(cat "/proc/$lab_attendant/oom_score_adj")"
	# AddressSanitizer turns mlockall() into nothing.
	[ -n "$SANITIZER_REPORTS" ] || [ "$(awk '/^VmLck:/ { print $2 }' "/proc/$lab_attendant/status")" -gt 0 ] ||
		fail "the attendant" "is not locked in memory"
	kill -KILL "$lab_attendant"
	wait_for log_has 'attendant process has ended' || fail "the daemon" "does not notice"
	check_idle
	check "reading" dd if="$DISK" of=/dev/null bs=64k count=8 iflag=direct
	kill -TERM "$DAEMON"
	wait_for gone "$DAEMON" || fail "the daemon" "survives SIGTERM"
	! log_has 'flushing on the way out failed' || fail "the daemon" "lost data of a server that is well"
	check_nothing_left
}

# Killed in the midst of a stop: it dies once its fsync has failed, after four times --timeout.
attendant_killed_at_work() {
	served 2 --deaf flush
	kill -TERM "$DAEMON"
	sleep 1
	kill -KILL "$(attendant_of "$DAEMON")"
	check_ends_within $((8000 + MARGIN_MS))
	check_log 'attendant process has ended'
	check_log 'flushing on the way out failed'
	check_nothing_left
}

# Without the attendant, too, a disk in use is not taken away.
attendant_killed_in_use() {
	served 10
	sleep 1000 3<"$DISK" &
	lab_holder=$!
	wait_for test -e "/proc/$lab_holder/fd/3" || fail "the holder" "does not open the disk"
	kill -KILL "$(attendant_of "$DAEMON")"
	disconnect_exits 6
	kill $lab_holder
	wait $lab_holder 2>/dev/null
	disconnect_exits 0
	check_nothing_left
}

pages_are_dirty() {
	[ "$(awk '/^Dirty:/ { print $2 }' /proc/meminfo)" -ge 640 ]
}

# Each of a write's ten parts takes 2.5 of the 4 s it may: the whole takes longer than a stop that makes no
# progress is given, 21 s. (The holder keeps the pages unwritten until then, and has the stop refused.)
slow_but_well() {
	# The socket takes the whole write at once: what is measured is how long the answers take.
	echo 4194304 >/proc/sys/net/core/wmem_default
	start_hostile hostile "$SOCKET" --payload-max 64K --delay-ms 2500 --delay-only write
	log_mark
	connect_disk --timeout 4 --connections 1 "$TARGET"
	{
		dd if=/dev/urandom bs=640k count=1 iflag=fullblock of=/proc/self/fd/3 conv=notrunc,nocreat
		exec sleep 1000
	} 3<>"$DISK" 2>/dev/null &
	lab_holder=$!
	wait_for pages_are_dirty || fail "the holder" "writes nothing"
	WAIT_TIMEOUT_S=60 disconnect_exits 6 --timeout 60
	! log_has 'takes too long' || fail "the daemon" "gave a server up that answers in time"
	lab_live=$(status_value .connections_live)
	[ "$lab_live" = 1 ] || log_since_mark | sed 's/^/# log: /'
	check_equal "live connections" 1 "$lab_live"
	kill $lab_holder
	remove_all
}

# A refused stop tells that its fsync failed; a later one, whose flush works, does not.
refused_with_flush_error() {
	served 10 --fail flush --fail-count 1
	sleep 1000 3<"$DISK" &
	lab_holder=$!
	wait_for test -e "/proc/$lab_holder/fd/3" || fail "the holder" "does not open the disk"
	disconnect_exits 6
	check "its sentence" grep -q 'flushing .* failed' "$WORK/disconnect.log"
	kill $lab_holder
	wait $lab_holder 2>/dev/null
	disconnect_exits 0
	check_nothing_left
}

# Somebody else stops the device; one queue has left, the other waits for its last flush.
stopped_by_others() {
	start_hostile hostile "$SOCKET" --deaf flush
	log_mark
	connect_disk --timeout 30 --connections 2 "$TARGET"
	DAEMON=$(daemon_pid "$DISK")
	check "writing" taskset -c 0 dd if=/dev/zero of="$DISK" bs=64k count=8 oflag=direct conv=nocreat
	check "stopping" ublk_server stop --id "${DISK##*/ublkb}"
	wait_for in_last_flush || fail "the last flush" "is never seen"
	check_idle
	in_last_flush || fail "the last flush" "is not waited for"
	disconnect_exits 8 --force
	check_nothing_left
}

forget_socket() {
	find /run/ublk-nbd -name "$NUMBER.sock" -exec rm {} +
}

# Nobody can be asked, and the fsync fails: the disk goes, and that is said.
alone_with_flush_error() {
	served 10 --fail flush
	forget_socket
	disconnect_exits 8
	check "its sentence" grep -q 'flushing it failed' "$WORK/disconnect.log"
	wait_for gone "$DAEMON" || fail "the daemon" "does not end"
	check_nothing_left
}

# Nobody can be asked, and the fsync does not come back: it is left behind, and stops nothing later on.
alone_without_answer() {
	served 2 --deaf flush # given up after four times that
	forget_socket
	disconnect_exits 6 --timeout 3
	check "its sentence" grep -q 'was not removed' "$WORK/disconnect.log"
	wait_for log_has 'no answer to ' || fail "the fsync" "is still waited for"
	sleep 1
	check "the disk is there" test -b "$DISK"
	check "the daemon lives" kill -0 "$DAEMON"
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
a_case "the daemon is stopped during the last flush" stopped_in_last_flush
a_case "the attendant is killed" attendant_killed
a_case "the attendant is killed during a stop" attendant_killed_at_work
a_case "the attendant is killed, the disk is in use" attendant_killed_in_use
a_case "somebody else stops the device" stopped_by_others
a_case "a slow server that answers is waited for" slow_but_well
a_case "a refused stop tells of its own flush" refused_with_flush_error
a_case "nobody to talk to, and a flush fails" alone_with_flush_error
a_case "nobody to talk to, and a flush is not answered" alone_without_answer
