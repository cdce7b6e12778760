# SPDX-License-Identifier: MIT
# shellcheck shell=dash
#
# What the tests of TLS on the data path share: certificates, the tests' own TLS server, and which
# side of TLS a disk has. To be read after data.sh.

PKI=$WORK/pki
TLS_PORT=10809
TLS_TARGET=nbds://localhost:$TLS_PORT
SEED=${SEED:-1}

# tls_case NAME COMMAND...: one case, on a clean slate. ONLY in the environment: a pattern for the names
# of the cases to run, for whoever looks for something.
tls_case() {
	# shellcheck disable=SC2254 # it is a pattern
	case $1 in
	${ONLY:-*}) ;;
	*) return 0 ;;
	esac
	clean_slate
	run_case "$@"
}

# issue NAME CA SUBJECT [EXTENSION]: NAME-cert.pem and NAME-key.pem, signed by CA ("": by itself).
issue() {
	issue_name=$1
	issue_ca=$2
	issue_subject=$3
	shift 3
	[ $# = 0 ] || set -- -addext "$1"
	# qemu-nbd takes no server certificate that is a CA's.
	[ -z "$issue_ca" ] || set -- "$@" -addext basicConstraints=critical,CA:FALSE \
		-CA "$PKI/$issue_ca-cert.pem" -CAkey "$PKI/$issue_ca-key.pem"
	# shellcheck disable=SC2086 # the kind of key is several words
	openssl req -x509 -newkey ${ISSUE_KEY:-ec -pkeyopt ec_paramgen_curve:P-256} -nodes -days 2 -subj "/CN=$issue_subject" \
		-keyout "$PKI/$issue_name-key.pem" -out "$PKI/$issue_name-cert.pem" "$@" >"$WORK/openssl.log" 2>&1 ||
		die "openssl req: $(cat "$WORK/openssl.log")"
}

make_pki() {
	mkdir -p "$PKI"
	issue ca "" "Lab CA"
	issue server ca localhost subjectAltName=DNS:localhost,IP:127.0.0.1
	issue client ca client subjectAltName=DNS:client
	# Without this file qemu-nbd looks for a safe prime of its own at each start: seconds, or a minute.
	openssl genpkey -genparam -algorithm DH -pkeyopt group:ffdhe2048 -out "$PKI/dh-params.pem" >"$WORK/openssl.log" 2>&1 ||
		die "openssl genpkey: $(cat "$WORK/openssl.log")"
}

# start_tls NAME OPTION...: the tests' own server, whose export is $WORK/export, waited for.
start_tls() {
	tls_name=$1
	shift
	rm -f "$WORK/export"
	start_server "$tls_name" tls_server --port "$TLS_PORT" --cert "$PKI/server-cert.pem" \
		--key "$PKI/server-key.pem" --file "$WORK/export" --seed "$SEED" "$@"
	lab_wait_ready "$tls_name" grep -q '^ready' "$WORK/$tls_name.log"
}

# connect_tls ARGUMENT...: a disk of that server, verified.
connect_tls() {
	connect_disk --tls-ca "$PKI/ca-cert.pem" "$@" "$TLS_TARGET"
}

# check_version 1.2|1.3: on every connection of $DISK.
check_version() {
	check_equal "versions" "TLSv$1" "$(status_of '.connections[].tls.version' | sort -u)"
}

# modes: "SEND RECEIVE" of $DISK's connections, one line if they agree.
modes() {
	ublk-nbd status -o json "$DISK" >"$WORK/modes"
	json '.connections[].tls.receive' <"$WORK/modes" >"$WORK/modes.receive"
	json '.connections[].tls.send' <"$WORK/modes" | paste -d ' ' - "$WORK/modes.receive" | sort -u
}

# expect_modes KTLS: a direction of $DISK is the kernel's where it may be, and only there: both of TLS 1.2
# where asked for, its receiving by itself. TLS 1.3, whose keys change, is never the kernel's.
expect_modes() {
	tls_version=$(status_of '.connections[0].tls.version')
	tls_modes=$(modes)
	note "$tls_version, $(status_of '.connections[0].tls.cipher'), --ktls=$1: $tls_modes"
	tls_expected='userspace userspace'
	if has_tls_module; then
		case $1-$tls_version in
		on-TLSv1.2) tls_expected='kernel kernel' ;;
		auto-TLSv1.2) tls_expected='userspace kernel' ;;
		esac
	fi
	check_equal "modes" "$tls_expected" "$tls_modes"
}

# has_tls_module: the kernel can do TLS.
has_tls_module() {
	grep -qw tls /proc/sys/net/ipv4/tcp_available_ulp
}

# same_export: what the server has in its file is what the disk has.
same_export() {
	sync "$DISK"
	drop_caches
	cmp "$WORK/export" "$DISK" >"$WORK/cmp.log" 2>&1 || fail "the server's bytes" "$(cat "$WORK/cmp.log")"
}

# check_healthy: nothing failed and no connection was lost.
check_healthy() {
	check_equal "requests that failed" 0 "$(status_of .stats.errors)"
	check_equal "connections lost" 0 "$(status_of .stats.connections_lost)"
}

# tls_fio JOBS: mixed sizes, verified with crc32c, TLS_FIO_MB (4) in all.
tls_fio() {
	fio --filename="$DISK" --direct=1 --ioengine=libaio --iodepth=32 --randseed="$SEED" \
		--verify=crc32c --verify_fatal=1 --verify_state_save=0 --thread --name=split --rw=randrw \
		--bssplit=512/25:4k/30:16k/15:64k/15:256k/10:1m/5 --size="$((${TLS_FIO_MB:-4} / $1))m" \
		--numjobs="$1" --offset_increment=4m --cpus_allowed=0-3 --cpus_allowed_policy=split
}
