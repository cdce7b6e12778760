# SPDX-License-Identifier: MIT
# goal: a ublk driver withstands each hazard that is known: wrong commands, wrong answers, deaths of the
#       daemon in each state, stops and deletions in the middle of it
# method: a daemon driven by hand, one case each (tests/guest/ublk_hazards.c); kernel/README.md has the
#       table of hazards and cases. HAZARDS in the environment: only these; HAZARDS_STOP: none after one
#       that fails. (tests/stock-hazards runs them on the kernels' own drivers)
# kernels: 6.1-own
# long-kernels: 6.12-own 7.3-own
# cpus: 4
# memory-mb: 1024
# timeout-s: 600
# modules: ublk_drv
# load: 85
# suite: test
# allow-dmesg: I/O error|unable to read partition table

# shellcheck disable=SC1091
. /lab/data.sh
. /lab/ublk.sh
CASE_TIMEOUT_S=${HAZARD_TIMEOUT_S:-$CASE_TIMEOUT_S}

export LAB_SCALE

one() {
	hazard_rc=0
	timeout -k 5 $((CASE_TIMEOUT_S - 10)) ublk_hazards "$1" >"$WORK/hazard" 2>&1 || hazard_rc=$?
	[ ! -s "$WORK/hazard" ] || note "$1: $(tr '\n' ' ' <"$WORK/hazard")"
	case $hazard_rc in
	0) ;;
	77)
		[ "$LAB_OWN_DRIVER" != 1 ] || fail "GET_FEATURES" "$(cat "$WORK/hazard")"
		skip "$1" "$(cat "$WORK/hazard")"
		;;
	*) fail "$1" "ended with $hazard_rc: $(cat "$WORK/hazard")" ;;
	esac
	wait_for no_ublk || fail "$1" "something is left: $(ls -d /dev/ublk[bc]* /sys/block/ublk*)"
}

for hazard in ${HAZARDS:-$(ublk_hazards --list)}; do
	run_case "$hazard" one "$hazard"
	no_ublk || remove_devices
	[ -z "${HAZARDS_STOP:-}" ] || ! lab_has_failed || break
done
check "the driver can be unloaded" modprobe -r ublk_drv
