# SPDX-License-Identifier: MIT
# goal: a ublk driver serves 1 to 16 queues at depth 1 to 1024 and loses no byte
# method: a guest with 16 CPUs, a file behind the disk, fio with verification; what was granted is compared,
#       and every tag of every queue is in use at once
# kernels: 7.3-own 6.1-own 6.12-own 7.3 6.12
# cpus: 16
# memory-mb: 3072
# timeout-s: 1800
# modules: ublk_drv
# suite: long

# shellcheck disable=SC1091
. /lab/data.sh
. /lab/ublk.sh

# in_flight COUNT: so many requests are out.
in_flight() {
	[ "$(awk '{ print $1 + $2 }' "/sys/block/${DISK##*/}/inflight")" = "$1" ]
}

# wide QUEUES DEPTH: the server does nothing until every tag of every queue has a request.
wide() {
	rm -f "$WORK/file"
	truncate -s 64M "$WORK/file"
	serve --file "$WORK/file" --size 64M --queues "$1" --depth "$2" --max-io 65536
	check_equal "queues granted" "$1" "$(value_in "$GRANTED" queues)"
	check_equal "depth granted" "$2" "$(value_in "$GRANTED" depth)"
	check_equal "queues of the disk" "$1" "$(find "/sys/block/${DISK##*/}/mq" -mindepth 1 -maxdepth 1 | wc -l)"
	# Of what is sent together, neighbours would become one request.
	echo 2 >"/sys/block/${DISK##*/}/queue/nomerges"
	kill -STOP "$SERVER"
	fio --filename="$DISK" --direct=1 --ioengine=libaio --iodepth="$2" --iodepth_batch=$((($2 + 3) / 4)) \
		--randseed=7 --verify=crc32c --verify_fatal=1 --verify_state_save=0 --thread --name=wide --rw=randwrite --bs=4k \
		--size=$(($2 > 512 ? 4 : 2))m --numjobs=16 --offset_increment=4m --cpus_allowed=0-15 \
		--cpus_allowed_policy=split >"$WORK/fio" 2>&1 &
	wide_fio=$!
	wait_for in_flight $(($1 * $2)) || fail "tags in use" "wanted $(($1 * $2)): $(cat "/sys/block/${DISK##*/}/inflight")"
	kill -CONT "$SERVER"
	wait $wide_fio || fail "fio" "$(tail -n 5 "$WORK/fio")"
	delete_disk
}

CASE_TIMEOUT_S=$((300 * ${LAB_SCALE:-1}))
check_equal "CPUs" 16 "$(nproc)"
for queues in 1 2 4 8 16; do
	for depth in 1 32 1024; do
		run_case "$queues queues, depth $depth" wide $queues $depth
	done
done
check "the driver can be unloaded" modprobe -r ublk_drv
