# SPDX-License-Identifier: MIT
# goal: a grown export grows its disk, in use; a shrunk one does not shrink it; an older kernel says why not
# method: nbdkit's file plugin over a file that is truncated larger and smaller; resize, look, write
# kernels: 7.3 6.12
# timeout-s: 600
# modules: ublk_drv ext4
# suite: test
# allow-dmesg: I/O error

. /lab/data.sh

URI=nbd://localhost

# The file plugin takes the size anew for each connection.
start_file() {
	rm -f "$WORK/disk"
	truncate -s 32M "$WORK/disk"
	start_logged s 10809 file "$WORK/disk"
	connect_disk "$@" $URI
}

size_is() {
	check_equal "the device's size" "$1" "$(blockdev --getsize64 "$DISK")"
	check_equal "status" "$1" "$(status_of .size_bytes)"
	check_equal "list" "$1" "$(ublk-nbd list -o json | jq '.[0].size_bytes')"
}

# Either all of it works at once, or it is refused in so many words and nothing has changed: blocks
# that the kernel knows of and the server does not serve are neither. (A server fixes the size when a
# connection is made, so those that are open do not reach what is new.)
grows() {
	start_file
	check "mkfs" mkfs.ext4 -q -F "$DISK"
	check "mount" mount "$DISK" /mnt
	check "resize to the same size" ublk-nbd resize "$DISK"
	size_is $((32 << 20))
	truncate -s 64M "$WORK/disk"
	if ublk-nbd resize "$DISK" >"$WORK/said" 2>&1; then
		has_grown
	else
		check_equal "the refusal's exit code" 4 $?
		said disconnect
		size_is $((32 << 20))
		check "umount" umount /mnt
		disconnect_disk
		connect_disk $URI
		size_is $((64 << 20))
	fi
	check "fsck" e2fsck -fn "$DISK"
	check "all connections reach the new end" disk_torture -d 8 -b 64M -n 200 -t -z -u $URI "$DISK"
	check_equal "requests that failed" 0 "$(status_of .stats.errors)"
	check_equal "JSON" "[$((64 << 20)),$((64 << 20))]" \
		"$(ublk-nbd resize -o json "$DISK" | jq -c '[.old_size_bytes, .size_bytes]')"
	disconnect_disk
	client_kept_to s
	stop_server s
}

has_grown() {
	size_is $((64 << 20))
	check "the filesystem grows while it is mounted" resize2fs "$DISK"
	check "fill what is new" dd if=/dev/urandom of=/mnt/file bs=1M count=40
	check "umount" umount /mnt
}

# Whatever it says, the size is of whole blocks, and the last of them works.
grows_to_odd_size() {
	start_file
	truncate -s $(((48 << 20) + 700)) "$WORK/disk"
	if ublk-nbd resize "$DISK" >"$WORK/said" 2>&1; then
		size_is $(((48 << 20) + 512))
	else
		check_equal "the refusal's exit code" 4 $?
		disconnect_disk
		connect_disk $URI
	fi
	size_is $(((48 << 20) + 512))
	check "the last block" dd if="$DISK" of=/dev/null bs=512 skip=$((48 << 11)) count=1 iflag=direct
	disconnect_disk
	stop_server s
}

old_kernel_says_why() {
	start_file
	truncate -s 64M "$WORK/disk"
	expect_exit "resize" 5 ublk-nbd resize "$DISK"
	said 'driver' 'disconnect'
	size_is $((32 << 20))
	check "the disk works" dd if=/dev/urandom of="$DISK" bs=1M count=32 oflag=direct
	disconnect_disk
	connect_disk $URI
	size_is $((64 << 20))
	disconnect_disk
	stop_server s
}

never_shrinks() {
	start_file
	truncate -s 16M "$WORK/disk"
	expect_exit "resize" 4 ublk-nbd resize "$DISK"
	said "$((16 << 20))" "$((32 << 20))"
	size_is $((32 << 20))
	check "what is left works" dd if=/dev/urandom of="$DISK" bs=1M count=16 oflag=direct
	truncate -s 32M "$WORK/disk"
	check "the server has it again" ublk-nbd resize "$DISK"
	check "all works" dd if="$DISK" of=/dev/null bs=1M iflag=direct
	disconnect_disk
	stop_server s
}

server_is_gone() {
	start_file --timeout 5 --connect-timeout 5
	stop_server s
	expect_exit "resize" 3 ublk-nbd resize "$DISK"
	said '10809'
	disconnect_any
}

# Nothing was written: the flush has nothing to lose, or is reported as lost.
disconnect_any() {
	timeout 30 ublk-nbd disconnect "$DISK" >"$WORK/said" 2>&1
	data_rc=$?
	[ $data_rc = 0 ] || [ $data_rc = 8 ] || fail "disconnect" "exited with $data_rc: $(cat "$WORK/said")"
	check "nothing is left" wait_for no_device_left
}

resize() {
	clean_slate
	run_case "$@"
}

# UPDATE_SIZE came with 6.16.
if kernel_at_least 6 16; then
	resize "the disk grows while it is in use" grows
	resize "it grows to whole blocks" grows_to_odd_size
else
	resize "an older driver's refusal is clear" old_kernel_says_why
fi
resize "it never shrinks" never_shrinks
resize "no server to ask" server_is_gone
