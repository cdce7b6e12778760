# SPDX-License-Identifier: MIT
# goal: ten million random commands leave the kernel as it was
# method: as ublk-hostile, until so many were sent
# kernels: 6.1-own 6.12-own 7.3-own
# cpus: 4
# memory-mb: 1024
# timeout-s: 3600
# modules: ublk_drv
# suite: long

# shellcheck disable=SC1091
. /lab/data.sh
. /lab/ublk.sh
. /lab/hostile.sh

CASE_TIMEOUT_S=$((3300 * ${LAB_SCALE:-1}))

run_case "ten million random commands, with kills" hostile_siege 10 --seconds 60 \
	--commands "${HOSTILE_COMMANDS:-10000000}" ${HOSTILE_SEED:+--seed $HOSTILE_SEED}
run_case "a normal device works" hostile_normal_device
check "the driver can be unloaded" modprobe -r ublk_drv
