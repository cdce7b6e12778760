# SPDX-License-Identifier: MIT
# goal: our ublk driver answers each control command as the kernel's own of 7.3 does, and gives its disks the
#       same limits, but for what kernel/README.md says
# method: ublk_abi sends the same commands to both; tests/ublk-abi.list has what each is to answer, and for
#       each difference the words of kernel/README.md that say so
# kernels: 7.3-own
# long-kernels: 7.3
# cpus: 2
# timeout-s: 360
# modules: ublk_drv
# files: tests/ublk-abi.list kernel/README.md
# load: 85
# allow-dmesg: I/O error|unable to read partition table

# shellcheck disable=SC1091
. /lab/data.sh

LIST=/lab/tests/ublk-abi.list

# differences ANSWERS: what is not as the list has it, a line each; nothing when all is.
differences() {
	awk -F ' [|] ' -v own="$LAB_OWN_DRIVER" '
		FILENAME ~ /README/ { text = text " " $0; next }
		FILENAME ~ /list$/ {
			if (/^(#|$)/) next
			if (NF != 2 && NF != 4) print "the list: " $0
			wanted[$1] = own == 1 && NF == 4 ? $3 : $2
			# Of a disk only what differs from the first is told.
			if (wanted[$1] == "-") delete wanted[$1]
			if (NF == 4 && $2 == $3) print "no difference: " $1
			if (NF == 4) reason[$4] = $1
			next
		}
		!($1 in wanted) { print "not in the list: " $0; next }
		{ if (wanted[$1] != $2) print $1 ": wanted " wanted[$1] ", got " $2; answered[$1] = 1 }
		END {
			gsub(/[ \t]+/, " ", text)
			for (name in reason)
				if (!index(text, name)) print reason[name] ": kernel/README.md does not say: " name
			for (name in wanted) if (!(name in answered)) print "no answer: " name
		}' /lab/kernel/README.md "$LIST" "$1"
}

as_listed() {
	timeout -k 5 150 ublk_abi >"$WORK/answers" 2>"$WORK/abi.err" ||
		fail "ublk_abi" "ended with $?: $(cat "$WORK/abi.err"); after: $(tail -n 1 "$WORK/answers")"
	differences "$WORK/answers" >"$WORK/differences"
	[ ! -s "$WORK/differences" ] || fail "answers" "$(cat "$WORK/differences")"
}

# Another answer, one too few and one too many are seen.
others_are_seen() {
	sed '1s/[|].*/| EXDEV/; 2d; $s/^/x/' "$WORK/answers" >"$WORK/altered"
	check_equal "differences of altered answers" 4 "$(differences "$WORK/altered" | wc -l)"
}

run_case "each command is answered as listed" as_listed
run_case "other answers are seen" others_are_seen
check "the driver can be unloaded" modprobe -r ublk_drv
