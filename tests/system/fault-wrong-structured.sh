# SPDX-License-Identifier: MIT
# goal: whatever a server puts into a structured reply, no reader ever gets a wrong byte, I/O ends
#       within --timeout, the daemon lives and says what was wrong, and the disk can be removed
# method: a verified load at depth 32 on a disk of sixteen connections, on each of which the hostile
#         server makes one field of one reply wrong; the server sees that the connection is closed, the
#         daemon tells why; then disks of one connection that lose it. One CPU, hence one queue: it
#         always keeps the honest connection. One row of three
# kernels: 7.3
# cpus: 1
# timeout-s: 600
# modules: ublk_drv
# suite: test

# shellcheck disable=SC1091,SC2034 # /lab is tests/system/guest; the libraries read these
. /lab/faults.sh
. /lab/fault-wrong.sh

ROW_STEP=3 # fault-wrong-long.sh has them all
run_rows structured
run_last_connection structured magic 'the server broke the protocol: '
run_last_connection structured stall-one 'no answer to '
run_last_connection structured close-in-payload 'the server closed the connection\|receiving failed\|sending failed'
run_last_connection structured garbage 'the server broke the protocol: '
