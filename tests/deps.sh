#!/bin/bash
# SPDX-License-Identifier: MIT
#
# deps.sh: installs the Debian packages that building and testing need and that are missing, as root
# or through sudo, saying what each group is for. When all is there it says nothing and is quick.
# It changes no apt sources. `deps.sh --list` prints the packages.

set -euo pipefail

# One group a line: what for, then the packages.
GROUPS_OF_PACKAGES='
building: gcc make pkg-config libc6-dev liburing-dev libssl-dev libnbd-dev liburiparser-dev libjansson-dev libinih-dev
unit tests, fuzzing and lint: libcmocka-dev libsystemd0 clang libclang-rt-dev llvm clang-format clang-tidy shellcheck man-db groff-base binutils sparse
the servers and tools tests use: nbdkit nbd-server nbd-client qemu-utils libnbd-bin fio jq socat openssl
the virtual machine with a real kernel: qemu-system-x86 busybox-static dash cpio kmod xz-utils zstd debian-archive-keyring
the debug kernel that make test-kasan builds: flex bison bc libelf-dev
installing our driver as a user does: dkms
what goes into that machine: e2fsprogs xfsprogs fdisk util-linux mount dmsetup udev strace iproute2 procps findutils coreutils diffutils libc-bin
'

# As root, or through sudo.
as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}

# missing_of PACKAGE...: those that are not installed. One query answers for all.
missing_of() {
	local package
	for package in "$@"; do
		grep -qx "$package installed" <<<"$INSTALLED" || printf '%s ' "$package"
	done
}

die() {
	printf 'deps.sh: %s\n' "$*" >&2
	exit 1
}

can_install() {
	[ "$(id -u)" = 0 ] || command -v sudo >/dev/null ||
		die "this needs root or sudo. Install by hand: $*"
}

# Installs; package lists that are missing or too old are read first, or again.
install() {
	local -a apt=(apt-get install -y --no-install-recommends)
	can_install "$@"
	if ! "${apt[@]}" --simulate "$@" >/dev/null 2>&1; then
		as_root apt-get update -q || die "apt-get update failed"
	fi
	as_root env DEBIAN_FRONTEND=noninteractive "${apt[@]}" "$@" && return
	printf 'That failed; reading the package lists anew and trying again.\n'
	as_root apt-get update -q || die "apt-get update failed"
	as_root env DEBIAN_FRONTEND=noninteractive "${apt[@]}" "$@" ||
		die "apt-get could not install: $*"
}

main() {
	local line packages missing
	local -a wanted=()
	command -v dpkg-query >/dev/null || die "this is not Debian: install by hand: $GROUPS_OF_PACKAGES"
	INSTALLED=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n')
	while IFS= read -r line; do
		[ -n "$line" ] || continue
		packages=${line#*: }
		if [ "${1:-}" = --list ]; then
			printf '%s\n' "$packages"
			continue
		fi
		# shellcheck disable=SC2086 # a list of words
		missing=$(missing_of $packages)
		[ -n "$missing" ] || continue
		printf 'Installing for %s: %s\n' "${line%%: *}" "$missing"
		read -r -a packages <<<"$missing"
		wanted+=("${packages[@]}")
	done <<<"$GROUPS_OF_PACKAGES"
	[ ${#wanted[@]} = 0 ] || install "${wanted[@]}"
}

main "$@"
