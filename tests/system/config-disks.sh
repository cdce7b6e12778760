# SPDX-License-Identifier: MIT
# goal: the disks of the configuration files are connected by name and all at once; one that fails spares the others and
#       is told; applying twice changes nothing; a disk that differs is told of and stays; what is gone from the files
#       is removed only when asked, and never in use
# method: one memory server, a configuration in /etc/ublk-nbd, the lines and exit codes of each command
# kernels: 7.3
# timeout-s: 300
# modules: ublk_drv

. /lab/data.sh

CONF=/etc/ublk-nbd
mkdir -p $CONF/conf.d
umask 022

# configure MORE: data and more stand, and MORE.
configure() {
	cat >$CONF/ublk-nbd.conf <<-EOF
		[defaults]
		timeout = 20s
		[disk data]
		target = nbd://localhost/data
		read-only = yes
		$*
	EOF
	printf '[disk more]\ncommand = nbdkit memory 2M\n' >$CONF/conf.d/more.conf
}

# What the last command told of its disks: "data connected 0, ...".
told() {
	jq -r 'map("\(.name) \(.result) \(.exit)") | join(", ")' "$WORK/out"
}

# applied NAME CODE COMMAND...: its JSON is left for told.
applied() {
	data_name=$1
	data_code=$2
	shift 2
	# shellcheck disable=SC2016 # the inner shell's
	expect_exit "$data_name" "$data_code" sh -c '"$@" 2>"$0"' "$WORK/err" "$@" -o json
	mv "$WORK/said" "$WORK/out"
	mv "$WORK/err" "$WORK/said"
}

by_name() {
	configure
	connect_disk data
	check_equal "its name and timeout" "data 20000 true" "$(status_of '"\(.name) \(.timeout_ms) \(.read_only)"')"
	check_equal "the same again" "$DISK" "$(ublk-nbd connect --idempotent data)"
	expect_exit "not twice" 6 ublk-nbd connect data
	check "by its name" ublk-nbd disconnect data
	connect_disk --timeout 3s --export other data
	check_equal "the command line counts more" "3000 other" "$(status_of '"\(.timeout_ms) \(.export)"')"
	check "disconnect" ublk-nbd disconnect data
}

all_but_one() {
	configure '[disk gone]
		target = nbd://localhost:1/
		connect-timeout = 1s
		[disk manual]
		target = nbd://localhost/
		auto = no
		[disk wrong]
		target = nbd://localhost/
		conections = 3'
	sed -i 's/^\t*//' $CONF/ublk-nbd.conf
	applied "connect --all" 1 ublk-nbd connect --all
	check_equal "all but those" "data connected 0, gone not connected 3, wrong not connected 2, more connected 0" "$(told)"
	said 'connect: gone: .*refused' "ublk-nbd.conf:14: unknown key 'conections'"
	applied "config apply" 1 ublk-nbd config apply
	check_equal "the same" "data unchanged 0, gone not connected 3, wrong not connected 2, more unchanged 0" "$(told)"
	configure
	expect_exit "what is left of it" 0 ublk-nbd config apply
	said 'data  *(/dev/ublkb.)  *unchanged' 'more  *(/dev/ublkb.)  *unchanged'
	check_equal "disks" 2 "$(ublk-nbd list -o json | json length)"
}

# One of the two disks differs, and stays.
differs() {
	configure
	sed -i 's/20s/25s/; /read-only/d' $CONF/ublk-nbd.conf
	applied "config apply" 6 ublk-nbd config apply
	check_equal "each" "data differs 6, more differs 6" "$(told)"
	check_equal "in what" '["read-only","timeout"] ["timeout"]' \
		"$(jq -r 'map(.keys | sort | tojson) | join(" ")' "$WORK/out")"
	said 'data: /dev/ublkb.* is connected with another' "'ublk-nbd disconnect data'"
	DISK=/dev/ublkb$(ublk-nbd status -o json data | json .number)
	check_equal "it stays" 20000 "$(status_of .timeout_ms)"
}

removed() {
	configure
	connect_disk --name byhand localhost
	rm $CONF/conf.d/more.conf
	applied "config apply" 0 ublk-nbd config apply
	check_equal "not unasked" "data unchanged 0" "$(told)"
	check_equal "disks" 3 "$(ublk-nbd list -o json | json length)"
	more=/dev/ublkb$(ublk-nbd status -o json more | json .number)
	hold_open "$more"
	applied "one in use" 6 ublk-nbd config apply --remove
	check_equal "it stays" "data unchanged 0, more not removed 6" "$(told)"
	kill "$HOLDER"
	wait "$HOLDER"
	echo '[disk 1]' >$CONF/conf.d/wrong.conf
	applied "with a fault" 2 ublk-nbd config apply --remove
	check_equal "nothing is removed" "data unchanged 0" "$(told)"
	said '^ublk-nbd: config: --remove: '
	rm $CONF/conf.d/wrong.conf
	applied "--remove" 0 ublk-nbd config apply --remove
	check_equal "what is left over" "data unchanged 0, more removed 0" "$(told)"
	check_equal "disks" '["byhand","data"]' "$(ublk-nbd list -o json | jq -c 'map(.name) | sort')"
}

start_nbdkit s 10809 memory 16M
run_case "by name" by_name
run_case "all but one" all_but_one
run_case "one that differs" differs
run_case "removed" removed
check "the end" ublk-nbd disconnect --all
