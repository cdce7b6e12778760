# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# verdict.sh - for tests that are programs of their own: one line for each case, and the counts.

PASSED=0
FAILED=0

# verdict NAME WHY [LOG]: ok without WHY.
verdict() {
	if [ -z "$2" ]; then
		printf 'ok %s\n' "$1"
		PASSED=$((PASSED + 1))
	else
		printf 'not ok %s: %s\n' "$1" "$2"
		FAILED=$((FAILED + 1))
		[ -z "${3:-}" ] || tail -n 40 "$3" | sed 's/^/# /'
	fi
}
