# SPDX-License-Identifier: MIT
# shellcheck shell=dash
#
# What tests of the data path share: looking at a disk, at its server's log, at exit codes. A test
# reads it with ". /lab/data.sh"; lib.sh is there already.

# An emulated machine beside others may be slow; what hangs is still found.
CASE_TIMEOUT_S=$((180 * ${LAB_SCALE:-1}))
WAIT_TIMEOUT_S=$((60 * ${LAB_SCALE:-1}))

# status_of FILTER [DISK]: what `status` says about the disk, by a jq filter.
status_of() {
	ublk-nbd status -o json "${2:-$DISK}" | json "$1"
}

# limit_of NAME: a file of the disk's request queue in sysfs.
limit_of() {
	cat "/sys/block/${DISK##*/}/queue/$1"
}

drop_caches() {
	echo 3 >/proc/sys/vm/drop_caches
}

# same_bytes URI: what the server has, read through libnbd, is what the disk has. The disk is read
# from its server, not from the cache.
same_bytes() {
	sync "$DISK"
	drop_caches
	nbdcopy --request-size="${REQUEST_BYTES:-262144}" "$1" - 2>"$WORK/nbdcopy.log" | cmp - "$DISK" >"$WORK/cmp.log" 2>&1 ||
		fail "the server's bytes" "$(cat "$WORK/cmp.log" "$WORK/nbdcopy.log")"
}

# expect_exit NAME CODE COMMAND...: the command must end with this code. What it wrote is left in
# $WORK/said.
expect_exit() {
	data_name=$1
	data_code=$2
	shift 2
	data_rc=0
	timeout -k 5 "$WAIT_TIMEOUT_S" "$@" >"$WORK/said" 2>&1 || data_rc=$?
	if [ "$data_rc" = "$data_code" ]; then
		pass "$data_name"
	else
		fail "$data_name" "exited with $data_rc, not $data_code: $(cat "$WORK/said")"
	fi
}

# said PATTERN...: the last expect_exit's command wrote something that matches each (grep -E).
said() {
	for data_pattern in "$@"; do
		grep -qE -e "$data_pattern" "$WORK/said" ||
			fail "the message" "'$(cat "$WORK/said")' says nothing of '$data_pattern'"
	done
}

# hold_open DEVICE: a program, HOLDER, has it open from now on, and does nothing else.
hold_open() {
	# shellcheck disable=SC2016 # the inner shell's
	sh -c 'exec 3<"$0"; exec sleep 1000' "$1" &
	HOLDER=$!
	check "it is held open" wait_for test -e "/proc/$HOLDER/fd/3"
}

let_go() {
	kill "$HOLDER"
	wait "$HOLDER" 2>/dev/null
}

# no_device_left: nothing of a disk is in the kernel, in /dev or in the runtime directory.
no_device_left() {
	data_left=$(ls -d /dev/ublkb* /dev/ublkc* /sys/block/ublkb* /run/ublk-nbd/state/*.json \
		/run/ublk-nbd/state/*.sock /run/ublk-nbd/state/*.udev 2>/dev/null)
	[ -z "$data_left" ]
}

# start_logged NAME ADDRESS ARGUMENTS...: nbdkit as with start_nbdkit, under its log filter, which
# sees what the client was told and what it sent.
start_logged() {
	data_name=$1
	data_address=$2
	shift 2
	rm -f "$WORK/$data_name.nbd"
	start_nbdkit "$data_name" "$data_address" --filter=log "$@" logfile="$WORK/$data_name.nbd"
}

# seen NAME FIELD [FIRST-LINE]: a number from the log of NAME: reads, writes, fua_writes, count_max...
# (tests/guest/nbdlog.c). FIRST-LINE comes from log_place.
seen() {
	nbdlog "$WORK/$1.nbd" "${3:-1}" | sed -n "s/^$2=//p"
}

# log_place NAME: where the log of NAME goes on from here.
log_place() {
	echo $(($(wc -l <"$WORK/$1.nbd") + 1))
}

# client_kept_to NAME: nothing was sent that the server had not offered, nor beyond its limits.
client_kept_to() {
	lab_quietly nbdlog "$WORK/$1.nbd" || fail "what was sent to $1" "is not what was advertised"
}

# start_forking_nbd_server NAME PORT FILE [LINE...]: nbd-server as it runs in earnest, a process for
# each connection; one export, "disk". One in 25 never serves its first connection, but all later ones
# (nbd-server 3.24, on any kernel): the first is spent here.
start_forking_nbd_server() {
	data_name=$1
	data_port=$2
	{
		printf '[generic]\nallowlist = true\nport = %s\n[disk]\nexportname = %s\n' "$2" "$3"
		shift 3
		[ $# -eq 0 ] || printf '%s\n' "$@"
	} >"$WORK/$data_name.conf"
	rm -f "$WORK/$data_name.pid"
	nbd-server -C "$WORK/$data_name.conf" -p "$WORK/$data_name.pid" >"$WORK/$data_name.log" 2>&1
	wait_for test -s "$WORK/$data_name.pid" || die "nbd-server does not start: $(cat "$WORK/$data_name.log")"
	wait_listen "$data_name" "$data_port"
	wait_for timeout 3 nbdinfo --size "nbd://localhost:$data_port/disk" ||
		die "nbd-server serves nobody: $(cat "$WORK/$data_name.log")"
}

# clean_slate: what a case that failed has left is removed, so that the next one is judged by itself.
clean_slate() {
	no_device_left || tail -n 15 /run/ublk-nbd/state/daemon.log | sed 's/^/# daemon: /'
	umount -l /mnt 2>/dev/null
	ublk-nbd disconnect --all --force >/dev/null 2>&1
	for data_file in "$WORK"/*.pid; do
		[ -e "$data_file" ] && stop_server "$(basename "$data_file" .pid)" KILL
	done
	return 0
}
