# SPDX-License-Identifier: MIT
# goal: ext4 and xfs keep what is put on them, over a disconnect too, and trimming frees the server's space
# method: mkfs, mount, unpack a tree, fsck; reconnect and read all again; delete, fstrim, look at the
#   server's log and at its map of allocated blocks
# kernels: 7.3 6.1-own
# long-kernels: 6.12 6.1-own 6.12-own 7.3-own
# memory-mb: 1536
# timeout-s: 600
# modules: ublk_drv ext4 xfs
# load: 85
# suite: test

. /lab/data.sh
. /lab/fs.sh

URI=nbd://localhost

# How much the server has allocated, as libnbd sees it, in bytes.
allocated() {
	nbdinfo --map --totals $URI | awk '$3 == 0 { print $1 }'
}

# The same by our own command.
allocated_by_map() {
	ublk-nbd map -o json $URI | json .totals.data_bytes
}

filesystem() {
	start_logged s 10809 memory 1G
	connect_disk $URI
	fs_write "$1" "$DISK"
	check_equal "requests that failed" 0 "$(status_of .stats.errors)"
	disconnect_disk
	check_equal "each connection was ended politely" "$(seen s connections)" "$(seen s disconnects)"
	connect_disk $URI
	fs_reread "$1" "$DISK"
	trim_frees
	disconnect_disk
	client_kept_to s
	stop_server s
}

trim_frees() {
	check "mount" mount "$DISK" /mnt
	before=$(allocated)
	place=$(log_place s)
	trims=$(seen s trims)
	check "delete" rm -rf /mnt/tree
	sync
	check "fstrim" fstrim /mnt
	after=$(allocated)
	check_equal "what 'map' says" "$after" "$(allocated_by_map)"
	note "allocated at the server: $before bytes, after fstrim $after"
	[ "$(seen s trims "$place")" -gt 0 ] || fail "fstrim" "the server has seen none"
	[ "$((before - after))" -gt $(($(du -k "$FS_TREE" | cut -f1) * 512)) ] ||
		fail "fstrim" "$before bytes were allocated before, $after after it"
	check "umount" umount /mnt
}

fs_make_tree
for fs in ext4 xfs; do
	[ "$LAB_SERIES$fs${LAB_LONG:-}" != 6.1xfs ] || continue
	clean_slate
	run_case "$fs" filesystem "$fs"
done
