# SPDX-License-Identifier: MIT
# shellcheck shell=dash disable=SC2034,SC2010
#
# What the tests of everything that goes wrong have in common: the hostile server, a verified load
# at depth 32, and the look at what is left. To be read by a test after lib.sh: . /lab/faults.sh

# Most of these tests want to see the errors: nothing waits, and no place of a lost write is written again.
CONNECT_OPTIONS="--dead-timeout 0 --quiet-time never"

RUNTIME=/run/ublk-nbd/state
DAEMON_LOG=$RUNTIME/daemon.log
# How much later than --timeout a request may end: the emulator is slow, the host is shared.
SCALE=${LAB_SCALE:-1}
MARGIN_MS=$((3500 * SCALE))
[ -z "$SANITIZER_REPORTS" ] || MARGIN_MS=$((MARGIN_MS * 2))

# start_hostile NAME PORT|/SOCKET OPTION...: the hostile server, waited for.
start_hostile() {
	lab_name=$1
	lab_address=$2
	shift 2
	case $lab_address in
	/*) start_server "$lab_name" hostile_server --unix "$lab_address" "$@" ;;
	*) start_server "$lab_name" hostile_server --port "$lab_address" "$@" ;;
	esac
	lab_wait_ready "$lab_name" grep -q '^ready' "$WORK/$lab_name.log"
}

# no_way_back: the server at $SOCKET goes on with the connections it has, and nobody can dial it any more.
no_way_back() {
	rm "$SOCKET"
}

# --- load ----------------------------------------------------------------------------------------

# start_load OPTION...: the verified load on $DISK, in the background; waits until it runs.
start_load() {
	verified_load "$@" "$DISK" >"$WORK/load.out" 2>"$WORK/load.err" &
	LOAD_PID=$!
	lab_load_before=$(disk_requests)
	wait_for lab_load_runs || fail "load" "does not start: $(cat "$WORK/load.err")"
}

lab_load_runs() {
	gone "$LOAD_PID" || [ "$(disk_requests)" -gt $((lab_load_before + 40)) ]
}

# disk_requests: reads and writes that $DISK has completed.
disk_requests() {
	awk '{ print $1 + $5 }' "/sys/block/${DISK##*/}/stat"
}

# daemon_cpu_ms: CPU time that $DISK's daemon has used.
daemon_cpu_ms() {
	awk -v hz="$(getconf CLK_TCK 2>/dev/null || echo 100)" '{ sub(/.*\) /, ""); print int(($12 + $13) * 1000 / hz) }' \
		"/proc/$(daemon_pid "$DISK")/stat"
}

# finish_load SECONDS: (times LAB_SCALE) waits for the load; sets LOAD_STATUS. What it found is read with load_value.
finish_load() {
	lab_old_wait=$WAIT_TIMEOUT_S
	WAIT_TIMEOUT_S=$(($1 * SCALE))
	wait_for gone "$LOAD_PID" || {
		lab_stuck_tasks
		fail "load" "is not over after $1 s: I/O hangs"
	}
	WAIT_TIMEOUT_S=$lab_old_wait
	wait "$LOAD_PID"
	LOAD_STATUS=$?
}

lab_stuck_tasks() {
	echo w >/proc/sysrq-trigger
	# shellcheck disable=SC2009 # a list for a person
	ps -eo pid,ppid,stat,wchan,args | grep -v '\]$' | sed 's/^/# /'
}

# load_value NAME: of the load's line of results.
load_value() {
	sed -n "s/.*\<$1=\([^ ]*\).*/\1/p" "$WORK/load.out"
}

# check_load_failed LIMIT_MS [FLUSH_LIMIT_MS]: it met errors, no wrong byte, and nothing took longer.
check_load_failed() {
	[ "$LOAD_STATUS" = 3 ] || fail "load" \
		"status $LOAD_STATUS: $(cat "$WORK/load.out") $(head -n 3 "$WORK/load.err")"
	check_load_time "$@"
}

