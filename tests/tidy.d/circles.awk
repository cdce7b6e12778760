# SPDX-License-Identifier: MIT
#
# Circles of modules, as "path:line: ..." for each include that is part of one. x.c with x.h is a
# module, x; so is a file of either kind alone. A module leads to those that its files include. An
# include is part of a circle when the module that it leads to leads back.

function module_of(path) {
	sub(/\.[ch]$/, "", path)
	return path
}

function know(module) {
	if (!(module in number)) {
		number[module] = ++modules
		name[modules] = module
	}
	return number[module]
}

# Notes for start what the module leads to, at once or by others. Numbers, not names.
function follow(start, module,    i, count, next_ones) {
	count = split(leads[module], next_ones, " ")
	for (i = 1; i <= count; i++)
		if (!((start, next_ones[i]) in reaches)) {
			reaches[start, next_ones[i]] = 1
			follow(start, next_ones[i])
		}
}

function same_circle(a, b) {
	return (a, b) in reaches && (b, a) in reaches
}

function report_circle(first,    i, size, members) {
	for (i = first; i <= modules; i++)
		if (same_circle(first, i)) {
			members = members (size++ ? ", " : "") name[i]
			reported[i] = 1
		}
	for (i = 1; i <= includes; i++)
		if (same_circle(first, from[i]) && same_circle(first, to[i]))
			printf "%s: includes \"%s\" in a circle of %d modules: %s\n", place[i],
			       header_of[i], size, members
}

/^[ \t]*#[ \t]*include[ \t]*"/ {
	header = $0
	sub(/^[^"]*"/, "", header)
	sub(/".*$/, "", header)
	path = header
	if (path !~ /\//) {
		folder = FILENAME
		sub(/[^\/]*$/, "", folder)
		path = folder path
	}
	if (module_of(FILENAME) == module_of(path))
		next
	from[++includes] = know(module_of(FILENAME))
	to[includes] = know(module_of(path))
	place[includes] = FILENAME ":" FNR
	header_of[includes] = header
	leads[from[includes]] = leads[from[includes]] " " to[includes]
}

END {
	for (i = 1; i <= modules; i++)
		follow(i, i)
	for (i = 1; i <= modules; i++)
		if (!(i in reported) && same_circle(i, i))
			report_circle(i)
}
