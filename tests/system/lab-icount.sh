# SPDX-License-Identifier: MIT
# goal: in the lab's counting mode a guest's clock counts instructions
# method: a loop of two instructions, run 200 and 400 million times by the guest's clock: the difference is
#         400 million nanoseconds to 1 %, whatever else this machine does
# kernels: 7.3
# cpus: 1
# mode: icount
# timeout-s: 180
# suite: test

TURNS=200000000

# spin TURNS: nanoseconds that it took, into spin.
spin() {
	lab_before=$(date +%s%N)
	bench_spin "$1" || fail "bench_spin" "ended with $?"
	spin=$(($(date +%s%N) - lab_before))
}

counts_instructions() {
	settle
	spin 1 # it is in memory from here on
	spin $TURNS
	once=$spin
	spin $((2 * TURNS))
	counted=$((spin - once))
	note "$TURNS turns of 2 instructions took $counted ns"
	check "not less" [ $counted -ge $((TURNS * 2 * 99 / 100)) ]
	check "not more" [ $counted -le $((TURNS * 2 * 101 / 100)) ]
}

run_case "nanoseconds are instructions" counts_instructions
