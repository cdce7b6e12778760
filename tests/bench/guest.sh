# SPDX-License-Identifier: MIT
# shellcheck shell=dash
#
# The benchmark's part in the guest. Goal: instructions per I/O of each row on each target. Method:
# the guest runs under -icount, so nanoseconds are instructions; fio runs each row twice, with one
# I/O and with many, tests/bench/snap reads the kernel's accounts before and after each, and what
# the many cost beyond the one is divided by their number. Prints one line of fields for each cell:
#
#     cell TRANSPORT TARGET ROW IOS TOTAL SERVER DAEMON IDLE SENDS RECEIVES ENTERS COPIED
#
# The row connect takes the accounts around the command that makes the target's disk, each time from its start
# to its return, less what they cost with nothing in between; TOTAL is the median.
#
# TOTAL, SERVER and DAEMON are instructions per I/O, IDLE is in percent of the time, the last four
# are the daemon's own counters per I/O ("-" where there is no daemon). From the environment:
# BENCH_TRANSPORT (tcp, unix, tls: TLS 1.3 over tcp, tls12: TLS 1.2), BENCH_TARGETS and BENCH_ROWS (names), BENCH_REPEAT.

SIZE_MB=64
PORT=10809
SOCKET=/tmp/bench/nbd.sock
DISK=
# While connects are measured: where the accounts of the next one go.
CONNECT=
PKI=/tmp/bench/pki

say() { echo "# $*"; }

give_up() {
	echo "failed $BENCH_TRANSPORT $*"
	exit 1
}

# rows COMMAND...: the command for each wanted row of fio's, with the row's fields after its own words.
rows() {
	while read -r name rw kib depth ios; do
		[ "$rw" != - ] || continue
		case " $BENCH_ROWS " in
		*" $name "*) "$@" "$name" "$rw" "$kib" "$depth" "$ios" ;;
		esac
	done </bench/rows
}

# --- the server ----------------------------------------------------------------------------------

uri() {
	case $BENCH_TRANSPORT in
	tcp) echo "nbd://127.0.0.1:$PORT" ;;
	unix) echo "nbd+unix:///?socket=$SOCKET" ;;
	tls*) echo "nbds://127.0.0.1:$PORT" ;;
	esac
}

# issue NAME SUBJECT [CA]: NAME-cert.pem and NAME-key.pem.
issue() {
	name=$1
	subject=$2
	shift 2
	[ $# = 0 ] || set -- -CA "$PKI/ca-cert.pem" -CAkey "$PKI/ca-key.pem" -addext subjectAltName=IP:127.0.0.1
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$subject" \
		-keyout "$PKI/$name-key.pem" -out "$PKI/$name-cert.pem" "$@" >/tmp/bench/openssl.log 2>&1 ||
		give_up "openssl makes no certificate: $(cat /tmp/bench/openssl.log)"
}

# GnuTLS takes AES-256-GCM by itself, and TLS 1.3 unless it is told not to.
start_secured() {
	mkdir -p $PKI
	issue ca bench
	# fio's engine can be told of no CA: this is the system's, for GnuTLS and OpenSSL.
	mkdir -p /etc/ssl/certs /usr/lib/ssl
	cp $PKI/ca-cert.pem /etc/ssl/certs/ca-certificates.crt
	cp $PKI/ca-cert.pem /usr/lib/ssl/cert.pem
	issue server 127.0.0.1 signed
	issue client client signed
	if [ "$BENCH_TRANSPORT" = tls12 ]; then
		printf '[overrides]\ndisabled-version = tls1.3\n' >/tmp/bench/gnutls.conf
	fi
	GNUTLS_SYSTEM_PRIORITY_FILE=/tmp/bench/gnutls.conf nbdkit -i 127.0.0.1 -p $PORT -P /tmp/bench/server \
		--tls=require --tls-certificates=$PKI memory ${SIZE_MB}M
}

start_server() {
	case $BENCH_TRANSPORT in
	tcp) nbdkit -i 127.0.0.1 -p $PORT -P /tmp/bench/server memory ${SIZE_MB}M ;;
	unix) nbdkit -U $SOCKET -P /tmp/bench/server memory ${SIZE_MB}M ;;
	tls*) start_secured ;;
	esac || give_up "nbdkit does not start"
	# nbdkit keeps no memory for what was never written or is zero: fill it with something else.
	fio --eta=never --name=fill --ioengine=nbd --uri="$(uri)" --rw=write --bs=1M --size=${SIZE_MB}M \
		--output=/tmp/bench/fill.log || give_up "the export cannot be filled"
}

# --- targets: each sets DISK, and /tmp/bench/daemon when there is one ------------------------------

# timed COMMAND...: the command that makes a disk.
timed() {
	if [ -z "$CONNECT" ]; then
		"$@"
		return
	fi
	/bench/snap "$CONNECT.before"
	"$@"
	timed_code=$?
	/bench/snap "$CONNECT.after"
	return $timed_code
}

open_null_blk() {
	modprobe null_blk nr_devices=1 gb=1 queue_mode=2 irqmode=0 || return 1
	DISK=/dev/nullb0
}

