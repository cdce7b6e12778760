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

# What decides how many requests the server finds when it runs, and how often the CPU goes from one task to
# the other, is the scheduler; that costs more than the driver does. So there are rows for both ends, too:
#
#   -each    the server runs as soon as it has a request, before the client goes on
#   -all     the server runs when the client waits, with all that it has sent
#   -sent16  as -each, but the client sends 16 requests with one system call

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
	chrt "$CLIENT" 0 fio --name=bench --filename="$DISK" --direct=1 --ioengine=io_uring --rw="$1" --bs="$2k" \
		--iodepth="$3" --iodepth_batch="$SENT" --iodepth_batch_complete_min="$SENT" \
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

# scheduled POLICY PRIORITY CLIENTS-POLICY: of the server, and of the client, as options of chrt.
scheduled() {
	CLIENT=$3
	for task in "/proc/$SERVER/task/"*; do
		chrt "$1" -p "$2" "${task##*/}" || give_up "chrt of the server"
	done
}

# word NAME: NAME's value in what the server said.
word() {
	echo "$said" | tr ' ' '\n' | sed -n "s/^$1=//p"
}

# The server keeps its stderr: a pipe would have no end.
said=$(ublk_server serve -d --size 64M --queues 1 --depth 64 --max-io 131072 2>$WORK/serve.log) ||
	give_up "serve: $(cat $WORK/serve.log)"
id=$(word id)
SERVER=$(word pid)
DISK=/dev/ublkb$id
CLIENT=-o
SENT=1
sleep 3
row 4k-randread-1 randread 4 1 6000
row 4k-randwrite-1 randwrite 4 1 6000
row 4k-randread-32 randread 4 32 12000
row 4k-randwrite-32 randwrite 4 32 12000
row 128k-read-8 read 128 8 2000
row 128k-write-8 write 128 8 2000
REPEAT=1
scheduled -f 1 -o
row 4k-randread-32-each randread 4 32 12000
row 4k-randwrite-32-each randwrite 4 32 12000
SENT=16
row 4k-randread-32-sent16 randread 4 32 12000
row 4k-randwrite-32-sent16 randwrite 4 32 12000
SENT=1
scheduled -b 0 -b
row 4k-randread-32-all randread 4 32 12000
row 4k-randwrite-32-all randwrite 4 32 12000
ublk_server stop --id "$id" && ublk_server delete --id "$id"
