# SPDX-License-Identifier: MIT
# shellcheck shell=dash
#
# One case for each row of `hostile_server --list-wrong`: see tests/system/fault-wrong-*.sh.
# ONLY in the environment: a pattern for the rows to run.

TIMEOUT_S=2
SOCKET=$WORK/hostile.sock
# Seconds after which a load that met nothing wrong ends by itself.
LOAD_S=${LOAD_S:-6}

# expect_effect EFFECT: what the load saw and the daemon said.
expect_effect() {
	limit_ms=$((TIMEOUT_S * 1000 + MARGIN_MS))
	case $1 in
	protocol)
		check_load_failed "$limit_ms"
		check_log 'the server broke the protocol: '
		;;
	timeout)
		check_load_failed "$limit_ms"
		check_log 'no answer to command'
		;;
	closed)
		check_load_failed "$limit_ms"
		check_log 'the server closed the connection\|receiving failed\|sending failed'
		;;
	fails)
		check_load_failed "$limit_ms"
		check_log 'the server failed command'
		check_equal "live connections" 1 "$(status_value .connections_live)"
		;;
	harmless)
		check_load_clean
		check_equal "live connections" 1 "$(status_value .connections_live)"
		;;
	*) fail "effect" "what is '$1'?" ;;
	esac
}

# expect_dead: with its only connection condemned every request fails at once, and status tells why.
expect_dead() {
	check_equal "live connections" 0 "$(status_value .connections_live)"
	[ -n "$(status_value '.connections[0].reason')" ] || fail "status" "gives no reason"
	began_ms=$(uptime_ms)
	expect_fail "a read of the dead disk" dd if="$DISK" of=/dev/null bs=4k count=1 iflag=direct
	[ $(($(uptime_ms) - began_ms)) -lt 1500 ] || fail "a read of the dead disk" "takes long"
}

# one_wrong FRAMING NAME EFFECT PAYLOAD
one_wrong() {
	start_hostile hostile "$SOCKET" --framing "$1" --wrong "$2" --size 8M
	log_mark
	connect_disk --timeout "$TIMEOUT_S" --queue-depth 32 --connections 1 --payload "$4" \
		"nbd+unix:///?socket=$SOCKET"
	start_load --until-error --seconds "$LOAD_S" --flush 0
	finish_load $((LOAD_S + TIMEOUT_S + 20))
	note "$1 $2 ($3, $4): $(cat "$WORK/load.out")"
	grep -q "^wrong $2" "$WORK/hostile.log" || fail "server" "never did it"
	expect_effect "$3"
	case $3 in
	fails | harmless) ;;
	*) expect_dead ;;
	esac
	disconnect_disk
	check_nothing_left
	stop_server hostile
}

# run_framing FRAMING
run_framing() {
	CASE_TIMEOUT_S=60
	payload=mapped
	hostile_server --list-wrong >"$WORK/list"
	while read -r framing name effect; do
		[ "$framing" = "$1" ] || continue
		# shellcheck disable=SC2254 # it is a pattern
		case $name in ${ONLY:-*}) ;; *) continue ;; esac
		case $effect in harmless) LOAD_S=2 ;; *) LOAD_S=6 ;; esac
		run_case "$framing: $name" one_wrong "$framing" "$name" "$effect" $payload </dev/null
		clean_up
		if [ $payload = mapped ]; then payload=user-copy; else payload=mapped; fi
	done <"$WORK/list"
}

# What a failed case left must not fail the next one.
clean_up() {
	stop_server hostile
	no_process && no_device && return
	timeout -k 5 30 ublk-nbd disconnect --all --force >/dev/null 2>&1
}
