# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Goal: a wrong command line is refused before anything is done, with exit status 2 and one line that
# names the option, the value and what is allowed; every help text fits a screen.
# Method: the program is called with each mistake. Values are checked before rights are, so none of
# this needs root; targets point to nobody.

. tests/cli/lib.sh

T=nbd://127.0.0.1:1/

fits_screen() {
	local why=
	call "$@"
	[ "$status" = 0 ] || why="status $status"
	[ -s "$SCRATCH/out" ] || why="$why; it says nothing"
	[ "$(wc -l <"$SCRATCH/out")" -le 24 ] || why="$why; more than 24 lines"
	awk 'length($0) > 80 { exit 1 }' "$SCRATCH/out" || why="$why; more than 80 columns"
	verdict "help fits a screen: $*" "${why#; }"
}

# --- verbs and help
fits_screen --help
fits_screen -h
for verb in connect disconnect list status reconnect set resize config exports map info doctor; do
	fits_screen $verb --help
	fits_screen $verb -h
	refused 2 "unknown option '--nonsense'" $verb --nonsense
	refused 2 "'yaml' is neither json nor text" $verb -o yaml
done
answers "ublk-nbd " --version
refused 2 "--help"
refused 2 "'frobnicate' is not a verb" frobnicate
refused 2 "'--connect' is not a verb" --connect

# --- options as such
refused 2 "'--device' needs a value" connect $T --device
refused 2 "'-t' needs a value" connect $T -t
refused 2 "'--read-only' takes no value" connect --read-only=yes $T
refused 2 "unknown option '-x'" connect -x $T
refused 2 "options are written out: --read-only" connect --read-o $T
refused 2 "options are written out: --timeout" connect --timeo 5 $T
refused 2 "options are written out: --timeout" connect $T --timeo=5
refused 2 "options are written out: --help" list --hel
refused 2 "TARGET is missing" connect
refused 2 "more words than TARGET" connect $T $T
refused 2 "DEVICE is missing" status
refused 2 "DEVICE is missing" reconnect
refused 2 "DEVICE is missing" set --timeout 5
refused 2 "nothing is to be set" set 0
refused 2 "--dead-timeout: 'auto' is not a time" set --dead-timeout auto 0
refused 2 "--timeout: '1ms' is not a time from 100ms to 24h" set --timeout 1ms 0
refused 2 "takes options only" set --all --timeout 5 0
refused 2 "--force-after: '0' is not a time from 1s to 1h" disconnect --force-after 0 1
refused 2 "--retry-for: 'never' is not a time" connect --retry-for never $T
refused 2 "DEVICE is missing" resize
refused 2 "DEVICE is missing" disconnect
refused 2 "more words than DEVICE" disconnect 0 1
refused 2 "takes options only" list 0
refused 2 "takes options only" disconnect --all 0
refused 2 "--owner goes with --all" disconnect --owner me 0

# --- numbers
refused 2 "--connections: '0' is not a number from 1 to 16" connect --connections 0 $T
refused 2 "--connections: '17' is not a number from 1 to 16" connect --connections 17 $T
refused 2 "--connections: '4x'" connect --connections 4x $T
refused 2 "--connections: '-1'" connect --connections -1 $T
refused 2 "--queue-depth: '0' is not a number from 1 to 4096" connect --queue-depth 0 $T
refused 2 "--queue-depth: '4097'" connect --queue-depth 4097 $T
refused 2 "--queue-depth: '99999999999999999999'" connect --queue-depth 99999999999999999999 $T
refused 2 "--queue-depth: ''" connect --queue-depth= $T

# --- sizes
refused 2 "--block-size: '256' is not a size from 512 bytes to 4 KiB, a power of two" \
	connect --block-size 256 $T
refused 2 "--block-size: '1000'" connect --block-size 1000 $T
refused 2 "--block-size: '8K'" connect --block-size 8K $T
refused 2 "--block-size: '0'" connect --block-size 0 $T
refused 2 "--block-size: '1KB'" connect --block-size 1KB $T
refused 2 "--max-io-size: '2K' is not a size from 4 KiB to 32 MiB" connect --max-io-size 2K $T
refused 2 "--max-io-size: '64M'" connect --max-io-size 64M $T
refused 2 "--max-io-size: '3M'" connect --max-io-size 3M $T
refused 2 "--max-io-size: '999999999G'" connect --max-io-size 999999999G $T

