# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What the lab's host-side programs share: messages, the cache folder, and a private apt.
#
# The private apt has its own sources list, lists folder and status file, so the machine's
# configuration is neither used for choosing packages nor changed. Only the mirror's address
# is taken from the machine, when it is needed, and it is written nowhere but in the cache.

# A plain user's PATH lacks depmod and ldconfig.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

LAB_VM=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
LAB_TOP=$(cd "$LAB_VM/../.." && pwd)
# shellcheck disable=SC2034 # used by those who read this file
LAB_BUILD=$(cd "$LAB_TOP" && realpath -m "${UBLK_NBD_BUILD:-${BUILD:-build}}")
LAB_CACHE=${UBLK_NBD_CACHE:-$HOME/.cache/ublk-nbd}
# Where kernels, their headers and their source come from: from the same, or they would not fit.
# shellcheck disable=SC2034
LAB_KERNEL_SUITES="bookworm bookworm-security bookworm-backports trixie trixie-backports"
LAB_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
LAB_LOCK_WAIT_S=900
LAB_SLOT_WAIT_S=3600
LAB_APT_MAX_AGE_S=3600

say() { printf '%s\n' "$*" >&2; }

die() {
	printf '%s: %s\n' "$(basename "$0")" "$*" >&2
	exit 1
}

# temp_folder VARIABLE: makes a folder in the cache that goes when this process ends.
LAB_TEMP=()
temp_folder() {
	mkdir -p "$LAB_CACHE"
	# What runs that were killed left behind, a day ago or longer.
	find "$LAB_CACHE" -maxdepth 1 -name 'temp.*' -mmin +1440 -exec rm -rf {} +
	printf -v "$1" '%s' "$(mktemp -d "$LAB_CACHE/temp.XXXXXX")"
	LAB_TEMP+=("${!1}")
	trap 'rm -rf "${LAB_TEMP[@]}"' EXIT
}

need() {
	local program
	for program in "$@"; do
		command -v "$program" >/dev/null ||
			die "$program is missing: run tests/deps.sh, which installs it"
	done
}

# lock NAME: one process at a time under this name, until this process ends. The lock's fd is
# inherited by children on purpose: what a killed parent started still holds it.
lock() {
	mkdir -p "$LAB_CACHE/lock"
	exec {LAB_LOCK_FD}>"$LAB_CACHE/lock/$1"
	flock -w 3 "$LAB_LOCK_FD" && return
	say "waiting for another run that holds $LAB_CACHE/lock/$1"
	flock -w "$LAB_LOCK_WAIT_S" "$LAB_LOCK_FD" ||
		die "the lock $LAB_CACHE/lock/$1 was not free in $LAB_LOCK_WAIT_S s"
}

# lock_any NAME COUNT: one of COUNT locks NAME-1, NAME-2, ...: at most COUNT processes have one.
lock_any() {
	local name=$1 count=$2 end=$((SECONDS + LAB_SLOT_WAIT_S)) told=0 i
	mkdir -p "$LAB_CACHE/lock"
	while [ "$SECONDS" -lt "$end" ]; do
		for ((i = 1; i <= count; i++)); do
			exec {LAB_LOCK_FD}>"$LAB_CACHE/lock/$name-$i"
			flock -n "$LAB_LOCK_FD" && return
			exec {LAB_LOCK_FD}>&-
		done
		[ $told = 1 ] || say "waiting: $count guests are running already"
		told=1
		sleep 0.5
	done
	die "no place for another guest in $LAB_SLOT_WAIT_S s (UBLK_NBD_GUESTS=$count)"
}

# debian_site main|security: the address of Debian's archive, as this machine's apt has it.
debian_site() {
	local site
	if [ "$1" = main ]; then
		site=${UBLK_NBD_MIRROR:-$(apt_targets | awk '$2 !~ /-security$/ { print $1; exit }')}
	else
		site=${UBLK_NBD_SECURITY_MIRROR:-$(apt_targets | awk '$2 ~ /-security$/ { print $1; exit }')}
	fi
	[ -n "$site" ] || return 1
	printf '%s\n' "$site"
}

