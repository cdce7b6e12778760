# SPDX-License-Identifier: MIT
# goal: TLS works with the servers that people have: nbdkit by certificate and by shared key, whether
#   it requires TLS or only offers it, with TLS 1.2 and 1.3 and each of their ciphers; and qemu-nbd
# method: nbdkit and qemu-nbd (GnuTLS) as they come; what version and cipher they may use is told to
#   GnuTLS by its system-wide configuration; written, read back from the server, and compared;
#   every cipher in the long suite
# kernels: 7.3
# long-kernels: 7.3
# memory-mb: 1536
# timeout-s: 600
# modules: ublk_drv tls
# suite: test

. /lab/data.sh
. /lab/tls-path.sh

BYTES=$((32 << 16))
export GNUTLS_SYSTEM_PRIORITY_FILE=$WORK/gnutls.conf

# TLS 1.3, then 1.2. The name that OpenSSL gives it, and what GnuTLS has to be told not to use.
CIPHERS_1_3='TLS_AES_256_GCM_SHA384 TLS_AES_128_GCM_SHA256 TLS_CHACHA20_POLY1305_SHA256'
CIPHERS_1_2='ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-ECDSA-CHACHA20-POLY1305'

# only_cipher NAME: GnuTLS's servers, once started, use no other symmetric cipher.
only_cipher() {
	{
		printf '[overrides]\n'
		for cipher in AES-256-GCM AES-128-GCM CHACHA20-POLY1305 AES-256-CCM AES-128-CCM AES-256-CBC AES-128-CBC; do
			case $cipher:$1 in
			AES-256-GCM:*AES*256*GCM* | AES-128-GCM:*AES*128*GCM* | CHACHA20-POLY1305:*CHACHA*) ;;
			*) printf 'tls-disabled-cipher = %s\n' "$cipher" ;;
			esac
		done
	} >"$GNUTLS_SYSTEM_PRIORITY_FILE"
}

# only_version 1.2|1.3: what is newer is disabled. (A GnuTLS without TLS 1.2 would do no 1.3 either.)
only_version() {
	[ "$1" != 1.2 ] || printf 'disabled-version = tls1.3\n' >>"$GNUTLS_SYSTEM_PRIORITY_FILE"
}

any_cipher() {
	printf '[overrides]\n' >"$GNUTLS_SYSTEM_PRIORITY_FILE"
}

# works PEER ARGUMENT...: written, dropped from the cache, read back. libnbd reads the server too.
works() {
	peer=$1
	shift
	connect_disk "$@"
	note "$(status_of '.connections[0].tls')"
	status_of '.connections[0].tls.peer' | grep -q "$peer" ||
		fail "peer" "is '$(status_of '.connections[0].tls.peer')', not '$peer'"
	dd if=/dev/urandom of="$WORK/random" bs=64k count=32 2>/dev/null
	check "write" dd if="$WORK/random" of="$DISK" bs=64k oflag=direct
	drop_caches
	check "read back" cmp -n "$BYTES" "$WORK/random" "$DISK"
	check_healthy
}

# kernel_where_1_2 VERSION [CIPHER]: auto lets the kernel receive, of AES-GCM; this kernel's modules in the
# lab have no ChaCha20.
kernel_where_1_2() {
	case $1-$2 in
	1.3-* | *CHACHA20*) return ;;
	esac
	check_equal "modes" 'userspace kernel' "$(modes)"
}

# certificates on|require VERSION CIPHER
certificates() {
	only_cipher "$3"
	only_version "$2"
	start_nbdkit s "$TLS_PORT" --tls="$1" --tls-certificates="$PKI" --tls-verify-peer memory 8M
	works localhost --tls-certificates "$PKI" "$TLS_TARGET"
	check_version "$2"
	check_equal "cipher" "$3" "$(status_of '.connections[0].tls.cipher')"
	kernel_where_1_2 "$2" "$3"
	same_bytes "$TLS_TARGET/?tls-certificates=$PKI&tls-verify-peer=true"
	disconnect_disk
	stop_server s
}

# psk on|require VERSION: GnuTLS gives external PSKs SHA-256 only under TLS 1.3.
psk() {
	any_cipher
	only_version "$2"
	start_nbdkit s "$TLS_PORT" --tls="$1" --tls-psk="$PKI/psk" memory 8M
	works 'PSK identity alice' --tls-psk "$PKI/psk" --tls-user alice "$TLS_TARGET"
	check_version "$2"
	disconnect_disk
	# The same by the URI alone.
	works 'PSK identity alice' "nbds://alice@localhost:$TLS_PORT/?tls-psk-file=$PKI/psk"
	disconnect_disk
	stop_server s
}

