# SPDX-License-Identifier: MIT
# goal: as cycle-connect: connect and disconnect leave nothing behind
# method: as cycle-connect, two hundred cycles
# kernels: 7.3 6.12
# cpus: 2
# timeout-s: 2400
# modules: ublk_drv
# suite: long

# shellcheck disable=SC1091,SC2034 # /lab is tests/system/guest; the libraries read these
. /lab/faults.sh
. /lab/cycles.sh

COUNT=200
CASE_TIMEOUT_S=$((2300 * SCALE))
run_case "$COUNT cycles leave nothing behind" files_and_memory
