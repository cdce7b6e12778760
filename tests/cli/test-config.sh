# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Goal: config check and show tell what the files say, every fault with file and line, in the words of the command
# line; a faulty section costs that disk alone; connect finds a disk of the configuration by its name.
# Method: a configuration of the test's own, in folders that are given by --config. (What needs ublk:
# tests/system/config-disks.sh; the text of a file: tests/unit/test_config_reader.c.)

. tests/cli/lib.sh

CONF=$SCRATCH/conf
MAIN=$CONF/ublk-nbd.conf
umask 022
mkdir -p "$CONF/conf.d"

# told STATUS WORDS... -- ARGUMENT...: ends with STATUS; each of WORDS is a whole line on standard error, and they are all.
told() {
	local want=$1 why='' line lines=0
	shift
	local -a words=()
	while [ "$1" != -- ]; do
		words+=("ublk-nbd: $1")
		shift
	done
	shift
	call "$@"
	[ "$status" = "$want" ] || why="status $status, not $want"
	for line in "${words[@]}"; do
		grep -qxF -- "$line" "$SCRATCH/err" || why="$why; no line '$line'"
		lines=$((lines + 1))
	done
	[ "$(wc -l <"$SCRATCH/err")" = $lines ] || why="$why; not $lines lines"
	verdict "told: $* (${words[0]:-nothing})" "${why#; }"
}

check() {
	told "$@" -- config check --config "$CONF"
}

# --- good ones
answers "files: 0, disks: 0, no fault" config check --config "$CONF"
cat >"$MAIN" <<-EOF
	# all disks
	[defaults]
	timeout = 20s
	owner = me

	[disk data]
	target = nbd://server/disk
	read-only = yes
	[disk vm]
	command = nbdkit memory '1 G'
	owner =
	auto = no
