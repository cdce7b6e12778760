# SPDX-License-Identifier: MIT
# goal: as kill-daemon: a killed or hanging daemon leaves nothing that cannot be removed
# method: as kill-daemon, twenty times each
# kernels: 7.3 6.12
# cpus: 2
# timeout-s: 3000
# modules: ublk_drv
# allow-dmesg: INFO: task verified_load:.* blocked|nbdkit: potentially unexpected fatal signal 6
# The load waits, as it must, while the daemon is stopped and nobody forces it.
# suite: long

# shellcheck disable=SC1091,SC2034 # /lab is tests/system/guest; the libraries read these
. /lab/faults.sh
. /lab/fault-kill.sh

COUNT=20
repeat "the daemon is killed" daemon_killed
repeat "the daemon hangs, the disk is in use" daemon_stopped
repeat "the daemon hangs, the disk is idle" daemon_stopped_idle
