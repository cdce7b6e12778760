# SPDX-License-Identifier: MIT
# shellcheck shell=dash
#
# What the kernels' own ublk drivers fail of ublk_hazards, by name and with the reason. To be read by
# ublk-hazards.sh, which fails where a driver passes what stands here, and where it fails what does not.

# stock_fails SERIES CASE: why; nothing where the driver must pass. "not run: ..." where the guest would
# not survive the case.
stock_fails() {
	case $1-$2 in
	7.3-h17-order | 7.3-h17-opcodes | 7.3-get-data)
		echo "a command that comes at the wrong time is answered with EBUSY, not EINVAL" ;;
	7.3-h17-another-process)
		echo "a FETCH from another process than the daemon's is taken" ;;
	7.3-h20-mmap)
		echo "a part of an area may be mapped" ;;
	7.3-h19-zero-bytes)
		echo "a WRITE that is answered with 0 bytes counts as done" ;;
	7.3-errnos)
		echo "EAGAIN is passed on to the disk's user" ;;
	7.3-bad-buffer-write)
		echo "a WRITE whose buffer is no memory is tried for ever" ;;
	7.3-h19-short)
		echo "not run: a READ that is answered in part is tried for ever, and its device cannot be removed" ;;
	esac
}
