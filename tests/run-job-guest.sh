#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run-job-guest.sh: the main job, step by step, on a kernel that has ublk: this machine's, or the
# VM's (tests/run-job decides). Method: a server's disk is connected, given a filesystem, written,
# disconnected, connected again, and must hold what was written. Each command has a deadline; what
# was set up is taken down in any case; the exit status is 0 only if all of it worked.
#
# JOB_URI    the server to use; empty: an nbdkit of our own with 1 GiB of memory. A user's export
#            is only read (and connected read-only), unless
# JOB_FORMAT is "yes": then it gets a filesystem, if it is empty.
# JOB_MIB    how much is written and read

set -u
LC_ALL=C
export LC_ALL

URI=${JOB_URI:-}
FORMAT=${JOB_FORMAT:-no}
MIB=${JOB_MIB:-64}
SERVER_SIZE=1G
LIMIT_S=60    # one command
LONG_S=240    # one that moves MIB

WORK=
DISK=
MOUNTED=
SERVER=
STEP=0

say() {
	printf '%s\n' "$*"
}

step() {
	STEP=$((STEP + 1))
	printf '\n%s. %s\n' "$STEP" "$*"
}

# Indents what a command prints.
shown() {
	sed 's/^/   /'
}

fail() {
	printf '\nFailed: %s\n' "$*"
	exit 1
}

# quietly SECONDS COMMAND...: with a deadline; output in WORK/out; the end of everything if it fails.
quietly() {
	limit_s=$1
	shift
	timeout -k 5 "$limit_s" "$@" >"$WORK/out" 2>&1
	status=$?
	[ $status = 0 ] && return
	shown <"$WORK/out"
	[ $status = 124 ] && fail "'$*' took longer than $limit_s s"
	fail "'$*' ended with $status"
}

# run SECONDS COMMAND...: the same, with the command and its output shown.
run() {
	limit_s=$1
	shift
	say "   \$ $*"
	quietly "$limit_s" "$@"
	shown <"$WORK/out"
}

# hundredths: time since boot in 1/100 s.
hundredths() {
	sed 's/ .*//; s/\.//' /proc/uptime
}

cleanup() {
	status=$?
	trap - EXIT INT TERM HUP
	[ -n "$MOUNTED" ] && timeout -k 5 $LIMIT_S umount "$MOUNTED"
	[ -n "$DISK" ] && timeout -k 5 $LIMIT_S ublk-nbd disconnect "$DISK"
	if [ -n "$SERVER" ]; then
		kill "$SERVER" 2>/dev/null
		wait "$SERVER" 2>/dev/null
	fi
	[ -n "$WORK" ] && rm -rf "$WORK"
	exit $status
}

server_start() {
	step "A server: nbdkit memory $SERVER_SIZE"
	command -v nbdkit >/dev/null || fail "nbdkit is missing; tests/deps.sh installs it"
	nbdkit -f -U "$WORK/server.sock" memory $SERVER_SIZE &
	SERVER=$!
	tries=0
	until [ -S "$WORK/server.sock" ]; do
		kill -0 "$SERVER" 2>/dev/null || fail "nbdkit ended at once"
		tries=$((tries + 1))
		[ $tries -le 100 ] || fail "nbdkit does not listen after 10 s"
		sleep 0.1
	done
	URI="nbd+unix:///?socket=$WORK/server.sock"
	say "   listens at $URI"
}

# disk_connect OPTION...: connects, shows the path and how long that took.
disk_connect() {
	say "   \$ ublk-nbd connect ${*:+$* }'$URI'"
	before=$(hundredths)
	timeout -k 5 $LIMIT_S ublk-nbd connect "$@" "$URI" >"$WORK/device" 2>"$WORK/out"
	status=$?
	shown <"$WORK/out"
	[ $status = 0 ] || fail "'ublk-nbd connect' ended with $status"
	DISK=$(cat "$WORK/device")
	[ -b "$DISK" ] || fail "'ublk-nbd connect' printed '$DISK', which is no block device"
	took=$(($(hundredths) - before))
	printf '   %s   (usable after %d.%02d s)\n' "$DISK" $((took / 100)) $((took % 100))
}

