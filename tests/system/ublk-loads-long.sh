# SPDX-License-Identifier: MIT
# goal: a ublk driver's module can be loaded and unloaded for ever
# method: 100 times, with devices served, killed, left over
# kernels: 7.3-own 6.1-own 6.12-own
# cpus: 2
# timeout-s: 900
# suite: long
# allow-dmesg: I/O error|unable to read partition table

# shellcheck disable=SC1091
. /lab/data.sh
. /lab/ublk.sh
. /lab/ublk-repeat.sh

CASE_TIMEOUT_S=$((800 * ${LAB_SCALE:-1}))
run_case "100 times load and unload" repeat_loads "${TIMES:-100}"
