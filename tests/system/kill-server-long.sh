# SPDX-License-Identifier: MIT
# goal: as kill-server: a lost server costs no more than the I/O in flight
# method: as kill-server, twenty times each
# kernels: 7.3 6.12
# cpus: 2
# timeout-s: 3000
# modules: ublk_drv
# suite: long

# shellcheck disable=SC1091,SC2034 # /lab is tests/system/guest; the libraries read these
. /lab/faults.sh
. /lab/fault-kill.sh

COUNT=20
repeat "the server is killed" server_killed
repeat "the server is stopped and goes on too late" server_stopped
repeat "the server sends garbage" server_raves
repeat "the server is stopped and goes on in time" server_paused
