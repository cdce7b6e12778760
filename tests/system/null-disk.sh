# SPDX-License-Identifier: MIT
# goal: the driver's side of the gateway works by itself, on the real driver, with a backend that is no NBD
# method: tests/guest/null_disk.c, a disk behind the null backend: fio, flush, discard, zeroes, the disk's end in
#         use, by user copy and with mapped buffers, where the driver has both
# kernels: 7.3
# long-kernels: 6.12 6.1-own
# timeout-s: 300
# modules: ublk_drv
# load: 30
# suite: test

. /lab/data.sh

# start_null PAYLOAD DEPTH: the disk goes to DISK, its program to null_pid.
start_null() {
	: >"$WORK/null.out"
	null_disk "$1" "$2" >"$WORK/null.out" 2>"$WORK/null.err" &
	null_pid=$!
	wait_for test -s "$WORK/null.out" || fail "null_disk $*" "no disk: $(cat "$WORK/null.err")"
	DISK=$(cat "$WORK/null.out")
}

end_null() {
	kill -TERM "$null_pid"
	check "null_disk" wait "$null_pid"
	[ ! -b "$DISK" ] || fail "$DISK" "is still there"
}

is_zero() {
	cmp -n "$2" "$1" /dev/zero
}

# each_operation PAYLOAD DEPTH
each_operation() {
	start_null "$1" "$2"
	check "random reads and writes" fio --name=null --filename="$DISK" --direct=1 --ioengine=libaio --iodepth="$2" \
		--rw=randrw --bsrange=512-1M --blockalign=512 --number_ios=600 --fsync=50 --size=256M --output="$WORK/fio.log"
	check "a write" dd if=/dev/urandom of="$DISK" bs=64k count=4 oflag=direct
	check "reads are zeroes" is_zero "$DISK" 1048576
	check "fsync" dd if=/dev/urandom of="$DISK" bs=4k count=1 conv=fsync
	check "discard" blkdiscard "$DISK"
	check "zeroes" blkdiscard -z -l 1M "$DISK"
	end_null
}

# The disk ends under a reader, which then ends too: with an error, or at the end of a disk that has none left.
ended_in_use() {
	start_null "$1" 16
	dd if="$DISK" of=/dev/null bs=4k iflag=direct count=100000000 2>"$WORK/dd.log" &
	null_reader=$!
	wait_for disk_was_read
	end_null
	wait "$null_reader"
	grep -q '^65536+0 records in' "$WORK/dd.log" && fail "the reader" "was done before the disk ended"
	check "the reader" grep -q 'records in' "$WORK/dd.log"
}

disk_was_read() {
	awk '{ exit $1 < 100 }' "/sys/block/${DISK##*/}/stat"
}

run_case "user copy, depth 64" each_operation user-copy 64
run_case "user copy, depth 1" each_operation user-copy 1
run_case "mapped buffers, depth 64" each_operation mapped 64
run_case "the disk ends in use" ended_in_use user-copy
