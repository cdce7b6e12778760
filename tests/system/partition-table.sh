# SPDX-License-Identifier: MIT
# goal: a partition table works as on any disk
# method: write one by sfdisk, let the kernel read it, use a partition, reconnect, use it again; a
#   mounted partition keeps its disk
# kernels: 7.3
# long-kernels: 6.12
# timeout-s: 600
# modules: ublk_drv ext4
# suite: test
# allow-dmesg: beyond EOD

. /lab/data.sh

TABLE='label: gpt
start=2048, size=65536, name=first
start=67584, size=65536, name=second'

make_partitions() {
	connect_disk nbd://localhost
	echo "$TABLE" | sfdisk -q --no-reread --no-tell-kernel "$DISK" || fail "sfdisk" "does not write a table"
	check "rereadpt" blockdev --rereadpt "$DISK"
	check "the first partition" wait_for test -b "${DISK}p1"
	check_equal "the second's size" $((65536 * 512)) "$(blockdev --getsize64 "${DISK}p2")"
	check "mkfs on it" mkfs.ext4 -q -F "${DISK}p2"
	check "mount" mount "${DISK}p2" /mnt
	check "write" cp /lab/lib.sh /mnt/file
	expect_exit "disconnect while the partition is mounted" 6 ublk-nbd disconnect "$DISK"
	said /mnt
	check "umount" umount /mnt
	disconnect_disk
	client_kept_to s
}

use_them_again() {
	connect_disk nbd://localhost
	check "the partitions come by themselves" wait_for test -b "${DISK}p2"
	check_equal "their start" 67584 "$(cat "/sys/block/${DISK##*/}/${DISK##*/}p2/start")"
	check "fsck" e2fsck -fn "${DISK}p2"
	check "mount" mount "${DISK}p2" /mnt
	check "read" cmp /lab/lib.sh /mnt/file
	check "umount" umount /mnt
	check "their table" sh -c "sfdisk -d $DISK | grep -q name=.*second"
	disconnect_disk
	client_kept_to s
}

# One that ends where the disk does, and a table of 4 KiB blocks.
big_blocks() {
	start_logged s 10809 --filter=blocksize-policy memory 64M blocksize-minimum=4096 \
		blocksize-preferred=4096 blocksize-maximum=1M blocksize-error-policy=error
	connect_disk nbd://localhost
	printf 'label: gpt\nsize=16M\nsize=+\n' | sfdisk -q "$DISK" || fail "sfdisk" "does not write a table"
	check "the second partition" wait_for test -b "${DISK}p2"
	check "mkfs on it" mkfs.ext4 -q -F "${DISK}p2"
	check "fsck" e2fsck -fn "${DISK}p2"
	disconnect_disk
	client_kept_to s
	stop_server s
}

# connect_warns WORDS OPTION...: connect's warning; without WORDS there is none.
connect_warns() {
	warns=$1
	shift
	ublk-nbd connect "$@" nbd://localhost >"$WORK/device" 2>"$WORK/warned" || fail "connect" "$(cat "$WORK/warned")"
	DISK=$(cat "$WORK/device")
	if [ -n "$warns" ]; then
		check "the warning" grep -q "$warns" "$WORK/warned"
	else
		check_equal "warnings" "" "$(cat "$WORK/warned")"
	fi
	disconnect_disk
}

# Made for sectors of another size than the disk's blocks, both ways.
other_sectors() {
	for label in dos gpt; do
		truncate -s 64M "$WORK/small"
		printf 'label: %s\nstart=2048,size=100000\n' $label | sfdisk -q "$WORK/small" ||
			fail "sfdisk" "does not write a table"
		start_logged s 10809 --filter=blocksize-policy file "$WORK/small" blocksize-minimum=4096 \
			blocksize-preferred=4096 blocksize-maximum=1M blocksize-error-policy=error
		connect_warns 'counts in sectors of 512 bytes, but its blocks are of 4096: .*smallest is 4096'
		stop_server s
		start_logged s 10809 file "$WORK/small"
		connect_warns 'counts in sectors of 512 bytes, .*: connect with --block-size 512$' --block-size 4096
		connect_warns '' --block-size 512
		stop_server s
		rm "$WORK/small"
	done
	start_logged s 10809 memory 64M
	connect_disk --block-size 4096 nbd://localhost
	printf 'label: gpt\nsize=16M\n' | sfdisk -q "$DISK" || fail "sfdisk" "does not write a table"
	disconnect_disk
	connect_warns 'counts in sectors of 4096 bytes, but its blocks are of 512: .*--block-size 4096$' --block-size 512
	connect_warns '' --block-size 4096
	stop_server s
}

# --- a server that takes its time ---------------------------------------------------------------

SLOW_MS=5000

# The kernel reads the table before connect says that the disk is there, however long that takes: its
# partitions are there at once, with nothing to wait for.
slow_table() {
	truncate -s 128M "$WORK/slow"
	echo "$TABLE" | sfdisk -q "$WORK/slow" || fail "sfdisk" "does not write a table"
	start_server s hostile_server --unix "$WORK/s.sock" --size 128M --file "$WORK/slow" \
		--delay-ms $SLOW_MS --delay-first 1
	lab_wait_ready s grep -q '^ready' "$WORK/s.log"
	began_ms=$(uptime_ms)
	connect_disk --timeout 60 --connections 1 "nbd+unix:///?socket=$WORK/s.sock"
	took_ms=$(($(uptime_ms) - began_ms))
	[ -b "${DISK}p2" ] || fail "partitions" "are not there when connect has returned: $(ls /dev/ublk*)"
	[ $took_ms -ge $SLOW_MS ] || fail "connect" "was back after $took_ms ms, before a read was answered"
	note "connect took $took_ms ms"
	check_equal "the second's start" 67584 "$(cat "/sys/block/${DISK##*/}/${DISK##*/}p2/start")"
	disconnect_disk
	stop_server s
}

start_logged s 10809 memory 128M
run_case "partitions are made and used" make_partitions
run_case "they are there after a reconnect" use_them_again
clean_slate
run_case "a table of 4 KiB blocks" big_blocks
clean_slate
run_case "a table of other sectors than the disk's" other_sectors
clean_slate
run_case "a table that is read through a slow server is there when connect returns" slow_table
