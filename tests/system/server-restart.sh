# SPDX-License-Identifier: MIT
# goal: a server that is killed and started again, stopped, or cut off is a pause of the disk: no error, no wrong
#       byte, and what people are told meanwhile is true; without a server for longer than --dead-timeout I/O
#       fails in time, and works again by itself
# method: nbdkit with a file, killed and started again under a verified load; list, status and exit codes beside
#       it; the server's bytes are audited at the end
# kernels: 7.3
# long-kernels: 6.12
# cpus: 2
# timeout-s: 500
# modules: ublk_drv
# load: 85
# allow-dmesg: nbdkit: potentially unexpected fatal signal 6
# suite: test

# shellcheck disable=SC1091,SC2034 # /lab is tests/system/guest; the libraries read these
. /lab/data.sh
. /lab/faults.sh

CONNECT_OPTIONS=
SIZE=16M
CASE_TIMEOUT_S=$((150 * SCALE))
LOSSES=3

serve() {
	start_nbdkit server 10809 "$@" file "$WORK/disk.img"
}

new_export() {
	rm -f "$WORK/disk.img"
	truncate -s $SIZE "$WORK/disk.img"
	serve
}

state_is() {
	[ "$(status_value .state)" = "$1" ]
}

# The load has done something since this was called last: a request was answered after the server came back.
answered_since() {
	[ "$(status_value .stats.read_bytes)" -gt "$1" ]
}

is_back() {
	state_is live && answered_since "$1"
}

await_back() {
	lab_bytes=$(status_value .stats.read_bytes)
	wait_for is_back "$lab_bytes" || fail "$1" "the server is not back: $(ublk-nbd status "$DISK")"
}

# The disk's last acknowledged bytes are the server's.
audit() {
	check "flushing" sync "$DISK"
	disconnect_disk
	check_nothing_left
	check "the server's bytes" verified_load --audit "$WORK/disk.img"
}

lose_and_restart() {
	stop_server server KILL
	wait_for state_is waiting || fail "state" "$(status_value .state) when the server is lost"
	serve
	await_back "loss $1"
}

# CONNECTIONS [OPTION...]
server_restarts() {
	new_export
	log_mark
	connect_disk --server-cache stable --queue-depth 32 --timeout $((10 * SCALE)) --connections "$@" nbd://127.0.0.1
	start_load --seconds 1000
	for loss in $(seq $LOSSES); do
		lose_and_restart "$loss"
	done
	kill -TERM "$LOAD_PID"
	finish_load 40
	note "$*: $(cat "$WORK/load.out")"
	check_load_clean
	check_equal "said once for each loss" $LOSSES "$(log_since_mark | grep -c 'the server is lost')"
	check_equal "and for each return" $LOSSES "$(log_since_mark | grep -c 'the server is back')"
	audit
	stop_server server
}

# Nobody answers, and the connection stays: --timeout gives it up, and the server is dialled again.
server_falls_silent() {
	new_export
	connect_disk --server-cache stable --queue-depth 32 --timeout $((3 * SCALE)) --connections 4 nbd://127.0.0.1
	start_load --seconds 1000
	kill -STOP "$(server_pid server)"
	wait_for state_is waiting || fail "state" "$(status_value .state) when the server is silent"
	stop_server server KILL
	serve
	await_back silence
	kill -TERM "$LOAD_PID"
	finish_load 40
	note "silent: $(cat "$WORK/load.out")"
	check_load_clean
	audit
	stop_server server
}

# What a monitor, a script and a person see.
words_of_an_outage() {
	new_export
	set -- --server-cache stable --timeout $((10 * SCALE)) --connect-timeout 2 nbd://127.0.0.1
	connect_disk "$@"
	stop_server server KILL
	wait_for state_is waiting || fail "state" "$(status_value .state)"
	expect_exit "status" 11 ublk-nbd status "$DISK"
	said 'waiting' 'I/O fails in'
	expect_exit "list" 0 ublk-nbd list
	said 'waiting [0-9]+s'
	expect_exit "a second connect" 6 ublk-nbd connect --idempotent "$@"
	said 'waiting'
	dd if="$DISK" of=/dev/null bs=4k count=1 iflag=direct 2>"$WORK/dd.log" &
	reader=$!
	wait_for one_waits
	expect_exit "disconnect" 6 ublk-nbd disconnect "$DISK"
	serve
	check "the read goes on" wait $reader
	wait_for state_is live || fail "state" "$(status_value .state)"
	expect_exit "status" 0 ublk-nbd status "$DISK"
	expect_exit "a second connect, then" 0 ublk-nbd connect --idempotent "$@"
	said "$DISK"
	disconnect_disk
	stop_server server
}

