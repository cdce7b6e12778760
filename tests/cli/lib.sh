# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# lib.sh - for tests/cli/test-*.sh: run the program, compare its exit status and what it says.

LIMIT_S=30

# call ARGUMENT...: sets status, and fills $SCRATCH/out and $SCRATCH/err.
call() {
	timeout -k 5 $LIMIT_S "$PROGRAM" "$@" >"$SCRATCH/out" 2>"$SCRATCH/err" </dev/null
	status=$?
}

# verdict NAME WHY: ok without WHY.
verdict() {
	if [ -z "$2" ]; then
		printf 'ok %s\n' "$1"
	else
		printf 'not ok %s: %s\n' "$1" "$2"
		sed 's/^/# /' "$SCRATCH/out" "$SCRATCH/err"
	fi
}

# refused STATUS WORDS ARGUMENT...: ends with STATUS, prints nothing on stdout, and one line on
# stderr, which begins as all of ours do and holds WORDS.
refused() {
	local want=$1 words=$2 why=
	shift 2
	call "$@"
	[ "$status" = "$want" ] || why="status $status, not $want"
	[ ! -s "$SCRATCH/out" ] || why="$why; it wrote to standard output"
	[ "$(wc -l <"$SCRATCH/err")" = 1 ] || why="$why; not one line on standard error"
	grep -q '^ublk-nbd: ' "$SCRATCH/err" || why="$why; the line does not begin with ublk-nbd:"
	grep -qF -- "$words" "$SCRATCH/err" || why="$why; it does not say '$words'"
	verdict "refused: $*" "${why#; }"
}

# answers WORDS ARGUMENT...: ends with 0, writes WORDS to stdout (nothing if they are '') and nothing
# to stderr.
answers() {
	local words=$1 why=
	shift
	call "$@"
	[ "$status" = 0 ] || why="status $status"
	[ ! -s "$SCRATCH/err" ] || why="$why; it complained"
	if [ -z "$words" ]; then
		[ ! -s "$SCRATCH/out" ] || why="$why; it says something"
	else
		grep -qF -- "$words" "$SCRATCH/out" || why="$why; it does not say '$words'"
	fi
	verdict "answers: $*" "${why#; }"
}
