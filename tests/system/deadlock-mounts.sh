# SPDX-License-Identifier: MIT
# goal: no daemon keeps another disk's filesystem alive: mount disk A, connect disk B, unmount A,
#       disconnect A, whatever the mounts' propagation; and a daemon's own end does not wait for its disk
# method: with shared mounts, with private ones, and from a mount namespace of the user's own that ends
#         while the disk is mounted in it, before or after the daemon is killed
# kernels: 7.3
# cpus: 2
# timeout-s: 400
# modules: ublk_drv
# load: 90
# suite: test

# shellcheck disable=SC1091,SC2034 # /lab is tests/system/guest; the libraries read these
. /lab/faults.sh

a_case() {
	CASE_TIMEOUT_S=$((100 * SCALE))
	run_case "$@"
	umount -q /mnt
	rm -f "$WORK/disk"
	mount --make-rshared /
	remove_all
	stop_server a
	stop_server b
}

two_servers() {
	start_nbdkit a 10809 memory 32M
	start_nbdkit b 10810 memory 32M
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

# The last process of a namespace in which the disk is mounted ends: that unmounts the filesystem, whose
# last writes go through the daemon, which must not be in there. namespace_ends PROPAGATION
namespace_ends() {
	start_nbdkit a 10809 memory 32M
	# shellcheck disable=SC2016 # for the inner shell
	check "mkfs and mount in a namespace of its own" unshare --mount --propagation "$1" sh -c '
		disk=$(ublk-nbd connect --timeout 5 nbd://127.0.0.1) && mkfs.ext4 -q "$disk" &&
		mount "$disk" /mnt && dd if=/dev/urandom of=/mnt/file bs=1M count=2 && echo "$disk" >'"$WORK"'/disk'
	DISK=$(cat "$WORK/disk")
	disconnect_disk
	check_nothing_left
	connect_disk nbd://127.0.0.1
	check "fsck" e2fsck -fn "$DISK"
	disconnect_disk
}

# Killed while its disk is mounted and dirty, by the last process but the daemon of a namespace: neither
# the daemon's end nor the umount may wait for ever. killed_while_mounted PROPAGATION
killed_while_mounted() {
	start_nbdkit a 10809 memory 32M
	# shellcheck disable=SC2016 # for the inner shell
	unshare --mount --propagation "$1" sh -c '
		disk=$(ublk-nbd connect --timeout 5 nbd://127.0.0.1) && mkfs.ext4 -q "$disk" &&
		mount "$disk" /mnt && dd if=/dev/urandom of=/mnt/file bs=1M count=2 && echo "$disk" >'"$WORK"'/disk
		exec sleep 1000' >/dev/null 2>&1 &
	lab_holder=$!
	WAIT_TIMEOUT_S=$((45 * SCALE))
	wait_for test -s "$WORK/disk" || fail "mounting" "did not come to an end"
	DISK=$(cat "$WORK/disk")
	lab_daemon=$(daemon_pid "$DISK")
	kill -KILL "$lab_daemon"
	wait_for gone "$lab_daemon" || fail "the daemon" "hangs in its end"
	kill -KILL "$lab_holder"
	wait_for gone "$lab_holder" || fail "the namespace's last process" "hangs in its end"
	disconnect_exits 8
	check_nothing_left
}

# The daemon is told to end while its disk is mounted and dirty: it goes on, until it is unmounted.
sigterm_while_mounted() {
	start_nbdkit a 10809 memory 32M
	log_mark
	connect_disk nbd://127.0.0.1
	check "mkfs" mkfs.ext4 -q "$DISK"
	check "mount" mount "$DISK" /mnt
	dd if=/dev/urandom of=/mnt/file bs=1M count=2 2>/dev/null
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
for propagation in private slave; do
	a_case "the disk's mount namespace ends, $propagation" namespace_ends $propagation
	a_case "the daemon is killed, the disk is mounted, $propagation" killed_while_mounted $propagation
done
a_case "SIGTERM while the disk is mounted" sigterm_while_mounted