EOF
printf '[disk data]\ntimeout = 1m\n[disk more]\ntarget = host:10809/x\n' >"$CONF/conf.d/20-b.conf"
printf '[disk data]\ntimeout = 9s\nread-only = no\n' >"$CONF/conf.d/10-a.conf"
printf 'nonsense\n' >"$CONF/conf.d/30-other.conf.bak"
printf 'nonsense\n' >"$CONF/conf.d/.hidden.conf"
ln -s /dev/null "$CONF/conf.d/40-null.conf"
answers "files: 4, disks: 3, no fault" config check --config "$CONF"
call config show data --config "$CONF"
why=
[ "$(sed 's/  *#.*conf:/ @/; s/.*conf.d.*b.conf/b/' "$SCRATCH/out")" = "[disk data]
owner = me @4
target = nbd://server/disk @7
read-only = no @3
timeout = 1m @2" ] || why="something else"
verdict "config show data" "$why"
call config show -o json --config "$CONF"
why=
[ "$(jq -c 'map([.name, .good, .auto, .keys.timeout.value, .keys.owner.value])' "$SCRATCH/out")" = \
	'[["data",true,true,"1m","me"],["vm",true,false,"20s",null],["more",true,true,"20s","me"]]' ] ||
	why="something else"
[ "$(jq -r '.[0].keys.timeout | "\(.file):\(.line)"' "$SCRATCH/out")" = "$CONF/conf.d/20-b.conf:2" ] ||
	why="$why; not where it is"
verdict "config show -o json" "${why#; }"
refused 7 "no file has [disk none]" config show none --config "$CONF"
rm "$CONF"/conf.d/*.conf

# --- each kind of fault, in its place
printf '[disk a]\ntarget = nbd://h\nconections = 3\n' >"$MAIN"
check 2 "config: $MAIN:3: unknown key 'conections': did you mean 'connections'?"
printf '[disk a]\ntarget = nbd://h\nTimeout = 3\nwhatever = 1\n' >"$MAIN"
check 2 "config: $MAIN:3: unknown key 'Timeout': did you mean 'timeout'?" \
	"config: $MAIN:4: unknown key 'whatever': ublk-nbd.conf(5) has those there are"
printf '[disk a]\ntarget = nbd://h\nname = b\nforeground = yes\n' >"$MAIN"
check 2 "config: $MAIN:3: 'name' is for the command line, not for a file: a disk has its section's name" \
	"config: $MAIN:4: 'foreground' is for the command line, not for a file"
printf '[disk a]\ntarget = nbd://h\ntimeout = 0\nread-only = true\nauto = 1\n' >"$MAIN"
check 2 "config: $MAIN:3: --timeout: '0' is not a time from 100ms to 24h (as in 30, 500ms, 2m, 1h)" \
	"config: $MAIN:4: --read-only: 'true' is neither yes nor no" "config: $MAIN:5: auto: '1' is neither yes nor no"
printf '[defaults]\ntarget = nbd://h\ndevice = 3\n' >"$MAIN"
check 2 "config: $MAIN:2: target is a disk's own: it stands in a [disk NAME]" \
	"config: $MAIN:3: device is a disk's own: it stands in a [disk NAME]"
printf '[disk a]\ntimeout = 3\n' >"$MAIN"
check 2 "config: $MAIN:1: [disk a] has neither target nor command"
printf '[disk a]\ntarget = nbd://h\ncommand = x\n' >"$MAIN"
check 2 "config: $MAIN:3: [disk a] has a target too ($MAIN:2): only one of them"
printf "[disk a]\ncommand = nbdkit 'memory\n" >"$MAIN"
check 2 "config: $MAIN:2: command: a quote is not closed"
printf '[disk a]\ntarget = nbd+unix:///?socket=x.sock\n[disk b]\ntarget = nbds://h\ntls-ca = ca.pem\n' >"$MAIN"
check 2 "config: $MAIN:2: target: 'x.sock' is relative: in a file, paths begin with /" \
	"config: $MAIN:5: tls-ca: 'ca.pem' is relative: in a file, paths begin with /"
printf '[disk a]\ntarget = nbd://h\ntls-ca = /dev/null\n' >"$MAIN"
check 2 "config: $MAIN:2: TLS options, but no TLS: use nbds:// (nbds+unix://, nbds+vsock://), or --tls"
printf '[defaults]\ntls-ca = /dev/null\n[disk a]\ntarget = nbd://h\ntls-ca =\n[disk b]\ntarget = nbds://h\n' >"$MAIN"
check 0
printf '[disk a]\ntarget = nbd://h\n[disk a-part1]\ntarget = nbd://h\n' >"$MAIN"
check 2 "config: $MAIN:3: [disk a-part1] is the link of a partition of [disk a], or the other way round: choose another name"

# --- a faulty section costs that disk alone, and only what concerns a disk is told of it
printf '[disk a]\ntarget = nbd://h\n x\n[disk b]\ntarget = nbd://h\n' >"$MAIN"
call config check -o json --config "$CONF"
why=
[ "$(jq -c '[.exit, (.disks[] | [.name, .good])]' "$SCRATCH/out")" = '[2,["a",false],["b",true]]' ] || why="something else"
verdict "config check -o json" "$why"
told 0 -- config show b --config "$CONF"
told 2 "connect: $MAIN:3: the line is indented: sections and keys begin at the left margin" -- connect a --config "$CONF"
printf '[disk a]\ntarget = nbd://h\n[disk 1]\n' >"$MAIN"
told 0 -- config show a --config "$CONF"

# --- who may write
printf '[disk a]\ntarget = nbd://h\n' >"$MAIN"
chmod 664 "$MAIN"
check 2 "config: $MAIN: has mode 0664: others may write to it (chmod go-w)"
chmod 644 "$MAIN"
chmod 777 "$CONF"
check 2 "config: $CONF: has mode 0777: others may write to it (chmod go-w)"
chmod 755 "$CONF"
if [ "$(id -u)" = 0 ]; then
	chown 12345 "$MAIN"
	check 2 "config: $MAIN: is user 12345's, and must be root's"
	chown 0 "$MAIN"
else
	printf 'skip a file of somebody else: only root can make one\n'
fi
rm "$MAIN"
mkdir "$MAIN"
check 2 "config: $MAIN: is not a regular file"
rmdir "$MAIN"
truncate -s 1048577 "$MAIN"
check 2 "config: $MAIN: has 1048577 bytes: 1048576 are allowed"
rm "$MAIN"
told 2 "config: $SCRATCH/none: is not a directory" -- config check --config "$SCRATCH/none"

# --- connect NAME: the section's options, and those of the command line, which are checked as ever
printf '[disk a]\ntarget = nbd://127.0.0.1:1/\nread-only = yes\n' >"$MAIN"
refused 2 "--queue-depth: '0'" connect --queue-depth 0 a --config "$CONF"
refused 2 "no file of $CONF has [disk b]" connect b --config "$CONF"
refused 2 "TLS options, but no TLS" connect --ktls off a --config "$CONF"
refused 2 "takes options only" connect --all a --config "$CONF"
refused 2 "--all takes each disk's options from the configuration" connect --all --device 1 --config "$CONF"
refused 2 "--all takes each disk's options from the configuration" connect --all [ nbdkit memory 1M ]

# --- the verb
refused 2 "check, show or apply is missing" config
refused 2 "'frobnicate' is none of check, show, apply" config frobnicate
refused 2 "check takes options only" config check a
refused 2 "--remove goes with apply" config check --remove
