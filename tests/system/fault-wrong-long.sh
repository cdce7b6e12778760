# SPDX-License-Identifier: MIT
# goal: as fault-wrong-*: whatever a server puts into a reply, no reader ever gets a wrong byte
# method: as fault-wrong-*, every row of every framing twenty times, with other random numbers at the
#         server each time, and the payloads changing places
# kernels: 7.3 6.12
# cpus: 1
# timeout-s: 10000
# modules: ublk_drv
# suite: long

# shellcheck disable=SC1091,SC2034 # /lab is tests/system/guest; the libraries read these
. /lab/faults.sh
. /lab/fault-wrong.sh

ROUNDS=20
for ROUND in $(seq "${FIRST:-1}" $ROUNDS); do
	note "round $ROUND"
	for framing in simple structured extended; do
		run_rows "$framing"
	done
done
