# SPDX-License-Identifier: MIT
#
# Holds the means to the bar and counts. The bar, for ours-copy-N (what `connect` chooses on such a
# kernel) against nbd.ko on the same transport: no row but those of depth 1 costs more, less than 3 % being a
# tie; a 128 KiB row costs at most 200000 instructions. (nbd.ko uses one connection for each CPU at
# most, and the guest has one.) A connect without TLS costs at most 20 million. Over TLS 1.3 (transport tls), where nbd.ko needs a proxy, the best of ours
# has an absolute bar of its own; over TLS 1.2 --ktls=auto must not cost more than the cheaper of on and
# off.
BEGIN {
	TIE = 1.03
	LARGE_MAX = 200000
	CONNECT_MAX = 20000000
	TLS_MAX["4k-randread-32"] = 60000
	TLS_MAX["128k-read-8"] = 850000
	TLS_MAX["128k-write-8"] = 900000
}

function judge(good, text) {
	printf "%s %s\n", good ? "ok" : "not ok", text
	if (good)
		passed++
	else
		failed++
}

$1 == "failed" || $1 == "not" { judge(0, "the guest: " $0) }
$1 == "skip" { print; skipped++ }
$1 != "mean" { next }

$3 ~ /^ours-k?tls-/ {
	tls_count++
	if ($2 == "tls" && $4 in TLS_MAX && (!($4 in best) || $6 < best[$4])) {
		best[$4] = $6
		best_of[$4] = $3
	}
	if ($2 == "tls12")
		tls12_row[$4]
}

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

function judge_tls(    name, auto, cheapest) {
	for (name in best)
		judge(best[name] <= TLS_MAX[name], sprintf("%s tls: %.1f k by %s, at most %d k", name, best[name] / 1000, \
			best_of[name], TLS_MAX[name] / 1000))
	for (name in tls12_row) {
		if (!(("tls12", "ours-ktls-auto-1", name) in total) || !(("tls12", "ours-ktls-1", name) in total) || \
			!(("tls12", "ours-tls-1", name) in total))
			continue
		auto = total["tls12", "ours-ktls-auto-1", name]
		cheapest = total["tls12", "ours-ktls-1", name]
		if (cheapest > total["tls12", "ours-tls-1", name])
			cheapest = total["tls12", "ours-tls-1", name]
		judge(auto < cheapest * TIE, sprintf("%s tls12: auto costs %.1f k, the cheaper of on and off %.1f k", \
			name, auto / 1000, cheapest / 1000))
	}
}

END {
	for (n = 1; n <= count; n++) {
		if (row[n] !~ /-1$/ && row[n] != "connect")
			against(n)
		if (row[n] == "connect")
			judge(total[transport[n], target[n], row[n]] <= CONNECT_MAX, \
				sprintf("%s %s %s: %.1f M, at most %d M", row[n], transport[n], target[n], \
					total[transport[n], target[n], row[n]] / 1000000, CONNECT_MAX / 1000000))
		if (row[n] ~ /^128k-/)
			judge(total[transport[n], target[n], row[n]] <= LARGE_MAX, \
				sprintf("%s %s %s: at most %d k", row[n], transport[n], target[n], LARGE_MAX / 1000))
	}
	judge_tls()
	if (!count && !tls_count)
		judge(0, "ours was measured")
	if (!quick) {
		print "skip nbdublk (libnbd) and ublksrv's nbd target, the rival daemons: Debian packages neither"
		skipped++
	}
	printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
	exit failed > 0
}
