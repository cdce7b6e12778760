# SPDX-License-Identifier: MIT
# goal: whoever connects or disconnects reads why it failed, in the connection's own words, not an errno's;
#       a flush that fails is never hidden, whatever error the server chooses: fsync fails; on the way
#       out the daemon exits with 8, and so does disconnect, with a sentence; nothing is left all the same
# method: a server that fails each flush with another error, and each of the other commands, under fsync
#         of the raw device. A server whose flushes fail, one that never answers them, and one that is
#         dead, each left by SIGTERM and by disconnect; --foreground shows the daemon's exit code. A
#         server that flushes is the counter-check
# kernels: 7.3
# cpus: 2
# timeout-s: 240
# modules: ublk_drv
# load: 85
# suite: test

# shellcheck disable=SC1091,SC2034 # /lab is tests/system/guest; the libraries read these
. /lab/faults.sh

SOCKET=$WORK/hostile.sock
TARGET="nbd+unix:///?socket=$SOCKET"

# connect_foreground: sets DISK; its exit code will be in $WORK/exit.
connect_foreground() {
	log_mark
	rm -f "$WORK/exit" "$WORK/device"
	(
		# shellcheck disable=SC2086 # words
		ublk-nbd connect --foreground $CONNECT_OPTIONS --timeout 1 --connections 1 "$TARGET" \
			>"$WORK/device" 2>"$WORK/foreground.log"
		echo $? >"$WORK/exit"
	) &
	wait_for test -s "$WORK/device" || fail "connect" "$(cat "$WORK/foreground.log")"
	DISK=$(cat "$WORK/device")
}

write_some() {
	check "writing" dd if=/dev/zero of="$DISK" bs=64k count=8 oflag=direct conv=nocreat
}

# by_sigterm CODE
by_sigterm() {
	kill -TERM "$(daemon_pid "$DISK")"
	wait_for test -s "$WORK/exit" || fail "SIGTERM" "the daemon does not end"
	check_equal "the daemon's exit code" "$1" "$(cat "$WORK/exit")"
	[ "$1" = 0 ] || check "its sentence" grep -q 'flushing on the way out failed' "$WORK/foreground.log"
	check_nothing_left
}

# by_disconnect CODE
by_disconnect() {
	disconnect_exits "$1"
	[ "$1" = 0 ] || check "its sentence" grep -q 'flush.* failed' "$WORK/disconnect.log"
	[ "$1" = 0 ] || tells_why "$WORK/disconnect.log" "answered FLUSH|no answer to FLUSH|connection .*was given up|no connection"
	wait_for test -s "$WORK/exit" || fail "disconnect" "the daemon does not end"
	check_equal "the daemon's exit code" "$1" "$(cat "$WORK/exit")"
	check_nothing_left
}

# tells_why FILE REGEX: the reason, and not what the kernel makes of it.
tells_why() {
	grep -qE "$2" "$1" || fail "the reason" "said '$(cat "$1")', nothing of '$2'"
	! grep -q 'Input/output error' "$1" || fail "the reason" "said '$(cat "$1")'"
}

# connect_tells CODE REGEX TARGET...: the first read fails.
connect_tells() {
	tells_code=$1
	tells_regex=$2
	shift 2
	ublk-nbd connect --timeout 1 --connections 1 "$@" >"$WORK/connect.out" 2>"$WORK/connect.log"
	check_equal "connect's exit code" "$tells_code" $?
	tells_why "$WORK/connect.log" "$tells_regex"
	check_nothing_left
}

# hostile_tells CODE REGEX SERVER-OPTION...
hostile_tells() {
	tells_code=$1
	tells_regex=$2
	shift 2
	start_hostile hostile "$SOCKET" "$@"
	connect_tells "$tells_code" "$tells_regex" "$TARGET"
}

# The disk's own server ends at the first read.
own_server_tells() {
	connect_tells 3 'nbdkit was ended by signal 9' \
		[ nbdkit eval get_size="echo 4M" pread="kill -9 \$PPID" ]
}

# What was last wrong is told by status; of a disk with which nothing is wrong nothing is.
status_tells() {
	start_hostile hostile "$SOCKET" --fail-offset 5242880 --fail-error 5
	connect_disk --timeout 1 --connections 1 "$TARGET"
	check_equal "the last error" null "$(status_value .last_error)"
	expect_fail "reading" dd if="$DISK" of=/dev/null bs=4k count=1 skip=1280 iflag=direct
	ublk-nbd status "$DISK" >"$WORK/status.log"
	tells_why "$WORK/status.log" 'last error: .*answered READ of 4096 bytes at 5242880 with the error NBD_EIO'
	disconnect_exits 0
}

# leave WAY CODE SERVER-OPTION...
leave() {
	lab_way=$1
	lab_code=$2
	shift 2
	start_hostile hostile "$SOCKET" "$@"
	connect_foreground
	write_some
	$lab_way "$lab_code"
	stop_server hostile
}

leave_dead_server() {
	start_hostile hostile "$SOCKET"
	connect_foreground
	write_some
	stop_server hostile KILL
	wait_for is_failing
	$1
	$2 8
}

is_failing() {
	[ "$(status_value .state)" = failing ]
}

# What would be lost is not taken away without force: whoever asks is told, and asks again.
told_by_disconnect() {
	disconnect_exits 6
	check "what would be lost" grep -q 'acknowledged write.* \(is\|are\) not flushed' "$WORK/disconnect.log"
}

told_by_sigterm() {
	kill -TERM "$(daemon_pid "$DISK")"
	wait_for grep -q 'asked to end, but .* acknowledged write.* \(is\|are\) not flushed' "$WORK/foreground.log" ||
		fail "SIGTERM" "$(cat "$WORK/foreground.log")"
	sleep 0.3 # signals that come sooner are the same one
}

