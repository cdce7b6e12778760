# SPDX-License-Identifier: MIT
# goal: replies in any order that NBD allows are right: reversed, shuffled, in many pieces that mix with
#       those of other requests, byte by byte, and before their request has been sent in whole; one
#       part of a split request that fails fails that request and no other
# method: the hostile server in its legal modes, under a verified load at depth 32 and fio's crc32c
# kernels: 7.3
# cpus: 2
# timeout-s: 400
# modules: ublk_drv
# suite: test

# shellcheck disable=SC1091,SC2034 # /lab is tests/system/guest; the libraries read these
. /lab/faults.sh

SOCKET=$WORK/hostile.sock
UNIX="nbd+unix:///?socket=$SOCKET"
LOAD_S=${LOAD_S:-3}

# clean_load PAYLOAD LOAD-OPTIONS SERVER-OPTION...: not one error, over the unix socket.
clean_load() {
	lab_payload=$1
	lab_load=$2
	shift 2
	start_hostile hostile "$SOCKET" --size 40M "$@"
	connect_disk --timeout 10 --queue-depth 32 --connections 1 --payload "$lab_payload" "$UNIX"
	# shellcheck disable=SC2086 # words
	start_load --seconds "$LOAD_S" $lab_load
	finish_load $((LOAD_S + 25))
	note "$(cat "$WORK/load.out")"
	check_load_clean
	check_equal "live connections" 1 "$(status_value .connections_live)"
	disconnect_disk
	check_nothing_left
	stop_server hostile
}

# Writes far larger than the socket's buffer: their replies are there while they are still being sent.
early_over_tcp() {
	start_hostile hostile 10809 --size 40M --early --framing "$1"
	connect_disk --timeout 10 --queue-depth 32 --connections 1 --payload "$2" nbd://127.0.0.1
	start_load --seconds "$LOAD_S" --max-io 1048576 --region 1048576 --reads 20
	finish_load $((LOAD_S + 25))
	note "$(cat "$WORK/load.out")"
	check_load_clean
	disconnect_disk
	check_nothing_left
	stop_server hostile
}

fio_verifies() {
	start_hostile hostile "$SOCKET" --size 40M --order interleave --split 12 --holes --gather 32
	connect_disk --timeout 20 --queue-depth 64 --connections 1 "$UNIX"
	check "fio" timeout -k 5 50 fio --name=odd --filename="$DISK" --direct=1 --ioengine=libaio \
		--iodepth=32 --rw=randrw --rwmixread=30 --bsrange=512-128k --bs_unaligned=0 --blockalign=512 \
		--size=8M --verify=crc32c --verify_fatal=1 --verify_backlog=64
	disconnect_disk
	stop_server hostile
}

# A MiB in 256 pieces of 4 KiB, in any order: more than a hundred of them lie apart for a while.
scattered() {
	start_hostile hostile "$SOCKET" --size 40M --split 256 --gather 8
	connect_disk --timeout 10 --connections 1 --payload "$1" "$UNIX"
	check "fio" timeout -k 5 50 fio --name=big --filename="$DISK" --direct=1 --ioengine=libaio \
		--iodepth=8 --rw=write --bs=1M --size=24M --verify=crc32c --verify_fatal=1
	check_equal "connections lost" 0 "$(status_value .stats.connections_lost)"
	disconnect_disk
	check_nothing_left
	stop_server hostile
}

# A request of 1 MiB is sixteen parts of 64 KiB: when one fails the request does, its neighbours do not.
part_of() {
	start_hostile hostile "$SOCKET" --size 40M --payload-max 64K --fail-offset 12583000 --framing "$1" \
		--order shuffle
	log_mark
	connect_disk --timeout 10 --queue-depth 32 --connections 1 --payload "$2" "$UNIX"
	start_load --seconds "$LOAD_S" --max-io 262144
	for lab_mib in 11 13; do
		check "reading MiB $lab_mib" dd if="$DISK" of=/dev/null bs=1M count=1 skip=$lab_mib iflag=direct
		check "writing MiB $lab_mib" dd if=/dev/zero of="$DISK" bs=1M count=1 seek=$lab_mib oflag=direct conv=nocreat
	done
	expect_fail "reading MiB 12" dd if="$DISK" of=/dev/null bs=1M count=1 skip=12 iflag=direct
	check "as an input error" grep -q 'Input/output error' "$WORK/failed-output"
	expect_fail "writing MiB 12" dd if=/dev/zero of="$DISK" bs=1M count=1 seek=12 oflag=direct conv=nocreat
	check "as an output error" grep -q 'Input/output error' "$WORK/failed-output"
	finish_load $((LOAD_S + 25))
	check_load_clean
	check_log 'the server failed command 0 at .*NBD_EIO'
	check_log 'the server failed command 1 at .*NBD_EIO'
	[ "$(status_value .stats.errors)" -ge 2 ] || fail "status" "counts no errors"
	check_equal "live connections" 1 "$(status_value .connections_live)"
	disconnect_disk
	check_nothing_left
	stop_server hostile
}

a_case() {
	lab_case_title=$1
	shift
	run_case "$lab_case_title" "$@"
	stop_server hostile
	remove_all
}

a_case "reversed, simple replies" clean_load mapped "" --framing simple --order reverse --gather 32
a_case "shuffled, simple replies" clean_load user-copy "" --framing simple --order shuffle --gather 32
a_case "chunks interleaved, holes" clean_load mapped "" --order interleave --split 16 --holes --gather 32
a_case "chunks interleaved, holes, user copy" clean_load user-copy "" --order interleave --split 40 --holes
a_case "chunks interleaved, extended" clean_load user-copy "--max-io 262144" --framing extended \
	--order interleave --split 24 --gather 32 --holes
a_case "byte by byte" clean_load mapped "--max-io 8192" --order interleave --split 4 --dribble --holes
a_case "byte by byte, simple replies" clean_load user-copy "--max-io 8192" --framing simple --dribble
a_case "writes answered before they were sent, unix" clean_load mapped \
	"--max-io 1048576 --region 1048576 --reads 20" --framing simple --early
a_case "writes answered before they were sent, tcp" early_over_tcp structured user-copy
a_case "one part of a request fails" part_of structured user-copy
a_case "one part of a request fails, simple replies, mapped" part_of simple mapped
a_case "a MiB in 256 pieces" scattered user-copy
a_case "a MiB in 256 pieces, mapped" scattered mapped
a_case "fio verifies interleaved chunks" fio_verifies
