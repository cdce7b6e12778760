# SPDX-License-Identifier: MIT
# goal: over TLS no reader ever gets a wrong byte: a record that is damaged, doubled, dropped or out of
#   order, and a stream that ends, cost the connection and give EIO; tickets, KeyUpdates and records
#   of any shape, cut anywhere, cost nothing
# method: the tests' own OpenSSL server does each of these in mid-transfer, under a verified load at
#   depth 32, over TLS 1.3 and over TLS 1.2, there in the kernel and in the daemon
# kernels: 7.3
# long-kernels: 7.3
# memory-mb: 1536
# timeout-s: 900
# modules: ublk_drv tls
# suite: test

# shellcheck disable=SC1091,SC2034 # /lab is tests/system/guest; the libraries read these
. /lab/data.sh
. /lab/faults.sh
. /lab/tls-path.sh

TIMEOUT_S=$((4 * SCALE))
LIMIT_MS=$((TIMEOUT_S * 1000 + MARGIN_MS))

server_line() {
	grep "$1" "$WORK/s.log" | tail -n 1
}

# server_count NAME: of what the server's connections said at their end, all together.
server_count() {
	sed -n "s/^end: .*\<$1=\([0-9]*\).*/\1/p" "$WORK/s.log" | awk '{ n += $1 } END { print n + 0 }'
}

connect_load() { # KTLS CONNECTIONS
	connect_tls --ktls "$1" --connections "$2" --timeout "$TIMEOUT_S" --queue-depth 32
	log_mark
	expect_modes "$1"
}

# --- what is legal -------------------------------------------------------------------------------

# harmless VERSION KTLS CONNECTIONS OPTION...: of the server.
harmless() {
	harmless_version=$1
	harmless_ktls=$2
	harmless_connections=$3
	shift 3
	start_tls s --tls "$harmless_version" --size 4M "$@"
	connect_load "$harmless_ktls" "$harmless_connections"
	check_version "$harmless_version"
	${AT_START:-:}
	start_load --seconds $((LOAD_S * SCALE)) --seed "$SEED" --region 131072 --max-io "${MAX_IO:-32768}"
	finish_load $((LOAD_S + 60))
	note "$(cat "$WORK/load.out")"
	check_load_clean
	check_healthy
	disconnect_disk
	stop_server s
	note "the server: tickets $(server_count tickets), KeyUpdates $(server_count updates_sent), asked for $(server_count updates_asked), heard $(server_count updates_heard)"
}

happened() { # NAME LEAST
	[ "$(server_count "$1")" -ge "$2" ] || fail "$1" "are $(server_count "$1"), less than $2: the test shows nothing"
}

# The tickets of the first connection open the others.
some_are_resumed() {
	resumed=$(status_of '.connections[].tls.resumed' | grep -c true)
	[ "$resumed" -ge 1 ] || fail "resumed connections" "are $resumed"
	note "$resumed connections are resumed"
}

with_tickets() {
	[ "$2" = 1 ] || AT_START=some_are_resumed
	harmless 1.3 "$1" "$2" --tickets 5 --records mixed
	happened tickets 20
}

with_key_updates() {
	harmless 1.3 "$1" "$2" --key-updates 5 --records mixed
	happened updates_asked 10
	happened updates_sent 20
	# One answer may be for several that were asked for, but not for all.
	happened updates_heard 5
}

with_everything() {
	harmless 1.3 auto 4 --tickets 9 --key-updates 9 --records mixed --padding 512 --pieces random
	happened tickets 20
	happened updates_heard 5
}

# --- what is not ---------------------------------------------------------------------------------