# check_load_clean: it met no error and no wrong byte.
check_load_clean() {
	[ "$LOAD_STATUS" = 0 ] || fail "load" \
		"status $LOAD_STATUS: $(cat "$WORK/load.out") $(head -n 3 "$WORK/load.err")"
}

check_load_time() { # LIMIT_MS [FLUSH_LIMIT_MS]
	[ "$(load_value slowest_ms)" -le "$1" ] ||
		fail "load" "a request took $(load_value slowest_ms) ms, more than $1"
	[ "$(load_value slowest_flush_ms)" -le "${2:-$1}" ] ||
		fail "load" "a flush took $(load_value slowest_flush_ms) ms, more than ${2:-$1}"
}

# --- what is left --------------------------------------------------------------------------------

daemon_pid() {
	json .pid <"$RUNTIME/${1##*/ublkb}.json"
}

# Processes of ours, zombies too.
our_processes() {
	grep -lsE '^(ublk-nbd|ublk-nbd-disk)$' /proc/[0-9]*/comm | cut -d/ -f3
}

no_process() {
	[ -z "$(our_processes)" ]
}

no_device() {
	[ -z "$(ls /sys/class/ublk-char 2>/dev/null)" ] && ! ls /dev/ublkb* /dev/ublkc* >/dev/null 2>&1
}

# The log and the lock stay; nothing of a disk does.
left_files() {
	[ ! -d "$RUNTIME" ] || find "$RUNTIME" -mindepth 1 ! -name 'daemon.log*' ! -name lock ! -name links.lock
}

no_files() {
	[ -z "$(left_files)" ]
}

# check_nothing_left: no device, process or file of any disk.
check_nothing_left() {
	wait_for no_process || fail "what is left" "processes: $(our_processes | tr '\n' ' ')"
	wait_for no_device || fail "what is left" "devices: $(ls /sys/class/ublk-char /dev | grep ublk)"
	no_files || fail "what is left" "files: $(left_files)"
}

# log_mark, log_has PATTERN: the daemon's log since the mark. A connect may have begun a new file, when the
# old one was large.
log_mark() {
	LOG_MARK=0
	LOG_FILE=
	[ -e "$DAEMON_LOG" ] || return 0
	LOG_MARK=$(wc -l <"$DAEMON_LOG")
	LOG_FILE=$(stat -c %i "$DAEMON_LOG")
}

log_since_mark() {
	if [ "$(stat -c %i "$DAEMON_LOG")" = "$LOG_FILE" ]; then
		tail -n "+$((LOG_MARK + 1))" "$DAEMON_LOG"
	else
		cat "$DAEMON_LOG"
	fi
}

log_has() {
	log_since_mark | grep -q -- "$1"
}

# check_log PATTERN
check_log() {
	log_has "$1" || {
		log_since_mark | tail -n 5 | sed 's/^/# log: /'
		fail "log" "does not have: $1"
	}
}

# status_value FILTER: of the status of $DISK, through jq.
status_value() {
	timeout -k 5 "$WAIT_TIMEOUT_S" ublk-nbd status -o json "$DISK" | json "$1"
}

# The socket of $DISK's daemon.
control_socket() {
	echo "$RUNTIME/${DISK##*/ublkb}.sock"
}

# disconnect_exits CODE [ARGUMENT...]: disconnect of $DISK ends with this exit code, in time; what it
# said is in $WORK/disconnect.log.
disconnect_exits() {
	lab_code=$1
	shift
	timeout -k 5 "$WAIT_TIMEOUT_S" ublk-nbd disconnect "$@" "$DISK" >"$WORK/disconnect.log" 2>&1
	lab_rc=$?
	[ $lab_rc = "$lab_code" ] || sed 's/^/# /' "$WORK/disconnect.log"
	check_equal "exit code of disconnect" "$lab_code" $lab_rc
}

# remove_all: what a failed case left must not fail the next one.
remove_all() {
	no_process && no_device && return
	timeout -k 5 30 ublk-nbd disconnect --all --force >/dev/null 2>&1
	for lab_left in $(our_processes); do
		kill -KILL "$lab_left"
	done
	timeout -k 5 30 ublk-nbd disconnect --all --force >/dev/null 2>&1
}
