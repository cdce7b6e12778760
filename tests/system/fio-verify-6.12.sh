# SPDX-License-Identifier: MIT
# goal: as fio-verify, on the older kernel with its own driver
# method: as fio-verify, one row; fio-matrix.sh (long) has all
# kernels: 6.12
# cpus: 4
# memory-mb: 2560
# timeout-s: 600
# modules: ublk_drv
# load: 115
# suite: test

. /lab/data.sh
. /lab/fio.sh

run_verify nbdkit 4 user-copy 128
