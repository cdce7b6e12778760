# SPDX-License-Identifier: MIT
# goal: nothing that userspace sends to our ublk driver harms the kernel, hangs, or leaves anything behind
# method: a while of random commands and kills (ublk_hostile); then a normal device must work, the
#       kernel's memory be what it was, and the module go
# kernels: 6.1-own
# long-kernels: 7.3-own
# cpus: 4
# memory-mb: 1024
# timeout-s: 300
# modules: ublk_drv
# load: 130
# suite: test

# shellcheck disable=SC1091
. /lab/data.sh
. /lab/ublk.sh
. /lab/hostile.sh

CASE_TIMEOUT_S=$((240 * ${LAB_SCALE:-1}))

run_case "a while of random commands and kills" hostile_siege 3 --seconds "${HOSTILE_SECONDS:-15}" \
	${HOSTILE_SEED:+--seed $HOSTILE_SEED}
run_case "a normal device works" hostile_normal_device
check "the driver can be unloaded" modprobe -r ublk_drv
