# SPDX-License-Identifier: MIT
# shellcheck shell=dash
#
# Tests of a ublk driver by itself, ours or the kernel's own, with tests/guest/ublk_server.c. To be
# read after lib.sh and data.sh.

# features: what GET_FEATURES lists, with commas around.
features() {
	ublk_features=$(ublk_server features 2>/dev/null) || ublk_features=
	echo ",$ublk_features,"
}

# has_feature NAME
has_feature() {
	case $(features) in
	*,"$1",*) true ;;
	*) false ;;
	esac
}

# need_feature NAME: ends the case as skipped where the kernel's own driver has not got it. Ours has all.
need_feature() {
	has_feature "$1" && return
	[ "$LAB_OWN_DRIVER" != 1 ] || fail "GET_FEATURES" "our own driver does not list $1"
	skip "$1" "the driver of $(uname -r) has no $1"
}

# serve OPTION...: a server in the background; sets ID, DISK, SERVER (its pid), and GRANTED, its line.
serve() {
	GRANTED=$(ublk_server serve -d "$@" 2>"$WORK/serve.log") || {
		sed 's/^/# /' "$WORK/serve.log"
		fail "serve $*" "failed: $(cat "$WORK/serve.log")"
	}
	took_over
}

took_over() {
	ID=$(value_in "$GRANTED" id)
	SERVER=$(value_in "$GRANTED" pid)
	DISK=/dev/ublkb$ID
	check_equal "state" live "$(value_in "$GRANTED" state)"
	wait_for test -b "$DISK" || fail "serve" "no $DISK"
}

# recover OPTION...: the same for a successor of device ID.
recover() {
	GRANTED=$(ublk_server recover -d --id "$ID" "$@" 2>"$WORK/recover.log") ||
		fail "recover $*" "failed: $(cat "$WORK/recover.log")"
	took_over
}

# value_in LINE NAME
value_in() {
	echo "$1" | tr ' ' '\n' | sed -n "s/^$2=//p"
}

# info NAME: of device ID.
info() {
	value_in "$(ublk_server info --id "$ID" 2>&1)" "$1"
}

state_is() {
	[ "$(info state)" = "$1" ]
}

# delete_disk: the device in the way a careful owner ends it; nothing is left.
delete_disk() {
	check "stop" timeout -k 5 "$WAIT_TIMEOUT_S" ublk_server stop --id "$ID"
	wait_for gone "$SERVER" || fail "stop" "the server does not end"
	check "delete" timeout -k 5 "$WAIT_TIMEOUT_S" ublk_server delete --id "$ID"
	[ ! -e "$DISK" ] || fail "delete" "$DISK is still there"
	wait_for no_ublk || fail "delete" "something is left: $(ls -d /dev/ublk[bc]* /sys/block/ublk*)"
}

no_ublk() {
	! ls -d /dev/ublkb* /dev/ublkc* /sys/block/ublkb* /sys/class/ublk-char/* >/dev/null 2>&1
}

# refused ERRNO VERB OPTION...: the driver answers the command with this error.
refused() {
	ublk_errno=$1
	shift
	timeout -k 5 "$WAIT_TIMEOUT_S" ublk_server "$@" >"$WORK/refused" 2>&1
	ublk_rc=$?
	if [ $ublk_rc != 1 ] || ! grep -q ": $ublk_errno\$" "$WORK/refused"; then
		fail "$*" "wanted $ublk_errno, got status $ublk_rc: $(cat "$WORK/refused")"
	fi
}

# remove_devices: what a failed case has left must not fail the next one.
remove_devices() {
	umount -l /mnt 2>/dev/null
	grep -lxE 'ublk_(server|hazards)' /proc/[0-9]*/comm 2>/dev/null | cut -d/ -f3 | while read -r ublk_left; do
		kill -KILL "$ublk_left" 2>/dev/null
	done
	for ublk_left in /sys/class/ublk-char/*; do
		[ -e "$ublk_left" ] || continue
		timeout -k 5 20 ublk_server delete-async --id "${ublk_left##*ublkc}" >/dev/null 2>&1
	done
	wait_for no_ublk
}
