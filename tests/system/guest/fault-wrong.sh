# SPDX-License-Identifier: MIT
# shellcheck shell=dash disable=SC2034
#
# A result for each row of `hostile_server --list-wrong`: see tests/system/fault-wrong-*.sh. Many rows
# share a disk: of its sixteen connections one is honest, each other does the wrong thing of one row.
# ONLY in the environment: a pattern for the rows to run. ROUND: the server's seed; in even rounds the
# payloads change places.

TIMEOUT_S=$((4 * SCALE))
SOCKET=$WORK/hostile.sock
TARGET="nbd+unix:///?socket=$SOCKET"
ROWS=15
ROUND=1
LIMIT_MS=$((TIMEOUT_S * 1000 + MARGIN_MS))
# How long after a breach its connection must be closed.
BREACH_MS=$((2500 * SCALE))

# --- a disk of many rows ---------------------------------------------------------------------------

# done_with NAME EFFECT: the server has done it, and, where the client must close, has been closed.
done_with() {
	case $2 in
	fails | harmless) grep -q "^wrong $1\$" "$WORK/hostile.log" ;;
	*) grep -q "^end $1 " "$WORK/hostile.log" ;;
	esac
}

all_done() {
	while read -r name effect; do
		done_with "$name" "$effect" || return 1
	done <"$WORK/batch"
}

# rows_with EFFECT...: how many rows of the batch.
rows_with() {
	for lab_effect; do
		grep " $lab_effect\$" "$WORK/batch"
	done | wc -l
}

# reasons_like PATTERN: how many connections were given up for such a reason.
reasons_like() {
	grep -c "$1" "$WORK/reasons"
}

check_connections() {
	status_value '.connections[] | select(.state != "live") | .reason' >"$WORK/reasons"
	sed 's/^/# /' "$WORK/reasons"
	check_equal "breaches of the protocol that the daemon saw" "$(rows_with protocol)" \
		"$(reasons_like 'broke the protocol')"
	check_equal "timeouts that the daemon saw" "$(rows_with timeout)" "$(reasons_like 'no answer')"
	check_equal "closed connections that the daemon saw" "$(rows_with closed)" \
		"$(reasons_like 'closed the connection\|receiving failed\|sending failed')"
	check_equal "servers that shut down" "$(rows_with retires)" "$(reasons_like 'shutting down')"
	check_equal "live connections" $((1 + $(rows_with fails harmless))) \
		"$(status_value .connections_live)"
}

check_daemon_log() {
	check_equal "connections in the log" "$(wc -l <"$WORK/reasons")" \
		"$(log_since_mark | grep -c 'is given up')"
	[ "$(rows_with fails)" = 0 ] || check_log 'the server failed command'
}

# run_batch FRAMING PAYLOAD: the rows of $WORK/batch, one disk.
run_batch() {
	start_hostile hostile "$SOCKET" --framing "$1" --size 8M --wrong-from 2 --seed "$ROUND" \
		--wrong "$(cut -d' ' -f1 "$WORK/batch" | paste -sd,)"
	log_mark
	lab_connections=$(($(wc -l <"$WORK/batch") + 1))
	connect_disk --timeout "$TIMEOUT_S" --queue-depth 32 --connections $lab_connections \
		--payload "$2" "$TARGET"
	check_equal "connections" $lab_connections "$(status_value .connections_live)"
	no_way_back
	# More threads than tags: the last connection is used only when all tags are.
	start_load --seconds $((120 * SCALE)) --flush 0 --threads 40 --region 131072 --max-io 16384
	lab_patience_s=$WAIT_TIMEOUT_S
	WAIT_TIMEOUT_S=$((45 * SCALE))
	wait_for all_done || note "not all is done: $(tr '\n' ' ' <"$WORK/hostile.log")"
	WAIT_TIMEOUT_S=$lab_patience_s
	sleep 0.5
	kill "$LOAD_PID"
	finish_load 30
	cp "$WORK/hostile.log" "$WORK/seen"
	note "$1 ($2): $(cat "$WORK/load.out" "$WORK/load.err")"
	check_equal "wrong bytes" 0 "$(load_value wrong)"
	[ "$(rows_with harmless)" = "$(wc -l <"$WORK/batch")" ] ||
		check_equal "status of the load" 3 "$LOAD_STATUS"
	check_connections
	check_daemon_log
	check_load_time "$LIMIT_MS"
	# What was under way on a lost connection failed: then FLUSH does, too.
	disconnect_exits "$(exit_code_of_leaving)"
	check_nothing_left
	stop_server hostile
}

