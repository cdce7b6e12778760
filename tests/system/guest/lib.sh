# SPDX-License-Identifier: MIT
# shellcheck shell=dash
#
# The library of guest tests: how a test reports, and what tests have in common. It is read into
# the test's shell (dash) before the test is.
#
# A *case* is one result line. Inside run_case, checks that hold are silent, the first one that
# does not ends the case as failed; each case runs in a subshell of its own with a deadline, so
# variables set in it are lost: files in $WORK are not. Outside of run_case every check is a case.
# Results are counted on the host, from the lines themselves: a failure in a subshell counts too.

WORK=${WORK:-/tmp/work}
LAB_STATE=/run/lab
LAB_CASE=
mkdir -p "$WORK" "$LAB_STATE"
: >"$LAB_STATE/failed"

# Seconds; a test may change them. LAB_SCALE is more than 1 for slow builds.
CASE_TIMEOUT_S=${CASE_TIMEOUT_S:-$((60 * ${LAB_SCALE:-1}))}
WAIT_TIMEOUT_S=${WAIT_TIMEOUT_S:-$((20 * ${LAB_SCALE:-1}))}

# --- reporting ---------------------------------------------------------------------------------

# One write for each line, so that lines of others cannot come in between.
lab_result() {
	printf '@@%s\n' "$(printf '%s' "$*" | tr '\n' ' ')"
}

# note TEXT...: something for the reader of the log.
note() {
	printf '# %s\n' "$*"
}

# pass NAME: a result of its own. In a case there is no need for it.
pass() {
	[ -n "$LAB_CASE" ] || lab_result "ok $1"
}

# fail NAME WHY...: a failed result; inside a case it ends the case.
fail() {
	lab_name=$1
	shift
	if [ -n "$LAB_CASE" ]; then
		lab_result "not ok $LAB_CASE: $lab_name${*:+: $*}"
		echo "$LAB_CASE" >>"$LAB_STATE/failed"
		exit 1
	fi
	lab_result "not ok $lab_name${*:+: $*}"
	echo "$lab_name" >>"$LAB_STATE/failed"
	return 1
}

# skip NAME WHY...: says what is missing; inside a case it ends the case.
skip() {
	lab_name=$1
	shift
	if [ -n "$LAB_CASE" ]; then
		lab_result "skip $LAB_CASE: $*"
		echo skip >"$LAB_STATE/skipped"
		exit 0
	fi
	lab_result "skip $lab_name: $*"
}

# die WHY...: the test cannot go on.
die() {
	if [ -n "$LAB_CASE" ]; then
		fail "gave up" "$*"
	fi
	lab_result "not ok the test goes on to its end: $*"
	exit 1
}

# lab_quietly COMMAND...: runs it and shows its output only when it fails.
lab_quietly() {
	lab_output=$LAB_STATE/output.$$
	"$@" >"$lab_output" 2>&1
	lab_rc=$?
	if [ "$lab_rc" -ne 0 ]; then
		note "\$ $*"
		tail -n 40 "$lab_output" | sed 's/^/#   /'
	fi
	return "$lab_rc"
}

# check NAME COMMAND...: the command must succeed.
check() {
	lab_check=$1
	shift
	if lab_quietly "$@"; then
		pass "$lab_check"
	else
		fail "$lab_check" "$1 exited with $lab_rc"
	fi
}

# expect_fail NAME COMMAND...: the command must fail by its own word, and not by a signal.
# Its output is left in $WORK/failed-output.
expect_fail() {
	lab_check=$1
	shift
	"$@" >"$WORK/failed-output" 2>&1
	lab_rc=$?
	if [ "$lab_rc" -eq 0 ]; then
		fail "$lab_check" "$1 succeeded and should not"
	elif [ "$lab_rc" -ge 126 ]; then
		tail -n 40 "$WORK/failed-output" | sed 's/^/#   /'
		fail "$lab_check" "$1 exited with $lab_rc (not found, or a signal)"
	else
		pass "$lab_check"
	fi
}

# json FILTER: what a jq filter finds in the JSON value on standard input. jq itself takes half a second
# to start here, so that plain paths are not left to it.
json() {
	case $1 in
	*[!A-Za-z0-9_.\[\]]* | [!.]*) jq -r "$1" ;;
	*) json_at "$1" ;;
	esac
}

# check_equal NAME EXPECTED ACTUAL
check_equal() {
	if [ "$2" = "$3" ]; then
		pass "$1"
	else
		fail "$1" "expected '$2', got '$3'"
	fi
}