one_waits() {
	[ "$(status_value .server.waiting)" = 1 ]
}

# Without a server: force ends it, soon, with every tag waiting.
forced_away() {
	new_export
	connect_disk --server-cache stable --queue-depth 64 --connections 1 nbd://127.0.0.1
	stop_server server KILL
	wait_for state_is waiting || fail "state" "$(status_value .state)"
	fio --filename="$DISK" --direct=1 --ioengine=libaio --iodepth=64 --name=x --rw=randread --bs=4k --size=8m \
		>"$WORK/fio.log" 2>&1 &
	reader=$!
	wait_for all_wait
	before=$(uptime_ms)
	expect_exit "disconnect --force" 0 ublk-nbd disconnect --force "$DISK"
	took=$(($(uptime_ms) - before))
	note "disconnect --force with 64 requests waiting took $took ms"
	[ $took -lt $((5000 * SCALE)) ] || fail "disconnect --force" "took $took ms"
	wait $reader
	check_nothing_left
}

# in_background NAME VERB...: its words, as they come (to a file of its own it would say them at its end), and its
# exit code are in $WORK/NAME.log.
in_background() {
	lab_name=$1
	shift
	{
		ublk-nbd "$@" 2>&1
		echo "exit $?"
	} | cat >"$WORK/$lab_name.log" &
}

# check_ended NAME CODE
check_ended() {
	wait_for grep -q '^exit' "$WORK/$1.log" || fail "$1" "does not end: $(cat "$WORK/$1.log")"
	check_equal "$1: $(tr '\n' ' ' <"$WORK/$1.log")" "exit $2" "$(grep '^exit' "$WORK/$1.log")"
}

# At shutdown: first gently, then by force, and the exit status tells what that cost.
forced_after() {
	new_export
	connect_disk nbd://127.0.0.1
	check "writing" dd if=/dev/urandom of="$DISK" bs=4k count=1 oflag=direct
	stop_server server KILL
	wait_for state_is waiting || fail "state" "$(status_value .state)"
	before=$(uptime_ms)
	expect_exit "disconnect --force-after" 8 ublk-nbd disconnect --force-after 3 "$DISK"
	took=$(($(uptime_ms) - before))
	said '1 acknowledged write is not flushed' 'removed by force'
	check_equal "what it said of the loss" 1 "$(grep -c 'is not flushed' "$WORK/said")"
	[ $took -ge 2400 ] || fail "disconnect --force-after" "took $took ms only"
	check_nothing_left
	new_export
	connect_disk nbd://127.0.0.1
	check "writing" dd if=/dev/urandom of="$DISK" bs=4k count=1 oflag=direct
	stop_server server KILL
	wait_for state_is waiting || fail "state" "$(status_value .state)"
	in_background later disconnect --force-after 60 "$DISK"
	wait_for grep -q 'is not flushed' "$WORK/later.log" || fail "disconnect" "$(cat "$WORK/later.log")"
	serve
	check_ended later 8
	grep -q 'removed by force' "$WORK/later.log" && fail "force" "$(cat "$WORK/later.log")"
	check_nothing_left
	stop_server server
}

all_wait() {
	[ "$(status_value .server.waiting)" = 64 ]
}

