# SPDX-License-Identifier: MIT
# goal: what the server does not offer is not sent, and the kernel is told so; FUA arrives as FUA
# method: servers that lack commands (nbdkit's nozero, fua, multi-conn filters, an eval plugin), the
#   kernel's queue limits in sysfs, and the server's log of what came
# kernels: 7.3
# long-kernels: 6.12
# timeout-s: 600
# modules: ublk_drv
# suite: test

. /lab/data.sh

URI=nbd://localhost
HIDE=--filter=nozero

finish() {
	disconnect_disk
	client_kept_to s
	stop_server s
}

# A synchronous write of one block: the caller is told only when it is on the medium.
write_sync() {
	dd if=/dev/urandom of="$DISK" bs=4096 count=4 oflag=direct,dsync conv=notrunc
}

# Zeroes by the block layer's own command, whatever the server has.
zero_out() {
	blkdiscard -z -o 0 -l 128K "$DISK"
}

# fua_mode MODE KERNEL-FUA: nbdkit's fua filter; "" is its default, which offers none. (The kernel
# flushes after a synchronous write to a disk's node in any case.)
fua_mode() {
	start_logged s 10809 --filter=fua memory 16M ${1:+fuamode="$1"}
	connect_disk $URI
	check_equal "the kernel's idea of FUA" "$2" "$(limit_of fua)"
	check_equal "the kernel's idea of the cache" "write back" "$(limit_of write_cache)"
	place=$(log_place s)
	check "synchronous writes" write_sync
	if [ "$2" = 1 ]; then
		check_equal "writes with FUA" 4 "$(seen s fua_writes "$place")"
	else
		check_equal "writes with FUA" 0 "$(seen s fua_writes "$place")"
		[ "$(seen s flushes "$place")" -ge 4 ] || fail "flushes" "the server saw too few"
	fi
	place=$(log_place s)
	check "a plain write" dd if=/dev/zero of="$DISK" bs=4096 count=1 oflag=direct conv=notrunc
	check_equal "a plain write's FUA" 0 "$(seen s fua_writes "$place")"
	place=$(log_place s)
	check "fsync" sync "$DISK"
	check_equal "its flush" 1 "$(seen s flushes "$place")"
	finish
}

# bare SETTINGS...: an eval plugin over a file, which offers only what is said. (Zeroes would be offered
# by nbdkit itself, which then writes them: the filter hides that.)
bare() {
	truncate -s 4M "$WORK/bare"
	start_logged s 10809 $HIDE eval get_size="echo 4M" open="exit 0" \
		pread="dd if=$WORK/bare iflag=skip_bytes,count_bytes count=\$3 skip=\$4 bs=1M" \
		pwrite="dd of=$WORK/bare oflag=seek_bytes conv=notrunc seek=\$4 bs=1M iflag=fullblock" \
		can_write="exit 0" "$@"
}

no_flush() {
	bare can_flush="exit 3" can_fua="echo native" can_trim="exit 3"
	connect_disk $URI
	check_equal "the cache" "write through" "$(limit_of write_cache)"
	place=$(log_place s)
	check "plain writes" dd if=/dev/urandom of="$DISK" bs=4096 count=4 oflag=direct conv=notrunc
	check_equal "each has FUA" 4 "$(seen s fua_writes "$place")"
	check "synchronous writes" write_sync
	check "fsync" sync "$DISK"
	check_equal "flushes" 0 "$(seen s flushes "$place")"
	check "the server's bytes" cmp "$WORK/bare" "$DISK"
	finish
}

no_flush_no_fua() {
	bare can_flush="exit 3" can_fua="echo none" can_trim="exit 3"
	connect_disk $URI
	check_equal "the cache" "write through" "$(limit_of write_cache)"
	check "synchronous writes" write_sync
	check "fsync" sync "$DISK"
	check_equal "requests that failed" 0 "$(status_of .stats.errors)"
	finish
}

no_trim_no_zero() {
	bare can_flush="exit 0" flush="exit 0" can_fua="echo none" can_trim="exit 3"
	connect_disk $URI
	check_equal "discard" 0 "$(limit_of discard_max_bytes)"
	check_equal "zeroes" 0 "$(limit_of write_zeroes_max_bytes)"
	expect_fail "blkdiscard" blkdiscard "$DISK"
	said_unsupported
	check "random bytes" dd if=/dev/urandom of="$DISK" bs=128K count=1 oflag=direct conv=notrunc
	check "zeroing writes them" zero_out
	check "zeroes" cmp -n 131072 "$DISK" /dev/zero
	check_equal "trims" 0 "$(seen s trims)"
	check_equal "zeroes" 0 "$(seen s zeroes)"
	finish
}

said_unsupported() {
	grep -qi 'not supported' "$WORK/failed-output" ||
		fail "blkdiscard's words" "$(cat "$WORK/failed-output")"
}

