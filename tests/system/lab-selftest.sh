# SPDX-License-Identifier: MIT
# goal: the lab itself works: the kernel boots, has what it should have, and failures are seen
# method: look at the driver's node and module, at the tools, and run checks that must fail
# kernels: 7.3 6.1
# long-kernels: 6.12
# timeout-s: 180
# load: 65
# suite: test

note "kernel $(uname -r)"

driver_is_there() {
	if [ "$LAB_SERIES" = 6.1 ]; then
		expect_fail "6.1 has no ublk_drv of its own" modprobe ublk_drv
		return
	fi
	check "ublk_drv loads" modprobe ublk_drv
	check "its control node is there" wait_for test -c /dev/ublk-control
}

series_is_right() {
	case $(uname -r) in
	"$LAB_SERIES".*) ;;
	*) fail "series" "$(uname -r) is no $LAB_SERIES" ;;
	esac
}

# The library's own failures, run apart so that they are not this test's.
broken_check_is_seen() {
	cat >"$WORK/broken.sh" <<-'END'
		WORK=/tmp/broken LAB_STATE=/run/broken
		. /lab/lib.sh
		LAB_STATE=/run/broken
		mkdir -p $LAB_STATE
		: >$LAB_STATE/failed
		broken() {
			( check "inside a subshell" false ) | cat
			note "went on"
		}
		slow() {
			sleep 30
		}
		run_case "broken" broken
		CASE_TIMEOUT_S=1
		run_case "slow" slow
		expect_fail "true does not fail" true
		run_case "fine" true
		lab_finish
	END
	sh "$WORK/broken.sh" >"$WORK/broken.out" 2>&1
	check_equal "the exit code" 1 $?
	check "a failed check in a subshell" grep -q '^@@not ok broken: inside a subshell' "$WORK/broken.out"
	check "a case that hangs" grep -q '^@@not ok slow: took longer than 1 s' "$WORK/broken.out"
	check "a success that should fail" grep -q '^@@not ok true does not fail' "$WORK/broken.out"
	check "a case that is fine" grep -q '^@@ok fine' "$WORK/broken.out"
	check_equal "the number of results" 4 "$(grep -c '^@@' "$WORK/broken.out")"
}

server_answers() {
	start_nbdkit s "$WORK/s.sock" memory 16M
	check_equal "its size" 16777216 "$(nbdinfo --size "nbd+unix:///?socket=$WORK/s.sock")"
	stop_server s
	lab_listens "$WORK/s.sock" && fail "server" "still listens"
	start_nbdkit t 10809 memory 16M
	check "nbdcopy reads it" nbdcopy nbd://localhost null:
	stop_server t
}

vsock_answers() {
	modprobe vsock_loopback || fail "vsock_loopback" "does not load"
	start_nbdkit v vsock:10809 memory 16M
	check_equal "its size" 16777216 "$(nbdinfo --size nbd+vsock://1)"
	stop_server v
}

filesystems_work() {
	check "a file" truncate -s 400M "$WORK/disk"
	check "mkfs.ext4" mkfs.ext4 -q "$WORK/disk"
	check "mount ext4" mount -o loop "$WORK/disk" /mnt
	check "umount" umount /mnt
	check "fsck" e2fsck -fn "$WORK/disk"
	check "mkfs.xfs" mkfs.xfs -q -f "$WORK/disk"
	check "mount xfs" mount -o loop "$WORK/disk" /mnt
	check "umount" umount /mnt
	check "xfs_repair" xfs_repair -n "$WORK/disk"
}

tools_run() {
	for tool in fio qemu-img qemu-nbd nbd-server nbd-client strace ss jq openssl socat sfdisk; do
		command -v "$tool" >/dev/null || fail "$tool" "is not in the guest"
	done
	check "fio" fio --name=x --filename="$WORK/fio" --size=1M --rw=write --verify=crc32c
	start_udev
	check "a loop device's link is made by udev" udevadm settle --timeout=10
}

run_case "the kernel is of the series asked for" series_is_right
run_case "the stock ublk driver loads, where there is one" driver_is_there
run_case "a failing check is seen, through a subshell too" broken_check_is_seen
run_case "nbdkit serves over unix and tcp" server_answers
run_case "nbdkit serves over vsock" vsock_answers
run_case "ext4 and xfs mount" filesystems_work
run_case "the tools run" tools_run
