# SPDX-License-Identifier: MIT
# goal: an error of the server reaches the program that asked, as EIO or ENOSPC, and nothing else:
#   the disk goes on working; a slow server is only slow
# method: nbdkit's error and delay filters, switched on while the disk is in use
# kernels: 7.3
# long-kernels: 6.12
# timeout-s: 600
# modules: ublk_drv ext4
# suite: test
# allow-dmesg: I/O error|Buffer I/O error

. /lab/data.sh

URI=nbd://localhost

# faulty ERROR: a server that gives it for every command once $WORK/fault is there.
faulty() {
	rm -f "$WORK/fault"
	start_logged s 10809 --filter=error memory 64M error="$1" error-pread-rate=100% \
		error-pwrite-rate=100% error-trim-rate=100% error-zero-rate=100% error-file="$WORK/fault"
	connect_disk --connections 1 $URI
	check "write before" dd if=/dev/urandom of="$DISK" bs=1M count=4 oflag=direct
}

# fails_with NAME TEXT COMMAND...
fails_with() {
	fails_name=$1
	fails_text=$2
	shift 2
	expect_fail "$fails_name" "$@"
	grep -qE "$fails_text" "$WORK/failed-output" ||
		fail "$fails_name" "said '$(cat "$WORK/failed-output")', nothing of '$fails_text'"
}

# server_error ERROR TEXT: what a program is told. What the block layer might take for anything but a
# failure (proto/error.c) is EIO.
server_error() {
	faulty "$1"
	errors=$(status_of .stats.errors)
	touch "$WORK/fault"
	fails_with "read" "$2" dd if="$DISK" of=/dev/null bs=4096 count=1 iflag=direct
	fails_with "write" "$2" dd if=/dev/zero of="$DISK" bs=4096 count=1 oflag=direct
	fails_with "a synchronous write" "$2" dd if=/dev/zero of="$DISK" bs=4096 count=1 oflag=direct,dsync
	fails_with "trim" "$2" blkdiscard -f -o 0 -l 65536 "$DISK"
	rm "$WORK/fault"
	[ "$(status_of .stats.errors)" -ge $((errors + 4)) ] || fail "status" "does not count the errors"
	check_equal "state" live "$(status_of .state)"
	check_equal "connections lost" 0 "$(status_of .stats.connections_lost)"
	check "it works again" disk_torture -d 8 -b 8M -n 100 -t -z -u $URI "$DISK"
	disconnect_disk
	client_kept_to s
	stop_server s
}

# A server that shuts down is left in good order: what is under way is answered, then DISC, and nothing new. What
# it did not do waits until it is there again.
server_shuts_down() {
	faulty ESHUTDOWN
	check_equal "disconnects before" 0 "$(grep -c Disconnect "$WORK/s.nbd")"
	touch "$WORK/fault"
	dd if="$DISK" of=/dev/null bs=4096 count=1 iflag=direct 2>"$WORK/dd.log" &
	reader=$!
	check "the connection is left" wait_for grep -q Disconnect "$WORK/s.nbd"
	check "and made again, and left" wait_for left_twice
	rm "$WORK/fault"
	check "the read ends well" wait $reader
	check "its state" wait_for state_is live
	lost=$(status_of .stats.connections_lost)
	[ "$lost" -le 60 ] || fail "connections lost" "are $lost: it is dialled without a pause"
	# What was written was not flushed when the server was left: nobody knows what became of it.
	expect_exit "disconnect" 8 ublk-nbd disconnect "$DISK"
	check "the device is gone" no_device_left
	client_kept_to s
	stop_server s
}

left_twice() {
	[ "$(grep -c Disconnect "$WORK/s.nbd")" -ge 2 ]
}

state_is() {
	[ "$(status_of .state)" = "$1" ]
}