# condemned VERSION KTLS FAULT RECORD PATTERN: the connection is lost by it, at once or, where the
# client cannot tell it from a server that is slow, by the deadline.
condemned() {
	start_tls s --tls "$1" --size 4M --fault "$3" --fault-at "$4"
	connect_load "$2" 1
	start_load --seconds $((60 * SCALE)) --seed "$SEED" --flush 0 --region 131072 --max-io 32768 --until-error
	finish_load 90
	note "$(cat "$WORK/load.out"); $(server_line '^fault:')"
	server_line '^fault' | grep -q . || fail "fault" "the server never did it: $(tail -n 3 "$WORK/s.log")"
	check_equal "wrong bytes" 0 "$(load_value wrong)"
	check_load_failed "$LIMIT_MS"
	check_equal "error" EIO "$(load_value error)"
	[ "$(load_value reads)" -gt 40 ] || fail "the fault" "came before the transfer: $(cat "$WORK/load.out")"
	log_since_mark | sed -n 's/; [0-9]* requests* in flight$//; s/failed: [A-Z].*/failed/; s/.*is given up: //p' |
		head -n 1 >"$WORK/reason"
	note "reason: $(cat "$WORK/reason")"
	grep -qE "$5" "$WORK/reason" || fail "reason" "'$(cat "$WORK/reason")' says nothing of '$5'"
	check "no wrong byte reached the server's disk" verified_load --audit "$WORK/export"
	# It is dialled again; what it had acknowledged before is in doubt.
	wait_for is_live || fail "state" "$(status_of .state)"
	disconnect_exits 8
	check_nothing_left
	stop_server s
}

is_live() {
	[ "$(status_of .state)" = live ]
}

hostile_case() {
	remove_all
	tls_case "$@"
}

# reason_of KTLS FAULT: what the daemon must say of it. Of a header that cannot be, the kernel says EINVAL
# or EMSGSIZE, to whoever asks first, receiver or sender; where a length has grown, only the deadline
# tells. Of a record that is no data the kernel says EIO. A server that has closed may answer with a reset.
reason_of() {
	case $2:$1 in
	flip-header:on) echo 'not a valid TLS record|receiving failed|sending failed|no answer' ;;
	flip-header:*) echo 'not a valid TLS record|no answer' ;;
	flip-received:*) echo 'ended TLS|receiving failed$|sending failed$|no answer' ;;
	hello-request:off) echo 'ended TLS|receiving failed$|sending failed$' ;;
	close-notify:on | hello-request:on) echo 'ended TLS' ;;
	truncate:* | half-close:* | close-notify:*) echo 'closed the connection' ;;
	*) echo 'not a valid TLS record' ;;
	esac
}

ALL_FAULTS="flip flip-header replay drop swap plaintext truncate half-close close-notify flip-received"
SOME_FAULTS="flip flip-header replay drop plaintext truncate close-notify flip-received"
FEW_FAULTS="flip truncate flip-received"

# faults VERSION KTLS FAULT...
faults() {
	version=$1
	ktls=$2
	shift 2
	record=$((100 + SEED % 7))
	for fault; do
		record=$((record + 13))
		hostile_case "TLS $version, --ktls=$ktls, $fault" condemned "$version" "$ktls" "$fault" "$record" \
			"$(reason_of "$ktls" "$fault")"
	done
}

note "seed $SEED"
make_pki
LOAD_S=${LOAD_S:-3}
[ -z "${LAB_LONG:-}" ] || {
	hostile_case "tickets" with_tickets off 1
	hostile_case "KeyUpdates" with_key_updates off 1
	MAX_IO=4096
	hostile_case "tiny records, TLS 1.3" harmless 1.3 off 1 --records tiny
	hostile_case "byte by byte, TLS 1.3" harmless 1.3 off 1 --pieces bytes
	hostile_case "byte by byte, TLS 1.2 in the kernel" harmless 1.2 on 1 --pieces bytes
	hostile_case "records cut at every byte, TLS 1.3" harmless 1.3 off 1 --pieces walk
	MAX_IO=
}
hostile_case "tickets, kernel TLS asked for, 4 connections" with_tickets on 4
hostile_case "KeyUpdates, kernel TLS asked for, 4 connections" with_key_updates on 4
MAX_IO=4096
hostile_case "tiny records, TLS 1.2 in the kernel" harmless 1.2 on 1 --records tiny
MAX_IO=
hostile_case "records cut at every byte, TLS 1.2 in the kernel" harmless 1.2 on 1 --pieces walk
hostile_case "maximal padded records" harmless 1.3 auto 1 --padding 16384
hostile_case "all at once, 4 connections" with_everything
[ -z "${LAB_LONG:-}" ] || SOME_FAULTS=$ALL_FAULTS FEW_FAULTS=$ALL_FAULTS
# shellcheck disable=SC2086 # words
faults 1.3 auto $SOME_FAULTS
# shellcheck disable=SC2086
faults 1.2 on $FEW_FAULTS hello-request
# shellcheck disable=SC2086
[ -z "${LAB_LONG:-}" ] || faults 1.2 off $ALL_FAULTS hello-request
