# SPDX-License-Identifier: MIT
# goal: a deep queue on a slow link takes longer than --timeout and is no dead server; a server that
#       then stops answering is found out within --timeout, one that trickles within eight times that, and
#       one that never answers a TRIM or WRITE_ZEROES within four times that
# method: nbdkit's rate filter at 4 MB/s, one request at a time as a link is; 64 MiB in flight at once,
#         --timeout 4: all of it is written and read. Then the server is stopped amid the writes:
#         they end in time. At last a server that needs most of --timeout for each request
# kernels: 7.3
# cpus: 2
# timeout-s: 240
# modules: ublk_drv
# load: 70
# suite: test
# allow-dmesg: I/O error

# shellcheck disable=SC1091,SC2034 # /lab is tests/system/guest; the libraries read these
. /lab/faults.sh

CASE_TIMEOUT_S=$((120 * SCALE))
TIMEOUT_S=$((4 * SCALE))

start_slow() {
	start_nbdkit slow 10809 -t 1 --filter=rate memory 128M rate=$((32 / SCALE))M
	connect_disk --connections 1 --timeout "$TIMEOUT_S" nbd://localhost
}

# deep read|write: one process, 64 requests of 1 MiB at once.
deep() {
	fio --name=deep --filename="$DISK" --direct=1 --ioengine=io_uring --rw="$1" --bs=1M --size=64M \
		--iodepth=64 --iodepth_batch_submit=64
}

slow_is_not_dead() {
	start_slow
	for kind in write read; do
		started=$(uptime_ms)
		check "$kind" deep $kind
		took=$(($(uptime_ms) - started))
		note "$kind: $took ms"
		[ $took -gt $((TIMEOUT_S * 1500)) ] || fail "$kind" "was too fast to show anything: $took ms"
	done
	check_equal "connections given up" 0 "$(status_value .stats.connections_lost)"
	disconnect_disk
}

some_are_done() {
	[ "$(disk_requests)" -gt $((before + 4)) ]
}

dead_is_dead() {
	start_slow
	before=$(disk_requests)
	deep write >"$WORK/fio.log" 2>&1 &
	fio=$!
	wait_for some_are_done || fail "writing" "does not start"
	kill -STOP "$(server_pid slow)"
	stopped=$(uptime_ms)
	wait_for gone $fio || fail "writing" "goes on although the server has stopped"
	took=$(($(uptime_ms) - stopped))
	note "ended after $took ms"
	check "it failed" grep -q 'error=Input/output error' "$WORK/fio.log"
	[ $took -le $((TIMEOUT_S * 1000 + MARGIN_MS)) ] || fail "the writes" "ended $took ms after the server"
	disconnect_exits 8 --force
}

# Each answer is in time; the fortieth comes far too late for who asked for it.
a_trickle_ends() {
	start_hostile slow 10809 --gather 1 --delay-ms $((600 * SCALE))
	connect_disk --connections 1 --timeout "$SCALE" nbd://localhost
	started=$(uptime_ms)
	fio --name=trickle --filename="$DISK" --direct=1 --ioengine=io_uring --rw=randread --bs=4k \
		--size=160k --iodepth=40 --iodepth_batch_submit=40 >"$WORK/fio.log" 2>&1
	took=$(($(uptime_ms) - started))
	note "ended after $took ms"
	check "it failed" grep -q 'error=Input/output error' "$WORK/fio.log"
	[ $took -gt $((SCALE * 2000)) ] || fail "the reads" "ended after $took ms: not a trickle"
	[ $took -le $((SCALE * 8000 + MARGIN_MS)) ] || fail "the reads" "ended after $took ms"
	disconnect_exits 0
}

# never_answered COMMAND BLKDISCARD-OPTION...: by a server that answers everything else.
never_answered() {
	deaf=$1
	shift
	start_hostile slow 10809 --deaf "$deaf"
	connect_disk --connections 1 --timeout "$SCALE" nbd://localhost
	check "reading" dd if="$DISK" of=/dev/null bs=64k count=1 iflag=direct
	started=$(uptime_ms)
	timeout -k 5 $((60 * SCALE)) blkdiscard "$@" --length 1048576 "$DISK" >"$WORK/discard.log" 2>&1
	code=$?
	took=$(($(uptime_ms) - started))
	note "$deaf ended with $code after $took ms: $(cat "$WORK/discard.log")"
	check_equal "exit status of blkdiscard" 1 $code
	check "it failed" grep -q 'Input/output error' "$WORK/discard.log"
	[ $took -gt $((SCALE * 2000)) ] || fail "$deaf" "ended after $took ms: it has four times as long"
	[ $took -le $((SCALE * 4000 + MARGIN_MS)) ] || fail "$deaf" "ended after $took ms"
	disconnect_exits 8
}

a_trim_ends() {
	never_answered trim
}

zeroing_ends() {
	never_answered zeroes -z
}

for verb in slow_is_not_dead dead_is_dead a_trickle_ends a_trim_ends zeroing_ends; do
	run_case "$(echo $verb | tr _ ' ')" $verb
	remove_all
	stop_server slow KILL
done