exit_code_of_leaving() {
	[ "$(status_value .server.flush_fails)" = true ] && echo 8 || echo 0
}

# judge_row FRAMING NAME EFFECT: what the server saw.
judge_row() {
	took_ms=$(sed -n "s/^end $2 //p" "$WORK/seen" | head -n 1)
	if ! grep -q "^wrong $2\$" "$WORK/seen"; then
		fail "$1: $2" "the server never did it"
	elif [ "$3" = fails ] || [ "$3" = harmless ]; then
		[ -z "$took_ms" ] || fail "$1: $2" "the connection was closed after $took_ms ms" && pass "$1: $2"
	elif [ -z "$took_ms" ]; then
		fail "$1: $2" "the connection was not closed"
	elif [ "$3" = retires ] && ! grep -q "^left $2\$" "$WORK/seen"; then
		fail "$1: $2" "the client did not say DISC"
	elif [ "$3" = protocol ] && [ "$took_ms" -gt "$BREACH_MS" ]; then
		fail "$1: $2" "the connection was closed only $took_ms ms after"
	elif [ "$took_ms" -gt "$LIMIT_MS" ]; then
		fail "$1: $2" "the connection was closed $took_ms ms after, --timeout is $TIMEOUT_S s"
	else
		pass "$1: $2"
	fi
}

batch() {
	: >"$WORK/seen"
	CASE_TIMEOUT_S=$((150 * SCALE))
	run_case "$1: a load over $(wc -l <"$WORK/batch") bad connections ($2)" run_batch "$1" "$2"
	while read -r name effect; do
		judge_row "$1" "$name" "$effect"
	done <"$WORK/batch"
	clean_up
}

# run_rows FRAMING: every row (or one of ROW_STEP), fifteen at a time; mapped buffers and user copy take turns.
run_rows() {
	lab_payload=mapped
	[ $((ROUND % 2)) = 1 ] || lab_payload=user-copy
	hostile_server --list-wrong | sed -n "s/^$1 //p" | while read -r name effect; do
		# shellcheck disable=SC2254 # it is a pattern
		case $name in ${ONLY:-*}) echo "$name $effect" ;; esac
	done | awk -v step="${ROW_STEP:-1}" 'NR % step == 1 || step == 1' >"$WORK/rows"
	lab_first=1
	while sed -n "$lab_first,$((lab_first + ROWS - 1))p" "$WORK/rows" >"$WORK/batch" && [ -s "$WORK/batch" ]; do
		batch "$1" $lab_payload
		lab_first=$((lab_first + ROWS))
		if [ $lab_payload = mapped ]; then lab_payload=user-copy; else lab_payload=mapped; fi
	done
}

# --- a disk with one connection ----------------------------------------------------------------------

# expect_dead: with its only connection given up every request fails at once, and status tells why.
expect_dead() {
	check_equal "live connections" 0 "$(status_value .connections_live)"
	[ -n "$(status_value '.connections[0].reason')" ] || fail "status" "gives no reason"
	began_ms=$(uptime_ms)
	expect_fail "a read of the dead disk" dd if="$DISK" of=/dev/null bs=4k count=1 iflag=direct
	[ $(($(uptime_ms) - began_ms)) -lt $((2000 * SCALE)) ] || fail "a read of the dead disk" "takes long"
}

# last_connection FRAMING NAME PATTERN: all I/O ends with an error, and the disk can be removed. Writes
# were acknowledged that nothing can flush any more: disconnect must say so.
last_connection() {
	start_hostile hostile "$SOCKET" --framing "$1" --wrong "$2" --wrong-after 60 --size 8M
	log_mark
	connect_disk --timeout "$TIMEOUT_S" --queue-depth 32 --connections 1 "$TARGET"
	no_way_back
	start_load --until-dead --seconds $((20 * SCALE))
	finish_load 50
	note "$1 $2: $(cat "$WORK/load.out")"
	check_load_failed "$LIMIT_MS"
	check_log "$3"
	expect_dead
	disconnect_exits 6
	check "its message" grep -q 'not flushed' "$WORK/disconnect.log"
	disconnect_exits 8 --force
	check_nothing_left
	stop_server hostile
}

run_last_connection() {
	CASE_TIMEOUT_S=$((90 * SCALE))
	run_case "$1: the last connection is lost to $2" last_connection "$@"
	clean_up
}

clean_up() {
	stop_server hostile
	remove_all
}