open_nbd_ko() {
	modprobe nbd nbds_max=1 || return 1
	case $BENCH_TRANSPORT in
	tcp) set -- 127.0.0.1 $PORT ;;
	unix) set -- -unix $SOCKET ;;
	# With its TLS proxy, a process between the kernel and the server.
	tls*)
		set -- 127.0.0.1 $PORT -enable-tls -cacertfile $PKI/ca-cert.pem -tlshostname 127.0.0.1 \
			-certfile $PKI/client-cert.pem -keyfile $PKI/client-key.pem
		;;
	esac
	timed nbd-client "$@" /dev/nbd0 -b 512 >/tmp/bench/nbd-client.log 2>&1 || {
		sed 's/^/# /' /tmp/bench/nbd-client.log
		return 1
	}
	DISK=/dev/nbd0
}

# The driver's side of ours alone. open_null PAYLOAD
open_null() {
	: >/tmp/bench/null
	null_disk "$1" >/tmp/bench/null 2>&1 &
	NULL_PID=$!
	for _ in $(seq 500); do
		grep -qs ^/dev/ /tmp/bench/null && break
		sleep 0.02
	done
	DISK=$(grep ^/dev/ /tmp/bench/null) || { sed 's/^/# /' /tmp/bench/null && return 1; }
	echo $NULL_PID >/tmp/bench/daemon
}

# open_ours PAYLOAD CONNECTIONS [ARGUMENT...]
open_ours() {
	payload=$1
	connections=$2
	shift 2
	case $BENCH_TRANSPORT in
	tls*) set -- "$@" --tls-certificates $PKI ;;
	esac
	DISK=$(timed ublk-nbd connect --payload "$payload" --connections "$connections" "$@" "$(uri)") || return 1
	ublk-nbd status -o json "$DISK" >/tmp/bench/status
	jq -r .pid /tmp/bench/status >/tmp/bench/daemon
	[ -n "$CONNECT" ] || say "$target: $(jq -c '[.payload, .queues, (.connections | length), .framing, .connections[0].tls]' /tmp/bench/status)"
}

# open_kernel_tls CONNECTIONS on|auto: 3 where the kernel was given neither direction.
open_kernel_tls() {
	modprobe tls && modprobe aesni_intel || return 1
	open_ours user-copy "$1" --ktls "$2" || return 1
	grep -q '": "kernel"' /tmp/bench/status && return
	ublk-nbd disconnect "$DISK" >/dev/null && return 3
}

open_target() {
	DISK=
	echo >/tmp/bench/daemon
	case $1 in
	null_blk) open_null_blk ;;
	nbd.ko) open_nbd_ko ;;
	fio-nbd) : ;;
	null-copy) open_null user-copy ;;
	null-mapped) open_null mapped ;;
	ours-copy-1) open_ours user-copy 1 ;;
	ours-copy-4) open_ours user-copy 4 ;;
	ours-mapped-1) open_ours mapped 1 ;;
	ours-mapped-4) open_ours mapped 4 ;;
	ours-tls-1) open_ours user-copy 1 --ktls off ;;
	ours-tls-4) open_ours user-copy 4 --ktls off ;;
	ours-ktls-1) open_kernel_tls 1 on ;;
	ours-ktls-auto-1) open_kernel_tls 1 auto ;;
	*) false ;;
	esac
	opened=$?
	[ $opened = 0 ] || [ $opened = 3 ] || give_up "$1 cannot be set up"
	return $opened
}

close_target() {
	case $1 in
	null_blk) rmmod null_blk ;;
	nbd.ko) nbd-client -d "$DISK" ;;
	null-*) kill "$NULL_PID" && wait "$NULL_PID" ;;
	ours-*) ublk-nbd disconnect "$DISK" ;;
	*) : ;;
	esac >/dev/null 2>&1 || give_up "$1 cannot be taken down"
}

# --- measuring -----------------------------------------------------------------------------------

# job NAME RW KIB DEPTH IOS [DISK-WITH-COUNTERS]: one section of fio's job file.
job() {
	cat <<-END
		[$1]
		stonewall
		rw=$2
		bs=${3}k
		iodepth=$4
		number_ios=$5
		io_size=$(($3 * $5))k
		exec_prerun=/bench/snap /tmp/bench/$1.before ${6:-}
		exec_postrun=/bench/snap /tmp/bench/$1.after ${6:-}
	END
}

# row_jobs TARGET NAME RW KIB DEPTH IOS: the row with one I/O, which is the baseline, and in full.
row_jobs() {
	job "$2.base" "$3" "$4" "$5" 1
	case $1 in
	ours-*) job "$2" "$3" "$4" "$5" "$6" "$DISK" ;;
	*) job "$2" "$3" "$4" "$5" "$6" ;;
	esac
}

