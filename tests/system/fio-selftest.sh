# SPDX-License-Identifier: MIT
# goal: the tools by which the tests of the data path judge do see what is wrong
# method: change bytes behind the disk's back, compare with another server, forge a server's log: each
#   must be noticed
# kernels: 7.3
# timeout-s: 600
# modules: ublk_drv
# suite: test

. /lab/data.sh

URI=nbd://localhost

fio_notices() {
	start_nbdkit s 10809 memory 16M
	connect_disk $URI
	set -- fio --name=w --filename="$DISK" --direct=1 --ioengine=libaio --iodepth=32 --bsrange=512-64k \
		--size=4M --verify=crc32c --verify_state_save=0 --verify_fatal=1 --rw=randwrite
	check "fio writes" "$@" --do_verify=0
	check "fio finds all well" "$@" --verify_only
	check "a byte changes" qemu-io -f raw -c 'write -P 0xee 2M 1' $URI
	expect_fail "fio sees it" "$@" --verify_only
	grep -q 'verify:' "$WORK/failed-output" || fail "fio" "failed otherwise: $(tail -n 3 "$WORK/failed-output")"
	disconnect_disk
	stop_server s
}

torture_notices() {
	start_nbdkit s 10809 memory 16M
	start_nbdkit other 10810 memory 16M
	connect_disk $URI
	check "torture finds all well" disk_torture -b 4M -n 200 -t -z -u $URI "$DISK"
	expect_fail "another server's bytes" disk_torture -b 4M -n 200 -t -z -u nbd://localhost:10810 "$DISK"
	grep -q 'the server: sector' "$WORK/failed-output" || fail "torture" "$(cat "$WORK/failed-output")"
	# Bytes that change while it runs.
	(while :; do
		nbdcopy nbd://localhost:10810 $URI
	done) >/dev/null 2>&1 &
	spoiler=$!
	expect_fail "bytes that change" disk_torture -b 4M -n 20000 "$DISK"
	kill $spoiler
	wait $spoiler 2>/dev/null
	grep -q 'instead of' "$WORK/failed-output" || fail "torture" "$(cat "$WORK/failed-output")"
	disconnect_disk
	stop_server s
	stop_server other
}

comparison_notices() {
	start_nbdkit s 10809 memory 4M
	start_nbdkit other 10810 memory 4M
	connect_disk $URI
	check "write" dd if=/dev/urandom of="$DISK" bs=1M count=4 oflag=direct
	same_bytes $URI
	# In a subshell of its own: its failure ends that, not the case.
	# shellcheck disable=SC2317 # same_bytes calls it
	if (LAB_CASE='' && fail() { exit 1; } && same_bytes nbd://localhost:10810); then
		fail "same_bytes" "takes another server for the same"
	fi
	disconnect_disk
	stop_server s
	stop_server other
}

# forged NAME LINE: the log with this line in it must be found fault with.
forged() {
	{
		echo '2026-01-01 00:00:00.000000 connection=1 Connect export="" tls=0 size=0x100000 minsize=0x1000 prefsize=0x1000 maxsize=0x10000 write=1 flush=0 rotational=0 trim=0 zero=0 fua=0 extents=1 cache=0 fast_zero=0'
		echo '2026-01-01 00:00:00.000000 connection=1 Read id=1 offset=0x1000 count=0x1000 ...'
		[ -z "$2" ] || echo "2026-01-01 00:00:00.000000 connection=1 $2 ..."
	} >"$WORK/forged"
	if [ -z "$2" ]; then
		check "$1" nbdlog "$WORK/forged"
	else
		expect_fail "$1" nbdlog "$WORK/forged"
	fi
}

log_reader_notices() {
	forged "a log without fault" ""
	forged "a flush" "Flush id=2"
	forged "a trim" "Trim id=2 offset=0x0 count=0x1000 fua=0"
	forged "zeroes" "Zero id=2 offset=0x0 count=0x1000 trim=1 fua=0 fast=0"
	forged "FUA" "Write id=2 offset=0x0 count=0x1000 fua=1"
	forged "half a block" "Read id=2 offset=0x800 count=0x1000"
	forged "too large" "Write id=2 offset=0x0 count=0x11000 fua=0"
	forged "beyond the end" "Read id=2 offset=0x100000 count=0x1000"
	forged "no command of ours" "Cache id=2 offset=0x0 count=0x1000"
}

tool() {
	clean_slate
	run_case "$@"
}

tool "fio notices a byte that changed" fio_notices
tool "disk_torture notices" torture_notices
tool "the comparison with the server notices" comparison_notices
tool "the reader of nbdkit's log notices" log_reader_notices