# Beyond --dead-timeout: errors, at once; then it works again unaided.
dead_timeout() {
	new_export
	connect_disk --server-cache stable --dead-timeout 3 nbd://127.0.0.1
	stop_server server KILL
	before=$(uptime_ms)
	expect_fail "reading without a server" dd if="$DISK" of=/dev/null bs=4k count=1 iflag=direct
	took=$(($(uptime_ms) - before))
	[ $took -ge 2000 ] || fail "the first error" "came after $took ms already"
	[ $took -lt $((6000 * SCALE)) ] || fail "the first error" "came after $took ms"
	state_is failing || fail "state" "$(status_value .state)"
	before=$(uptime_ms)
	expect_fail "reading once it fails" dd if="$DISK" of=/dev/null bs=4k count=1 iflag=direct
	again=$(($(uptime_ms) - before))
	note "errors after $took ms, then after $again ms"
	[ $again -lt $((1000 * SCALE)) ] || fail "the second error" "came after $again ms"
	serve
	wait_for dd if="$DISK" of=/dev/null bs=4k count=1 iflag=direct || fail "reading" "does not work again"
	check "writing" dd if=/dev/zero of="$DISK" bs=4k count=1 oflag=direct
	check "flushing" sync "$DISK"
	disconnect_disk
	stop_server server
}

