# SPDX-License-Identifier: MIT
# goal: as fio-verify: whatever is written comes back
# method: as fio-verify, every combination, with another seed each time; SERVERS and CONNECTIONS in the
#   environment choose some
# kernels: 7.3 6.12
# cpus: 4
# memory-mb: 2560
# timeout-s: 6000
# modules: ublk_drv
# suite: long

. /lab/data.sh
. /lab/fio.sh

FIO_TORTURE=800
SEED=${SEED:-$(date +%s)}
for server in ${SERVERS:-nbdkit nbdkit-no-sr nbd-server qemu-nbd}; do
	for connections in ${CONNECTIONS:-1 4}; do
		for payload in mapped user-copy; do
			for depth in 1 32 128; do
				# shellcheck disable=SC2086 # each is one word
				run_verify $server $connections $payload $depth
				SEED=$((SEED + 1))
			done
		done
	done
done
run_reaches 128 mapped
run_reaches 128 user-copy
