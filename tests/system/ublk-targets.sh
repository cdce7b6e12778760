# SPDX-License-Identifier: MIT
# goal: a ublk driver carries every operation unharmed, in each way of moving data it has, and its disk is
#       like any: filesystems, partitions, limits, sizes, affinity
# method: our own ublk server with a file behind it; fio with verification and disk_torture at depth 1 to
#       1024, one queue and as many as CPUs; what was granted is compared with what was asked for
# kernels: 6.1-own 7.3-own 6.12-own 6.12 7.3
# cpus: 4
# memory-mb: 1536
# timeout-s: 900
# modules: ublk_drv ext4 xfs
# suite: long

# shellcheck disable=SC1091
. /lab/data.sh
. /lab/fs.sh
. /lab/ublk.sh

FS_FILES=300
SIZE_MB=48

# A feature of ours that nobody lists is not tested by anybody.
all_features() {
	for feature in comp-in-task need-get-data recovery reissue unprivileged ioctl-encode user-copy fail-io \
		update-size quiesce per-io-daemon safe-stop no-part-scan; do
		need_feature $feature
	done
}

new_file() {
	rm -f "$WORK/file"
	truncate -s "${1:-$SIZE_MB}M" "$WORK/file"
}

jobs() { # DEPTH
	fio --filename="$DISK" --direct=1 --ioengine=libaio --iodepth="$1" --iodepth_batch=$((($1 + 3) / 4)) \
		--randseed=7 --verify=crc32c --verify_fatal=1 --verify_state_save=0 --thread --output="$WORK/fio.log" \
		--name=split --rw=randrw --bssplit=512/25:4k/30:16k/15:64k/20:256k/10 --size=4m --numjobs=4 \
		--offset_increment=4m --cpus_allowed=0-3 --cpus_allowed_policy=split \
		--name=trim --rw=randtrim --bssplit=4k/50:64k/50 --size=4m --offset=16m >"$WORK/fio.err" 2>&1 && return
	grep -hE 'err=|verify:|error' "$WORK/fio.log" "$WORK/fio.err"
	cat "$WORK/serve.log"
	return 1
}

