# SPDX-License-Identifier: MIT
# goal: a handshake that goes wrong ends connect within --connect-timeout, with the right exit code and
#       a sentence, and leaves nothing behind
# method: the hostile server breaks the handshake in each way it knows; more connections than one are
#         refused when the second does not get what the first got, and fewer are made when the second
#         hangs, within a short time of its own; with TLS, memory is locked before a server has answered
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
CONNECT_S=3

# refused EXIT-CODE GREETING [ARGUMENT...]
refused() {
	lab_code=$1
	start_hostile hostile "$SOCKET" --greeting "$2"
	shift 2
	began_ms=$(uptime_ms)
	timeout -k 5 $((30 * SCALE)) ublk-nbd connect --connect-timeout $CONNECT_S "$@" "$TARGET" \
		>"$WORK/device" 2>"$WORK/connect.log"
	lab_rc=$?
	took_ms=$(($(uptime_ms) - began_ms))
	note "$took_ms ms: $(cat "$WORK/connect.log")"
	check_equal "exit code" "$lab_code" $lab_rc
	[ $took_ms -le $((CONNECT_S * 1000 + MARGIN_MS)) ] || fail "connect" "took $took_ms ms"
	[ "$(wc -c <"$WORK/connect.log")" -gt 20 ] || fail "connect" "gives no reason"
	[ ! -s "$WORK/device" ] || fail "connect" "prints a device"
	check_nothing_left
	stop_server hostile
}

# One connection does not care what a second one would have got.
single_is_fine() {
	start_hostile hostile "$SOCKET" --greeting "$1"
	connect_disk --connections 1 "$TARGET"
	disconnect_disk
	check_nothing_left
	stop_server hostile
}

# One that hangs beside the first is left out after 2 s (twice the first one's time, from 2 to 5 s).
FURTHER_MS=5000

goes_on_without() {
	start_hostile hostile "$SOCKET" --greeting "$1" --greeting-from 2
	began_ms=$(uptime_ms)
	connect_disk --connect-timeout 60 --connections 3 "$TARGET"
	took_ms=$(($(uptime_ms) - began_ms))
	note "$took_ms ms: $(cat "$WORK/connect.log")"
	[ $took_ms -le $((FURTHER_MS + MARGIN_MS)) ] || fail "connect" "took $took_ms ms"
	check_equal "warnings" 2 "$(grep -c 'one connection less: ' "$WORK/connect.log")"
	check_equal "connections" 1 "$(ublk-nbd status -o json "$DISK" | json .connections_live)"
	check "the disk works" dd if="$DISK" of=/dev/null bs=1M count=1 iflag=direct
	disconnect_disk
	check_nothing_left
	stop_server hostile
}

a_case() {
	run_case "$@"
	remove_all
	stop_server hostile
}

for greeting in stall stall-option stall-go trickle; do
	a_case "handshake: $greeting" refused 3 $greeting
done
a_case "handshake: close" refused 3 close
for greeting in close-go garbage magic option giant endless no-export size-0 size-negative block-size; do
	a_case "handshake: $greeting" refused 4 $greeting
done
a_case "the second connection gets another size" refused 4 size-differs --connections 4
a_case "the second connection gets other flags" refused 4 flags-differ --connections 4
a_case "the second connection may send less at once" refused 4 limits-differ --connections 4
a_case "the second connection has larger blocks" refused 4 block-differs --connections 4
a_case "the second connection has other replies" refused 4 framing-differs --connections 4
a_case "one connection alone gets a size" single_is_fine size-differs
# locked PROGRAM: whether one with this name runs, and all of them have locked memory. Its helpers are forked before
# a key is read, and have names of their own.
locked() {
	lab_found=
	for lab_pid in $(pidof "$1"); do
		[ "$(cat "/proc/$lab_pid/comm")" = "$1" ] || continue
		[ "$(awk '/^VmLck:/ { print $2 }' "/proc/$lab_pid/status")" -gt 0 ] || return 1
		lab_found=yes
	done
	[ -n "$lab_found" ]
}

# locked_before PROGRAM VERB [ARGUMENT...]: the server has not said a word, no key was read yet.
locked_before() {
	lab_program=$1
	shift
	start_hostile hostile "$SOCKET" --greeting stall
	timeout -k 5 $((30 * SCALE)) ublk-nbd "$@" --connect-timeout $((CONNECT_S * SCALE)) \
		"nbds+unix:///?socket=$SOCKET&tls-hostname=lab" 2>"$WORK/connect.log" &
	lab_client=$!
	lab_old_wait=$WAIT_TIMEOUT_S
	WAIT_TIMEOUT_S=$CONNECT_S
	wait_for locked "$lab_program" || fail "$lab_program" "waits for the server, its memory not locked"
	WAIT_TIMEOUT_S=$lab_old_wait
	wait "$lab_client"
	check_nothing_left
	stop_server hostile
}

for greeting in stall trickle; do
	a_case "the second connection hangs: $greeting" goes_on_without $greeting
done
a_case "the daemon locks its memory before it reads a key" locked_before ublk-nbd-disk connect
a_case "so does info" locked_before ublk-nbd info
