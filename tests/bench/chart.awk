# SPDX-License-Identifier: MIT
#
# The means as an SVG picture: a panel for each transport, in it a group of bars for each row. A bar
# is as high as what the target costs, nbd.ko being 1; on top of it stand thousand instructions.
BEGIN {
	BAR = 19
	GAP = 26
	LEFT = 60
	HEIGHT = 230
	PANEL = 330
	TOP = 84
	RATIO_MAX = 1.4
	split("#b8b8b8 #4c4c4c #8fa8c8 #c2410c #f08a4b #0f766e #5fb3a8", colour, " ")
}

$1 == "kernel" { kernel = $2 }
$1 != "mean" { next }

{
	remember(transports, transport_at, $2)
	remember(targets, target_at, $3)
	remember(rows, row_at, $4)
	total[$2, $3, $4] = $6
}

# remember LIST, PLACES, NAME: keeps NAME once, in the order of first sight; LIST[0] is their number.
function remember(list, at, name) {
	if (name in at)
		return
	list[++list[0]] = name
	at[name] = list[0]
}

function text(x, y, size, more, words) {
	printf "<text x=\"%.1f\" y=\"%.1f\" font-size=\"%d\" %s>%s</text>\n", x, y, size, more, words
}

function bar(x, base, ratio, fill, words,    height, y) {
	height = HEIGHT * (ratio > RATIO_MAX ? RATIO_MAX : ratio) / RATIO_MAX
	y = base - height
	printf "<rect x=\"%.1f\" y=\"%.1f\" width=\"%d\" height=\"%.1f\" fill=\"%s\"><title>%s</title></rect>\n", \
		x, y, BAR - 2, height, fill, words
	text(x + BAR / 2 + 2, y - 4, 10, sprintf("transform=\"rotate(-90 %.1f %.1f)\"", x + BAR / 2 + 2, y - 4), \
		words)
}

function legend(    i, x) {
	x = LEFT
	for (i = 1; i <= targets[0]; i++) {
		printf "<rect x=\"%d\" y=\"42\" width=\"12\" height=\"12\" fill=\"%s\"/>\n", x, colour[i]
		text(x + 16, 53, 12, "", targets[i])
		x += 34 + 7.5 * length(targets[i])
	}
}

function group(base, left, transport, row,    i, rival, value) {
	rival = total[transport, "nbd.ko", row]
	for (i = 1; i <= targets[0]; i++) {
		value = total[transport, targets[i], row]
		if (value && rival)
			bar(left + (i - 1) * BAR, base, value / rival, colour[i], sprintf("%.1f", value / 1000))
	}
	text(left + targets[0] * BAR / 2, base + 18, 12, "text-anchor=\"middle\"", row)
}

function panel(number, transport,    base, r, y) {
	base = TOP + (number - 1) * PANEL + HEIGHT + 20
	for (r = 0; r <= 1.2; r += 0.2) {
		y = base - HEIGHT * r / RATIO_MAX
		printf "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n", LEFT - 6, WIDTH - 20, y, y, \
			(r > 0.99 && r < 1.01 ? "#888" : "#e4e4e4")
		text(LEFT - 12, y + 4, 11, "text-anchor=\"end\"", sprintf("%.1f", r))
	}
	text(16, base - HEIGHT / 2, 13, "font-weight=\"bold\"", transport)
	for (r = 1; r <= rows[0]; r++)
		group(base, LEFT + (r - 1) * (targets[0] * BAR + GAP), transport, rows[r])
}

END {
	WIDTH = LEFT + rows[0] * (targets[0] * BAR + GAP) + 20
	if (WIDTH < 700)
		WIDTH = 700
	full = TOP + transports[0] * PANEL
	printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\">\n", \
		WIDTH, full
	printf "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n"
	text(LEFT, 26, 16, "font-weight=\"bold\"", \
		"Guest instructions per I/O, nbd.ko = 1; on the bars: thousands. Linux " kernel)
	legend()
	for (n = 1; n <= transports[0]; n++)
		panel(n, transports[n])
	print "</svg>"
}
