# SPDX-License-Identifier: MIT
#
# Includes that point the wrong way, as "path:line: ...". The first file read is the table
# (tests/tidy.d/dependencies), the others are C files named from the top of the tree.

# Whether the word (a shell-like pattern whose only sign is a '*' at its end) covers the name.
function covers(word, name) {
	if (word ~ /\*$/)
		return index(name, substr(word, 1, length(word) - 1)) == 1
	return word == name
}

function group_of(header,    i) {
	for (i = 1; i <= patterns; i++)
		if (covers(pattern[i], header))
			return pattern_group[i]
	return ""
}

# The rule for a file: the longest path of an "allow" line that covers it.
function rule_of(path,    i, best, best_length) {
	best = 0
	best_length = -1
	for (i = 1; i <= rules; i++)
		if ((path == who[i] || (who[i] ~ /\/$/ && index(path, who[i]) == 1)) &&
		    length(who[i]) > best_length) {
			best = i
			best_length = length(who[i])
		}
	return best
}

# Whether one of the rule's words is the name, or a folder above it.
function rule_allows(rule, name,    i, n, words) {
	n = split(what[rule], words, " ")
	for (i = 1; i <= n; i++) {
		if (words[i] == name)
			return 1
		if (words[i] ~ /\/$/ && index(name, words[i]) == 1)
			return 1
	}
	return 0
}

function report(text) {
	printf "%s:%d: %s\n", FILENAME, FNR, text
}

function exists(path,    line, got) {
	got = (getline line < path)
	close(path)
	return got >= 0
}

function check_own(header,    folder) {
	if (header !~ /\//) {
		folder = FILENAME
		sub(/[^\/]*$/, "", folder)
		header = folder header
	}
	if (!exists(header))
		report("\"" header "\" is no file of this tree (name it from the top)")
	else if (!rule_allows(rule, header))
		report(who[rule] " may not include \"" header "\"")
}

function check_system(header,    group) {
	group = group_of(header)
	if (group == "")
		report("<" header "> belongs to no group of tests/tidy.d/dependencies")
	else if (!rule_allows(rule, group))
		report(who[rule] " may not include <" header "> (" group ")")
}

NR == FNR && $1 == "group" {
	for (i = 3; i <= NF; i++) {
		pattern[++patterns] = $i
		pattern_group[patterns] = $2
	}
}
NR == FNR && $1 == "allow" {
	who[++rules] = $2
	for (i = 3; i <= NF; i++)
		what[rules] = what[rules] " " $i
}
NR == FNR { next }

FNR == 1 {
	rule = rule_of(FILENAME)
	if (!rule)
		report("no rule of tests/tidy.d/dependencies covers this file")
}
rule && /^[ \t]*#[ \t]*include[ \t]*"/ {
	header = $0
	sub(/^[^"]*"/, "", header)
	sub(/".*$/, "", header)
	check_own(header)
}
rule && /^[ \t]*#[ \t]*include[ \t]*</ {
	header = $0
	sub(/^[^<]*</, "", header)
	sub(/>.*$/, "", header)
	check_system(header)
}
