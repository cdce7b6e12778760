# SPDX-License-Identifier: MIT
# goal: what ublk-hazards shows of our driver, and no report of the kernel's own checkers
# method: the same cases on a debug kernel (KASAN, lockdep, kmemleak)
# kernels: 6.1-debug
# cpus: 4
# memory-mb: 2048
# timeout-s: 500
# modules: ublk_drv
# suite: debug
# allow-dmesg: I/O error|unable to read partition table|use-after-free debug is enabled

# shellcheck disable=SC1091
. /lab/data.sh
. /lab/ublk.sh
. /lab/hazards.sh

all_hazards
