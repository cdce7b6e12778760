# SPDX-License-Identifier: MIT
#
# Takes guest.sh's cells, each measured one or more times, and prints the mean of each:
#
#     mean TRANSPORT TARGET ROW IOS TOTAL SERVER DAEMON IDLE SENDS RECEIVES ENTERS COPIED TIMES SPREAD
#
# SPREAD is (largest - smallest) / mean of TOTAL, in percent. Other lines (kernel, failed) go through.
$1 == "cell" && NF == 13 {
	key = $2 " " $3 " " $4 " " $5
	if (!(key in times))
		order[++count] = key
	times[key]++
	for (i = 6; i <= 13; i++) {
		missing[key, i] = $i == "-"
		sum[key, i] += $i
	}
	if (times[key] == 1 || $6 < low[key])
		low[key] = $6
	if (times[key] == 1 || $6 > high[key])
		high[key] = $6
	next
}

$1 == "cell" { print "failed a line of the guest is not whole: " $0; next }
($1 == "kernel" || $1 == "skip") && seen[$0]++ { next }
$1 == "kernel" || $1 == "skip" || $1 == "failed" || $1 == "not" { print }

END {
	for (n = 1; n <= count; n++) {
		key = order[n]
		printf "mean %s", key
		for (i = 6; i <= 13; i++)
			if (missing[key, i])
				printf " -"
			else
				printf (i <= 8 || i == 13 ? " %.0f" : " %.3f"), sum[key, i] / times[key]
		mean = sum[key, 6] / times[key]
		printf " %d %.1f\n", times[key], (mean > 0 ? 100 * (high[key] - low[key]) / mean : 0)
	}
}
