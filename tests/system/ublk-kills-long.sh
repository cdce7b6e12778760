# SPDX-License-Identifier: MIT
# goal: no byte is lost when the daemon is killed, however often, and no request fails
# method: 200 times kill -9 at depth 64 under a load that verifies, and recovery (REISSUE)
# kernels: 7.3-own 6.1-own 6.12-own
# cpus: 4
# timeout-s: 1800
# modules: ublk_drv
# suite: long

# shellcheck disable=SC1091
. /lab/data.sh
. /lab/ublk.sh
. /lab/ublk-repeat.sh

CASE_TIMEOUT_S=$((1700 * ${LAB_SCALE:-1}))
run_case "200 kills and recoveries" repeat_kills "${TIMES:-200}"
check "the driver can be unloaded" modprobe -r ublk_drv