log_lines() {
	cat /run/ublk-nbd/state/daemon.log "$WORK"/*.err 2>/dev/null | wc -l
}

# What was held back is told with the next line that passes, of the same queue: by some more reads that fail.
held_back() {
	for cpu in 0 1; do
		taskset -c $cpu dd if="$DISK" of=/dev/null bs=4k count=16 iflag=direct conv=noerror >/dev/null 2>&1
	done
	cat /run/ublk-nbd/state/daemon.log "$WORK"/*.err 2>/dev/null | grep -q 'held back'
}

# A few requests of many fail: each failure reaches its own request, all others have the right bytes.
some_fail() {
	start_logged s 10809 --filter=error memory 64M error=EIO error-pread-rate=20% error-file="$WORK/fault"
	rm -f "$WORK/fault"
	connect_disk $URI
	check "write" fio --filename="$DISK" --direct=1 --name=w --rw=write --bs=4k --size=8M --verify=crc32c \
		--do_verify=0 --verify_state_save=0 --ioengine=libaio --iodepth=32
	touch "$WORK/fault"
	lines=$(log_lines)
	fio --filename="$DISK" --direct=1 --name=w --rw=read --bs=4k --size=8M --verify=crc32c \
		--verify_state_save=0 --ioengine=libaio --iodepth=32 --continue_on_error=io \
		--output-format=json --output="$WORK/fio.json" >"$WORK/fio.out" 2>&1
	sed -n '/^{/,$p' "$WORK/fio.json" >"$WORK/fio.only"
	failed=$(json '.jobs[0].total_err' <"$WORK/fio.only")
	note "$failed of 2048 reads failed"
	[ "$failed" -gt 100 ] || fail "errors" "fio saw $failed of about 400"
	check_equal "each is counted once" "$failed" "$(status_of .stats.errors)"
	lines=$(($(log_lines) - lines))
	note "$lines lines in the log"
	check "the log has some" test "$lines" -gt 0
	check "but not one for each" test "$lines" -lt $((failed / 2))
	check "it says how many are missing" wait_for held_back
	rm "$WORK/fault"
	grep -q 'verify: bad' "$WORK/fio.out" && fail "the others' bytes" "$(head -n 3 "$WORK/fio.out")"
	disconnect_disk
	stop_server s
}

# Writing the last dirty block fails: whoever flushes is told.
fsync_tells() {
	faulty EIO
	touch "$WORK/fault"
	expect_fail "a buffered write with fsync" dd if=/dev/zero of="$DISK" bs=4096 count=16 conv=fsync,notrunc
	rm "$WORK/fault"
	check "again, without the fault" dd if=/dev/zero of="$DISK" bs=4096 count=16 conv=fsync,notrunc
	disconnect_disk
	stop_server s
}

# A failing flush on the way out is no success: exit code 8.
flush_fails() {
	truncate -s 4M "$WORK/bare"
	start_logged s 10809 eval get_size="echo 4M" can_write="exit 0" can_flush="exit 0" \
		pread="dd if=$WORK/bare iflag=skip_bytes,count_bytes count=\$3 skip=\$4 bs=1M" \
		pwrite="dd of=$WORK/bare oflag=seek_bytes conv=notrunc seek=\$4 bs=1M iflag=fullblock" \
		flush="echo EIO >&2; exit 1"
	connect_disk $URI
	check "write" dd if=/dev/zero of="$DISK" bs=4096 count=1 oflag=direct conv=notrunc
	expect_fail "fsync" sync "$DISK"
	expect_exit "disconnect" 8 ublk-nbd disconnect "$DISK"
	said flush
	check "the device is gone" no_device_left
	stop_server s
}

# Requests are answered side by side: 32 reads of 300 ms each take nothing like 9.6 s.
slow_server() {
	start_logged s 10809 -t 64 --filter=delay memory 64M rdelay=300ms
	connect_disk $URI
	start=$(uptime_ms)
	check "32 reads at once" fio --filename="$DISK" --direct=1 --name=r --rw=randread --bs=4k --number_ios=32 \
		--size=16M --ioengine=libaio --iodepth=32 --randrepeat=1
	took=$(($(uptime_ms) - start))
	note "32 reads of 300 ms each took $took ms"
	check_equal "requests that failed" 0 "$(status_of .stats.errors)"
	disconnect_disk
	client_kept_to s
	stop_server s
	# Only the reads' own time counts: fio starts slowly on an emulated machine.
	[ "$took" -lt 8000 ] || fail "32 reads of 300 ms each" "took $took ms"
}

limits_case() {
	clean_slate
	run_case "$@"
}

limits_case "EIO" server_error EIO 'Input/output error'
limits_case "ENOSPC" server_error ENOSPC 'No space left on device'
limits_case "ENOMEM" server_error ENOMEM 'Input/output error'
limits_case "EPERM" server_error EPERM 'Input/output error'
limits_case "EINVAL" server_error EINVAL 'Input/output error'
limits_case "ESHUTDOWN" server_shuts_down
limits_case "one read in five fails" some_fail
limits_case "fsync tells of a write that failed" fsync_tells
limits_case "a failing flush on the way out" flush_fails
limits_case "a slow server" slow_server
