# SPDX-License-Identifier: MIT
# shellcheck shell=dash
#
# One row of the verification: a server, a disk made of it, fio and disk_torture on it. To be read
# after data.sh.

FIO_EXPORT_MB=${FIO_EXPORT_MB:-64}
FIO_PORT=10809
SEED=${SEED:-1}

# fio_serve SERVER: starts it; sets TARGET, what libnbd and we connect to.
fio_serve() {
	TARGET=nbd://localhost:$FIO_PORT
	rm -f "$WORK/disk"
	truncate -s "${FIO_EXPORT_MB}M" "$WORK/disk"
	case $1 in
	nbdkit) start_nbdkit server $FIO_PORT memory "${FIO_EXPORT_MB}M" ;;
	nbdkit-no-sr) start_nbdkit server $FIO_PORT --no-sr memory "${FIO_EXPORT_MB}M" ;;
	nbd-server)
		TARGET=$TARGET/disk
		start_forking_nbd_server server $FIO_PORT "$WORK/disk" 'trim = true' 'flush = true' 'fua = true'
		;;
	qemu-nbd | qemu-nbd-extended) start_qemu_nbd server $FIO_PORT -f raw --discard=unmap "$WORK/disk" ;;
	esac
}

# Established connections to the server, on the client's side.
fio_sockets() {
	ss -H -t -n state established "dport = :$FIO_PORT" | wc -l
}

# fio_check_shape SERVER CONNECTIONS PAYLOAD: what was granted is what was asked for.
fio_check_shape() {
	case $1 in
	nbdkit | qemu-nbd) framing=structured ;;
	qemu-nbd-extended) framing=extended ;;
	*) framing=simple ;;
	esac
	check_equal "framing" $framing "$(status_of .framing)"
	check_equal "payload" "$3" "$(status_of .payload)"
	check_equal "queues" "$2" "$(status_of .queues)"
	check_equal "queues in sysfs" "$2" "$(find "/sys/block/${DISK##*/}/mq" -mindepth 1 -maxdepth 1 | wc -l)"
	check_equal "connections in use" "$2" "$(status_of .connections_live)"
	check_equal "sockets open" "$2" "$(fio_sockets)"
}

# Four pinned jobs, so that each queue gets some; a fifth with other sizes; trims beside them. At depth
# 1 they follow each other, with less to do: one request is in flight, and no more.
fio_jobs() {
	depth=$1
	stonewall=
	split_mb=8
	range_mb=16
	if [ "$depth" = 1 ]; then
		stonewall=--stonewall
		split_mb=3
		range_mb=6
	fi
	set --
	for cpu in 0 1 2 3; do
		set -- "$@" --name=split$cpu --cpus_allowed=$cpu --offset=$((16 + 8 * cpu))m --size=${split_mb}m --rw=randrw \
			--bssplit=512/25:4k/30:16k/15:64k/20:256k/10 $stonewall
	done
	fio --filename="$DISK" --direct=1 --ioengine=libaio --iodepth="$depth" --randseed="$SEED" \
		--verify=crc32c --verify_fatal=1 --verify_state_save=0 --thread "$@" \
		--name=range --rw=randrw --bsrange=512-1m --size=${range_mb}m --offset=48m $stonewall \
		--name=trim --rw=randtrim --bssplit=512/10:4k/30:16k/20:64k/20:1m/20 --size=16m $stonewall
}

# fio_watch_depth: the most requests in flight, as the kernel counts them, how often we looked and how
# often there was more than one, into $WORK/depth, until $WORK/watch is gone.
fio_watch_depth() {
	most=0
	looks=0
	several=0
	while [ -e "$WORK/watch" ]; do
		read -r reads writes <"/sys/block/${DISK##*/}/inflight"
		looks=$((looks + 1))
		[ $((reads + writes)) -le $most ] || most=$((reads + writes))
		[ $((reads + writes)) -le 1 ] || several=$((several + 1))
		sleep 0.1
	done
	echo $most $looks $several >"$WORK/depth"
}