run_fio() {
	{
		printf '[global]\nsize=%sM\n' $SIZE_MB
		if [ -n "$DISK" ]; then
			printf 'ioengine=libaio\ndirect=1\nfilename=%s\n' "$DISK"
		else
			printf 'ioengine=nbd\nuri=%s\n' "$(uri)"
		fi
		rows row_jobs "$1"
	} >/tmp/bench/job
	(cd /tmp/bench && fio --eta=never --output=/tmp/bench/fio.log job) || {
		sed 's/^/# /' /tmp/bench/fio.log
		give_up "$1: fio exits with an error"
	}
}

# used NAME KEY: what KEY's account grew by while NAME ran.
used() {
	awk -v key="$2" '$1 == key { sum[FILENAME] += $2 }
		END { printf "%.0f\n", sum[ARGV[2]] - sum[ARGV[1]] }' \
		"/tmp/bench/$1.before" "/tmp/bench/$1.after"
}

# each NAME KEY IOS: per I/O, without the baseline.
each() {
	echo "$(used "$1" "$2") $(used "$1.base" "$2") $3" | awk '{ printf "%.0f\n", ($1 - $2) / ($3 - 1) }'
}

idle() {
	echo "$(used "$1" elapsed) $(used "$1" cpu)" |
		awk '{ idle = 100 - $2 / $1 / 1e5; printf "%.1f\n", (idle > 0 ? idle : 0) }'
}

# counter NAME KEY IOS: of the daemon's counters, per I/O.
counter() {
	[ -s "/tmp/bench/$1.after.json" ] || { echo - && return; }
	jq -rs "(.[1].stats.$2 - .[0].stats.$2) / $3 * 1000 | round / 1000" \
		"/tmp/bench/$1.before.json" "/tmp/bench/$1.after.json"
}

# report TARGET NAME RW KIB DEPTH IOS
report() {
	echo "cell $BENCH_TRANSPORT $1 $2 $6 $(each "$2" cpu "$6") $(each "$2" server "$6")" \
		"$(each "$2" daemon "$6") $(idle "$2") $(counter "$2" sends "$6")" \
		"$(counter "$2" receives "$6") $(counter "$2" enters "$6") $(counter "$2" copied_bytes "$6")"
}

# A loop of two instructions, 100 million times, must be counted as such: within 1 %.
SPIN_TURNS=100000000
calibrate() {
	echo >/tmp/bench/server
	echo >/tmp/bench/daemon
	for turns in 1 $SPIN_TURNS; do
		/bench/snap "/tmp/bench/spin.$turns.before"
		bench_spin "$turns" || give_up "bench_spin is missing"
		/bench/snap "/tmp/bench/spin.$turns.after"
	done
	counted=$(($(used spin.$SPIN_TURNS cpu) - $(used spin.1 cpu)))
	say "calibration: $SPIN_TURNS turns of 2 instructions are counted as $counted"
	if [ $counted -lt $((SPIN_TURNS * 2 * 99 / 100)) ] || [ $counted -gt $((SPIN_TURNS * 2 * 101 / 100)) ]; then
		give_up "calibration: instructions are not counted as they should"
	fi
}

# connects TARGET TURNS: prints the median of what a turn cost: in some the kernel has work of its own to do. The
# first is not counted: it finds the caches cold. TARGET "nothing" is what the accounts cost.
connects() {
	for turn in $(seq 0 "$2"); do
		sleep 0.2 # what the last one left behind ends
		echo >/tmp/bench/daemon
		CONNECT=/tmp/bench/connect
		if [ "$1" = nothing ]; then
			timed :
		else
			open_target "$1" >&2
		fi
		CONNECT=
		[ "$1" = nothing ] || close_target "$1" >&2
		[ "$turn" = 0 ] || used connect cpu
	done | sort -n | awk -v turns="$2" '{ cost[NR] = $1 } END { if (NR == turns) print cost[int((NR + 1) / 2)] }'
}

# measure_connects TARGET
measure_connects() {
	case $1 in null_blk | null-* | fio-nbd) return ;; esac
	while read -r name _ _ _ turns; do
		[ "$name" != connect ] || break
	done </bench/rows
	accounts=${accounts:-$(connects nothing "$turns")}
	cost=$(connects "$1" "$turns")
	[ -n "$cost" ] || give_up "$1: its connects cannot be measured"
	echo "cell $BENCH_TRANSPORT $1 connect $turns $((cost - accounts)) - - 0.0 - - - -"
}

# measure TARGET
measure() {
	case " $BENCH_ROWS " in *" connect "*) measure_connects "$1" ;; esac
	case " $BENCH_ROWS " in " connect ") return ;; esac
	open_target "$1" || {
		echo "skip $BENCH_TRANSPORT $1: the kernel is given neither direction of this version of TLS"
		return
	}
	run_fio "$1"
	rows report "$1"
	close_target "$1"
	rm -f /tmp/bench/*.before /tmp/bench/*.after /tmp/bench/*.json
}

echo "kernel $(uname -r)"
mkdir -p /tmp/bench
# The kernel tests its ciphers for 0.7 s after boot.
sleep 2
calibrate
start_server
for _ in $(seq "$BENCH_REPEAT"); do
	for target in $BENCH_TARGETS; do
		measure "$target"
	done
done
