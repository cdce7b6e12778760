# SPDX-License-Identifier: MIT
# goal: over TLS 1.2 and 1.3, in the kernel and in the daemon, whatever is written comes back
# method: fio with crc32c on mixed sizes over 1 and 4 connections, then the server's file is compared
#   with the disk; status must name the mode of each direction that OpenSSL 3.0 can give; a
#   filesystem; then the kernel without its tls module
# kernels: 7.3
# long-kernels: 7.3
# cpus: 4
# memory-mb: 2048
# timeout-s: 600
# modules: ublk_drv ext4
# suite: test

. /lab/data.sh
. /lab/tls-path.sh

# data VERSION KTLS CONNECTIONS PAYLOAD
data() {
	start_tls s --tls "$1" --size 16M
	connect_tls --ktls "$2" --connections "$3" --payload "$4"
	check_version "$1"
	expect_modes "$2"
	check_equal "connections in use" "$3" "$(status_of .connections_live)"
	check "fio" tls_fio "$3"
	same_export
	check_healthy
	expected=$(sha256sum <"$WORK/export")
	disconnect_disk
	check_equal "the export afterwards" "$expected" "$(sha256sum <"$WORK/export")"
	stop_server s
}

# filesystem VERSION KTLS
filesystem() {
	start_tls s --tls "$1" --size 32M
	connect_tls --ktls "$2"
	check "mkfs" mkfs.ext4 -q "$DISK"
	check "mount" mount "$DISK" /mnt
	dd if=/dev/urandom of=/mnt/file bs=1M count=4 2>/dev/null
	sum=$(sha256sum </mnt/file)
	check "umount" umount /mnt
	disconnect_disk
	check "fsck of the server's file" e2fsck -fn "$WORK/export"
	connect_tls --ktls "$2" --read-only
	check "mount again" mount -o ro "$DISK" /mnt
	check_equal "the file" "$sum" "$(sha256sum </mnt/file)"
	check "umount again" umount /mnt
	disconnect_disk
	stop_server s
}

# row VERSION KTLS CONNECTIONS PAYLOAD
row() {
	tls_case "$MODULE: TLS $1, --ktls=$2, $3 connection(s), $4, seed $SEED" data "$@"
}

tree() {
	tls_case "$MODULE: ext4 on TLS $1, --ktls=$2" filesystem "$@"
}

make_pki
MODULE="without the tls module"
has_tls_module && fail "$MODULE" "it is there already"
# It must not be loaded behind our back either.
mkdir -p /run/modprobe.d /etc/modprobe.d
echo 'install tls /bin/false' >/etc/modprobe.d/no-tls.conf
row 1.3 auto 4 user-copy
tree 1.3 auto
[ -z "${LAB_LONG:-}" ] || row 1.2 auto 1 mapped
rm /etc/modprobe.d/no-tls.conf

MODULE="with the tls module"
check "the tls module" modprobe tls
has_tls_module || fail "the tls module" "is loaded and does not show"
row 1.2 auto 4 user-copy
row 1.2 on 1 mapped
row 1.3 on 4 mapped
tree 1.2 on
[ -n "${LAB_LONG:-}" ] || return 0
row 1.2 on 4 user-copy
row 1.2 off 4 mapped
row 1.3 on 4 user-copy
row 1.3 auto 1 mapped
row 1.3 off 4 user-copy
tree 1.3 on
