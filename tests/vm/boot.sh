# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Boots a guest: chooses the accelerator, puts the initramfs together, starts QEMU. To be sourced
# after lib.sh. The caller sets what follows.

# shellcheck disable=SC2034 # some are read by those who read this file
{
LAB_KERNEL=7.3		# as it was asked for: see choose_kernel
LAB_SERIES=7.3		# kernel series
LAB_OWN_DRIVER=0	# 1: with our own ublk driver in place of the kernel's, if it has one
LAB_DEBUG=0		# 1: the debug kernel of that series, which has the checks of debug.config
LAB_CPUS=2
LAB_MEMORY_MB=1024
LAB_GUESTS_MAX=${UBLK_NBD_GUESTS:-2}	# at once, on the whole machine
LAB_TIMEOUT_S=120	# wall clock, the whole guest
LAB_SCALE=${UBLK_NBD_SCALE:-1}	# a whole number: all deadlines times this, for slow builds
LAB_DEBUG_SLOWER=3	# so many times as the plain one is the debug kernel, at times
LAB_ICOUNT=0		# 1: count instructions
LAB_QEMU=		# the emulator, once it is prepared
KVM_NODE=/dev/kvm
KVM_TRIAL_S=20
LAB_USER_NET=		# not empty: the host's servers are at 10.0.2.2
LAB_KERNEL_ARGS=
LAB_MODE="test"		# test, script or shell
LAB_SCRIPT=		# the file that is run
LAB_ENV=()		# K=V lines for it
LAB_ADD=()		# HOST-FILE:GUEST-PATH, put into the guest too
LAB_DEBIAN=()		# SUITE/PACKAGE, put into the guest under /opt/SUITE
}

# The node may be there and yet not work, or run a firmware but no kernel: where the machine is itself a guest,
# KVM stops at instructions that it would have to emulate. So the kernel that is to be booted is tried once, as
# far as a program of its initramfs; what came of it is kept until this machine boots again.
# kvm_works VMLINUZ
kvm_works() {
	local verdict
	[ -w "$KVM_NODE" ] || return 1
	verdict=$LAB_CACHE/kvm/$(sha256sum - "$1" "$LAB_QEMU" </proc/sys/kernel/random/boot_id | sha256sum | cut -c 1-16)
	if [ ! -s "$verdict" ]; then
		mkdir -p "${verdict%/*}"
		kvm_try "$1" && echo yes >"$verdict.$$" || echo no >"$verdict.$$"
		mv "$verdict.$$" "$verdict"
	fi
	[ "$(cat "$verdict")" = yes ]
}

# kvm_try VMLINUZ: boots it until its first program has spoken.
kvm_try() {
	local work code=0
	work=$(mktemp -d "$LAB_CACHE/temp.XXXXXX")
	mkdir -p "$work/tree/bin" "$work/tree/dev"
	cp -L "$(command -v busybox)" "$work/tree/bin/busybox"
	printf '#!/bin/busybox sh\necho "lab: KVM runs programs" >/dev/console\n/bin/busybox poweroff -f\n' >"$work/tree/init"
	chmod 755 "$work/tree/init"
	make_cpio "$work/tree" "$work/initrd"
	timeout "$KVM_TRIAL_S" "$LAB_QEMU" -nodefaults -no-user-config -display none -no-reboot -m 512 -smp 2 \
		-M q35 -accel kvm -cpu host -kernel "$1" -initrd "$work/initrd" \
		-append "console=ttyS0 panic=-1" -serial stdio </dev/null 2>&1 | grep -q 'lab: KVM runs programs' || code=$?
	rm -rf "$work"
	return "$code"
}

# choose_kernel SPEC: a series; SERIES-own for that kernel with our own ublk driver, SERIES-debug for its
# debug kernel, with our own driver too.
choose_kernel() {
	LAB_KERNEL=$1
	LAB_SERIES=${1%%-*}
	LAB_OWN_DRIVER=0
	LAB_DEBUG=0
	LAB_SCALE=${UBLK_NBD_SCALE:-1}
	case $1 in
	*-own) LAB_OWN_DRIVER=1 ;;
	*-debug)
		LAB_OWN_DRIVER=1
		LAB_DEBUG=1
		LAB_SCALE=$((LAB_SCALE * LAB_DEBUG_SLOWER))
		;;
	esac
}

