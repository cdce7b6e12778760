# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Goal: `make install` puts everything, and nothing else, where DESTDIR and PREFIX say, also when the
# programs were built for another PREFIX; what is installed runs, also without what needs libnbd or OpenSSL.
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
		echo "755 ${1#/}/libexec/ublk-nbd/ublk-nbd-tls.so"
		echo "644 $2/54-ublk-nbd.rules"
		for page in "" -config -connect -disconnect -doctor -exports -info -list -map -reconnect -resize -set -status; do
			echo "644 ${1#/}/share/man/man1/ublk-nbd$page.1"
		done
		echo "644 ${1#/}/share/man/man5/ublk-nbd.conf.5"
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

# What needs libnbd or OpenSSL may be left out: who asks for it is told so, and the others do not mind.
PROGRAM=$ROOT/usr/bin/ublk-nbd
PARTS=$ROOT/usr/libexec/ublk-nbd
answers "1 MiB" map [ nbdkit memory 1M ]
refused 3 "connection refused" info nbds://127.0.0.1:1
refused 3 "connection refused" map nbds://127.0.0.1:1
: >"$PARTS/ublk-nbd-tls.so"
for verb in connect info map; do
	refused 9 "TLS needs $ROOT/usr/" $verb nbds://127.0.0.1:1
	refused 9 "cannot be loaded" $verb nbds://127.0.0.1:1
done
rm "$PARTS/ublk-nbd-tls.so" "$PARTS/ublk-nbd-map"
fallback=$(strings -a "$PROGRAM" | grep -m 1 '/libexec/.*/%s$')
fallback=${fallback%/%s}
if [ -e "$fallback" ]; then
	printf 'skip an installation without the other parts: %s is there\n' "$fallback"
else
	for words in "[ nbdkit memory 1M ]" --help "--no-such-option host"; do
		# shellcheck disable=SC2086 # a list of words
		refused 5 "ublk-nbd: map: its program $fallback/ublk-nbd-map cannot be run: No such file or directory; install it" map $words
	done
	for verb in connect info; do
		refused 9 "TLS needs $fallback/ublk-nbd-tls.so, which cannot be loaded: No such file or directory; install it" \
			$verb nbds://127.0.0.1:1
	done
fi
answers "1 MiB" info [ nbdkit memory 1M ]
