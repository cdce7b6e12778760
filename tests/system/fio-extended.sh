# SPDX-License-Identifier: MIT
# goal: as fio-verify, with extended headers, by a server that is not ours
# method: as fio-verify, at a qemu-nbd that knows them (Debian 13's)
# kernels: 7.3
# cpus: 4
# memory-mb: 2560
# timeout-s: 600
# modules: ublk_drv
# debian: trixie/qemu-utils
# suite: long

. /lab/data.sh
. /lab/fio.sh

PATH=/opt/trixie/bin:$PATH

#          server            connections payload depth
run_verify qemu-nbd-extended 1 user-copy 32
run_verify qemu-nbd-extended 4 mapped    128