# kernel_folder: makes sure that the kernel is there; prints where.
kernel_folder() {
	if [ "$LAB_DEBUG" = 1 ]; then
		"$LAB_VM/build-kernel" "$LAB_SERIES"
	else
		"$LAB_VM/fetch-kernel" "$LAB_SERIES"
	fi
}

# quote VALUE: so that the guest's shell reads it back as one word.
quote() {
	printf "'%s'" "${1//\'/\'\\\'\'}"
}

# A sanitizer's reports become files, whatever a program has done with its stderr; vm/init reads them.
write_sanitizer_env() {
	local common="log_path=/run/sanitizer/report:exitcode=99:print_stacktrace=1"
	echo "export SANITIZER_REPORTS=/run/sanitizer"
	echo "export ASAN_OPTIONS=$common:detect_leaks=1:detect_stack_use_after_return=0:allocator_may_return_null=1"
	echo "export UBSAN_OPTIONS=$common"
}

write_env() {
	local pair
	printf 'LAB_MODE=%s\n' "$LAB_MODE"
	printf 'LAB_USER_NET=%s\n' "$LAB_USER_NET"
	printf 'export LAB_SERIES=%s LAB_OWN_DRIVER=%s LAB_DEBUG=%s LAB_ICOUNT=%s LAB_SCALE=%s\n' \
		"$LAB_SERIES" "$LAB_OWN_DRIVER" "$LAB_DEBUG" "$LAB_ICOUNT" "$LAB_SCALE"
	[[ ! $LAB_BUILD =~ (address|undefined) ]] || write_sanitizer_env
	for pair in "${LAB_ENV[@]}"; do
		[[ $pair =~ ^[A-Za-z_][A-Za-z_0-9]*= ]] || die "not of the form NAME=VALUE: $pair"
		printf 'export %s=%s\n' "${pair%%=*}" "$(quote "${pair#*=}")"
	done
}

# read_base IMAGE: the files of this machine that the base image holds, into BASE_HAS.
declare -A BASE_HAS=()
read_base() {
	local file
	while read -r file _; do
		BASE_HAS[$file]=1
	done <"$1.inputs"
}

# copy_into TREE GUEST-PATH FILE...: with the libraries that the base image lacks.
copy_into() {
	local tree=$1 at=$2 file library
	shift 2
	mkdir -p "$tree$at"
	for file in "$@"; do
		[ -f "$file" ] || continue
		case $file in *.o | *.d) continue ;; esac
		cp -L "$file" "$tree$at/"
		while read -r library; do
			[ -n "${BASE_HAS[$library]-}" ] || [ -e "$tree$library" ] && continue
			mkdir -p "$tree$(dirname "$library")"
			cp -L "$library" "$tree$library"
		done < <(ldd "$file" 2>/dev/null | grep -o '/[^ ]*\.so[^ :]*' | sort -u |
			sed 's,^/lib,/usr/lib,; s,^/usr/usr,/usr,')
	done
}

