# SPDX-License-Identifier: MIT
# shellcheck shell=dash
#
# The guest's part of tests/bench/driver: prints "cell ROW INSTRUCTIONS-PER-IO" for each row. Under
# -icount, guest nanoseconds are instructions.

WORK=/tmp/bench
REPEAT=4
mkdir -p $WORK

give_up() {
	echo "failed $*"
	exit 1
}

# busy: how long the CPU has run anything, in nanoseconds, which are instructions; the idle task is left out.
busy() {
	while read -r key _ _ _ _ _ _ ns _; do
		[ "$key" != cpu0 ] || break
	done </proc/schedstat
	echo "$ns"
}

# run RW KIB DEPTH IOS: instructions of one fio run.
run() {
	begin=$(busy)
	fio --name=bench --filename="$DISK" --direct=1 --ioengine=io_uring --rw="$1" --bs="$2k" --iodepth="$3" \
		--io_size=$(($4 * $2))k --size=32m --randrepeat=1 --norandommap --output=$WORK/fio.log ||
		give_up "fio: $(tail -n 3 $WORK/fio.log)"
	end=$(busy)
	echo $((end - begin))
}

# row NAME RW KIB DEPTH IOS: the mean of REPEAT times; how completions come in batches differs from one to
# the next.
row() {
	total=0
	for _ in $(seq $REPEAT); do
		few=$(run "$2" "$3" "$4" $(($5 / 4))) || give_up "$few"
		many=$(run "$2" "$3" "$4" $(($5 / 4 + $5))) || give_up "$many"
		total=$((total + (many - few) / $5))
	done
	echo "cell $1 $((total / REPEAT))"
}

# The server keeps its stderr: a pipe would have no end.
said=$(ublk_server serve -d --size 64M --queues 1 --depth 64 --max-io 131072 2>$WORK/serve.log) ||
	give_up "serve: $(cat $WORK/serve.log)"
id=$(echo "$said" | tr ' ' '\n' | sed -n 's/^id=//p')
DISK=/dev/ublkb$id
sleep 3
row 4k-randread-1 randread 4 1 6000
row 4k-randwrite-1 randwrite 4 1 6000
row 4k-randread-32 randread 4 32 12000
row 4k-randwrite-32 randwrite 4 32 12000
row 128k-read-8 read 128 8 2000
row 128k-write-8 write 128 8 2000
ublk_server stop --id "$id" && ublk_server delete --id "$id"