zero_without_trim() {
	HIDE=
	bare can_flush="exit 0" flush="exit 0" can_fua="echo none" can_trim="exit 3" can_zero="exit 0" \
		zero="dd if=/dev/zero of=$WORK/bare iflag=count_bytes oflag=seek_bytes conv=notrunc count=\$3 seek=\$4 bs=1M"
	connect_disk $URI
	check_equal "discard" 0 "$(limit_of discard_max_bytes)"
	[ "$(limit_of write_zeroes_max_bytes)" -gt 0 ] || fail "zeroes" "are not offered to the kernel"
	check "random bytes" dd if=/dev/urandom of="$DISK" bs=128K count=1 oflag=direct conv=notrunc
	check "zeroing" zero_out
	check "zeroes" cmp -n 131072 "$DISK" /dev/zero
	[ "$(seen s zeroes)" -gt 0 ] || fail "zeroes" "the server saw none"
	finish
}

trim_without_zero() {
	start_logged s 10809 --filter=nozero memory 16M zeromode=none
	connect_disk $URI
	check_equal "zeroes" 0 "$(limit_of write_zeroes_max_bytes)"
	[ "$(limit_of discard_max_bytes)" -gt 0 ] || fail "trim" "is not offered to the kernel"
	check "random bytes" dd if=/dev/urandom of="$DISK" bs=128K count=1 oflag=direct conv=notrunc
	check "zeroing writes them" zero_out
	check_equal "zeroes" 0 "$(seen s zeroes)"
	check "trim" blkdiscard "$DISK"
	[ "$(seen s trims)" -gt 0 ] || fail "trim" "the server saw none"
	finish
}

# A fallback of the server's own: it offers zeroes and writes them itself.
zero_emulated() {
	start_logged s 10809 --filter=nozero memory 16M zeromode=emulate
	connect_disk $URI
	check "random bytes" dd if=/dev/urandom of="$DISK" bs=128K count=1 oflag=direct conv=notrunc
	check "zeroing" zero_out
	check "zeroes" cmp -n 131072 "$DISK" /dev/zero
	[ "$(status_of .stats.zeroes)" -gt 0 ] || fail "zeroes" "were not sent as such"
	finish
}

# Zeroing that must keep its blocks (fallocate's zero range) is sent as NO_HOLE; punching is not.
no_hole() {
	start_logged s 10809 memory 16M
	connect_disk $URI
	place=$(log_place s)
	check "zero range" fallocate -z -o 0 -l 1M "$DISK"
	check_equal "with NO_HOLE" "$(seen s zeroes "$place")" "$(seen s no_hole_zeroes "$place")"
	[ "$(seen s zeroes "$place")" -gt 0 ] || fail "zero range" "the server saw no zeroes"
	place=$(log_place s)
	check "punch hole" fallocate -p -o 0 -l 1M "$DISK"
	[ "$(seen s zeroes "$place")" -gt 0 ] || fail "punch hole" "the server saw no zeroes"
	check_equal "without NO_HOLE" 0 "$(seen s no_hole_zeroes "$place")"
	finish
}

# multi_conn MODE WANTED GOT
multi_conn() {
	start_logged s 10809 --filter=multi-conn memory 16M multi-conn-mode="$1"
	DISK=$(ublk-nbd connect --connections "$2" $URI 2>"$WORK/said") || fail "connect" "$(cat "$WORK/said")"
	check_equal "connections" "$3" "$(status_of '.connections | length')"
	check_equal "connections at the server" "$3" "$(seen s connections)"
	[ "$2" = "$3" ] || said CAN_MULTI_CONN
	check "load" disk_torture -d 8 -b 8M -n 200 -t -z "$DISK"
	finish
}

read_only_server() {
	start_logged s 10809 -r memory 16M
	connect_disk $URI
	check_equal "ro" 1 "$(blockdev --getro "$DISK")"
	check_equal "status" true "$(status_of .read_only)"
	check "read" dd if="$DISK" of=/dev/null bs=1M iflag=direct
	expect_fail "write" dd if=/dev/zero of="$DISK" bs=4096 count=1 oflag=direct
	expect_fail "trim" blkdiscard "$DISK"
	check_equal "discard" 0 "$(limit_of discard_max_bytes)"
	finish
}

read_only_option() {
	start_logged s 10809 memory 16M
	connect_disk --read-only $URI
	check_equal "ro" 1 "$(blockdev --getro "$DISK")"
	expect_fail "write" dd if=/dev/zero of="$DISK" bs=4096 count=1 oflag=direct
	expect_fail "made writable by force" sh -c "blockdev --setrw $DISK && dd if=/dev/zero of=$DISK bs=4096 count=1 oflag=direct"
	check_equal "writes at the server" 0 "$(seen s writes)"
	finish
}

limits_case() {
	clean_slate
	run_case "$@"
}

limits_case "FUA: the server has it" fua_mode native 1
limits_case "FUA: the server emulates it" fua_mode emulate 1
limits_case "FUA: the server forces it" fua_mode force 1
limits_case "FUA: the server has none" fua_mode "" 0
limits_case "no flush: every write carries FUA" no_flush
limits_case "neither flush nor FUA" no_flush_no_fua
limits_case "neither trim nor zeroes" no_trim_no_zero
limits_case "zeroes without trim" zero_without_trim
limits_case "trim without zeroes" trim_without_zero
limits_case "zeroes that the server emulates" zero_emulated
limits_case "zeroes that keep their blocks" no_hole
limits_case "multi-conn: as the server has it" multi_conn auto 2 2
limits_case "multi-conn: switched off" multi_conn disable 4 1
limits_case "a read-only server" read_only_server
limits_case "--read-only" read_only_option
