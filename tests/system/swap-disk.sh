# SPDX-License-Identifier: MIT
# goal: a disk that becomes swap is known as such, by its queues' priority, status, doctor and the log, and
#       its pages come back as they went out
# method: swapon and swapoff of a disk; a control group with less memory than what is put into it
# kernels: 7.3
# cpus: 2
# timeout-s: 150
# modules: ublk_drv
# suite: long

# shellcheck disable=SC1091,SC2034 # /lab is tests/system/guest; the libraries read these
. /lab/faults.sh

# hurried COUNT: so many threads of the daemon have real-time priority (proc(5), policy: 2 is SCHED_RR).
hurried() {
	[ "$(sed 's/.*) //' "/proc/$(daemon_pid "$DISK")"/task/*/stat | awk '$39 == 2' | wc -l)" = "$1" ]
}

is_swap() {
	[ "$(ublk-nbd status -o json "$DISK" | json .swap)" = "$1" ]
}

swap_is_known() {
	start_nbdkit s "$WORK/s.sock" memory 256M
	connect_disk --connections 2 "nbd+unix:///?socket=$WORK/s.sock"
	mkswap "$DISK" >/dev/null
	check "no swap yet" is_swap false
	check "plain priority" hurried 0
	log_mark
	swapon "$DISK" || fail "swapon" "fails"
	wait_for is_swap true || fail "status" "does not say that the disk is swap"
	check "each queue hurries" hurried "$(ublk-nbd status -o json "$DISK" | json .queues)"
	check "the log says so" log_has "the disk is swap now: short of memory"
	ublk-nbd status "$DISK" | grep -q 'in use as.*swap' || fail "status" "shows no swap"
	ublk-nbd doctor >"$WORK/doctor"
	grep -q "warn *swap: $DISK is swap" "$WORK/doctor" || fail "doctor" "$(cat "$WORK/doctor")"
	expect_fail "disconnecting it" ublk-nbd disconnect "$DISK"
	mkdir /sys/fs/cgroup/eater 2>/dev/null
	echo +memory >/sys/fs/cgroup/cgroup.subtree_control
	echo 32M >/sys/fs/cgroup/eater/memory.max
	# shellcheck disable=SC2016 # for the shell inside
	check "pages come back" sh -c 'echo $$ >/sys/fs/cgroup/eater/cgroup.procs && exec memeat 96 2'
	[ "$(awk '{ print $5 }' "/sys/block/${DISK##*/}/stat")" -gt 0 ] || fail "the disk" "was not written to"
	swapoff "$DISK" || fail "swapoff" "fails"
	wait_for is_swap false || fail "status" "still says that the disk is swap"
	wait_for hurried 0 || fail "priority" "stays"
	disconnect_disk
	check_nothing_left
	stop_server s
}

run_case "a disk that is swap is known as such" swap_is_known
