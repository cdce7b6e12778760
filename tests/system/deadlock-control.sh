# SPDX-License-Identifier: MIT
# goal: whatever is done to the control socket, no I/O waits for it: silent clients, one that never
#       reads its answers, lines without end, garbage; each gets an answer or is hung up on
# method: a verified load at depth 32 under it, whose slowest request is measured; then an honest client
# kernels: 7.3
# cpus: 2
# memory-mb: 1024
# timeout-s: 300
# modules: ublk_drv
# suite: test

# shellcheck disable=SC1091,SC2034 # /lab is tests/system/guest; the libraries read these
. /lab/faults.sh

# A client has ten seconds for its line and for taking the answer.
CLIENT_S=10
# Less than a client may take, or the test could not fail; on a busy machine requests are slow without any
# client, and on one too busy there is nothing to be seen.
SLOWEST_MS_MAX=$((CLIENT_S * 800))
SLOWEST_MS=$((4000 * SCALE))
[ $SLOWEST_MS -le $SLOWEST_MS_MAX ] || SLOWEST_MS=$SLOWEST_MS_MAX
BASELINE_FACTOR=3
# What the daemon may have more of afterwards; AddressSanitizer keeps what is freed, for a while.
MEMORY_KB=8192
[ -z "$SANITIZER_REPORTS" ] || MEMORY_KB=65536
# How long the daemon may take to answer (10 s) and then some.
STATUS_S=$((15 * SCALE))

say_to_socket() {
	timeout 15 socat -t 3 - "UNIX-CONNECT:$(control_socket)"
}

setup() {
	start_nbdkit server 10809 memory 16M
	connect_disk --timeout $((10 * SCALE)) --queue-depth 32 nbd://127.0.0.1
}

# Measures how slow the slowest request is without any client.
baseline() {
	start_load --seconds 3
	finish_load 30
	check_load_clean
	lab_baseline_ms=$(load_value slowest_flush_ms)
	[ "$lab_baseline_ms" -ge "$(load_value slowest_ms)" ] || lab_baseline_ms=$(load_value slowest_ms)
	lab_baseline_ms=$((lab_baseline_ms * BASELINE_FACTOR))
	note "without clients: $(cat "$WORK/load.out")"
	[ $lab_baseline_ms -le $SLOWEST_MS_MAX ] ||
		skip "machine too slow" "three times the slowest request without clients is $lab_baseline_ms ms," \
			"more than $SLOWEST_MS_MAX: a client that holds I/O up could not be told from that"
	[ $lab_baseline_ms -le $SLOWEST_MS ] || SLOWEST_MS=$lab_baseline_ms
	# The load wants a disk of zeroes.
	check "zeroes" fallocate --zero-range --length 16M "$DISK"
}

teardown() {
	disconnect_disk
	check_nothing_left
	stop_server server
}

memory_kb() {
	awk '/^VmRSS:/ { print $2 }' "/proc/$(daemon_pid "$DISK")/status"
}

# flood: asks for the status without end and never reads an answer.
flood() {
	yes '{"verb":"status"}' | timeout "$1" socat -u - "UNIX-CONNECT:$(control_socket)" 2>/dev/null
}

slow_readers() {
	setup
	baseline
	lab_before_kb=$(memory_kb)
	start_load --seconds 8
	for lab_i in 1 2 3 4; do
		flood 25 &
	done
	sleep 2
	check "status, beside them" timeout $STATUS_S ublk-nbd status "$DISK"
	finish_load 40
	# The load is over, the clients are not: who never reads must not keep the daemon busy.
	lab_before_ms=$(daemon_cpu_ms)
	sleep 3
	[ $(($(daemon_cpu_ms) - lab_before_ms)) -lt 600 ] || fail "the daemon" "is busy with silent clients"
	note "$(cat "$WORK/load.out"), memory $lab_before_kb to $(memory_kb) KiB"
	check_load_clean
	check_load_time $SLOWEST_MS
	[ $(($(memory_kb) - lab_before_kb)) -lt $MEMORY_KB ] || fail "memory" "the daemon keeps what it answers"
	teardown
}

