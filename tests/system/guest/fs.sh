# SPDX-License-Identifier: MIT
# shellcheck shell=dash
#
# A filesystem's life on a disk. To be read after data.sh.

FS_FILES=${FS_FILES:-1500}
FS_TREE=$WORK/tree.tar
FS_SUMS=$WORK/tree.sums

# fs_make_tree: an archive of a tree like a program's sources, and the sums of its files.
fs_make_tree() {
	make_tree "$WORK/tree" "$FS_FILES" 7 || die "the tree cannot be made"
	(cd "$WORK/tree" && find . -type f | sort | xargs sha256sum) >"$FS_SUMS"
	tar -C "$WORK" -cf "$FS_TREE" tree
	rm -rf "$WORK/tree"
	note "the tree: $(wc -l <"$FS_SUMS") files, $(du -k "$FS_TREE" | cut -f1) KiB"
}

fs_make() {
	case $1 in
	ext4) check "mkfs.ext4" mkfs.ext4 -q -F "$2" ;;
	xfs) check "mkfs.xfs" mkfs.xfs -q -f "$2" ;;
	esac
}

fs_check_clean() {
	case $1 in
	ext4) check "e2fsck finds nothing" e2fsck -fn "$2" ;;
	xfs) check "xfs_repair finds nothing" xfs_repair -n "$2" ;;
	esac
}

fs_compare_tree() {
	drop_caches
	(cd /mnt/tree && sha256sum --quiet -c "$FS_SUMS") >"$WORK/compare.log" 2>&1 ||
		fail "the files' sums" "$(head -n 3 "$WORK/compare.log")"
	check_equal "number of files" "$(wc -l <"$FS_SUMS")" "$(find /mnt/tree -type f | wc -l)"
}

# fs_write FILESYSTEM DEVICE: makes, mounts, unpacks, compares, unmounts, checks.
fs_write() {
	fs_make "$1" "$2"
	check "mount" mount "$2" /mnt
	check "unpack" tar -C /mnt -xf "$FS_TREE"
	fs_compare_tree
	check "umount" umount /mnt
	fs_check_clean "$1" "$2"
}

# fs_reread FILESYSTEM DEVICE
fs_reread() {
	fs_check_clean "$1" "$2"
	check "mount again" mount "$2" /mnt
	fs_compare_tree
	check "umount again" umount /mnt
}