# run_case NAME COMMAND...: runs a function of the test as one case, ended after CASE_TIMEOUT_S.
# The case and all that it started are in a control group: on time-out all of it is killed.
run_case() {
	lab_case_name=$1
	shift
	: >"$LAB_STATE/skipped"
	lab_failed=$(wc -l <"$LAB_STATE/failed")
	lab_group=/sys/fs/cgroup/case-$$
	mkdir -p "$lab_group"
	(
		sh -c 'echo $PPID' >"$lab_group/cgroup.procs"
		LAB_CASE=$lab_case_name
		"$@"
	) &
	lab_pid=$!
	lab_wait_case "$lab_pid"
	lab_rc=$?
	if [ "$(wc -l <"$LAB_STATE/failed")" -gt "$lab_failed" ] || [ -s "$LAB_STATE/skipped" ]; then
		:
	elif [ "$lab_rc" -eq 0 ]; then
		lab_result "ok $lab_case_name"
	else
		fail "$lab_case_name" "ended with $lab_rc"
	fi
	lab_move_up "$lab_group"
}

# Waits for the case; kills it when its time is up and tells who was where.
lab_wait_case() {
	(
		sleep "$CASE_TIMEOUT_S"
		fail "$lab_case_name" "took longer than $CASE_TIMEOUT_S s"
		echo w >/proc/sysrq-trigger
		# shellcheck disable=SC2009 # a list for a person
		ps -eo pid,ppid,stat,time,args | grep -v '\]$' | sed 's/^/# /'
		echo 1 >"$lab_group/cgroup.kill"
	) &
	lab_watch=$!
	wait "$1"
	lab_case_rc=$?
	kill "$lab_watch" 2>/dev/null
	wait "$lab_watch" 2>/dev/null
	return "$lab_case_rc"
}

# What a case leaves running on purpose goes on, outside of its group.
lab_move_up() {
	while read -r lab_left; do
		echo "$lab_left" >/sys/fs/cgroup/cgroup.procs
	done <"$1/cgroup.procs" 2>/dev/null
	rmdir "$1" 2>/dev/null
}

# Called by the lab at the end of the test: the exit code says whether something failed.
lab_finish() {
	! lab_has_failed
}

# lab_has_failed: some case or check did.
lab_has_failed() {
	[ -s "$LAB_STATE/failed" ]
}

# --- waiting -----------------------------------------------------------------------------------

# wait_for COMMAND...: until it succeeds, at most WAIT_TIMEOUT_S. Silent; fails when time is up.
wait_for() {
	lab_within "$WAIT_TIMEOUT_S" "$@"
}

