# SPDX-License-Identifier: MIT
# goal: a server that is killed, stopped, or sends garbage at depth 32 costs no more than the I/O in
#       flight, within --timeout: no wrong byte, no hang, a disk that can be removed, right exit codes
# method: nbdkit and the hostile server under a verified load; twice each
# kernels: 7.3
# long-kernels: 6.12
# cpus: 2
# timeout-s: 500
# modules: ublk_drv
# load: 85
# suite: test

# shellcheck disable=SC1091,SC2034 # /lab is tests/system/guest; the libraries read these
. /lab/faults.sh
. /lab/fault-kill.sh

COUNT=2
[ "$LAB_SERIES" = 7.3 ] || COUNT=1
repeat "the server is killed" server_killed
repeat "the server is stopped and goes on too late" server_stopped
repeat "the server sends garbage" server_raves
COUNT=1
repeat "the server is stopped and goes on in time" server_paused
