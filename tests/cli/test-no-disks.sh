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
answers "[]" disconnect --all -o json

# What becomes of each is told in JSON, too; the sentence is on standard error.
call disconnect -o json $N
why=
[ "$status" = 7 ] || why="status $status"
[ "$(jq -c . "$SCRATCH/out")" = "[{\"device\":\"/dev/ublkb$N\",\"exit\":7}]" ] || why="$why; not that device and 7"
grep -qF "there is no device $N" "$SCRATCH/err" || why="$why; no sentence"
verdict "disconnect -o json" "${why#; }"

# What cannot be written is not done: exit 1, whatever else there is to say.
unwritten() {
	local how=$1 status why=
	shift
	case $how in
	full) "$PROGRAM" "$@" >/dev/full 2>"$SCRATCH/err" ;;
	closed) "$PROGRAM" "$@" >&- 2>"$SCRATCH/err" ;;
	esac
	status=$?
	[ $status = 1 ] || why="status $status"
	grep -qF "cannot write to standard output: " "$SCRATCH/err" || why="$why; $(<"$SCRATCH/err")"
	verdict "$1, standard output $how" "${why#; }"
}
mkfifo "$SCRATCH/gone"
for how in full closed; do
	for verb in connect list status disconnect resize info exports map doctor; do
		unwritten $how $verb --help
	done
	unwritten $how --version
	unwritten $how list -o json
	unwritten $how disconnect --all -o json
	unwritten $how doctor -o json
	for verb in info exports map; do
		unwritten $how $verb [ nbdkit memory 1M ]
		unwritten $how $verb -o json [ nbdkit memory 1M ]
	done
done
# The reader opens the pipe, and goes; the writer has it open by then.
"$PROGRAM" info [ nbdkit --filter=delay memory 1M delay-open=1 ] >"$SCRATCH/gone" 2>"$SCRATCH/err" &
: <"$SCRATCH/gone"
wait $!
status=$?
why=
[ $status = 1 ] || why="status $status"
grep -qF "Broken pipe" "$SCRATCH/err" || why="$why; $(<"$SCRATCH/err")"
verdict "info, whose reader has gone" "${why#; }"

# A complaint that nobody reads is no reason to wait: it waits for its reader at the end, when all is done.
head -c 65536 /dev/zero >"$SCRATCH/zeroes"
sleep 30 <>"$SCRATCH/gone" &
reader=$!
cat "$SCRATCH/zeroes" >"$SCRATCH/gone"
: >"$SCRATCH/out" # of the command before: it is looked at next
timeout 20 "$PROGRAM" disconnect -o json $N >"$SCRATCH/out" 2>"$SCRATCH/gone" &
for ((i = 0; i < 100; i++)); do
	[ ! -s "$SCRATCH/out" ] || break
	sleep 0.1
done
why=
[ -s "$SCRATCH/out" ] || why="it waits with its work undone"
kill $reader
wait $!
verdict "disconnect, whose complaints nobody reads" "$why"

# A link stays when its node has gone.
ln -s "/dev/ublkb$N" "$SCRATCH/link"
refused 7 "there is no device $N" disconnect "$SCRATCH/link"
ln -sfn "$(realpath --relative-to "$SCRATCH" /dev)/ublkb$N" "$SCRATCH/link"
refused 7 "there is no device $N" disconnect "$SCRATCH/link"
ln -sfn "ublkb$N" "$SCRATCH/link"
refused 2 "is not a ublk device" disconnect "$SCRATCH/link"
ln -sfn /dev/nothing "$SCRATCH/link"
refused 2 "is not a ublk device" disconnect "$SCRATCH/link"

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
STATE=$UBLK_NBD_RUNTIME_DIR/state
mkdir -m 700 "$UBLK_NBD_RUNTIME_DIR" "$STATE"
printf '{"pid": 1' >"$STATE/$N.json"
answers "/dev/ublkb$N" list
refused_status() {
	call status $N
	why=
	[ "$status" = 1 ] || why="status $status, not 1"
	grep -q 'is dead' "$SCRATCH/err" || why="$why; it does not say that it is dead"
	verdict "a file that is no JSON is a dead disk" "$why"
}
refused_status
printf '{"pid": 1, "config": {}}' >"$STATE/$N.json"
refused_status
answers "" disconnect $N
why=
[ ! -e "$STATE/$N.json" ] || why="the file is still there"
verdict "disconnect removes a stale file" "$why"

# Version 0.1.0 had them in the runtime directory itself.
printf '{"pid": 2, "config": {}}' >"$UBLK_NBD_RUNTIME_DIR/$N.json"
answers "/dev/ublkb$N" list
refused_status
answers "" disconnect $N
why=
[ ! -e "$UBLK_NBD_RUNTIME_DIR/$N.json" ] || why="the file is still there"
verdict "disconnect removes a stale file of 0.1.0" "$why"

