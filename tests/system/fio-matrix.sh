# SPDX-License-Identifier: MIT
# goal: as fio-verify: whatever is written comes back
# method: as fio-verify, every combination, with another seed each time
# kernels: 7.3 6.12
# cpus: 4
# memory-mb: 2560
# timeout-s: 3000
# modules: ublk_drv
# suite: long

. /lab/data.sh
. /lab/fio.sh

SEED=${SEED:-$(date +%s)}
for server in nbdkit nbdkit-no-sr nbd-server qemu-nbd; do
	for connections in 1 4; do
		for payload in mapped user-copy; do
			for depth in 1 32 128; do
				run_verify $server $connections $payload $depth
				SEED=$((SEED + 1))
			done
		done
	done
done
run_reaches 128 mapped
run_reaches 128 user-copy
