# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# check-parts.sh - the parts of tests/check, which tests/all runs first.

CHECK_FUZZ_S=60  # of fuzzing, for all targets together
CHECK_MODEL_S=30 # of the model test, under AddressSanitizer and UBSan

# built FOLDER SOURCE...: what make makes of these, in that folder of BUILD. (A part runs these by
# itself, not through make, which would add a word of its own behind the summary.)
built() {
	local folder=$1 source
	shift
	for source; do
		printf '%s\n' "$BUILD/$folder/$(basename "$source" .c)"
	done
}

# What can be built from here goes on only if it builds: tests of an older program prove nothing.
parts_of_check() {
	part harness 60 tests/parts-test
	part_step build 600 make -j2 "BUILD=$BUILD" all && parts_of_programs
	# For its warnings alone, which want no optimization.
	part_step build-clang 600 make -j2 CC=clang CFLAGS=-O0 CPPFLAGS=-U_FORTIFY_SOURCE "BUILD=$BUILD/clang" all
	part tidy-self-test 300 tests/tidy --self-test
	part tidy 600 env "BUILD=$BUILD" tests/tidy
	part_step build-fuzz 600 make -j2 "BUILD=$BUILD" fuzz-targets &&
		part_of_fuzz fuzz 300 "$CHECK_FUZZ_S"
	part_of_model address,undefined "$CHECK_MODEL_S"
}

# The model test as it is built with these sanitizers (a tree of its own: make's own name for it).
model_program() {
	printf 'build-%s/tests/model/model\n' "${1//,/-}"
}

# part_of_model SANITIZERS SECONDS: builds what it needs, and runs it so long.
part_of_model() {
	local name=model-${1//,/-}
	part_step "build-$name" 600 make -j2 "SAN=$1" "BUILD=build-${1//,/-}" model &&
		part "$name" $(($2 + 120)) tests/model/run "$name" "$(model_program "$1")" "$2"
}

# part_of_fuzz NAME LIMIT_S SECONDS: each target gets its share of SECONDS; two run at once.
part_of_fuzz() {
	local -a targets
	local share_s
	mapfile -t targets < <(built tests/fuzz tests/fuzz/fuzz_*.c)
	share_s=$(($3 / ${#targets[@]}))
	[ $share_s -gt 0 ] || share_s=1
	part "$1" "$2" tests/fuzz/run-all $share_s "${targets[@]}"
}

part_of_unit() {
	local -a programs
	mapfile -t programs < <(built tests/unit tests/unit/test_*.c)
	part "$1" "$2" tests/unit/run-all "${programs[@]}"
}

parts_of_programs() {
	part_step build-unit 600 make -j2 "BUILD=$BUILD" unit-programs && part_of_unit unit 300
	if [ -x tests/cli/run-all ]; then
		part cli 300 tests/cli/run-all "$BUILD"
	else
		part_skip cli "tests/cli/run-all is missing"
	fi
}
