# SPDX-License-Identifier: MIT
#
# hazards.sh: the cases of ublk_hazards, one result each. Sourced behind data.sh and ublk.sh.

# one_hazard NAME: which is in the kernel's log, too, so that one can tell which case a line there is of.
one_hazard() {
	hazard_rc=0
	echo "ublk_hazards $1" >/dev/kmsg
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
	[ "$LAB_OWN_DRIVER" != 1 ] || hazard_log "$1"
}

# hazard_log NAME: our driver's log says what went wrong, where an operator has to know.
hazard_log() {
	case $1 in
	bad-buffer-write) hazard_words="a WRITE fails: the daemon's buffer cannot be written" ;;
	h19-partial-copy) hazard_words="a READ's data ends early: the daemon's buffer cannot be read" ;;
	h15-recovery) hazard_words="the daemon is gone; requests wait for its successor" ;;
	*) return 0 ;;
	esac
	dmesg | sed "1,/ublk_hazards $1\$/d" | grep -qF "$hazard_words" ||
		fail "the kernel's log" "does not say: $hazard_words"
}

# all_hazards: HAZARDS in the environment: only these; HAZARDS_STOP: none after one that fails.
all_hazards() {
	CASE_TIMEOUT_S=${HAZARD_TIMEOUT_S:-$CASE_TIMEOUT_S}
	export LAB_SCALE
	for hazard in ${HAZARDS:-$(ublk_hazards --list)}; do
		run_case "$hazard" one_hazard "$hazard"
		no_ublk || remove_devices
		[ -z "${HAZARDS_STOP:-}" ] || ! lab_has_failed || break
	done
	check "the driver can be unloaded" modprobe -r ublk_drv
}
