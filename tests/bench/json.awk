# SPDX-License-Identifier: MIT
#
# The means as JSON: one object for each cell, numbers per I/O, null where there is no such thing.
BEGIN {
	split("total_instructions server_instructions daemon_instructions idle_percent sends receives " \
		"enters copied_bytes measured_times spread_percent", key, " ")
}

$1 == "kernel" { kernel = $2 }
$1 != "mean" { next }

{
	text = sprintf("    {\"transport\": \"%s\", \"target\": \"%s\", \"row\": \"%s\", \"ios\": %d", $2, $3, $4, $5)
	for (i = 6; i <= 15; i++)
		text = text sprintf(", \"%s\": %s", key[i - 5], $i == "-" ? "null" : $i + 0)
	cells = cells (cells == "" ? "" : ",\n") text "}"
}

END {
	printf "{\n  \"kernel\": \"%s\",\n  \"unit\": \"guest instructions per I/O\",\n", kernel
	printf "  \"cells\": [\n%s\n  ]\n}\n", cells
}