# The kernel adds its CPUs' counts up one after the other: a job that goes on on another CPU meanwhile is
# now and then counted twice.
fio_run() {
	: >"$WORK/watch"
	fio_watch_depth &
	watcher=$!
	check "fio" fio_jobs "$1"
	rm "$WORK/watch"
	wait $watcher
	read -r most looks several <"$WORK/depth"
	note "$most requests in flight at most, more than one $several of $looks times"
	[ "$looks" -ge 20 ] || fail "requests in flight" "looked $looks times only"
	if [ "$1" = 1 ]; then
		[ $((several * 10)) -le "$looks" ] || fail "requests in flight" "more than one $several of $looks times"
	else
		[ "$most" -ge 32 ] || fail "requests in flight" "no more than $most"
	fi
}

# What the trims alone will change, all of it, is not zeroes before. It is the disk's first part: nbd-server
# 3.24 takes trims of the second half and does nothing.
TRIMS_MB=16

fio_fill() {
	dd if=/dev/urandom of="$DISK" bs=1M count=$TRIMS_MB oflag=direct
}

# Each connection carried its part.
fio_check_spread() {
	ss -H -t -n -i state established "dport = :$FIO_PORT" >"$WORK/ss"
	least=$(grep -o 'bytes_sent:[0-9]*' "$WORK/ss" | cut -d: -f2 | sort -n | head -n 1)
	[ "${least:-0}" -gt 100000 ] || fail "each connection carries its part" "one has sent $least bytes"
}

fio_row() {
	fio_serve "$1"
	connect_disk --connections "$2" --payload "$3" "$TARGET"
	fio_check_shape "$1" "$2" "$3"
	check "fill" fio_fill
	fio_run "$4"
	fio_check_spread
	[ "$(status_of .stats.trims)" -gt 0 ] || fail "trims" "none was sent"
	check "what was trimmed reads as zeroes" cmp -n $((TRIMS_MB << 20)) "$DISK" /dev/zero
	check "torture" disk_torture -d "$4" -b 16M -n "${FIO_TORTURE:-250}" -s "$SEED" -t -z -u "$TARGET" "$DISK"
	check_equal "block requests that failed" 0 "$(status_of .stats.errors)"
	check_equal "connections lost" 0 "$(status_of .stats.connections_lost)"
	sync "$DISK"
	drop_caches
	sum=$(md5sum <"$DISK")
	disconnect_disk
	check_equal "the server's bytes, through libnbd" "$sum" "$(nbdcopy "$TARGET" - | md5sum)"
	stop_server server
}

# run_verify SERVER CONNECTIONS PAYLOAD DEPTH: as a case.
run_verify() {
	clean_slate
	run_case "$1, $2 connection(s), $3, depth $4, seed $SEED" fio_row "$@"
}

# --- depth ---------------------------------------------------------------------------------------

in_flight_is() {
	[ "$(status_of '.connections[0].in_flight')" = "$1" ] &&
		awk -v n="$1" '{ exit $1 + $2 != n }' "/sys/block/${DISK##*/}/inflight"
}

# One job at a server that takes half a second for each request, but all of them at once: the kernel's
# and our own count of what is in flight reach the depth, to the request.
fio_reaches() {
	start_nbdkit server $FIO_PORT -t "$1" --filter=delay memory 64M rdelay=500ms
	connect_disk --connections 1 --payload "$2" nbd://localhost:$FIO_PORT
	fio --filename="$DISK" --direct=1 --ioengine=libaio --iodepth="$1" --name=x --rw=randread --bs=4k \
		--size=64m --time_based --runtime=$((WAIT_TIMEOUT_S / 2)) >"$WORK/fio.log" 2>&1 &
	load=$!
	wait_for in_flight_is "$1" || fail "in flight" \
		"$(status_of '.connections[0].in_flight'), $(cat "/sys/block/${DISK##*/}/inflight"); not $1"
	kill -INT $load
	wait $load
	check_equal "block requests that failed" 0 "$(status_of .stats.errors)"
	disconnect_disk
	stop_server server
}

# run_reaches DEPTH PAYLOAD: as a case.
run_reaches() {
	clean_slate
	run_case "$1 requests are in flight at once, $2" fio_reaches "$@"
}
