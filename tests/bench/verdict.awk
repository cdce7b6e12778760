# SPDX-License-Identifier: MIT
#
# Holds the means to the bar and counts. The bar, for ours-copy-N (what `connect` chooses on such a
# kernel) against nbd.ko on the same transport: no row but those of depth 1 costs more, less than 3 % being a
# tie; a 128 KiB row costs at most 200000 instructions. (nbd.ko uses one connection for each CPU at
# most, and the guest has one.)
BEGIN {
	TIE = 1.03
	LARGE_MAX = 200000
}

function judge(good, text) {
	printf "%s %s\n", good ? "ok" : "not ok", text
	if (good)
		passed++
	else
		failed++
}

$1 == "failed" || $1 == "not" { judge(0, "the guest: " $0) }
$1 != "mean" { next }

{
	total[$2, $3, $4] = $6
	if ($3 ~ /^ours-copy-/) {
		transport[++count] = $2
		target[count] = $3
		row[count] = $4
	}
}

function against(n,    mine, rival) {
	if (!((transport[n], "nbd.ko", row[n]) in total))
		return
	mine = total[transport[n], target[n], row[n]]
	rival = total[transport[n], "nbd.ko", row[n]]
	judge(mine < rival * TIE, sprintf("%s %s %s: %.1f k, at most nbd.ko's %.1f k (%+.1f %%)", row[n], \
		transport[n], target[n], mine / 1000, rival / 1000, 100 * (mine / rival - 1)))
}

END {
	for (n = 1; n <= count; n++) {
		if (row[n] !~ /-1$/)
			against(n)
		if (row[n] ~ /^128k-/)
			judge(total[transport[n], target[n], row[n]] <= LARGE_MAX, \
				sprintf("%s %s %s: at most %d k", row[n], transport[n], target[n], LARGE_MAX / 1000))
	}
	if (!count)
		judge(0, "ours was measured")
	if (!quick) {
		print "skip nbdublk (libnbd) and ublksrv's nbd target, the rival daemons: Debian packages neither"
		skipped++
	}
	printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
	exit failed > 0
}
