# SPDX-License-Identifier: MIT
# goal: block sizes, request sizes and the export's size are what the server says, or are refused
# method: nbdkit's blocksize-policy filter with "error", so that it would refuse what breaks its word;
#   its log filter shows what was sent; exports of odd, tiny, no and enormous size
# kernels: 7.3
# long-kernels: 6.12
# timeout-s: 600
# modules: ublk_drv
# suite: test

. /lab/data.sh

URI=nbd://localhost
# What nbdcopy asks for at once when it compares; it does not look at the server's maximum.
REQUEST_BYTES=65536

# policy MINIMUM PREFERRED MAXIMUM
policy() {
	start_logged s 10809 --filter=blocksize-policy memory 8M blocksize-minimum="$1" \
		blocksize-preferred="$2" blocksize-maximum="$3" blocksize-error-policy=error
}

# Unaligned, small and large requests, to the end of the disk, and back.
use_disk() {
	check "random load" disk_torture -d 16 -b 4M -n 150 -m 512K -t -z -u $URI "$DISK"
	check "large writes" dd if=/dev/urandom of="$DISK" bs=1M count=3 oflag=direct seek=4
	same_bytes $URI
	check_equal "requests that failed" 0 "$(status_of .stats.errors)"
	disconnect_disk
	client_kept_to s
	stop_server s
}

minimum_512() {
	policy 512 4096 32M
	connect_disk $URI
	check_equal "logical block" 512 "$(limit_of logical_block_size)"
	check_equal "physical block" 4096 "$(limit_of physical_block_size)"
	use_disk
}

minimum_4096() {
	policy 4096 4096 32M
	connect_disk $URI
	check_equal "logical block" 4096 "$(limit_of logical_block_size)"
	expect_fail "a direct read of half a block" dd if="$DISK" of=/dev/null bs=512 count=1 iflag=direct
	use_disk
}

preferred_64k() {
	policy 1 64K 32M
	connect_disk $URI
	check_equal "logical block" 512 "$(limit_of logical_block_size)"
	check_equal "preferred size" 65536 "$(limit_of optimal_io_size)"
	use_disk
}

minimum_64k() {
	policy 64K 64K 32M
	expect_exit "connect" 4 ublk-nbd connect $URI
	said 65536 page
	check "nothing is left" no_device_left
	check_equal "list" "" "$(ublk-nbd list)"
	stop_server s
}

block_size_option() {
	policy 1 4096 32M
	connect_disk --block-size 4096 $URI
	check_equal "logical block" 4096 "$(limit_of logical_block_size)"
	use_disk
	policy 4096 4096 32M
	expect_exit "a block below the server's" 4 ublk-nbd connect --block-size 512 $URI
	said 4096
	check "nothing is left" no_device_left
	stop_server s
}

# maximum MINIMUM MAXIMUM: requests of 1 MiB are split at MAXIMUM.
maximum() {
	policy "$1" 4096 "$2"
	connect_disk $URI
	check "write" dd if=/dev/urandom of="$DISK" bs=1M count=4 oflag=direct
	check "read" dd if="$DISK" of=/dev/null bs=1M count=4 iflag=direct
	check_equal "the largest request" "$2" "$(seen s count_max)"
	check_equal "block requests of 1 MiB" 1024 "$(limit_of max_sectors_kb)"
	use_disk
}

odd_size() {
	start_logged s 10809 memory 1000001
	DISK=$(ublk-nbd connect $URI 2>"$WORK/said") || fail "connect" "$(cat "$WORK/said")"
	said 1000001 'last 65'
	check_equal "rounded down" 999936 "$(blockdev --getsize64 "$DISK")"
	check_equal "status" 999936 "$(status_of .size_bytes)"
	check "write all" dd if=/dev/urandom of="$DISK" bs=512 count=1953 oflag=direct
	expect_fail "write beyond" dd if=/dev/zero of="$DISK" bs=512 count=1 seek=1953 oflag=direct
	drop_caches
	check "the server's bytes" sh -c "nbdcopy $URI - | cmp -n 999936 - $DISK"
	disconnect_disk
	client_kept_to s
	stop_server s
}

