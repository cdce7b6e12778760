# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# parts.sh - how tests/check and tests/all run their parts and count. A part is a command that ends
# with the line "N passed, N failed, N skipped". A part that crashes, says nothing, runs nothing,
# takes too long, or says that all is well with a non-zero status, counts as one failure: no way
# of dying looks like success.

PARTS_SUMMARY='^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$'
PARTS_KILL_AFTER_S=20
PARTS_REPEAT_MAX=40

# What make gave to its recipe must not reach the makes called from here (its job server has gone);
# what was given on its command line (SAN, CC) is in the environment as well.
unset MAKEFLAGS MFLAGS MAKELEVEL GNUMAKEFLAGS
BUILD=${BUILD:-build}

parts_begin() {
	PARTS_LOGS=$(mktemp -d)
	PARTS_PID=
	PARTS_TABLE=() PARTS_FAILURES=()
	PARTS_PASSED=0 PARTS_FAILED=0 PARTS_SKIPPED=0
	PARTS_STARTED=$SECONDS
	trap 'parts_interrupt' INT TERM HUP
	trap 'rm -rf "$PARTS_LOGS"' EXIT
}

# The running part is told to end (timeout passes the signal on to all of it).
parts_interrupt() {
	trap - INT TERM HUP
	[ -z "$PARTS_PID" ] || kill -TERM "$PARTS_PID" 2>/dev/null
	printf 'interrupted\n'
	exit 130
}

# parts_run LIMIT_S LOG COMMAND...: runs it, shows its output as it comes; its exit status.
parts_run() {
	local limit_s=$1 log=$2 status
	shift 2
	: >"$log"
	timeout -k $PARTS_KILL_AFTER_S "$limit_s" "$@" >"$log" 2>&1 </dev/null &
	PARTS_PID=$!
	# tail ends with the part, even when something the part left behind keeps the log open.
	tail -n +1 -s 0.2 -f --pid="$PARTS_PID" "$log" &
	wait "$PARTS_PID" 2>/dev/null
	status=$?
	PARTS_PID=
	wait $!
	return $status
}

# parts_count NAME STATUS LOG SECONDS: reads the summary, or finds out why there is none.
parts_count() {
	local name=$1 status=$2 log=$3 line="" why="" passed=0 failed=0 skipped=0
	line=$(grep -av '^$' "$log" | tail -n 1 | grep -aE "$PARTS_SUMMARY")
	[ -z "$line" ] || read -r passed _ failed _ skipped _ <<<"$line"
	if [ "$status" = 124 ]; then
		why="was stopped at its time limit"
	elif [ "$status" = 137 ]; then
		why="was killed, at its time limit or by somebody else"
	elif [ -z "$line" ]; then
		why="ended with status $status and no summary"
	elif [ $((passed + failed + skipped)) = 0 ]; then
		why="ran no test"
	elif [ "$status" != 0 ] && [ "$failed" = 0 ]; then
		why="ended with status $status though nothing failed"
	fi
	[ -z "$why" ] || failed=$((failed + 1))
	while read -r line; do
		PARTS_FAILURES+=("$name: $line")
	done < <(grep -aE '^(not ok|skip )|# SKIP' "$log")
	parts_add "$name" "$4" "$passed" "$failed" "$skipped" "$why"
}

# parts_add NAME SECONDS PASSED FAILED SKIPPED [WHY] - one field a word but for WHY.
parts_add() {
	PARTS_PASSED=$((PARTS_PASSED + $3))
	PARTS_FAILED=$((PARTS_FAILED + $4))
	PARTS_SKIPPED=$((PARTS_SKIPPED + $5))
	PARTS_TABLE+=("$(printf '%-24s %5s passed %5s failed %5s skipped %6s s%s' \
		"$1" "$3" "$4" "$5" "$2" "${6:+  ($6)}")")
	[ -z "${6:-}" ] || PARTS_FAILURES+=("$1: $6")
	printf -- '--- %s: %s passed, %s failed, %s skipped, %s s%s\n\n' "$1" "$3" "$4" "$5" "$2" "${6:+ ($6)}"
}

# part NAME LIMIT_S COMMAND...: one part, counted by its own summary.
part() {
	local name=$1 limit_s=$2 started=$SECONDS log=$PARTS_LOGS/log
	shift 2
	printf -- '--- %s\n' "$name"
	parts_run "$limit_s" "$log" "$@"
	parts_count "$name" $? "$log" $((SECONDS - started))
}

# part_step NAME LIMIT_S COMMAND...: a command whose exit status alone counts, as one test.
part_step() {
	local name=$1 limit_s=$2 started=$SECONDS status
	shift 2
	printf -- '--- %s\n' "$name"
	parts_run "$limit_s" "$PARTS_LOGS/log" "$@"
	status=$?
	if [ $status = 0 ]; then
		parts_add "$name" $((SECONDS - started)) 1 0 0
	else
		parts_add "$name" $((SECONDS - started)) 0 1 0 "status $status"
	fi
	return $status
}

# part_skip NAME WHY: counted, and said again at the end.
part_skip() {
	parts_add "$1" 0 0 0 1 ""
	PARTS_FAILURES+=("$1: skipped: $2")
}

# The table, what went wrong, and the last line. Fails when something failed or no test passed.
parts_end() {
	printf '=== all parts, %s s\n' $((SECONDS - PARTS_STARTED))
	printf '%s\n' "${PARTS_TABLE[@]}"
	if [ ${#PARTS_FAILURES[@]} -gt 0 ]; then
		printf '=== what failed or was left out\n'
		printf '%s\n' "${PARTS_FAILURES[@]}" | head -n $PARTS_REPEAT_MAX
	fi
	if [ $((PARTS_PASSED + PARTS_FAILED)) = 0 ]; then
		printf 'no test ran\n'
		PARTS_FAILED=1
	fi
	printf '%s passed, %s failed, %s skipped\n' "$PARTS_PASSED" "$PARTS_FAILED" "$PARTS_SKIPPED"
	[ "$PARTS_FAILED" = 0 ]
}
