# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Goal: doctor says what to do where there is no ublk driver: load it, install it, or build ours; and it
#       knows a container.
# Method: a root folder with nothing in it but libraries, the program, and the files that tell of the
#         kernel's modules, in a mount namespace of its own.

. tests/cli/lib.sh

ROOT=$SCRATCH/root
RELEASE=$(uname -r)
MODULES=$ROOT/usr/lib/modules/$RELEASE
HEADERS=$MODULES/build
LIBRARIES=(/usr/lib/*-linux-gnu /usr/lib64)
SEPARATE=(unshare -m)
[ "$(id -u)" = 0 ] || SEPARATE=(unshare -rm)

if [ "${RELEASE%%.*}" -lt 6 ]; then
	printf 'skip advice about the driver: kernel %s is older than ublk\n' "$RELEASE"
	exit 0
fi
if ! "${SEPARATE[@]}" true 2>/dev/null; then
	printf 'skip advice about the driver: no mount namespace may be made here\n'
	exit 0
fi

mkdir -p "$MODULES" "$ROOT/usr/sbin" "$ROOT/proc" "$ROOT/boot"
for folder in "${LIBRARIES[@]}"; do
	mkdir -p "$ROOT$folder"
done
ln -s usr/lib usr/lib64 usr/sbin "$ROOT"
install -m 755 "$PROGRAM" "$ROOT/ublk-nbd"
: >"$SCRATCH/err"

# advice NAME WORDS [AREA]: what doctor's line about the driver, or another area, must say.
# shellcheck disable=SC2016 # the inner shell's variables
advice() {
	local why='' area=${3:-ublk driver}
	timeout -k 5 $LIMIT_S "${SEPARATE[@]}" sh -euc 'root=$1; shift
		for folder; do mount --bind "$folder" "$root$folder"; done
		exec chroot "$root" /ublk-nbd doctor' sh "$ROOT" "${LIBRARIES[@]}" \
		>"$SCRATCH/out" 2>"$SCRATCH/err" </dev/null
	grep -q "$area: .*$2" "$SCRATCH/out" || why="the line about $area does not say '$2'"
	verdict "doctor's advice: $1" "$why"
}

unset container KUBERNETES_SERVICE_HOST
advice "nothing is known" "has no module ublk_drv in /lib/modules/$RELEASE: install the package"
off='# CONFIG_BLK_DEV_UBLK is not set'
for config in "$ROOT/boot/config-$RELEASE" "$MODULES/config" "$HEADERS/.config"; do
	mkdir -p "$(dirname "$config")"
	printf 'CONFIG_BLK_DEV=y\n%s\n' "$off" >"$config"
	advice "built without, says ${config#"$ROOT"}" "built without ublk .*own driver.*see kernel/README.md"
	[ "$config" = "$HEADERS/.config" ] || rm "$config"
done
# A kernel built without it, for which our own is installed.
printf 'updates/dkms/ublk_drv.ko.xz:\n' >"$MODULES/modules.dep"
advice "installed, without kmod" "has the module ublk_drv, but there is no modprobe to load it: install kmod"
printf '#!/bin/sh\nexit 1\n' >"$ROOT/usr/sbin/modprobe"
chmod 755 "$ROOT/usr/sbin/modprobe"
advice "installed, not loaded" "not loaded; connect loads the module ublk_drv"
advice "a /dev of its own" "not the kernel's own (devtmpfs), so new disks do not appear in it: .*-v /dev:/dev" /dev

# What kind of container it is stands in the environment, or in a file.
export container=lxc
advice "a container that says so" "lxc: the host's kernel serves" container
unset container
: >"$ROOT/.dockerenv"
advice "docker" "docker: the host's kernel serves" container
mkdir -p "$ROOT/run/systemd"
echo systemd-nspawn >"$ROOT/run/systemd/container"
advice "nspawn" "systemd-nspawn: the host's kernel serves" container
