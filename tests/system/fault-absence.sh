# SPDX-License-Identifier: MIT
# goal: a daemon that is stopped for longer than --timeout under load fails nothing and loses no connection,
#       plain and with TLS, on every queue; a silent server is given up all the same, however often
#       the daemon is stopped; a stop of the disk that is under way then loses nothing either
# method: SIGSTOP and SIGCONT of the daemon beside a verified load; for the counter-check the server is
#         stopped for good first
# kernels: 7.3
# long-kernels: 6.12
# cpus: 2
# timeout-s: 240
# modules: ublk_drv tls
# load: 85
# suite: test
# allow-dmesg: I/O error

# shellcheck disable=SC1091,SC2034 # /lab is tests/system/guest; the libraries read these
. /lab/data.sh
. /lab/tls-path.sh
. /lab/faults.sh

CASE_TIMEOUT_S=$((120 * SCALE))
TIMEOUT_S=$SCALE
TARGET=nbd://localhost:10809

# absent SECONDS: the daemon does not run for so long.
absent() {
	kill -STOP "$(daemon_pid "$DISK")" || fail "SIGSTOP" "of the daemon failed"
	sleep "$1"
	kill -CONT "$(daemon_pid "$DISK")"
}

# absent_with_server SECONDS: as when a host with both is suspended: the answers come after the daemon is
# back, and nothing waits for it.
absent_with_server() {
	kill -STOP "$(server_pid s)" || fail "SIGSTOP" "of the server failed"
	absent "$1"
	sleep 0.3
	kill -CONT "$(server_pid s)"
}

# survives: two absences under load, each longer than --timeout.
survives() {
	start_load --seconds $((8 * SCALE)) --region 131072
	queues=$(status_of .queues)
	[ "$queues" = 2 ] || fail "queues" "there are $queues"
	for away in absent absent_with_server; do
		$away $((2 * TIMEOUT_S))
		lab_load_before=$(disk_requests)
		wait_for lab_load_runs || fail "load" "does not go on"
	done
	finish_load 30
	check_load_clean
	[ "$(load_value slowest_ms)" -ge $((TIMEOUT_S * 1000)) ] ||
		[ "$(load_value slowest_flush_ms)" -ge $((TIMEOUT_S * 1000)) ] ||
		fail "load" "nothing waited for longer than --timeout: $(cat "$WORK/load.out")"
	note "$(cat "$WORK/load.out")"
	check_healthy
	check_equal "live connections" 2 "$(status_of .connections_live)"
	check "the log tells of it" log_has 'did not run for'
	disconnect_exits 0
}

plain_survives() {
	log_mark
	start_hostile s 10809
	connect_disk --connections 2 --timeout "$TIMEOUT_S" "$TARGET"
	survives
}

tls_survives() { # VERSION
	log_mark
	start_tls s --tls "$1" --size 16M
	connect_tls --connections 2 --timeout "$TIMEOUT_S"
	check_version "$1"
	survives
}

# Between two answers one absence counts, so the second one ends it.
silence_is_found_out() {
	start_hostile s 10809
	connect_disk --connections 1 --timeout "$TIMEOUT_S" "$TARGET"
	start_load --seconds $((100 * SCALE)) --flush 0 --until-error --region 131072
	kill -STOP "$(server_pid s)"
	absences=0
	while ! gone "$LOAD_PID" && [ $absences -lt 6 ]; do
		absent $((2 * TIMEOUT_S))
		absences=$((absences + 1))
		sleep 0.3
	done
	note "the load ended after $absences absences"
	finish_load 30
	check_load_failed $((TIMEOUT_S * 8000 + MARGIN_MS))
	[ $absences -ge 2 ] || fail "the first absence" "was not forgiven"
	[ $absences -le 3 ] || fail "a silent server" "was borne with for $absences absences"
	stop_server s KILL
	disconnect_exits 8 --force
}

# The stop's deadline is 5 s and four times --timeout; the server's flush is under way meanwhile.
flush_survives() {
	start_hostile s 10809 --delay-only flush --delay-ms 2500
	connect_disk --connections 1 --timeout 1 "$TARGET"
	check "writing" dd if=/dev/zero of="$DISK" bs=64k count=8 oflag=direct conv=nocreat
	(
		ublk-nbd disconnect "$DISK" >"$WORK/disconnect.log" 2>&1
		echo $? >"$WORK/exit"
	) &
	wait_for stopping || fail "disconnect" "does not begin"
	absent_with_server 12
	wait_for test -s "$WORK/exit" || fail "disconnect" "does not end"
	check_equal "exit code of disconnect" 0 "$(cat "$WORK/exit")"
	check_nothing_left
}

stopping() {
	[ "$(status_of .state)" = stopping ]
}

a_case() {
	run_case "$@"
	remove_all
	stop_server s KILL
}

make_pki
a_case "an absence under load" plain_survives
a_case "an absence under load, TLS 1.3" tls_survives 1.3
a_case "silence is found out" silence_is_found_out
if [ -n "$LAB_LONG" ]; then
	a_case "an absence under load, TLS 1.2" tls_survives 1.2
	a_case "an absence amid the last flush" flush_survives
fi
