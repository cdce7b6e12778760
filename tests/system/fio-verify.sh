# SPDX-License-Identifier: MIT
# goal: whatever is written comes back, whichever server, payload, depth and number of connections
# method: fio with crc32c on mixed sizes from 512 B to 1 MiB, trims beside it, then a program that
#   knows every sector mixes writes, trims, zeroes and flushes on the same blocks; the server's bytes
#   are compared through libnbd. Two rows; fio-matrix.sh (long) has all.
# kernels: 7.3
# cpus: 4
# memory-mb: 2560
# timeout-s: 1200
# modules: ublk_drv
# suite: test

. /lab/data.sh
. /lab/fio.sh

#          server     connections payload depth
run_verify nbdkit     4 user-copy 32
run_verify nbd-server 1 mapped    128
run_reaches 128 user-copy