# lab_within SECONDS COMMAND...
lab_within() {
	lab_end=$(($(cut -d. -f1 /proc/uptime) + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$(cut -d. -f1 /proc/uptime)" -lt "$lab_end" ] || return 1
		sleep 0.1
	done
}

# gone PID: no such process, or only its remains.
gone() {
	[ ! -d "/proc/$1" ] || grep -q '^State:.*Z' "/proc/$1/status" 2>/dev/null || [ ! -d "/proc/$1" ]
}

# uptime_ms: monotonic time, for measuring how long something took.
uptime_ms() {
	awk '{ printf "%d\n", $1 * 1000 }' /proc/uptime
}

# settle: until the kernel's own work after a boot (a crypto self-test, 0.7 s) is over. For what
# counts instructions.
settle() {
	wait_for lab_up_for 4
}

lab_up_for() {
	[ "$(cut -d. -f1 /proc/uptime)" -ge "$1" ]
}

# --- servers -----------------------------------------------------------------------------------

# start_server NAME COMMAND...: starts a server in the background; its output goes to
# $WORK/NAME.log and its pid to $WORK/NAME.pid. Ready when the test of wait_listen says so.
start_server() {
	lab_server=$1
	shift
	"$@" >"$WORK/$lab_server.log" 2>&1 </dev/null &
	echo $! >"$WORK/$lab_server.pid"
}

# server_pid NAME
server_pid() {
	cat "$WORK/$1.pid"
}

# wait_listen NAME ADDRESS: until the server NAME listens: a port number, a socket's path, or
# vsock:PORT. Fails, showing its log, when the server ends or time is up.
wait_listen() {
	lab_wait_ready "$1" lab_listens "$2"
}

# lab_wait_ready NAME COMMAND...: until the command succeeds, the server ends, or time is up.
lab_wait_ready() {
	lab_server=$1
	shift
	if ! wait_for lab_ready_or_gone "$lab_server" "$@" || gone "$(server_pid "$lab_server")"; then
		sed 's/^/# /' "$WORK/$lab_server.log"
		ps -o pid,stat,time,args -p "$(server_pid "$lab_server")" | sed 's/^/# /'
		fail "server $lab_server" "does not get ready: $*"
	fi
}

lab_ready_or_gone() {
	lab_pid_of=$(server_pid "$1")
	shift
	"$@" || gone "$lab_pid_of"
}

lab_listens() {
	case $1 in
	vsock:*) ss -H -l --vsock | grep -q ":${1#vsock:} " ;;
	@*) grep -q " $1\$" /proc/net/unix ;;
	/*) grep -q " 00010000 .* $1\$" /proc/net/unix ;;
	*) ss -H -l -t -n "sport = :$1" | grep -q . ;;
	esac
}

# start_nbdkit NAME ADDRESS ARGUMENTS...: nbdkit on a TCP port, a unix socket's path or vsock:PORT,
# waited for.
start_nbdkit() {
	lab_name=$1
	lab_address=$2
	shift 2
	case $lab_address in
	vsock:*) set -- --vsock -p "${lab_address#vsock:}" "$@" ;;
	/*) set -- -U "$lab_address" "$@" ;;
	*) set -- -p "$lab_address" "$@" ;;
	esac
	# It writes the file when it listens.
	rm -f "$WORK/$lab_name.ready"
	start_server "$lab_name" nbdkit -f -P "$WORK/$lab_name.ready" "$@"
	lab_wait_ready "$lab_name" test -s "$WORK/$lab_name.ready"
}

# start_qemu_nbd NAME ADDRESS ARGUMENTS...: the same with qemu-nbd, of this machine's version.
start_qemu_nbd() {
	lab_name=$1
	lab_address=$2
	shift 2
	case $lab_address in
	/*) start_server "$lab_name" qemu-nbd -t -e 16 -k "$lab_address" "$@" ;;
	*) start_server "$lab_name" qemu-nbd -t -e 16 -p "$lab_address" "$@" ;;
	esac
	wait_listen "$lab_name" "$lab_address"
}

# start_nbd_server NAME PORT FILE [LINE-OF-CONFIGURATION...]: nbd-server with one export, "disk".
start_nbd_server() {
	lab_name=$1
	lab_address=$2
	lab_conf=$WORK/$1.conf
	{
		printf '[generic]\nallowlist = true\nport = %s\n[disk]\nexportname = %s\n' "$2" "$3"
		shift 3
		[ $# -eq 0 ] || printf '%s\n' "$@"
	} >"$lab_conf"
	start_server "$lab_name" nbd-server -d -C "$lab_conf"
	wait_listen "$lab_name" "$lab_address"
}

# stop_server NAME [SIGNAL]: ends it and waits until it is gone. One that waits for its clients to go, as
# nbdkit does, is killed after a while, and that is said. A server that watches its client (the hostile one
# does) has no complaint.
stop_server() {
	[ -s "$WORK/$1.pid" ] || return 0
	lab_stop=$(server_pid "$1")
	kill "-${2:-TERM}" "$lab_stop" 2>/dev/null
	if ! lab_within $((5 * ${LAB_SCALE:-1})) gone "$lab_stop"; then
		note "the server $1 does not end by SIG${2:-TERM}: SIGKILL"
		kill -KILL "$lab_stop" 2>/dev/null
		wait_for gone "$lab_stop" || fail "server $1" "does not end, even by SIGKILL"
	fi
	rm -f "$WORK/$1.pid"
	! grep 'the client broke the protocol' "$WORK/$1.log" >"$WORK/complaint" ||
		fail "server $1" "$(head -n 1 "$WORK/complaint")"
}

# --- disks -------------------------------------------------------------------------------------

# connect_disk ARGUMENTS...: ublk-nbd connect, with CONNECT_OPTIONS before them; sets DISK to the device's path,
# shows the error and fails otherwise.
connect_disk() {
	# shellcheck disable=SC2086 # words
	if DISK=$(timeout -k 5 "$WAIT_TIMEOUT_S" ublk-nbd connect ${CONNECT_OPTIONS:-} "$@" 2>"$WORK/connect.log"); then
		[ -b "$DISK" ] || fail "connect $*" "printed '$DISK', which is no block device"
	else
		lab_rc=$?
		sed 's/^/# /' "$WORK/connect.log"
		fail "connect $*" "exited with $lab_rc"
	fi
}

# disconnect_disk [DEVICE] [ARGUMENTS...]: ublk-nbd disconnect, of $DISK when none is named.
disconnect_disk() {
	[ $# -gt 0 ] || set -- "$DISK"
	lab_disk=${1##*/}
	lab_quietly timeout -k 5 "$WAIT_TIMEOUT_S" ublk-nbd disconnect "$@" ||
		fail "disconnect $*" "exited with $lab_rc"
	wait_for lab_no_node "$lab_disk" || fail "disconnect $*" "/dev/$lab_disk is still there"
}

lab_no_node() {
	[ ! -e "/dev/$1" ] && [ ! -e "/sys/block/$1" ]
}

# start_udev: runs udev, with Debian's rules for disks and ours.
start_udev() {
	mkdir -p /run/udev
	/usr/lib/systemd/systemd-udevd --daemon || die "udev does not start"
	udevadm trigger --action=add
	udevadm settle --timeout=30 || die "udev does not settle"
}

# kernel_at_least MAJOR MINOR
kernel_at_least() {
	lab_release=$(uname -r)
	lab_major=${lab_release%%.*}
	lab_minor=${lab_release#*.}
	lab_minor=${lab_minor%%[!0-9]*}
	[ "$lab_major" -gt "$1" ] || { [ "$lab_major" -eq "$1" ] && [ "$lab_minor" -ge "$2" ]; }
}