# psk_cipher VERSION CIPHER OPENSSL-CIPHER: as GnuTLS calls it, and how the name in OpenSSL ends.
psk_cipher() {
	only_cipher "$2"
	only_version "$1"
	start_nbdkit s "$TLS_PORT" --tls=require --tls-psk="$PKI/psk" memory 8M
	works 'PSK identity alice' --tls-psk "$PKI/psk" --tls-user alice "$TLS_TARGET"
	check_version "$1"
	case $(status_of '.connections[0].tls.cipher') in
	*DHE-PSK-"$3" | "$3") ;;
	*) fail "cipher" "is $(status_of '.connections[0].tls.cipher'), not $3" ;;
	esac
	disconnect_disk
	stop_server s
}

# Where TLS is only offered, both ways in lead to the same bytes.
offered_and_declined() {
	any_cipher
	start_nbdkit s "$TLS_PORT" --tls=on --tls-certificates="$PKI" memory 8M
	works localhost --tls-ca "$PKI/ca-cert.pem" "$TLS_TARGET"
	disconnect_disk
	connect_disk "nbd://localhost:$TLS_PORT"
	check_equal "transport" null "$(status_of '.connections[0].tls')"
	check "the same bytes in the clear" cmp -n "$BYTES" "$WORK/random" "$DISK"
	disconnect_disk
	stop_server s
}

# qemu_nbd VERSION
qemu_nbd() {
	any_cipher
	only_version "$1"
	rm -f "$WORK/disk"
	truncate -s 8M "$WORK/disk"
	start_qemu_nbd s "$TLS_PORT" -f raw --object "tls-creds-x509,id=tls0,endpoint=server,dir=$PKI,verify-peer=on" \
		--tls-creds tls0 "$WORK/disk"
	works localhost --tls-certificates "$PKI" --connections 2 "$TLS_TARGET"
	check_version "$1"
	kernel_where_1_2 "$1"
	disconnect_disk
	check "qemu-nbd's file" cmp -n "$BYTES" "$WORK/random" "$WORK/disk"
	stop_server s
}

qemu_nbd_psk() {
	any_cipher
	mkdir -p "$PKI/qemu"
	cp "$PKI/psk" "$PKI/qemu/keys.psk"
	cp "$PKI/dh-params.pem" "$PKI/qemu/"
	rm -f "$WORK/disk"
	truncate -s 8M "$WORK/disk"
	start_qemu_nbd s "$TLS_PORT" -f raw --object "tls-creds-psk,id=tls0,endpoint=server,dir=$PKI/qemu" \
		--tls-creds tls0 "$WORK/disk"
	works 'PSK identity alice' --tls-psk "$PKI/psk" --tls-user alice "$TLS_TARGET"
	disconnect_disk
	check "qemu-nbd's file" cmp -n "$BYTES" "$WORK/random" "$WORK/disk"
	stop_server s
}

make_pki
echo 'alice:00112233445566778899aabbccddeeff' >"$PKI/psk"
[ -n "${LAB_LONG:-}" ] || CIPHERS_1_3=${CIPHERS_1_3%% *} CIPHERS_1_2=${CIPHERS_1_2##* }
for cipher in $CIPHERS_1_3; do
	tls_case "nbdkit, certificates, TLS 1.3, $cipher" certificates require 1.3 "$cipher"
done
for cipher in $CIPHERS_1_2; do
	tls_case "nbdkit, certificates, TLS 1.2, $cipher" certificates require 1.2 "$cipher"
done
tls_case "nbdkit, --tls=on, with TLS and without" offered_and_declined
tls_case "nbdkit, shared key, TLS 1.3" psk require 1.3
[ -z "${LAB_LONG:-}" ] || tls_case "nbdkit, shared key, TLS 1.2" psk require 1.2
tls_case "qemu-nbd, certificates, TLS 1.2" qemu_nbd 1.2
tls_case "qemu-nbd, shared key" qemu_nbd_psk
[ -n "${LAB_LONG:-}" ] || return 0
tls_case "nbdkit, certificates, --tls=on" certificates on 1.3 TLS_AES_256_GCM_SHA384
tls_case "nbdkit, shared key, --tls=on" psk on 1.3
tls_case "nbdkit, shared key, TLS 1.2, AES-128-GCM" psk_cipher 1.2 AES-128-GCM AES128-GCM-SHA256
tls_case "nbdkit, shared key, TLS 1.2, CHACHA20-POLY1305" psk_cipher 1.2 CHACHA20-POLY1305 CHACHA20-POLY1305
tls_case "nbdkit, shared key, TLS 1.2, AES-256-GCM" psk_cipher 1.2 AES-256-GCM AES256-GCM-SHA384
tls_case "nbdkit, shared key, TLS 1.3, CHACHA20-POLY1305" psk_cipher 1.3 CHACHA20-POLY1305 TLS_CHACHA20_POLY1305_SHA256
tls_case "qemu-nbd, certificates, TLS 1.3" qemu_nbd 1.3
