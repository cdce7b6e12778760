# SPDX-License-Identifier: MIT
# goal: two hundred connects and disconnects with a daemon that reports each byte it leaks
# method: as cycle-connect, with the programs built with -fsanitize=address,undefined
# kernels: 7.3
# cpus: 2
# memory-mb: 1024
# timeout-s: 3600
# modules: ublk_drv
# sanitizers: address,undefined
# suite: long

# shellcheck disable=SC1091,SC2034 # /lab is tests/system/guest; the libraries read these
. /lab/faults.sh
. /lab/cycles.sh

COUNT=200
CASE_TIMEOUT_S=$((3500 * SCALE))
run_case "$COUNT cycles leave nothing behind" files_and_memory
