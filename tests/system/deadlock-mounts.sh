# SPDX-License-Identifier: MIT
# goal: no daemon keeps another disk's filesystem alive: mount disk A, connect disk B, unmount A,
#       disconnect A, whatever the mounts' propagation; and a daemon's own end does not wait for its disk
# method: with shared mounts, with private ones, and from a mount namespace of the user's own that ends
#         while the disk is mounted in it
# kernels: 7.3 6.12
# cpus: 2
# timeout-s: 240
# modules: ublk_drv
# suite: test

# shellcheck disable=SC1091,SC2034 # /lab is tests/system/guest; the libraries read these
. /lab/faults.sh

a_case() {
	run_case "$@"
	umount -q /mnt
	mount --make-rshared /
	remove_all
	stop_server a
	stop_server b
}

two_servers() {
	start_nbdkit a 10809 memory 64M
	start_nbdkit b 10810 memory 64M
}

# mount_connect_unmount PROPAGATION
mount_connect_unmount() {
	two_servers
	check "mount --make-r$1" mount --make-r"$1" /
	connect_disk --owner a nbd://127.0.0.1
	lab_a=$DISK
	check "mkfs" mkfs.ext4 -q "$lab_a"
	check "mount" mount "$lab_a" /mnt
	cp /lab/faults.sh /mnt/
	connect_disk --owner b nbd://127.0.0.1:10810
	lab_b=$DISK
	check "umount" umount /mnt
	disconnect_disk "$lab_a"
	check "the other disk still reads" dd if="$lab_b" of=/dev/null bs=64k count=4 iflag=direct
	disconnect_disk "$lab_b"
	check_nothing_left
	connect_disk nbd://127.0.0.1
	check "fsck" e2fsck -fn "$DISK"
	disconnect_disk
}

# The same the other way round: B's daemon was there before A was mounted.
connect_mount_unmount() {
	two_servers
	mount --make-r"$1" /
	connect_disk nbd://127.0.0.1:10810
	lab_b=$DISK
	connect_disk nbd://127.0.0.1
	check "mkfs" mkfs.ext4 -q "$DISK"
	check "mount" mount "$DISK" /mnt
	disconnect_exits 6
	check "umount" umount /mnt
	disconnect_disk
	disconnect_disk "$lab_b"
	check_nothing_left
}

# The last process of a namespace in which the disk is mounted ends: the filesystem is unmounted, its
# writes go through the daemon, which must not be in that namespace.
namespace_ends() {
	start_nbdkit a 10809 memory 64M
	# shellcheck disable=SC2016 # for the inner shell
	check "mkfs and mount in a namespace of its own" unshare --mount --propagation "$1" sh -c '
		disk=$(ublk-nbd connect nbd://127.0.0.1) && mkfs.ext4 -q "$disk" && mount "$disk" /mnt &&
		dd if=/dev/urandom of=/mnt/file bs=1M count=8 && echo "$disk" >'"$WORK"'/disk'
	DISK=$(cat "$WORK/disk")
	wait_for ublk-nbd disconnect "$DISK" || fail "disconnect" "$(ublk-nbd disconnect "$DISK" 2>&1)"
	check_nothing_left
	connect_disk nbd://127.0.0.1
	check "fsck" e2fsck -fn "$DISK"
	disconnect_disk
}

# The daemon is told to end while its disk is mounted and dirty: it goes on, until it is unmounted.
sigterm_while_mounted() {
	start_nbdkit a 10809 memory 64M
	log_mark
	connect_disk nbd://127.0.0.1
	check "mkfs" mkfs.ext4 -q "$DISK"
	check "mount" mount "$DISK" /mnt
	dd if=/dev/urandom of=/mnt/file bs=1M count=8 2>/dev/null
	lab_daemon=$(daemon_pid "$DISK")
	kill -TERM "$lab_daemon"
	wait_for log_has 'while the disk is in use' || fail "the daemon" "does not say that it goes on"
	check "sync" timeout 20 sync -f /mnt/file
	check "umount" umount /mnt
	# Not again within five seconds, which would be by force.
	sleep 5.5
	kill -TERM "$lab_daemon"
	wait_for gone "$lab_daemon" || fail "the daemon" "does not end once unmounted"
	check_nothing_left
}

a_case "mount A, connect B, unmount and disconnect A: shared mounts" mount_connect_unmount shared
a_case "mount A, connect B, unmount and disconnect A: private mounts" mount_connect_unmount private
a_case "connect B, mount A, unmount and disconnect A: shared mounts" connect_mount_unmount shared
a_case "connect B, mount A, unmount and disconnect A: private mounts" connect_mount_unmount private
a_case "the disk's mount namespace ends, private" namespace_ends private
a_case "the disk's mount namespace ends, slave" namespace_ends slave
a_case "SIGTERM while the disk is mounted" sigterm_while_mounted