# Other times for a disk in use, in the midst of an outage.
other_times() {
	new_export
	connect_disk --server-cache stable nbd://127.0.0.1
	check "a timeout" ublk-nbd set --timeout 7 "$DISK"
	check_equal "it counts" 7000 "$(status_value .timeout_ms)"
	check_equal "it is noted" 7000 "$(json .config.timeout_ms <"$RUNTIME/${DISK##*/ublkb}.json")"
	check_equal "the other one stays" 600000 "$(json .config.dead_timeout_ms <"$RUNTIME/${DISK##*/ublkb}.json")"
	expect_exit "the disk that it is now" 0 ublk-nbd connect --idempotent --server-cache stable --timeout 7 nbd://127.0.0.1
	said "^$DISK\$"
	stop_server server KILL
	dd if="$DISK" of=/dev/null bs=4k count=1 iflag=direct 2>"$WORK/dd.log" &
	reader=$!
	wait_for one_waits
	check "no patience" ublk-nbd set --dead-timeout 0 --all
	wait_for gone $reader || fail "reading" "still waits"
	check "it failed" grep -q 'Input/output error' "$WORK/dd.log"
	state_is failing || fail "state" "$(status_value .state)"
	check "patience" ublk-nbd set --dead-timeout never "$DISK"
	serve
	wait_for dd if="$DISK" of=/dev/null bs=4k count=1 iflag=direct || fail "reading" "does not work again"
	stop_server server KILL
	dd if="$DISK" of=/dev/null bs=4k count=1 iflag=direct 2>"$WORK/dd.log" &
	reader=$!
	wait_for one_waits
	check_equal "never" null "$(status_value .server.dead_in_ms)"
	serve
	check "the read goes on" wait $reader
	disconnect_disk
	stop_server server
}

# A restarted server may have lost what it had not flushed; by default nobody is told otherwise.
cache_is_suspected() {
	new_export
	log_mark
	connect_disk "$@" nbd://127.0.0.1
	check "writing" dd if=/dev/urandom of="$DISK" bs=4k count=1 oflag=direct
	check_equal "not flushed" 1 "$(status_value .unflushed_writes)"
	stop_server server KILL
	wait_for state_is waiting || fail "state" "$(status_value .state)"
	${WITHOUT_SERVER:-:}
	serve
	check "reading" dd if="$DISK" of=/dev/null bs=4k count=1 iflag=direct
}

# What only the server could take is not thrown away.
would_lose() {
	expect_exit "disconnect" 6 ublk-nbd disconnect "$DISK"
	said 'lost its server' '1 acknowledged write is not flushed' '--force'
}

cache_fails() {
	WITHOUT_SERVER=would_lose
	cache_is_suspected
	expect_fail "flushing" sync "$DISK"
	check_log 'acknowledged writes that were not flushed'
	check "accepting" ublk-nbd reconnect --accept-loss "$DISK"
	check "flushing, then" sync "$DISK"
	disconnect_disk
	stop_server server
}

cache_is_stable() {
	cache_is_suspected --server-cache stable
	check "flushing" sync "$DISK"
	disconnect_disk
	stop_server server
}

# The server comes back, but not with this disk: not one byte is written there, and it heals.
other_disk() {
	new_export
	log_mark
	connect_disk --server-cache stable nbd://127.0.0.1
	stop_server server KILL
	dd if=/dev/urandom of="$DISK" bs=4k count=1 oflag=direct 2>"$WORK/dd.log" &
	writer=$!
	truncate -s 8M "$WORK/small.img"
	start_nbdkit server 10809 file "$WORK/small.img"
	wait_for state_is refused || fail "state" "$(status_value .state)"
	expect_exit "status" 11 ublk-nbd status "$DISK"
	said 'refused' 'its export has 8388608 bytes'
	stop_server server
	serve -r
	wait_for refused_for 'read-only' || fail "reason" "$(status_value .server.last_error)"
	stop_server server
	check "the smaller disk" cmp -n 8388608 "$WORK/small.img" /dev/zero
	serve
	check "the write goes on" wait $writer
	wait_for state_is live || fail "state" "$(status_value .state)"
	check_equal "said once for each reason" 1 "$(log_since_mark | grep -c 'is refused: its export has')"
	disconnect_disk
	stop_server server
}

refused_for() {
	status_value .server.last_error | grep -q "$1"
}

# Of two queues one has lost its connection, and cannot have another: the other one carries its requests.
# (nbdkit 1.32 aborts where many requests' client is gone all at once.)
queue_is_cut_off() {
	start_hostile behind 10812 --size $SIZE
	start_server front socat TCP-LISTEN:10811,fork,reuseaddr TCP:127.0.0.1:10812
	wait_listen front 10811
	connect_disk --server-cache stable --queue-depth 32 --connections 2 "$@" nbd://127.0.0.1:10811
	start_load --seconds 1000
	child=$(ps -eo pid,ppid | awk -v s="$(server_pid front)" '$2 == s { print $1; exit }')
	kill -KILL "$(server_pid front)" # nobody can dial; its children go on
	kill -KILL "$child"
	wait_for state_is degraded || fail "state" "$(status_value .state)"
	wait_for many_are_carried || fail "carried" "only $(status_value .stats.carried)"
	rm "$WORK/front.pid"
	start_server front socat TCP-LISTEN:10811,fork,reuseaddr TCP:127.0.0.1:10812
	wait_for state_is live || fail "state" "$(status_value .state)"
	kill -TERM "$LOAD_PID"
	finish_load 40
	note "$*: carried $(status_value .stats.carried): $(cat "$WORK/load.out")"
	check_load_clean
	disconnect_disk
	check_nothing_left
	stop_server front
	stop_server behind
}

many_are_carried() {
	[ "$(status_value .stats.carried)" -ge 200 ]
}

# Not up yet: waited for, where that is wanted.
server_is_late() {
	rm -f "$WORK/disk.img"
	truncate -s $SIZE "$WORK/disk.img"
	expect_exit "no server" 3 ublk-nbd connect nbd://127.0.0.1
	expect_exit "no server for a second" 3 ublk-nbd connect --retry-for 1 nbd://127.0.0.1
	said 'trying again' 'connection refused'
	in_background late connect --retry-for 60 nbd://127.0.0.1
	wait_for grep -q 'trying again' "$WORK/late.log" || fail "connect" "$(cat "$WORK/late.log")"
	serve
	check_ended late 0
	check_equal "how often it said so" 1 "$(grep -c 'trying again' "$WORK/late.log")"
	DISK=$(grep '^/dev/' "$WORK/late.log")
	disconnect_disk
	stop_server server
}

case_of() {
	run_case "$@"
	stop_server server KILL
	remove_all
}

case_of "killed and started again, 4 connections" server_restarts 4
LOSSES=2
case_of "killed and started again, 1 connection" server_restarts 1 --payload mapped
case_of "it falls silent" server_falls_silent
case_of "what people are told" words_of_an_outage
case_of "removed by force while all requests wait" forced_away
case_of "removed by force after a time" forced_after
case_of "away for longer than --dead-timeout" dead_timeout
case_of "other times meanwhile" other_times
case_of "it may have lost its cache" cache_fails
case_of "its cache is trusted" cache_is_stable
case_of "it comes back as another disk" other_disk
case_of "a queue has no connection" queue_is_cut_off
case_of "a queue has no connection, mapped" queue_is_cut_off --payload mapped
case_of "it is not up yet" server_is_late