# More of them than there are places.
silent_clients() {
	setup
	baseline
	lab_i=0
	while [ $lab_i -lt 40 ]; do
		sleep 25 | timeout 30 socat - "UNIX-CONNECT:$(control_socket)" >/dev/null 2>&1 &
		lab_i=$((lab_i + 1))
	done
	start_load --seconds $((CLIENT_S + 5))
	finish_load 60
	note "$(cat "$WORK/load.out")"
	check_load_clean
	check_load_time $SLOWEST_MS
	# They have been silent for longer than they may.
	check "status, after their time" timeout $STATUS_S ublk-nbd status "$DISK"
	teardown
}

# answer_to TEXT: what comes back, one line.
answer_to() {
	printf '%s' "$1" | say_to_socket
}

# refused NAME TEXT: an answer that says no.
refused() {
	answer_to "$2" >"$WORK/answer"
	check_equal "$1: answer" false "$(json .ok <"$WORK/answer" 2>&1)"
	[ "$(json .error <"$WORK/answer")" != "" ] || fail "$1" "no sentence"
}

garbage() {
	setup
	baseline
	start_load --seconds 6
	refused "no JSON" "hello
"
	refused "an array" "[1, 2, 3]
"
	refused "an object without a verb" '{"force": true}
'
	refused "a verb that is no string" '{"verb": 7}
'
	refused "an unknown verb" '{"verb": "format"}
'
	refused "the same key twice" '{"verb": "status", "verb": "disconnect"}
'
	refused "deep nesting" "$(head -c 4000 /dev/zero | tr '\0' '[')
"
	head -c 3000 /dev/urandom | tr -d '\n' >"$WORK/noise"
	echo >>"$WORK/noise"
	say_to_socket <"$WORK/noise" >"$WORK/answer"
	check_equal "noise: answer" false "$(json .ok <"$WORK/answer" 2>&1)"
	# A line that never ends: hung up on, without an answer or with a no.
	head -c 200000 /dev/zero | tr '\0' a | say_to_socket >"$WORK/answer" 2>/dev/null
	! grep -q '"ok": *true' "$WORK/answer" || fail "a line of 200000 bytes" "got an answer"
	# Two requests in one piece: two answers.
	check_equal "two requests at once" 2 "$(answer_to '{"verb":"status"}
{"verb":"status"}
' | grep -c '"ok":true')"
	# Half a request, then gone.
	answer_to '{"verb":"sta' >/dev/null
	finish_load 40
	check_load_clean
	check_load_time $SLOWEST_MS
	check "status, after all that" timeout $STATUS_S ublk-nbd status "$DISK"
	teardown
}

# Only root may talk to it.
others_are_kept_out() {
	setup
	check_equal "mode of the directory" 700 "$(stat -c %a "$RUNTIME")"
	check_equal "mode of the socket" 600 "$(stat -c %a "$(control_socket)")"
	chmod 755 "$RUNTIME"
	chmod 666 "$(control_socket)"
	printf '{"verb":"status"}\n' | setpriv --reuid 1000 --regid 1000 --clear-groups \
		timeout 5 socat -t 2 - "UNIX-CONNECT:$(control_socket)" >"$WORK/answer" 2>/dev/null
	chmod 700 "$RUNTIME"
	[ ! -s "$WORK/answer" ] || fail "an ordinary user" "got an answer: $(head -c 200 "$WORK/answer")"
	check "status, as root" timeout $STATUS_S ublk-nbd status "$DISK"
	teardown
}

a_case() {
	CASE_TIMEOUT_S=$((90 * SCALE))
	run_case "$@"
	remove_all
	stop_server server
}

a_case "clients that never read their answers" slow_readers
a_case "garbage and lines without end" garbage
a_case "forty silent clients" silent_clients
a_case "a user who is not root" others_are_kept_out
