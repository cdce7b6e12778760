# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# check-parts.sh - the parts of tests/check, which tests/all runs first.

CHECK_FUZZ_S=60 # of fuzzing, for all targets together

# What can be built from here goes on only if it builds: tests of an older program prove nothing.
parts_of_check() {
	part harness 60 tests/parts-test
	part_step build 600 make -j2 "BUILD=$BUILD" all && parts_of_programs
	part_step build-clang 600 make -j2 CC=clang "BUILD=$BUILD/clang" all
	part tidy-self-test 300 tests/tidy --self-test
	part tidy 600 env "BUILD=$BUILD" tests/tidy
	part_step build-fuzz 600 make -j2 "BUILD=$BUILD" fuzz-targets && part_of_fuzz
}

# Each target gets its share of the minute; two run at once.
part_of_fuzz() {
	local -a targets=(tests/fuzz/fuzz_*.c)
	local share_s=$((CHECK_FUZZ_S / ${#targets[@]}))
	[ $share_s -gt 0 ] || share_s=1
	part fuzz 300 make -s "BUILD=$BUILD" FUZZ_SECONDS=$share_s fuzz
}

parts_of_programs() {
	part_step build-unit 600 make -j2 "BUILD=$BUILD" unit-programs &&
		part unit 300 make -s "BUILD=$BUILD" unit
	if [ -x tests/cli/run-all ]; then
		part cli 300 tests/cli/run-all "$BUILD"
	fi
}
