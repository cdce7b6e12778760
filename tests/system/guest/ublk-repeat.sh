# SPDX-License-Identifier: MIT
# shellcheck shell=dash
#
# Repetitions on a ublk driver, for the suite "long". To be read after ublk.sh.

# repeat_cycles COUNT: add, start, I/O, stop in the middle of it, delete; nothing is left each time.
repeat_cycles() {
	repeat_i=0
	while [ $repeat_i -lt "$1" ]; do
		repeat_i=$((repeat_i + 1))
		serve --size 32M --queues $((repeat_i % 4 + 1)) --depth $((1 << repeat_i % 8))
		dd if=/dev/zero of="$DISK" bs=64k count=200 oflag=direct conv=nocreat,notrunc >"$WORK/dd" 2>&1 &
		dd if="$DISK" of=/dev/null bs=4k iflag=direct count=2000 >"$WORK/dd2" 2>&1 &
		[ $((repeat_i % 3)) = 0 ] || sleep 0.0$((repeat_i % 7))
		check "stop" timeout -k 5 "$WAIT_TIMEOUT_S" ublk_server stop --id "$ID"
		wait
		wait_for gone "$SERVER" || fail "cycle $repeat_i" "the server does not end"
		check "delete" timeout -k 5 "$WAIT_TIMEOUT_S" ublk_server delete --id "$ID"
		no_ublk || wait_for no_ublk || fail "cycle $repeat_i" "something is left"
		[ $((repeat_i % 50)) != 0 ] || note "cycle $repeat_i"
	done
}

# repeat_kills COUNT [OPTION...]: kill -9 of the server at depth 64 under a load that verifies, and
# recovery; no byte is wrong at the end, and no request fails where the policy is to wait.
repeat_kills() {
	repeat_count=$1
	shift
	rm -f "$WORK/file"
	truncate -s 48M "$WORK/file"
	serve --file "$WORK/file" --size 48M --queues 2 --depth 64 --features recovery,reissue "$@"
	verified_load --threads 64 --seconds 100000 --region 524288 --max-io 32768 "$DISK" >"$WORK/load" 2>"$WORK/load.err" &
	repeat_load=$!
	repeat_i=0
	while [ $repeat_i -lt "$repeat_count" ]; do
		repeat_i=$((repeat_i + 1))
		sleep 0.$((repeat_i % 5 + 1))
		kill -KILL "$SERVER"
		recover --file "$WORK/file" "$@"
		gone "$repeat_load" && fail "the load" "ended early: $(cat "$WORK/load" "$WORK/load.err")"
		[ $((repeat_i % 20)) != 0 ] || note "kill $repeat_i"
	done
	sleep 1
	kill -TERM "$repeat_load"
	wait "$repeat_load"
	repeat_rc=$?
	note "$repeat_i kills: $(cat "$WORK/load" "$WORK/load.err")"
	check_equal "the load's verdict" 0 $repeat_rc
	check_equal "kills" "$repeat_count" $repeat_i
	delete_disk
}

# repeat_loads COUNT: the module comes and goes, with a device each time.
repeat_loads() {
	repeat_i=0
	while [ $repeat_i -lt "$1" ]; do
		repeat_i=$((repeat_i + 1))
		modprobe ublk_drv || fail "load $repeat_i" "modprobe fails"
		if [ $((repeat_i % 2)) = 0 ]; then
			serve --size 16M --depth 8
			dd if="$DISK" of=/dev/null bs=64k count=16 iflag=direct 2>/dev/null || fail "load $repeat_i" "no read"
			[ $((repeat_i % 4)) = 0 ] && kill -KILL "$SERVER"
			check "delete" timeout -k 5 "$WAIT_TIMEOUT_S" ublk_server delete --id "$ID"
		else
			ublk_server add --depth 8 >/dev/null || fail "load $repeat_i" "add"
			[ $((repeat_i % 4)) = 1 ] && check "delete" ublk_server delete --id 0
		fi
		# A device that is left, but not open, goes with the module. A dying server may hold it for a moment.
		wait_for modprobe -r ublk_drv || fail "unload $repeat_i" "$(modprobe -r ublk_drv 2>&1)"
		no_ublk || fail "unload $repeat_i" "something is left"
	done
}
