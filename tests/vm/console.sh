# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Reads the guest's kernel log for what must not be in it.

# Lines that fail a test, as extended regular expressions.
CONSOLE_FAULTS=(
	'WARNING: '
	'BUG: '
	'kernel BUG at'
	'Oops'
	'int3: [0-9a-f]{4} \[#'
	'Kernel panic'
	'general protection fault'
	'unable to handle'
	'INFO: task .* blocked for more than'
	'self-detected stall|detected stalls|rcu_.* kthread starved'
	'soft lockup|hard LOCKUP'
	'use-after-free'
	'refcount_t: '
	'possible (recursive|circular|irq) ?lock'
	'INFO: trying to register non-static key'
	'KASAN|UBSAN|KFENCE|KCSAN'
	'(scheduling|sleeping function called) .*(atomic|invalid context)'
	'list_(add|del) corruption'
	'Bad page (state|map)'
	'Out of memory: Killed process'
	'segfault at|traps: .* (general protection|trap)|fatal signal (4|5|6|7|8|11)\.'
	'unregister_netdevice: waiting'
)

# console_faults LOG ALLOW: prints each fault in the log, once for each kind of line, and not what
# matches the regular expression ALLOW (empty: nothing is allowed). A fault's time is cut off.
console_faults() {
	local log=$1 allow=$2 pattern
	pattern=$(IFS='|' && printf '%s' "${CONSOLE_FAULTS[*]}")
	tr -d '\r' <"$log" | sed -E 's/^\[ *[0-9]+\.[0-9]+\] ?//' | grep -aE "$pattern" |
		{ if [ -n "$allow" ]; then grep -avE "$allow"; else cat; fi } |
		awk '!seen[$0]++' | head -n 20 || true
}