# mode FEATURES QUEUES DEPTH FIO-DEPTH [OPTION...]
mode() {
	features=$1 queues=$2 depth=$3 fio_depth=$4
	shift 4
	for feature in $(echo "$features" | tr ',' ' '); do
		need_feature "$feature"
	done
	new_file
	serve --file "$WORK/file" --size ${SIZE_MB}M --queues "$queues" --depth "$depth" --cache --fua \
		--discard 4096 ${features:+--features "$features"} "$@"
	check_equal "queues granted" "$queues" "$(value_in "$GRANTED" queues)"
	check_equal "depth granted" "$depth" "$(value_in "$GRANTED" depth)"
	check_equal "queues of the disk" "$queues" "$(find "/sys/block/${DISK##*/}/mq" -mindepth 1 -maxdepth 1 | wc -l)"
	check "fio" jobs "$fio_depth"
	check "torture" disk_torture -d "$fio_depth" -b 8M -n 300 -s 3 -t -z "$DISK"
	sync "$DISK"
	drop_caches
	check "the file has what the disk has" cmp "$DISK" "$WORK/file"
	delete_disk
}

filesystem() {
	new_file 512
	serve --file "$WORK/file" --size 512M --queues 2 --cache --fua --discard 4096
	fs_write "$1" "$DISK"
	delete_disk
	serve --file "$WORK/file" --size 512M --queues 1 --cache --fua --discard 4096
	fs_reread "$1" "$DISK"
	delete_disk
}

partitions() {
	new_file
	serve --file "$WORK/file" --size ${SIZE_MB}M
	printf 'label: gpt\nstart=2048, size=16384\nstart=18432, size=16384\n' | sfdisk -q "$DISK" ||
		fail "sfdisk" "does not write a table"
	check "the second partition" wait_for test -b "${DISK}p2"
	delete_disk
	serve --file "$WORK/file" --size ${SIZE_MB}M
	check "they come by themselves" wait_for test -b "${DISK}p2"
	check_equal "its start" 18432 "$(cat "/sys/block/${DISK##*/}/${DISK##*/}p2/start")"
	delete_disk
}

partitions_on_demand() {
	need_feature no-part-scan
	new_file
	serve --file "$WORK/file" --size ${SIZE_MB}M
	printf 'label: gpt\nstart=2048, size=16384\n' | sfdisk -q "$DISK" || fail "sfdisk" "does not write a table"
	delete_disk
	serve --file "$WORK/file" --size ${SIZE_MB}M --features no-part-scan
	sleep 1
	[ ! -e "${DISK}p1" ] || fail "the partition" "is there without having been asked for"
	check "rereadpt" blockdev --rereadpt "$DISK"
	check "the partition" wait_for test -b "${DISK}p1"
	delete_disk
}

resize() {
	need_feature update-size
	new_file 64
	serve --file "$WORK/file" --size ${SIZE_MB}M
	check "resize, which need not be asked for" ublk_server resize --id "$ID" --size 64M
	check_equal "the disk's size" $((64 << 20)) "$(blockdev --getsize64 "$DISK")"
	check_equal "the size read back" $((64 << 11)) "$(value_in "$(ublk_server params --id "$ID" | head -n 1)" sectors)"
	check "a write into the new part" dd if=/dev/urandom of="$DISK" bs=1M seek=63 count=1 oflag=direct conv=notrunc
	check "the file has it" cmp -n $((1 << 20)) -i $((63 << 20)) "$DISK" "$WORK/file"
	delete_disk
}

limits() {
	serve --size 64M --block 4096 --physical-block 8192 --io-min 8192 --io-opt 65536 --max-io 262144 \
		--max-sectors 256 --discard 65536 --rotational --read-only --chunk 1M
	check_equal "logical block" 4096 "$(limit_of logical_block_size)"
	check_equal "physical block" 8192 "$(limit_of physical_block_size)"
	check_equal "minimum_io_size" 8192 "$(limit_of minimum_io_size)"
	check_equal "optimal_io_size" 65536 "$(limit_of optimal_io_size)"
	check_equal "largest request" 128 "$(limit_of max_hw_sectors_kb)"
	check_equal "discard granularity" 65536 "$(limit_of discard_granularity)"
	check_equal "rotational" 1 "$(limit_of rotational)"
	check_equal "write cache" "write through" "$(limit_of write_cache)"
	check_equal "chunk" 2048 "$(limit_of chunk_sectors)"
	check_equal "read only" 1 "$(blockdev --getro "$DISK")"
	expect_fail "a write to a read-only disk" dd if=/dev/zero of="$DISK" bs=4k count=1 oflag=direct conv=notrunc
	said_params=$(ublk_server params --id "$ID" | tr '\n' ' ')
	check_equal "attributes read back" 0x3 "$(value_in "$said_params" attrs)"
	check_equal "logical block read back" 4096 "$(value_in "$said_params" logical)"
	check_equal "chunk read back" 2048 "$(value_in "$said_params" chunk)"
	check_equal "disk number read back" "$(printf '%d:%d' "0x$(stat -c %t "$DISK")" "0x$(stat -c %T "$DISK")")" \
		"$(value_in "$said_params" disk)"
	delete_disk
}

affinity() {
	serve --size 16M --queues 4
	for queue in 0 1 2 3; do
		said=$(ublk_server affinity --id "$ID" --queue $queue) || fail "affinity" "of queue $queue: an error"
		check_equal "CPUs of queue $queue" "$(tr -d ',' <"/sys/block/${DISK##*/}/mq/$queue/cpu_list")" "${said% }"
		echo "$said" | tr ' ' '\n' | grep . >>"$WORK/cpus"
	done
	check_equal "all CPUs, once each" "$(nproc)" "$(sort -u "$WORK/cpus" | wc -l)"
	check_equal "no CPU twice" "$(nproc)" "$(wc -l <"$WORK/cpus")"
	refused EINVAL affinity --id "$ID" --queue 4
	delete_disk
}

# Queues beyond the CPUs are not granted; the device works with what it got.
clamped() {
	GRANTED=$(ublk_server add --queues 64 --depth 8) || fail "add" "64 queues are refused, not clamped"
	check_equal "queues granted" "$(nproc)" "$(value_in "$GRANTED" queues)"
	check "delete" ublk_server delete --id "$(value_in "$GRANTED" id)"
	wait_for no_ublk || fail "delete" "something is left"
}

# What a case leaves when it fails must not fail the next.
target() {
	run_case "$@"
	no_ublk || remove_devices
}

[ "$LAB_OWN_DRIVER" != 1 ] || target "our driver lists all its features" all_features
target "copy, 1 queue, depth 1" mode '' 1 1 1
target "copy, 4 queues, depth 128" mode '' 4 128 32
target "copy, 4 queues, depth 1024, answers in reverse, legacy opcodes" mode '' 4 1024 256 --max-io 65536 --reverse --legacy
target "copy, commands issued by the ring's workers" mode '' 2 16 16 --async --ring plain
target "user-copy, 4 queues, depth 64" mode user-copy 4 64 32
target "need-get-data, 2 queues, depth 32" mode need-get-data 2 32 32 --ring coop
target "per-io-daemon, 2 queues of 3 threads" mode per-io-daemon 2 32 32 --threads 3
target "2 queues of 3 threads, if that is granted to who does not ask" mode '' 2 32 32 --threads 3
fs_make_tree
for fs in ext4 xfs; do
	target "$fs" filesystem $fs
done
target "partitions" partitions
target "partitions only on demand" partitions_on_demand
target "resize" resize
target "limits and parameters" limits
target "affinity" affinity
target "more queues than CPUs" clamped
check "the driver can be unloaded" modprobe -r ublk_drv
