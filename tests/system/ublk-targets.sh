# SPDX-License-Identifier: MIT
# goal: a ublk driver carries every operation unharmed, in each way of moving data it has, and its disk is
#       like any: filesystems, partitions, limits, sizes, affinity
# method: our own ublk server with a file behind it; fio with verification and disk_torture at depth 1 to
#       1024, one queue and as many as CPUs; what was granted is compared with what was asked for
# kernels: 6.1-own 7.3-own
# long-kernels: 6.12-own 6.12 7.3
# cpus: 4
# memory-mb: 1536
# timeout-s: 900
# modules: ublk_drv ext4 xfs
# suite: test

# shellcheck disable=SC1091
. /lab/ublk-targets.sh