# A folder that others may have written to is not believed, and left as it is.
chmod 755 "$STATE"
for verb in list "status $N" "disconnect $N" "disconnect --all" "resize $N"; do
	# shellcheck disable=SC2086 # words
	refused 5 "$STATE has mode 0755" $verb
done
why=
[ "$(stat -c %a "$STATE")" = 755 ] || why="it was changed"
verdict "its mode" "$why"
chmod 700 "$STATE"
chmod 1777 "$UBLK_NBD_RUNTIME_DIR"
printf '{"pid": 2, "config": {}}' >"$UBLK_NBD_RUNTIME_DIR/$N.json"
answers "" list

# A server that was started for a look leaves nothing behind, however the look ends.
for signal in INT TERM HUP; do
	why=
	: >"$SCRATCH/out"
	timeout -s $signal 1 "$PROGRAM" info [ sleep 30 ] >"$SCRATCH/out" 2>"$SCRATCH/err"
	status=$?
	[ $status = 124 ] || why="status $status"
	[ -z "$(find "$UBLK_NBD_RUNTIME_DIR" -name 'server-*')" ] || why="$why; the socket is left"
	verdict "SIG$signal during info" "${why#; }"
done
refused 3 "no-such-program" info [ no-such-program ]

# doctor, as a user who may nearly nothing. The program is copied to where such a one can read it.
chmod 755 "$SCRATCH"
install -m 755 "$PROGRAM" "$SCRATCH/ublk-nbd"
user=()
[ "$(id -u)" != 0 ] || user=(setpriv --reuid 65534 --regid 65534 --clear-groups)
rm "$UBLK_NBD_RUNTIME_DIR/$N.json"
UBLK_NBD_RUNTIME_DIR=/proc/none timeout -k 5 "$LIMIT_S" "${user[@]}" prlimit --nofile=100 --memlock=65536 "$SCRATCH/ublk-nbd" doctor \
	>"$SCRATCH/out" 2>"$SCRATCH/err" </dev/null
status=$?
why=
[ $status != 0 ] || why="status 0"
for line in 'FAIL  permission: uid [0-9]* without CAP_SYS_ADMIN' 'FAIL  ublk driver: ' \
	'warn  locked memory: 64 KiB may be locked.*raise RLIMIT_MEMLOCK' 'warn  open files: only 100 allowed' \
	'FAIL  runtime directory: ' 'A connect would not work'; do
	grep -q "$line" "$SCRATCH/out" || why="$why; no line like '$line'"
done
verdict "doctor: what a plain user lacks" "${why#; }"

# doctor and connect refuse in the same words, whatever the machine lacks.
# agree NAME WORDS COMMAND...
agree() {
	local name=$1 words=$2 why='' fail
	shift 2
	timeout -k 5 "$LIMIT_S" "$@" "$SCRATCH/ublk-nbd" doctor >"$SCRATCH/out" 2>"$SCRATCH/err" </dev/null
	timeout -k 5 "$LIMIT_S" "$@" "$SCRATCH/ublk-nbd" connect localhost:1 >>"$SCRATCH/err" 2>&1 </dev/null
	fail=$(sed -n 's/^  FAIL  //p' "$SCRATCH/out" | head -n 1)
	[[ $fail == *"$words"* ]] || why="doctor does not say '$words'"
	[ "$(cat "$SCRATCH/err")" = "ublk-nbd: connect: $fail" ] || why="$why; connect says something else"
	verdict "doctor and connect: $name" "${why#; }"
}
agree "a plain user" "without CAP_SYS_ADMIN" "${user[@]}"
if unshare -Ur true 2>/dev/null; then
	agree "a user namespace" "this is a user namespace" unshare -Ur
else
	printf 'skip doctor and connect in a user namespace: none may be made here\n'
fi

# Whoever has too few descriptors reads that, whatever a library makes of it, and what to do.
for words in "4 info nbd://localhost" "4 info --tls-ca /dev/null nbds://127.0.0.1:1" "4 info [ nbdkit memory 1M ]" \
	"6 map [ nbdkit memory 1M ]" "8 exports [ nbdkit memory 1M ]" "8 info [ nbdkit memory 1M ]"; do
	# shellcheck disable=SC2086 # a list of words
	timeout -k 5 "$LIMIT_S" prlimit --nofile=${words%% *} "$PROGRAM" ${words#* } >"$SCRATCH/out" 2>"$SCRATCH/err" </dev/null
	status=$?
	why=
	[ $status != 0 ] || why="status 0"
	grep -q 'Too many open files: raise RLIMIT_NOFILE (ulimit -n)$' "$SCRATCH/err" || why="$why; it does not say so"
	verdict "descriptors: ${words%% *} for ${words#* }" "${why#; }"
done
