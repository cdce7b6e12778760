# SPDX-License-Identifier: MIT
#
# The means as a table for a person, one block for each transport and row.
$1 == "kernel" { kernel = $2 }
$1 != "mean" { next }

{
	group = $2 " " $4
	if (!(group in ios))
		order[++groups] = group
	ios[group] = $5
	line[group, ++lines[group]] = $0
	if ($3 == "nbd.ko")
		rival[group] = $6
}

function share(value) {
	return value == "-" || value == 0 ? "-" : sprintf("%.1f", value / 1000)
}

function counter(value) {
	return value == "-" ? "-" : sprintf("%.2f", value)
}

END {
	print "Thousand instructions per I/O (or connect), all of the guest (server and fio too), Linux " kernel
	printf "%-16s %-14s %8s %7s %7s %7s  %6s %6s %6s %7s %6s\n", "row", "target", "whole", \
		"/nbd.ko", "server", "daemon", "sends", "recvs", "enters", "copied", "spread"
	for (g = 1; g <= groups; g++) {
		group = order[g]
		split(group, name, " ")
		printf "--- %s, %s (%d %s)\n", name[2], name[1], ios[group], name[2] == "connect" ? "times" : "I/Os"
		for (i = 1; i <= lines[group]; i++) {
			split(line[group, i], f, " ")
			ratio = group in rival && f[3] != "null_blk" ? sprintf("%.2f", f[6] / rival[group]) : "-"
			printf "%-16s %-14s %8.1f %7s %7s %7s  %6s %6s %6s %7s %5.1f%%\n", "", f[3], f[6] / 1000, \
				ratio, share(f[7]), share(f[8]), counter(f[10]), counter(f[11]), counter(f[12]), \
				f[13] == "-" ? "-" : sprintf("%.0fK", f[13] / 1024), f[15]
		}
	}
	print "sends, recvs, enters: per I/O, the daemon's own counts. copied: bytes per I/O, by it and for it."
}
