# SPDX-License-Identifier: MIT
# goal: a ublk driver makes and ends devices for ever, under I/O
# method: 500 times add, start, stop, delete, with reads and writes at work
# kernels: 7.3-own 6.1-own 6.12-own
# cpus: 4
# timeout-s: 1800
# modules: ublk_drv
# suite: long
# allow-dmesg: I/O error|unable to read partition table

# shellcheck disable=SC1091
. /lab/data.sh
. /lab/ublk.sh
. /lab/ublk-repeat.sh

CASE_TIMEOUT_S=$((1700 * ${LAB_SCALE:-1}))
run_case "500 times from add to delete, under I/O" repeat_cycles "${TIMES:-500}"
check "the driver can be unloaded" modprobe -r ublk_drv