# tiny BYTES
tiny() {
	start_logged s 10809 memory "$1"
	connect_disk $URI
	check_equal "size" "$1" "$(blockdev --getsize64 "$DISK")"
	check "write" dd if=/dev/urandom of="$DISK" bs="$1" count=1 oflag=direct
	same_bytes $URI
	disconnect_disk
	client_kept_to s
	stop_server s
}

# refused BYTES
refused() {
	start_logged s 10809 memory "$1"
	expect_exit "connect" 4 ublk-nbd connect $URI
	said "$1 bytes"
	check "nothing is left" no_device_left
	stop_server s
}

# enormous SIZE BYTES: the last blocks of a sparse export.
enormous() {
	start_logged s 10809 memory "$1"
	connect_disk $URI
	check_equal "size" "$2" "$(blockdev --getsize64 "$DISK")"
	last=$(($2 / 4096 - 1))
	head -c 4096 /dev/urandom >"$WORK/block"
	check "write the last block" dd if="$WORK/block" of="$DISK" bs=4096 seek="$last" oflag=direct conv=notrunc
	drop_caches
	check "read it" sh -c "dd if=$DISK bs=4096 skip=$last iflag=direct | cmp - $WORK/block"
	check "trim the last 8 GiB" blkdiscard -o $(($2 - (8 << 30))) -l $((8 << 30)) "$DISK"
	check "it is gone" sh -c "dd if=$DISK bs=4096 skip=$last iflag=direct | cmp -n 4096 - /dev/zero"
	check_equal "requests that failed" 0 "$(status_of .stats.errors)"
	disconnect_disk
	client_kept_to s
	stop_server s
}

# 128 GiB of buffers: refused before any of it is locked, and nobody is killed for memory.
too_much_memory() {
	start_logged s 10809 memory 64M
	expect_exit "connect" 5 ublk-nbd connect --payload mapped --queue-depth 4096 --max-io-size 32M $URI
	said "of locked memory"
	check "nothing is left" no_device_left
	check_equal "processes killed for memory" 0 "$(dmesg | grep -c 'Out of memory\|oom-kill')"
	stop_server s
}

# Buffers of 128 MiB, where the machine has room and the group above the daemon's has not.
too_much_for_a_group() {
	# shellcheck disable=SC2016 # for the shell inside
	set -- sh -c 'echo $$ >/sys/fs/cgroup/room/inner/cgroup.procs && exec ublk-nbd connect "$@"' sh \
		--payload mapped --queue-depth 128 --max-io-size 1M --connections 1 $URI
	start_logged s 10809 memory 64M
	echo +memory >/sys/fs/cgroup/cgroup.subtree_control
	mkdir -p /sys/fs/cgroup/room/inner
	echo 96M >/sys/fs/cgroup/room/memory.max
	expect_exit "connect" 5 "$@"
	said "/sys/fs/cgroup/room/memory.max .96 MiB. leaves"
	check "nothing is left" no_device_left
	check_equal "processes killed for memory" 0 "$(dmesg | grep -c 'out of memory\|oom-kill')"
	echo 400M >/sys/fs/cgroup/room/memory.max
	DISK=$("$@") || fail "connect" "fails in a group with room"
	disconnect_disk
	rmdir /sys/fs/cgroup/room/inner /sys/fs/cgroup/room
	stop_server s
}

limits_case() {
	clean_slate
	run_case "$@"
}

limits_case "minimum block 512" minimum_512
limits_case "minimum block 4096" minimum_4096
limits_case "minimum block 64 KiB is refused" minimum_64k
limits_case "preferred block 64 KiB" preferred_64k
limits_case "--block-size" block_size_option
limits_case "maximum 64 KiB" maximum 1 65536
limits_case "maximum no power of two" maximum 512 135168
limits_case "an export of odd size" odd_size
limits_case "an export of one block" tiny 512
limits_case "an export of 1536 bytes" tiny 1536
limits_case "an empty export is refused" refused 0
limits_case "an export below a block is refused" refused 511
limits_case "buffers beyond the machine's memory" too_much_memory
limits_case "buffers beyond a control group's limit" too_much_for_a_group
limits_case "an export of 16 TiB" enormous 16T $((16 << 40))
limits_case "an export of almost 8 EiB" enormous $(((1 << 63) - (1 << 20))) $(((1 << 63) - (1 << 20)))