forced_by_disconnect() { # CODE
	disconnect_exits "$1" --force
	wait_for test -s "$WORK/exit" || fail "disconnect" "the daemon does not end"
	check_nothing_left
}

# Nothing was written: there is nothing to lose.
leave_dead_server_unwritten() {
	start_hostile hostile "$SOCKET"
	connect_foreground
	check "reading" dd if="$DISK" of=/dev/null bs=64k count=8 iflag=direct
	stop_server hostile KILL
	by_sigterm 0
}

# The protocol's errors but ENOSPC; then what other systems call EAGAIN, EBUSY, ENODATA, EILSEQ, EOPNOTSUPP,
# ETIMEDOUT, EREMOTEIO and ENOTSUPP, and what nobody calls anything.
ERRORS="1 5 12 22 75 95 108 11 16 61 84 45 110 121 524 4294967201"

# fails_with_eio NAME COMMAND...
fails_with_eio() {
	eio_name=$1
	shift
	"$@" >"$WORK/eio.log" 2>&1 && fail "$eio_name" "succeeded"
	grep -q 'Input/output error' "$WORK/eio.log" || fail "$eio_name" "said $(cat "$WORK/eio.log")"
}

connect_hostile() {
	connect_disk --timeout 1 --connections 1 "$TARGET"
}

# ESHUTDOWN ends the connection, so it is the last: 108 has a server of its own.
fsync_tells_each_error() {
	list=$(echo "$ERRORS" | sed 's/ 108//; s/ /,/g')
	start_hostile hostile "$SOCKET" --fail flush --fail-error "$list"
	connect_hostile
	for error in $(echo "$list" | tr , ' '); do
		fails_with_eio "fsync at $error" dd if=/dev/zero of="$DISK" bs=4k count=1 conv=fsync,nocreat
	done
	check_equal "errors" "$(echo "$list" | tr , '\n' | wc -l)" "$(status_value .stats.errors)"
	# The list begins again at what is no protocol's error: the disk's own flush on the way out.
	disconnect_exits 8
	stop_server hostile
	start_hostile hostile "$SOCKET" --fail flush --fail-error 28,108
	connect_hostile
	dd if=/dev/zero of="$DISK" bs=4k count=1 conv=fsync,nocreat >"$WORK/eio.log" 2>&1
	check "a full pool is told as such" grep -q 'No space left' "$WORK/eio.log"
	fails_with_eio "fsync at a shutdown" dd if=/dev/zero of="$DISK" bs=4k count=1 conv=fsync,nocreat
	disconnect_exits 8
}

# each_error COMMAND...: of what begins at 5 MiB.
each_error() {
	for error in $(echo "$list" | tr , ' '); do
		if [ "$1 $error" = "blkdiscard 95" ]; then
			check "a trim may go undone" "$@"
		else
			fails_with_eio "$1 at $error" "$@"
		fi
	done
}

reads_and_writes_tell() {
	list=$(echo "$ERRORS" | sed 's/ 108//; s/ /,/g')
	start_hostile hostile "$SOCKET" --fail-offset 5242880 --fail-error "$list"
	connect_hostile
	each_error dd if="$DISK" of=/dev/null bs=4k count=1 skip=1280 iflag=direct
	each_error dd if=/dev/zero of="$DISK" bs=4k count=1 seek=1280 oflag=direct,dsync conv=nocreat
	each_error blkdiscard -f --offset 5242880 --length 65536 "$DISK"
	disconnect_exits 0
}

# What may go undone, or can be done in another way, is: nothing is claimed that is not so.
not_supported() {
	start_hostile hostile "$SOCKET" --fail trim --fail-error 95
	connect_hostile
	check "a trim that the server does not do" blkdiscard --length 65536 "$DISK"
	disconnect_exits 0
	stop_server hostile
	start_hostile hostile "$SOCKET" --fail zeroes --fail-error 95
	connect_hostile
	check "data" dd if=/dev/urandom of="$DISK" bs=64k count=1 oflag=direct conv=nocreat
	check "zeroes, by writing them" blkdiscard -z --length 65536 "$DISK"
	check "they are zeroes" cmp -n 65536 "$DISK" /dev/zero
	disconnect_exits 0
}

a_case() {
	run_case "$@"
	stop_server hostile
	remove_all
}

a_case "connect tells an error of the server" hostile_tells 4 \
	'answered READ of 4096 bytes at 0 with the error NBD_EIO' --fail read --fail-error 5
a_case "connect tells of a server that never answers" hostile_tells 3 \
	'no answer to READ of 4096 bytes at 0 within its time .--timeout is 1000 ms' --deaf read
a_case "connect tells of a server that breaks the protocol" hostile_tells 3 \
	'broke the protocol' --wrong-after 0 --wrong magic
a_case "connect tells of its own server's end" own_server_tells
a_case "status tells the last error" status_tells
a_case "fsync fails at each error of a flush" fsync_tells_each_error
a_case "reads, writes and trims fail at each error" reads_and_writes_tell
a_case "a server that does no trim, no zeroes" not_supported
for way in by_sigterm by_disconnect; do
	a_case "the flush works, $way" leave $way 0
	a_case "the flush fails, $way" leave $way 8 --fail flush
	a_case "the flush is not supported, $way" leave $way 8 --fail flush --fail-error 95
	a_case "the flush is never answered, $way" leave $way 8 --deaf flush
done
a_case "the server is dead, SIGTERM" leave_dead_server told_by_sigterm by_sigterm
a_case "the server is dead, disconnect" leave_dead_server told_by_disconnect forced_by_disconnect
a_case "the server is dead, nothing was written" leave_dead_server_unwritten
