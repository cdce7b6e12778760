# SPDX-License-Identifier: MIT
# goal: connect and disconnect, again and again, leave no device, process, file, socket or memory behind
# method: ten cycles, every fifth by SIGTERM and every fifth with a killed daemon; an inventory of the
#         system before and after, and the driver can be unloaded
# kernels: 7.3
# cpus: 2
# timeout-s: 300
# modules: ublk_drv
# suite: test

# shellcheck disable=SC1091,SC2034 # /lab is tests/system/guest; the libraries read these
. /lab/faults.sh
. /lab/cycles.sh

COUNT=10
CASE_TIMEOUT_S=$((250 * SCALE))
run_case "$COUNT cycles leave nothing behind" files_and_memory
