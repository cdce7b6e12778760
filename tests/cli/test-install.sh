# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Goal: `make install` puts everything, and nothing else, where DESTDIR and PREFIX say, also when the
# programs were built for another PREFIX; what is installed runs, also without the program that needs libnbd.
# Method: two prefixes into scratch folders, the list of files compared, the program called there.
# (That it finds its daemon there needs a disk: tests/system/connect-verbs.sh, "moved elsewhere".)

. tests/cli/lib.sh

ROOT=$SCRATCH/root

# installed PREFIX: a line for each file, with its mode.
installed() {
	rm -rf "$ROOT"
	env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s "BUILD=$BUILD" "DESTDIR=$ROOT" "PREFIX=$1" install \
		>"$SCRATCH/out" 2>"$SCRATCH/err" || echo "make failed"
	(cd "$ROOT" && find . ! -type d -printf '%m %P\n' | sort)
}

# wanted PREFIX UDEV-FOLDER
wanted() {
	local page
	{
		echo "755 ${1#/}/bin/ublk-nbd"
		echo "755 ${1#/}/libexec/ublk-nbd/ublk-nbd-disk"
		echo "755 ${1#/}/libexec/ublk-nbd/ublk-nbd-map"
		echo "644 $2/54-ublk-nbd.rules"
		for page in "" -connect -disconnect -doctor -exports -info -list -map -resize -status; do
			echo "644 ${1#/}/share/man/man1/ublk-nbd$page.1"
		done
	} | sort
}

installs_in() {
	local why=''
	diff <(wanted "$1" "$2") <(installed "$1") >"$SCRATCH/diff" ||
		why="other files than wanted: $(grep '^[<>]' "$SCRATCH/diff" | tr '\n' ' ')"
	verdict "make install PREFIX=$1" "$why"
	why=''
	[ "$("$ROOT$1/bin/ublk-nbd" --version 2>&1)" = "$("$PROGRAM" --version)" ] || why="it does not say its version"
	verdict "what is installed under $1 runs" "$why"
}

installs_in /opt/x etc/udev/rules.d
installs_in /usr usr/lib/udev/rules.d

# What needs libnbd may be left out: its verb says so, and the others do not mind.
PROGRAM=$ROOT/usr/bin/ublk-nbd
answers "1 MiB" map [ nbdkit memory 1M ]
mv "$ROOT/usr/libexec/ublk-nbd/ublk-nbd-map" "$SCRATCH/ublk-nbd-map"
fallback=$(strings -a "$PROGRAM" | sed -n 's|/%s$|/ublk-nbd-map|p' | grep -m 1 libexec)
if [ -e "$fallback" ]; then
	printf 'skip map without its program: %s is installed\n' "$fallback"
else
	for words in "[ nbdkit memory 1M ]" --help "--no-such-option host"; do
		# shellcheck disable=SC2086 # a list of words
		refused 5 "ublk-nbd: map: its program $fallback cannot be run: No such file or directory; install it" map $words
	done
fi
answers "1 MiB" info [ nbdkit memory 1M ]
