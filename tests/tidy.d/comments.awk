# SPDX-License-Identifier: MIT
#
# Files that do not say what they are for, as "path:line: ...". A header has "* NAME.h - " in its
# first 5 lines, a C file a comment in its second line, a script "# words" in its first 6.

function name_of(path) {
	sub(/.*\//, "", path)
	return path
}

function judge() {
	if (file != "" && !said)
		printf "%s:2: a comment must follow the licence: \"%s - what it is for\"\n", file,
			name_of(file)
}

FNR == 1 {
	judge()
	file = FILENAME
	said = 0
	next
}
FNR > 6 { next }
file ~ /\.h$/ {
	if (FNR <= 5 && index($0, "* " name_of(file) " - "))
		said = 1
	next
}
file ~ /\.c$/ {
	if (FNR == 2 && /^\/\*/)
		said = 1
	next
}
/^# [A-Za-z]/ && !/SPDX/ && !/^# shellcheck/ { said = 1 }

END { judge() }
