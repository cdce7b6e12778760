# SPDX-License-Identifier: MIT
# goal: as fio-verify, with our own driver: on a kernel that has none, and in place of a newer one's
# method: as fio-verify, one row; one for each payload in the long suite
# kernels: 6.1-own
# long-kernels: 6.1-own 6.12-own 7.3-own
# cpus: 4
# memory-mb: 2560
# timeout-s: 600
# modules: ublk_drv
# load: 140
# suite: test

. /lab/data.sh
. /lab/fio.sh

run_verify nbdkit 4 user-copy 128
[ -z "${LAB_LONG:-}" ] || run_verify nbd-server 4 mapped 32
