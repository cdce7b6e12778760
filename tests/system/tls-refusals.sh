# SPDX-License-Identifier: MIT
# goal: whoever is not the server that was meant, or cannot prove it, gives no disk: connect ends with the
#   exit code and the sentence that the other verbs have, and there is no device
# method: the command line's own test of TLS refusals, tests/cli/test-tls-refusals.sh, with connect as the
#   verb, on a kernel that has ublk
# kernels: 7.3
# timeout-s: 600
# memory-mb: 1536
# modules: ublk_drv
# files: tests/cli/lib.sh tests/cli/test-tls-refusals.sh
# suite: long

. /lab/data.sh

in_the_guest() {
	mkdir "$WORK/refusals"
	cd /lab || return
	PROGRAM=/usr/local/bin/ublk-nbd SCRATCH=$WORK/refusals BUILD=/ REFUSED_VERB=connect \
		bash tests/cli/test-tls-refusals.sh || echo "not ok the script ended with $?"
}

in_the_guest | while read -r line; do
	case $line in
	'ok '* | 'not ok '* | 'skip '*) lab_result "$line" ;;
	*) echo "$line" ;;
	esac
done
check "nothing is left" no_device_left
