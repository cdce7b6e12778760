# SPDX-License-Identifier: MIT
# goal: udev names a disk by owner and export, its partitions and filesystems too, and forgets them
# method: run udev with our rule; connect, look at /dev/disk, disconnect, look again
# kernels: 7.3 6.12
# timeout-s: 600
# modules: ublk_drv ext4
# suite: test

. /lab/data.sh

LINKS=/dev/disk/by-ublk-nbd

link_of() {
	readlink -f "$LINKS/$1"
}

link_comes_and_goes() {
	connect_disk --owner alice nbd://localhost/data
	check_equal "the link, at once" "$DISK" "$(link_of alice/data)"
	disconnect_disk
	udevadm settle
	check "the link is gone" test ! -e $LINKS/alice/data -a ! -L $LINKS/alice/data
	connect_disk nbd://localhost
	check_equal "without names" "$DISK" "$(link_of default/default)"
	disconnect_disk
}

odd_names() {
	connect_disk --owner bob 'nbd://localhost/../../etc/pass%20wd'
	check_equal "a harmless link" "$DISK" "$(readlink -f "$(find $LINKS/bob -type l)")"
	check "inside of its folder" test "$(find $LINKS/bob -type l | wc -l)" = 1
	disconnect_disk
}

partitions_and_filesystems() {
	connect_disk --owner carol nbd://localhost/parts
	printf 'label: gpt\nsize=16M, name=one\nsize=+, name=two\n' | sfdisk -q "$DISK" || fail "sfdisk" "does not write"
	check "partitions" wait_for test -b "${DISK}p2"
	check "mkfs" mkfs.ext4 -q -F -L label-of-mine -U 01234567-89ab-cdef-0123-456789abcdef "${DISK}p2"
	check "a partition's link" wait_for test "$LINKS/carol/parts-part2" -ef "${DISK}p2"
	check "the new filesystem's link" wait_for test /dev/disk/by-label/label-of-mine -ef "${DISK}p2"
	disconnect_disk
	udevadm settle
	check "all links are gone" test ! -L /dev/disk/by-label/label-of-mine -a ! -L "$LINKS/carol/parts-part2"
	connect_disk --owner carol nbd://localhost/parts
	check "they come again" wait_for test /dev/disk/by-uuid/01234567-89ab-cdef-0123-456789abcdef -ef "${DISK}p2"
	check "by partition name" wait_for test /dev/disk/by-partlabel/two -ef "${DISK}p2"
	check "mount by label" mount LABEL=label-of-mine /mnt
	check "umount" umount /mnt
	disconnect_disk
}

start_udev
start_nbdkit s 10809 memory 64M
for verb in link_comes_and_goes odd_names partitions_and_filesystems; do
	umount -l /mnt 2>/dev/null
	ublk-nbd disconnect --all --force >/dev/null 2>&1
	run_case "$(echo $verb | tr _ ' ')" $verb
done
