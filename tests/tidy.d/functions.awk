# SPDX-License-Identifier: MIT
#
# Functions that are too long or take too many parameters, in C and in shell, as
# "path:line: name: ...". Relies on the layout the format check enforces: a function's name starts
# a line without indent, its body's braces stand alone in the first column.
#
# Variables: lines_max, parameters_max.

function forget() {
	start = 0
	opened = 0
	signature = ""
}

# How many parameters the signature declares: commas at the depth of its first parenthesis.
function parameters_count(text,    i, c, depth, count, inner) {
	depth = 0
	count = 1
	inner = ""
	for (i = index(text, "("); i <= length(text); i++) {
		c = substr(text, i, 1)
		if (c == "(")
			depth++
		else if (c == ")" && --depth == 0)
			break
		else if (c == "," && depth == 1)
			count++
		if (depth > 0 && !(depth == 1 && c == "("))
			inner = inner c
	}
	gsub(/[ \t]/, "", inner)
	return inner == "" || inner == "void" ? 0 : count
}

function name_of(text) {
	text = substr(text, 1, index(text, "(") - 1)
	sub(/[ \t]+$/, "", text)
	sub(/^.*[ \t*]/, "", text)
	return text
}

function report(text) {
	printf "%s:%d: %s: %s\n", FILENAME, start, name_of(signature), text
}

function end_function(    length_lines, count) {
	length_lines = FNR - start + 1
	count = parameters_count(signature)
	if (length_lines > lines_max)
		report(length_lines " lines, " lines_max " are allowed")
	if (count > parameters_max)
		report(count " parameters, " parameters_max " are allowed")
	forget()
}

FNR == 1 { forget() }

# C: "type name(...", until "{" alone, or a line's end that makes it a declaration.
/^[A-Za-z_].*\(/ && !opened && !/^[a-z_0-9]+\(\) \{$/ {
	start = FNR
	signature = ""
}
start && !opened && /^\{/ { opened = 1; next }
start && !opened {
	signature = signature " " $0
	if (/[;=}][ \t]*$/ || /= \{$/)
		forget()
	next
}

# Shell: "name() {".
/^[a-z_0-9]+\(\) \{$/ && !opened {
	start = FNR
	signature = $0
	opened = 1
	next
}

opened && /^\}/ { end_function() }
