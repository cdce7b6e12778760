# SPDX-License-Identifier: MIT
# goal: as fio-verify, on the older kernel with its own driver
# method: as fio-verify, fewer rows
# kernels: 6.12
# cpus: 4
# memory-mb: 2560
# timeout-s: 600
# modules: ublk_drv
# suite: test

. /lab/data.sh
. /lab/fio.sh

run_verify nbdkit     4 user-copy 128
run_verify nbd-server 4 mapped    32
run_verify qemu-nbd   1 user-copy 32