disk_disconnect() {
	run $LIMIT_S ublk-nbd disconnect "$DISK"
	[ -b "$DISK" ] && fail "$DISK is still there"
	say "   $DISK is gone"
	DISK=
}

disk_mount() {
	run $LIMIT_S mount -t ext4 "$DISK" "$WORK/mnt"
	MOUNTED=$WORK/mnt
}

disk_umount() {
	run $LIMIT_S umount "$WORK/mnt"
	MOUNTED=
}

# What dd says about what it moved.
moved() {
	say "   \$ dd $*"
	quietly $LONG_S dd "$@"
	tail -n 1 "$WORK/out" | shown
	RATE=$(sed -n 's/.*, \([0-9.]* [kMGT]*B\/s\)$/\1/p' "$WORK/out")
	[ -n "$RATE" ] || fail "dd did not say how fast it was"
}

sum_of() {
	timeout -k 5 $LONG_S sha256sum "$1" >"$WORK/sum" || fail "$1 cannot be read"
	cut -c 1-64 "$WORK/sum"
}

write_and_check() {
	step "A filesystem"
	run $LIMIT_S mkfs.ext4 -q -F "$DISK"
	disk_mount
	df -h "$WORK/mnt" | shown

	step "Write $MIB MiB of random bytes, and sync"
	quietly $LONG_S dd if=/dev/urandom of="$WORK/content" bs=1M count="$MIB" status=none
	wanted=$(sum_of "$WORK/content")
	moved if="$WORK/content" of="$WORK/mnt/content" bs=1M conv=fsync
	written=$RATE

	step "Unmount and disconnect"
	disk_umount
	disk_disconnect

	step "Connect again and compare"
	disk_connect
	disk_mount
	moved if="$WORK/mnt/content" of=/dev/null bs=1M
	got=$(sum_of "$WORK/mnt/content")
	say "   written $wanted"
	say "   read    $got"
	[ "$got" = "$wanted" ] || fail "what was read is not what was written"
	disk_umount
	say "   \$ e2fsck -f -n $DISK"
	quietly $LIMIT_S e2fsck -f -n "$DISK"
	tail -n 1 "$WORK/out" | shown

	step "Disconnect"
	disk_disconnect
	DONE="wrote $MIB MiB at $written, disconnected, reconnected, read the same bytes at $RATE"
}

read_only_job() {
	step "Read up to $MIB MiB"
	moved if="$DISK" of=/dev/null bs=1M count="$MIB" iflag=direct
	step "Disconnect"
	disk_disconnect
	DONE="connected, read at $RATE, disconnected; nothing was written (FORMAT=yes would)"
}

# Whether the disk holds nothing that anybody recognizes.
refuse_unless_empty() {
	found=$(timeout -k 5 $LIMIT_S blkid -p "$DISK")
	case $? in
	2) ;;
	0) fail "the export is not empty, and is left as it is: $found" ;;
	*) fail "cannot tell whether the export is empty (blkid); it is left as it is" ;;
	esac
	blocks=4096
	[ "$(head -c $((blocks * 512)) "$DISK" | tr -d '\0' | head -c 1 | wc -c)" = 0 ] ||
		fail "the export is not empty (its first 2 MiB hold data), and is left as it is"
}

trap cleanup EXIT
trap 'exit 130' INT TERM HUP
WORK=$(mktemp -d) || exit 1
mkdir "$WORK/mnt"
DONE=

command -v ublk-nbd >/dev/null || fail "ublk-nbd is not in PATH; run make first"
say "$(ublk-nbd --version) on Linux $(uname -r)"
OWN=
[ -n "$URI" ] || {
	OWN=yes
	server_start
}

step "Connect"
if [ -n "$OWN" ] || [ "$FORMAT" = yes ]; then
	disk_connect
else
	disk_connect --read-only
fi
run $LIMIT_S ublk-nbd status "$DISK"

if [ -z "$OWN" ] && [ "$FORMAT" = yes ]; then
	refuse_unless_empty
fi
if [ -n "$OWN" ] || [ "$FORMAT" = yes ]; then
	write_and_check
else
	read_only_job
fi
printf '\nIt works: %s.\n' "$DONE"