# Every line: address, release. Only Debian's own suites; the target's release is what the
# sources list calls it, which needs no earlier `apt-get update`.
apt_targets() {
	# shellcheck disable=SC2016 # apt's own words, not the shell's
	apt-get indextargets --format '$(SITE) $(RELEASE)' 'Created-By: Packages' |
		awk '$2 ~ /^(bullseye|bookworm|trixie|forky|duke|sid|unstable|testing|stable|oldstable)(-|$)/' |
		awk '!seen[$0]++'
}

# The keys that sign Debian's archive. Debian installs them; other systems may not have them.
apt_keyring() {
	[ -r "$LAB_KEYRING" ] ||
		die "$LAB_KEYRING is missing: install the package debian-archive-keyring"
}

# apt_begin NAME SUITE...: prepares the private apt NAME over these suites; the caller holds a lock.
apt_begin() {
	local name=$1 suite main security
	shift
	apt_keyring
	LAB_APT=$LAB_CACHE/apt/$name
	mkdir -p "$LAB_APT/state/lists/partial" "$LAB_APT/cache/archives/partial"
	: >"$LAB_APT/status"
	main=$(debian_site main) ||
		die "this machine's apt knows no Debian mirror: set UBLK_NBD_MIRROR to one's address"
	for suite in "$@"; do
		case $suite in
		*-security)
			security=$(debian_site security) || {
				say "note: this machine's apt has no security mirror, $suite is left out"
				continue
			}
			printf 'deb [arch=amd64 signed-by=%s] %s %s main\n' "$LAB_KEYRING" "$security" "$suite"
			;;
		*)
			printf 'deb [arch=amd64 signed-by=%s] %s %s main\n' "$LAB_KEYRING" "$main" "$suite"
			;;
		esac
	done >"$LAB_APT/sources.list.new"
	if ! cmp -s "$LAB_APT/sources.list.new" "$LAB_APT/sources.list"; then
		rm -f "$LAB_APT/updated"
		mv "$LAB_APT/sources.list.new" "$LAB_APT/sources.list"
	fi
	apt_update
}

# What to add to each apt command to use the private apt.
apt_private() {
	local command=$1
	shift
	"$command" -q \
		-o Dir::Etc::sourcelist="$LAB_APT/sources.list" \
		-o Dir::Etc::sourceparts=/dev/null \
		-o Dir::Etc::preferences=/dev/null \
		-o Dir::Etc::preferencesparts=- \
		-o Dir::State="$LAB_APT/state" \
		-o Dir::State::status="$LAB_APT/status" \
		-o Dir::Cache="$LAB_APT/cache" \
		-o APT::Architecture=amd64 \
		-o APT::Architectures::=amd64 \
		-o APT::Sandbox::User="$(id -un)" \
		-o Acquire::Languages=none \
		-o Acquire::Retries=2 \
		-o Acquire::http::Timeout=60 \
		"$@"
}

apt_update() {
	local age=$LAB_APT_MAX_AGE_S
	if [ -e "$LAB_APT/updated" ]; then
		age=$(($(date +%s) - $(stat -c %Y "$LAB_APT/updated")))
	fi
	[ "$age" -lt "$LAB_APT_MAX_AGE_S" ] && return
	say "reading Debian's package lists"
	if ! apt_private apt-get update -o APT::Update::Error-Mode=any >"$LAB_APT/log" 2>&1; then
		tail -n 20 "$LAB_APT/log" >&2
		die "Debian's package lists could not be read (above: apt's words)"
	fi
	touch "$LAB_APT/updated"
}

# apt_unpack INTO PACKAGE...: downloads the packages and unpacks them into the folder INTO.
apt_unpack() {
	local into=$1 work package
	shift
	temp_folder work
	if ! (cd "$work" && apt_private apt-get download "$@") >"$LAB_APT/log" 2>&1; then
		tail -n 20 "$LAB_APT/log" >&2
		die "could not download: $*"
	fi
	for package in "$work"/*.deb; do
		dpkg -x "$package" "$into" || die "$package does not unpack"
	done
}

# A stamp holds the sum of each file that matters; a folder whose stamp does not hold is redone.
stamp_write() {
	local folder=$1
	shift
	(cd "$folder" && sha256sum "$@") >"$folder/stamp.new" && mv "$folder/stamp.new" "$folder/stamp"
}

stamp_holds() {
	[ -s "$1/stamp" ] && (cd "$1" && sha256sum --quiet --status -c stamp 2>/dev/null)
}
