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
	qemu-nbd) start_qemu_nbd server $FIO_PORT -f raw --discard=unmap "$WORK/disk" ;;
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
	*) framing=simple ;;
	esac
	check_equal "framing" $framing "$(status_of .framing)"
	check_equal "payload" "$3" "$(status_of .payload)"
	check_equal "queues" "$2" "$(status_of .queues)"
	check_equal "queues in sysfs" "$2" "$(find "/sys/block/${DISK##*/}/mq" -mindepth 1 -maxdepth 1 | wc -l)"
	check_equal "connections in use" "$2" "$(status_of .connections_live)"
	check_equal "sockets open" "$2" "$(fio_sockets)"
}

# Four pinned jobs, so that each queue gets some; a fifth with other sizes; trims beside them.
fio_jobs() {
	fio --filename="$DISK" --direct=1 --ioengine=libaio --iodepth="$1" --randseed="$SEED" \
		--verify=crc32c --verify_fatal=1 --verify_state_save=0 --thread \
		--name=split --rw=randrw --bssplit=512/25:4k/30:16k/15:64k/20:256k/10 \
		--size=8m --numjobs=4 --offset_increment=8m --cpus_allowed=0-3 --cpus_allowed_policy=split \
		--name=range --rw=randrw --bsrange=512-1m --size=16m --offset=32m \
		--name=trim --rw=randtrim --bssplit=512/10:4k/30:16k/20:64k/20:1m/20 --size=16m --offset=48m
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
	check "fio" fio_jobs "$4"
	fio_check_spread
	same_bytes "$TARGET"
	check "what was trimmed reads as zeroes" cmp -n $((16 << 20)) -i $((48 << 20)):0 "$DISK" /dev/zero
	check "torture" disk_torture -d "$4" -b 16M -n 800 -s "$SEED" -t -z -u "$TARGET" "$DISK"
	check_equal "block requests that failed" 0 "$(status_of .stats.errors)"
	check_equal "connections lost" 0 "$(status_of .stats.connections_lost)"
	sum=$(sha256sum <"$DISK")
	disconnect_disk
	check_equal "the export afterwards" "$sum" "$(nbdcopy "$TARGET" - | sha256sum)"
	stop_server server
}

# run_verify SERVER CONNECTIONS PAYLOAD DEPTH: as a case.
run_verify() {
	clean_slate
	run_case "$1, $2 connection(s), $3, depth $4, seed $SEED" fio_row "$@"
}