# small_image FOLDER KERNEL-FOLDER: what changes from run to run; prints the image's path.
small_image() {
	local work=$1 kernel=$2 tree=$1/tree release pair
	release=$(cat "$kernel/version")
	mkdir -p "$tree/lab"
	cp "$LAB_VM/init" "$tree/init"
	chmod 755 "$tree/init"
	cp "$LAB_TOP"/tests/system/guest/*.sh "$tree/lab/"
	if [ -n "$LAB_SCRIPT" ]; then
		cp "$LAB_SCRIPT" "$tree/lab/test"
	fi
	write_env >"$tree/lab/env"
	copy_into "$tree" /usr/local/bin "$LAB_BUILD"/bin/*
	copy_into "$tree" /usr/local/libexec/ublk-nbd "$LAB_BUILD"/libexec/*
	copy_into "$tree" /usr/local/tests "$LAB_BUILD"/tests/guest/*
	copy_into "$tree" /usr/lib/udev/rules.d "$LAB_TOP"/gateway/*.rules
	if [ "$LAB_OWN_DRIVER" = 1 ]; then
		copy_into "$tree" "/usr/lib/modules/$release/updates" "$LAB_OWN_MODULE"
	fi
	for pair in "${LAB_ADD[@]}"; do
		mkdir -p "$tree$(dirname "${pair#*:}")"
		cp -LR "${pair%%:*}" "$tree${pair#*:}"
	done
	make_cpio "$tree" "$work/small.cpio"
}

make_cpio() {
	(cd "$1" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --reproducible --quiet) >"$2"
}

# kernel_image KERNEL-FOLDER: its modules as an image, made once.
kernel_image() {
	local image=$1/modules.cpio
	if [ ! -s "$image" ]; then
		mkdir -p "$1/tree/usr"
		cp -R "$1/lib" "$1/tree/usr/lib"
		make_cpio "$1/tree" "$image.$$"
		mv "$image.$$" "$image"
	fi
	printf '%s\n' "$image"
}

# boot_prepare FOLDER: fills FOLDER with kernel and initrd.
boot_prepare() {
	local work=$1 kernel base modules package
	local -a images
	need cpio timeout setpriv
	LAB_QEMU=$("$LAB_VM/fetch-emulator") || die "no emulator"
	# What a sanitizer keeps of freed memory, and knows of the rest.
	[[ ! $LAB_BUILD =~ address ]] || LAB_MEMORY_MB=$((LAB_MEMORY_MB + 512))
	kernel=$(kernel_folder 2>"$work/fetch.log") || {
		cat "$work/fetch.log" >&2
		die "no kernel $LAB_SERIES to boot"
	}
	grep -vE '^(debug )?kernel ' "$work/fetch.log" >&2 || true
	if [ "$LAB_OWN_DRIVER" = 1 ]; then
		LAB_OWN_MODULE=$("$LAB_VM/make-module" "${LAB_KERNEL%-own}") || die "no driver of our own for $LAB_SERIES"
	fi
	base=$("$LAB_VM/base-image")
	read_base "$base"
	modules=$(kernel_image "$kernel")
	images=("$base" "$modules")
	for package in "${LAB_DEBIAN[@]}"; do
		images+=("$("$LAB_VM/fetch-package" "${package%%/*}" "${package#*/}")")
	done
	small_image "$work" "$kernel"
	ln -s "$kernel/vmlinuz" "$work/vmlinuz"
	cat "${images[@]}" "$work/small.cpio" >"$work/initrd"
	rm -rf "$work/tree"
}

# TCG does REP MOVSB a byte at a time: a guest that is told that it is fast (erms, fsrm) copies slowly.
BOOT_CPU=max,erms=off,fsrm=off,-la57

# boot_arguments FOLDER: what boot_prepare filled.
boot_arguments() {
	BOOT_QEMU=("$LAB_QEMU" -nodefaults -no-user-config -display none -no-reboot
		-m "$LAB_MEMORY_MB" -smp "$LAB_CPUS")
	BOOT_APPEND="console=ttyS0 loglevel=7 panic=-1 mitigations=off random.trust_cpu=1 $LAB_KERNEL_ARGS"
	if [ "$LAB_ICOUNT" = 1 ]; then
		BOOT_QEMU+=(-M q35 -accel tcg -icount "shift=0,sleep=off" -smp 1 -seed 1 -rtc clock=vm
			-cpu "$BOOT_CPU")
		BOOT_APPEND+=" nokaslr norandmaps tsc=reliable"
	elif [ "${UBLK_NBD_ACCEL:-}" != tcg ] && kvm_works "$(realpath "$1/vmlinuz")"; then
		BOOT_QEMU+=(-M q35 -accel kvm -cpu host)
	else
		BOOT_QEMU+=(-M q35 -accel "tcg,thread=multi" -cpu "$BOOT_CPU")
		# The other CPUs are switched on by init: kernels patch their own code while they boot, and
		# MTTCG sometimes lets another CPU run what stood there in between.
		BOOT_APPEND+=" tsc=reliable maxcpus=1"
	fi
	if [ -n "$LAB_USER_NET" ]; then
		BOOT_QEMU+=(-netdev "user,id=net" -device "virtio-net-pci,netdev=net,romfile=")
	fi
}

# boot_run FOLDER CONSOLE-LOG: becomes the guest, until it ends or its time is up; the guest's second
# serial port is standard output (and input, for a shell). 124: the time was up. It dies with its
# parent, so call it as `boot_run ... &`.
boot_run() {
	local work=$1 console=$2
	boot_arguments "$work"
	exec setpriv --pdeathsig TERM timeout --foreground -k 5 "$((LAB_TIMEOUT_S * LAB_SCALE))" "${BOOT_QEMU[@]}" \
		-kernel "$work/vmlinuz" -initrd "$work/initrd" -append "$BOOT_APPEND" \
		-serial "file:$console" -chardev "${BOOT_CHARDEV:-stdio,id=results,signal=off}" -serial chardev:results
}
