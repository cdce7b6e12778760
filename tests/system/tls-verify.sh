# SPDX-License-Identifier: MIT
# goal: over TLS whatever is written comes back, with certificates and with a shared key; where trust
#   is missing there is no disk
# method: nbdkit (GnuTLS) that requires TLS; fio with crc32c, a filesystem, what status says; wrong
#   CA, wrong name, wrong key, plain servers, each with its exit code and message
# kernels: 7.3
# long-kernels: 7.3
# memory-mb: 1536
# timeout-s: 240
# modules: ublk_drv ext4 vsock_loopback
# suite: test

. /lab/data.sh

PKI=$WORK/pki
CASE_TIMEOUT_S=100
WAIT_TIMEOUT_S=60

# issue NAME CA SUBJECT [EXTENSION]: NAME-cert.pem and NAME-key.pem, signed by CA ("": by itself).
issue() {
	issue_name=$1
	issue_ca=$2
	issue_subject=$3
	shift 3
	[ $# = 0 ] || set -- -addext "$1"
	[ -z "$issue_ca" ] || set -- "$@" -CA "$PKI/$issue_ca-cert.pem" -CAkey "$PKI/$issue_ca-key.pem"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$issue_subject" \
		-keyout "$PKI/$issue_name-key.pem" -out "$PKI/$issue_name-cert.pem" "$@" >"$WORK/openssl.log" 2>&1 ||
		die "openssl req: $(cat "$WORK/openssl.log")"
}

make_pki() {
	mkdir -p "$PKI"
	issue ca "" "Lab CA"
	issue other "" "Other CA"
	issue server ca localhost subjectAltName=DNS:localhost,IP:127.0.0.1
	issue client ca client subjectAltName=DNS:client
	echo 'alice:00112233445566778899aabbccddeeff' >"$PKI/psk"
	echo 'alice:ffeeddccbbaa99887766554433221100' >"$PKI/wrong-psk"
}

secured() {
	secured_name=$1
	shift
	start_nbdkit "$secured_name" 10809 --tls=require "$@" memory 256M
}

# verified CONNECTIONS ARGUMENTS...: a disk over TLS, under fio's own verification.
verified() {
	verified_count=$1
	shift
	connect_disk --connections "$verified_count" "$@"
	check_equal "version" TLSv1.3 "$(status_of '.connections[0].tls.version')"
	check_equal "verified" true "$(status_of '.connections[0].tls.verified')"
	check_equal "what sends" userspace "$(status_of '.connections[0].tls.send')"
	check_equal "connections in use" "$verified_count" "$(status_of .connections_live)"
	note "$(status_of '.connections[0].tls')"
	check "fio" fio --filename="$DISK" --direct=1 --ioengine=libaio --iodepth=32 --verify=crc32c \
		--verify_fatal=1 --verify_state_save=0 --thread --name=split --rw=randrw \
		--bssplit=512/25:4k/30:16k/15:64k/15:256k/10:1m/5 --size=8m
	check_equal "requests that failed" 0 "$(status_of .stats.errors)"
	check_equal "connections lost" 0 "$(status_of .stats.connections_lost)"
}

with_certificates() {
	secured s --tls-certificates="$PKI" --tls-verify-peer
	verified "$1" --payload "$2" --tls-certificates "$PKI" nbds://localhost
	status_of '.connections[0].tls.peer' | grep -q localhost || fail "peer" "is $(status_of '.connections[0].tls.peer')"
	disconnect_disk
	stop_server s
}

with_psk() {
	secured s --tls-psk="$PKI/psk"
	verified "$1" --tls-psk "$PKI/psk" --tls-user alice nbds://localhost
	check_equal "peer" "PSK identity alice" "$(status_of '.connections[0].tls.peer')"
	disconnect_disk
	stop_server s
}

a_filesystem() {
	secured s --tls-certificates="$PKI"
	connect_disk --tls-ca "$PKI/ca-cert.pem" nbds://localhost
	check "mkfs" mkfs.ext4 -q "$DISK"
	check "mount" mount "$DISK" /mnt
	dd if=/dev/urandom of=/mnt/file bs=1M count=8 2>/dev/null
	sum=$(sha256sum </mnt/file)
	check "umount" umount /mnt
	disconnect_disk
	connect_disk --tls-ca "$PKI/ca-cert.pem" nbds://127.0.0.1
	check "fsck" e2fsck -fn "$DISK"
	check "mount again" mount -o ro "$DISK" /mnt
	check_equal "the file" "$sum" "$(sha256sum </mnt/file)"
	check "umount again" umount /mnt
	disconnect_disk
	stop_server s
}

# refused NAME CODE PATTERN ARGUMENTS...
refused() {
	refused_name=$1
	refused_code=$2
	refused_pattern=$3
	shift 3
	expect_exit "$refused_name" "$refused_code" ublk-nbd connect "$@"
	said "$refused_pattern"
	check "$refused_name: no device" no_device_left
}

where_trust_is_missing() {
	secured s --tls-certificates="$PKI" --tls-verify-peer
	refused "wrong CA" 9 'CN=Lab CA.*--tls-ca' --tls-ca "$PKI/other-cert.pem" nbds://localhost
	refused "wrong name" 9 'for localhost.*not for "disk.example"' --tls-certificates "$PKI" \
		--tls-hostname disk.example nbds://localhost
	# TLS 1.3: nbdkit only closes, after our half of the handshake, and does not say why.
	refused "no client certificate" 9 'client certificate' --tls-ca "$PKI/ca-cert.pem" nbds://localhost
	refused "a key of another" 9 'does not belong' --tls-ca "$PKI/ca-cert.pem" \
		--tls-cert "$PKI/client-cert.pem" --tls-key "$PKI/server-key.pem" nbds://localhost
	refused "plain, where TLS is required" 9 'nbds://' nbd://localhost
	stop_server s
}

where_the_key_is_wrong() {
	secured s --tls-psk="$PKI/psk"
	refused "wrong key" 9 'PSK|key differs' --tls-psk "$PKI/wrong-psk" --tls-user alice nbds://localhost
	refused "identity without a key" 9 'no identity "bob"' --tls-psk "$PKI/psk" --tls-user bob nbds://localhost
	stop_server s
}

# over ADDRESS TARGET: where no host name comes with the target, --tls-hostname has it.
over() {
	start_nbdkit s "$1" --tls=require --tls-certificates="$PKI" memory 64M
	refused "no name to verify" 2 '--tls-hostname' --tls-ca "$PKI/ca-cert.pem" "$2"
	refused "another name" 9 'not for "disk.example"' --tls-ca "$PKI/ca-cert.pem" --tls-hostname disk.example "$2"
	verified 1 --tls-ca "$PKI/ca-cert.pem" --tls-hostname localhost "$2"
	check_equal "peer" "$3" "$(status_of .peer)"
	disconnect_disk
	stop_server s
}

# resized_to CODE BYTES
resized_to() {
	expect_exit "resize" "$1" ublk-nbd resize "$DISK"
	check_equal "the device's size" "$2" "$(blockdev --getsize64 "$DISK")"
	check "the disk works" dd if="$DISK" of=/dev/null bs=1M count=32 iflag=direct
}

# Each handshake reads the files as they are then: the connections that are there go on meanwhile.
rotated() {
	rm -f "$WORK/disk"
	truncate -s 32M "$WORK/disk"
	start_nbdkit s 10809 --tls=require --tls-certificates="$PKI" file "$WORK/disk"
	cp "$PKI/ca-cert.pem" "$PKI/live.pem"
	connect_disk --tls-ca "$PKI/live.pem" nbds://localhost
	truncate -s 64M "$WORK/disk"
	cp "$PKI/other-cert.pem" "$PKI/live.pem"
	resized_to 9 $((32 << 20))
	said 'not trusted' 'CN=Lab CA'
	rm "$PKI/live.pem"
	resized_to 9 $((32 << 20))
	said 'live.pem'
	cp "$PKI/ca-cert.pem" "$PKI/live.pem"
	resized_to 0 $((64 << 20))
	check_equal "requests that failed" 0 "$(status_of .stats.errors)"
	disconnect_disk
	stop_server s
}

# Taken all the same, if the user says so, and told for as long as the disk is there.
unverified() {
	secured s --tls-certificates="$PKI"
	connect_disk --tls-verify=no nbds://localhost
	check_equal "verified" false "$(status_of '.connections[0].tls.verified')"
	ublk-nbd status "$DISK" | grep -q 'NOT verified' || fail "status" "does not say that nobody was verified"
	disconnect_disk
	stop_server s
}

where_there_is_no_tls() {
	start_nbdkit s 10809 memory 8M
	refused "nbdkit without TLS" 9 'TLS' --tls-ca "$PKI/ca-cert.pem" nbds://localhost
	stop_server s
}

tls_case() {
	clean_slate
	run_case "$@"
}

make_pki
tls_case "certificates, 1 connection" with_certificates 1 user-copy
tls_case "certificates, 4 connections" with_certificates 4 mapped
tls_case "a shared key" with_psk 2
tls_case "ext4" a_filesystem
[ -z "${LAB_LONG:-}" ] ||
	tls_case "over a unix socket" over "$WORK/s.sock" "nbds+unix:///?socket=$WORK/s.sock" "unix:$WORK/s.sock"
tls_case "over vsock" over vsock:10809 nbds+vsock://1 vsock:1:10809
tls_case "files that change under a disk" rotated
tls_case "--tls-verify=no" unverified
tls_case "where trust is missing" where_trust_is_missing
tls_case "where the key is wrong" where_the_key_is_wrong
tls_case "where there is no TLS" where_there_is_no_tls
