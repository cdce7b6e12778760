# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Goal: on a machine without a single disk of ours, the verbs about disks say so and do nothing.
# Method: an empty runtime directory, and a number that no machine has.

. tests/cli/lib.sh

N=65535

if [ -e /dev/ublk-control ] && [ ! -w /dev/ublk-control ]; then
	printf 'skip verbs on a machine without disks: the kernel may be asked by root alone\n'
	exit 0
fi

answers "" list
answers "[]" list -o json
answers "" disconnect --all
answers "" disconnect --all --owner me
refused 7 "no device $N" status $N
refused 7 "no daemon serves device $N" resize ublkb$N
refused 7 "there is no device $N" disconnect /dev/ublkb$N
refused 7 "there is no device $N" disconnect --force /dev/ublkc$N

# A full disk, or a reader that left, is no success.
if [ -w /dev/full ]; then
	"$PROGRAM" --help >/dev/full 2>"$SCRATCH/err"
	status=$?
	: >"$SCRATCH/out"
	why=
	[ "$status" = 1 ] || why="status $status, not 1"
	grep -q 'standard output' "$SCRATCH/err" || why="$why; nothing is said of it"
	verdict "a full disk is noticed" "$why"
else
	printf 'skip a full disk is noticed: no /dev/full here\n'
fi

# What a dead daemon left, or somebody wrote, is shown or refused, and does not confuse.
mkdir -m 700 "$UBLK_NBD_RUNTIME_DIR"
printf '{"pid": 1' >"$UBLK_NBD_RUNTIME_DIR/$N.json"
answers "/dev/ublkb$N" list
refused_status() {
	call status $N
	why=
	[ "$status" = 1 ] || why="status $status, not 1"
	grep -q 'is dead' "$SCRATCH/err" || why="$why; it does not say that it is dead"
	verdict "a file that is no JSON is a dead disk" "$why"
}
refused_status
printf '{"pid": 1, "config": {}}' >"$UBLK_NBD_RUNTIME_DIR/$N.json"
refused_status
answers "" disconnect $N
why=
[ ! -e "$UBLK_NBD_RUNTIME_DIR/$N.json" ] || why="the file is still there"
verdict "disconnect removes a stale file" "$why"
