# SPDX-License-Identifier: MIT
# goal: a ublk driver withstands each hazard that is known: wrong commands, wrong answers, deaths of the
#       daemon in each state, stops and deletions in the middle of it
# method: a daemon driven by hand, one case each (tests/guest/ublk_hazards.c); kernel/README.md has the
#       table of hazards and cases. What the kernels' own drivers are known to fail must fail there
#       (guest/ublk-stock.sh)
# kernels: 7.3-own 6.1-own
# long-kernels: 6.12-own 6.12 7.3
# cpus: 4
# memory-mb: 1024
# timeout-s: 600
# modules: ublk_drv
# suite: test
# allow-dmesg: I/O error|unable to read partition table

# shellcheck disable=SC1091
. /lab/data.sh
. /lab/ublk.sh
. /lab/ublk-stock.sh

export LAB_SCALE

# run_hazard NAME: its exit status; what it said is in $WORK/hazard.
run_hazard() {
	hazard_rc=0
	timeout -k 5 $((CASE_TIMEOUT_S - 10)) ublk_hazards "$1" >"$WORK/hazard" 2>&1 || hazard_rc=$?
	[ ! -s "$WORK/hazard" ] || note "$1: $(tr '\n' ' ' <"$WORK/hazard")"
	return $hazard_rc
}

one() {
	run_hazard "$1"
	case $? in
	0) ;;
	77)
		[ "$LAB_OWN_DRIVER" != 1 ] || fail "GET_FEATURES" "$(cat "$WORK/hazard")"
		skip "$1" "$(cat "$WORK/hazard")"
		;;
	*) fail "$1" "ended with $hazard_rc: $(cat "$WORK/hazard")" ;;
	esac
	wait_for no_ublk || fail "$1" "something is left: $(ls -d /dev/ublk[bc]* /sys/block/ublk*)"
}

# known_to_fail NAME WHY: a driver that does not fail it any more wants a shorter list.
known_to_fail() {
	case $2 in "not run"*) skip "$1" "$2" ;; esac
	CASE_TIMEOUT_S=60
	run_hazard "$1"
	[ $? = 1 ] || fail "$1" "ended with $hazard_rc, and is known to fail: $2"
}

for hazard in ${HAZARDS:-$(ublk_hazards --list)}; do
	why=
	[ "$LAB_OWN_DRIVER" = 1 ] || why=$(stock_fails "$LAB_SERIES" "$hazard")
	if [ -z "$why" ]; then
		run_case "$hazard" one "$hazard"
	else
		run_case "$hazard fails on this driver: $why" known_to_fail "$hazard" "$why"
	fi
	no_ublk || remove_devices
done
check "the driver can be unloaded" modprobe -r ublk_drv