# --- times
refused 2 "--timeout: '0' is not a time from 100ms to 24h" connect --timeout 0 $T
refused 2 "--timeout: '99ms'" connect -t 99ms $T
refused 2 "--timeout: '25h'" connect --timeout 25h $T
refused 2 "--timeout: '1d'" connect --timeout 1d $T
refused 2 "--timeout: '1.5'" connect --timeout 1.5 $T
refused 2 "--connect-timeout: '2h' is not a time from 100ms to 1h" connect --connect-timeout 2h $T
refused 2 "--dead-timeout: 'ever' is not a time from 0s to 720h" connect --dead-timeout ever $T
refused 2 "--dead-timeout: 'auto'" connect --dead-timeout auto $T
refused 2 "--quiet-time: '-1'" connect --quiet-time -1 $T
refused 2 "--quiet-time: 'always'" connect --quiet-time always $T
refused 2 "--server-cache: 'replay' is neither fail nor stable" connect --server-cache replay $T
refused 2 "--timeout: '0' is not a time from 1s to 1h" disconnect --timeout 0 1
refused 2 "--timeout: 'x'" resize --timeout x 1

# --- names
refused 2 "--device: 'sda' is not a ublk device" connect --device sda $T
refused 2 "--device: '65536'" connect --device 65536 $T
refused 2 "'ublkb0p1' is a partition: name its disk, /dev/ublkb0" status ublkb0p1
refused 2 "'/dev/ublkb12p3' is a partition: name its disk, /dev/ublkb12" disconnect /dev/ublkb12p3
refused 2 "'/dev/null' is not a ublk device" status /dev/null
refused 2 "'01' is not a ublk device" resize 01
refused 2 "'' is not a ublk device" status ''
refused 2 "--owner: 'a/b'" connect --owner a/b $T
refused 2 "--name: '1a'" connect --name 1a $T
refused 2 "--name: ''" connect --name '' $T
refused 2 "--name: 'a/b'" connect --name a/b $T
refused 2 "--name: 'ublkb1'" connect --name ublkb1 $T
refused 2 "--name: 'ublkc'" connect --name ublkc $T
refused 2 "1 to 40 letters" connect --name "a$(printf '%040d' 0)" $T
refused 2 "--owner: '..'" connect --owner .. $T
refused 2 "--owner: ''" list --owner ''
refused 2 "1 to 64" connect --owner "$(printf '%065d' 0)" $T
refused 2 "--payload: 'magic' is not auto, mapped or user-copy" connect --payload magic $T
refused 2 "--export: the name is longer than 4096 bytes" connect --export "$(printf '%04097d' 0)" $T

# --- targets
refused 2 "'http://' is not an NBD scheme" connect http://localhost/
refused 2 "the port '0'" connect nbd://localhost:0/
refused 2 "the parameter 'foo' is unknown" connect "nbd://localhost/?foo=1"
refused 2 "has no host" connect nbd:///disk
refused 2 "needs its socket" connect nbd+unix:///disk
refused 2 "no '//'" connect nbd:localhost:10809
refused 2 "say it with --tls-hostname" connect "nbds+unix:///?socket=/nowhere"
refused 2 "TLS options, but no TLS" connect --tls-ca /dev/null nbd://localhost/
refused 2 "is not enough" connect "nbds://localhost/?tls-verify-peer=0"
refused 2 "(107 bytes at most): use a shorter path (at character 21)" connect "nbd+unix:///?socket=$(printf '%0107d' 0)"
mkdir "$SCRATCH/gone"
(
	cd "$SCRATCH/gone" && rmdir "$SCRATCH/gone" || exit
	refused 2 "directory that no longer exists: No such file or directory (at character 22)" \
		connect "nbds+unix:///?socket=relative"
)

# --- a server to start
refused 2 "'[' without its ']'" connect [ nbdkit memory 1G
# shellcheck disable=SC2171 # ']' is a word here
refused 2 "']' without its '['" connect nbdkit memory 1G ]
refused 2 "stand 0 words" connect [ ]
refused 2 "only one of them" connect [ nbdkit memory 1G ] $T
refused 2 "only one of them" connect $T [ nbdkit memory 1G ]
refused 2 "not UTF-8" connect [ nbdkit $'\xff' ]
# Its options are not ours, ours may stand on both sides.
refused 2 "--queue-depth: '0'" connect [ nbdkit --nonsense -x memory 1G ] --queue-depth 0
refused 2 "--queue-depth: '0'" connect --queue-depth 0 [ nbdkit --timeout=x memory 1G ]
# shellcheck disable=SC2046
refused 2 "stand 65 words" connect [ $(seq 65) ]
# A verb that only looks reads them alike.
refused 2 "'[' without its ']'" info [ nbdkit memory 1G
# shellcheck disable=SC2171
refused 2 "']' without its '['" info nbdkit memory 1G ]
refused 2 "stand 0 words" exports [ ]

# --- control characters do not reach the terminal
call connect $'nbd://\e[31mred/'
if grep -q $'\e' "$SCRATCH/err"; then why="an escape came through"; else why=; fi
verdict "no escape sequence is echoed" "$why"
