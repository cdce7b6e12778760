# SPDX-License-Identifier: MIT
# goal: new keys every few hundred records, on both sides and for minutes, never cost a byte or a
#   connection
# method: --tls-rekey-records makes the daemon renew its key often, the tests' own server renews its
#   own as often and asks for the daemon's each time, among tickets and records of all sizes; a verified
#   load runs for minutes; the server counts the KeyUpdates it heard, and the records between two of them
# kernels: 7.3
# memory-mb: 1536
# timeout-s: 1500
# modules: ublk_drv tls
# suite: long

# shellcheck disable=SC1091,SC2034 # /lab is tests/system/guest; the libraries read these
. /lab/data.sh
. /lab/faults.sh
. /lab/tls-path.sh

LOAD_S=${LOAD_S:-240}
CASE_TIMEOUT_S=$(((LOAD_S + 120) * SCALE))

# server_count NAME: of what the server's connections said at their end, all together.
server_count() {
	sed -n "s/^end: .*\<$1=\([0-9]*\).*/\1/p" "$WORK/s.log" | awk '{ n += $1 } END { print n + 0 }'
}

# rekeyed CONNECTIONS RECORDS OPTION...: of the server, which rekeys every so many records too.
rekeyed() {
	connections=$1
	records=$2
	shift 2
	start_tls s --tls 1.3 --size 4M --rekey "$records" "$@"
	connect_tls --connections "$connections" --tls-rekey-records "$records"
	check_version 1.3
	start_load --seconds "$LOAD_S" --seed "$SEED" --region 131072 --max-io 65536
	finish_load $((LOAD_S + 60))
	note "$(cat "$WORK/load.out")"
	check_load_clean
	check_healthy
	disconnect_disk
	stop_server s
	asked=$(server_count updates_asked)
	heard=$(server_count updates_heard)
	note "records $(server_count records), KeyUpdates asked for $asked, heard $heard, tickets $(server_count tickets)"
	# The server asks once every so many records of data; a connection's last ones are not enough for it.
	due=$((($(server_count records) - $(server_count tickets) - $(server_count updates_sent)) / records - connections))
	[ "$due" -ge $((LOAD_S / 12)) ] || fail "the load" "was too small: $due requests for new keys were due"
	[ "$asked" -ge "$due" ] || fail "the server" "has asked $asked times, $due were due"
	# Each request is answered, and more come of the daemon's own accord: no key is used for longer.
	[ "$heard" -gt "$asked" ] || fail "the daemon" "was asked $asked times and has renewed its key $heard times"
	longest=$(sed -n 's/^end: .*records_of_key_max=\([0-9]*\).*/\1/p' "$WORK/s.log" | sort -n | tail -n 1)
	note "records with one key of the daemon's: $longest at most"
	[ "$longest" -le "$records" ] || fail "the daemon" "has sent $longest records with one key, $records are allowed"
}

note "seed $SEED, $LOAD_S s each"
make_pki
tls_case "every 300 records, 1 connection" rekeyed 1 300
tls_case "every 200 records, 4 connections, tickets, mixed records" rekeyed 4 200 --tickets 50 --records mixed
