# SPDX-License-Identifier: MIT
# goal: kill -9 of the daemon at depth 32 fails its I/O promptly and leaves a disk that list calls dead
#       and disconnect removes; a daemon that hangs is killed by disconnect --force, and by nothing less
# method: SIGKILL and SIGSTOP under a verified load; three times each
# kernels: 7.3
# long-kernels: 6.1-own 6.12 6.12-own 7.3-own
# cpus: 2
# timeout-s: 500
# modules: ublk_drv
# allow-dmesg: INFO: task verified_load:.* blocked|nbdkit: potentially unexpected fatal signal 6
# The load waits, as it must, while the daemon is stopped and nobody forces it.
# load: 55
# suite: test

# shellcheck disable=SC1091,SC2034 # /lab is tests/system/guest; the libraries read these
. /lab/faults.sh
. /lab/fault-kill.sh

COUNT=3
[ "$LAB_SERIES" = 7.3 ] || COUNT=2
repeat "the daemon is killed" daemon_killed
COUNT=1
repeat "the daemon hangs, the disk is in use" daemon_stopped
repeat "the daemon hangs, the disk is idle" daemon_stopped_idle
