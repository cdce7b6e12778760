# SPDX-License-Identifier: MIT
# goal: while a disk over TLS is running, its daemon's memory, its core, its environment and its logs
#   hold no private key, passphrase, shared key or secret of the handshake
# method: the server writes each session's secrets down; all readable memory of the daemon is searched
#   for them and for the keys' own numbers, as bytes, in reverse, in base64 and in hex. The search must
#   find what has to be there: TLS 1.3's traffic secrets of the running connection (OpenSSL makes the
#   next keys of them when a KeyUpdate comes, so that they are allowed), and a key in a process of ours
# kernels: 7.3
# long-kernels: 7.3
# memory-mb: 1536
# timeout-s: 400
# modules: ublk_drv tls
# suite: test

. /lab/data.sh
. /lab/tls-path.sh

SECRETS=$WORK/secrets
PASSPHRASE='a passphrase of the lab, 8261'
PSK=5f2c9b3e8d714a6600d1f7a2b3c4958677e8f9010a1b2c3d4e5f60718293a4b5

hex() {
	od -An -v -tx1 | tr -d ' \n'
}

# secret NAME HEX
secret() {
	printf '%s %s\n' "$1" "$2" >>"$SECRETS"
}

# text NAME TEXT: as it stands.
text() {
	[ -n "$2" ] || fail "the test" "there is no $1"
	secret "$1" "$(printf '%s' "$2" | hex)"
}

# both NAME HEX: a number, and its digits.
both() {
	[ ${#2} -ge 32 ] || fail "the test" "$1 is only '$2'"
	secret "$1" "$2"
	text "$1-in-hex" "$2"
}

# field NAME: of what openssl says about a key on stdin, in hex, without the zero in front.
field() {
	awk -v name="$1:" '$1 == name { on = 1; next } /^[^ ]/ { on = 0 } on { printf "%s", $1 }' |
		tr -d ':' | sed 's/^00//'
}

# key_secrets FILE: the numbers of an unencrypted key, and those lines of it that hold no public part.
key_secrets() {
	openssl pkey -in "$1" -noout -text >"$WORK/key.txt" || fail "the test" "no key in $1"
	if grep -q RSA "$WORK/key.txt" || grep -q privateExponent "$WORK/key.txt"; then
		for name in privateExponent prime1 prime2 exponent1 exponent2 coefficient; do
			both "$name" "$(field "$name" <"$WORK/key.txt")"
		done
		first=11
		last=20
	else
		both private-number "$(field priv <"$WORK/key.txt")"
		first=2
		last=3
	fi
	sed -n "$first,${last}p" "$1" >"$WORK/lines"
	while read -r line; do
		text pem "$line"
	done <"$WORK/lines"
}

# session_secrets: what the server wrote down. Those of the running stream go into their own file.
session_secrets() {
	[ -s "$WORK/keylog" ] || fail "the test" "the server wrote no secrets down"
	grep -E '^(CLIENT|SERVER)_HANDSHAKE_TRAFFIC_SECRET |^CLIENT_RANDOM ' "$WORK/keylog" >"$WORK/forbidden"
	[ -s "$WORK/forbidden" ] || fail "the test" "no secret of the handshake was written down"
	while read -r label random value; do
		both "$label" "$value"
	done <"$WORK/forbidden"
	: >"$WORK/allowed"
	grep -E '^(CLIENT|SERVER)_TRAFFIC_SECRET_0 ' "$WORK/keylog" | while read -r label random value; do
		printf '%s %s\n' "$label" "$value" >>"$WORK/allowed"
	done
}

# search NAME SECRETS PID|FILE: whether something was found; shown if so.
search() {
	searched=$1
	memory_scan "$2" "$3" >"$WORK/found" 2>&1
	status=$?
	note "$searched: $(tail -n 1 "$WORK/found")"
	[ $status -lt 2 ] || fail "$searched" "cannot be searched: $(cat "$WORK/found")"
	! grep '^left out' "$WORK/found" >"$WORK/left_out" || [ -n "$SANITIZER_REPORTS" ] ||
		fail "$searched" "is not searched: $(cat "$WORK/left_out")"
	return $status
}

# holds_none NAME PID|FILE
holds_none() {
	search "$1" "$SECRETS" "$2" || {
		grep ^found "$WORK/found" | sort | head -n 20 | sed 's/^/# /'
		fail "$1" "holds $(grep ^found "$WORK/found" | cut -d' ' -f2 | sort | uniq -c | tr -s ' \n' ' ')"
	}
}

# check_words: what the daemon and the command line were told and have said.
check_words() {
	cat /run/ublk-nbd/state/daemon.log "/proc/$daemon/environ" "/proc/$daemon/cmdline" "$WORK/connect.log" \
		/run/ublk-nbd/state/*.json >"$WORK/words"
	ublk-nbd status -o json "$DISK" >>"$WORK/words"
	ublk-nbd status "$DISK" >>"$WORK/words"
	holds_none "logs and environment" "$WORK/words"
}

# A signal that dumps core: with the pattern that another process's core is found by.
check_core() {
	echo "$WORK/core.%p" >/proc/sys/kernel/core_pattern
	(ulimit -c unlimited && exec sleep 100) &
	control=$!
	prlimit --pid "$daemon" --core=unlimited:unlimited || fail "the test" "no limit for cores"
	wait_for grep -q sleep "/proc/$control/comm"
	kill -SYS "$control" "$daemon"
	wait_for gone "$control"
	wait_for gone "$daemon" || fail "the daemon" "does not end by SIGSYS"
	[ -s "$WORK/core.$control" ] || fail "the test" "a process that may leave a core leaves none"
	[ ! -e "$WORK/core.$daemon" ] || holds_none "the core" "$WORK/core.$daemon"
	[ -e "$WORK/core.$daemon" ] || note "the daemon leaves no core"
	rm -f "$WORK"/core.*
}

# look_at_disk: while it works, then at its end.
look_at_disk() {
	daemon=$(status_of .pid)
	check "some traffic" dd if=/dev/urandom of="$DISK" bs=64k count=32 oflag=direct
	check "some more" dd if="$DISK" of=/dev/null bs=64k count=32 iflag=direct
	holds_none "memory" "$daemon"
	attendant=$(grep -lsE "^PPid:[[:space:]]+$daemon\$" /proc/[0-9]*/status | cut -d/ -f3)
	[ -n "$attendant" ] || fail "the test" "the daemon has no child"
	for child in $attendant; do
		holds_none "the attendant's memory" "$child"
	done
	if [ -s "$WORK/allowed" ]; then
		search "memory, for what must be there" "$WORK/allowed" "$daemon" &&
			fail "the search" "does not even find the traffic secrets"
	fi
	check_words
	check_core
	timeout -k 5 60 ublk-nbd disconnect "$DISK" >"$WORK/disconnect.log" 2>&1
	clean_slate
}

# by_certificate VERSION KTLS KEY [ARGUMENT...]: KEY is what the client's key is without passphrase.
by_certificate() {
	version=$1
	ktls=$2
	key=$3
	shift 3
	rm -f "$SECRETS" "$WORK/keylog"
	start_tls s --tls "$version" --size 8M --client-ca "$PKI/ca-cert.pem" --keylog "$WORK/keylog"
	connect_tls --ktls "$ktls" --tls-cert "$PKI/client-cert.pem" "$@"
	expect_modes "$ktls"
	key_secrets "$key"
	text passphrase "$PASSPHRASE"
	session_secrets
	look_at_disk
}

by_rsa() {
	ISSUE_KEY='rsa:2048' issue client ca client
	by_certificate "$1" off "$PKI/client-key.pem" --tls-key "$PKI/client-key.pem"
}

by_ec() {
	issue client ca client
	by_certificate "$1" "$2" "$PKI/client-key.pem" --tls-key "$PKI/client-key.pem"
}

by_encrypted() {
	issue client ca client
	printf '%s\n' "$PASSPHRASE" >"$PKI/passphrase"
	openssl pkcs8 -topk8 -v2 aes256 -in "$PKI/client-key.pem" -passout "pass:$PASSPHRASE" \
		-out "$PKI/encrypted-key.pem" || fail "the test" "no encrypted key"
	by_certificate 1.3 off "$PKI/client-key.pem" --tls-key "$PKI/encrypted-key.pem" \
		--tls-passphrase-file "$PKI/passphrase"
}

# by_psk [tls1.3]: GnuTLS writes its secrets down too; without that version.
by_psk() {
	printf 'alice:%s\n' "$PSK" >"$PKI/psk"
	printf '[overrides]\n%s\n' "${1:+disabled-version = $1}" >"$WORK/gnutls.conf"
	rm -f "$SECRETS" "$WORK/keylog"
	export GNUTLS_SYSTEM_PRIORITY_FILE="$WORK/gnutls.conf" SSLKEYLOGFILE="$WORK/keylog"
	start_nbdkit s "$TLS_PORT" --tls=require --tls-psk="$PKI/psk" memory 8M
	unset SSLKEYLOGFILE
	connect_disk -v --ktls off --tls-psk "$PKI/psk" --tls-user alice "$TLS_TARGET"
	note "$(status_of '.connections[0].tls | .version + " " + .cipher')"
	both psk "$PSK"
	# As good as the key: it follows from it, and all the handshake's secrets from it.
	both early-secret "$(openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt mode:EXTRACT_ONLY \
		-kdfopt "hexkey:$PSK" -kdfopt hexsalt:00 HKDF | tr -d ':\n')"
	session_secrets
	look_at_disk
}

# The search itself: a process that holds a key, as text and as OpenSSL's own number.
the_search() {
	issue planted "" planted
	rm -f "$SECRETS"
	key_secrets "$PKI/planted-key.pem"
	openssl s_server -accept 10999 -cert "$PKI/planted-cert.pem" -key "$PKI/planted-key.pem" -quiet \
		>/dev/null 2>&1 </dev/null &
	server=$!
	wait_for lab_listens 10999
	search "a TLS server that has its key" "$SECRETS" "$server" &&
		fail "the search" "does not find the key of a process that uses it"
	grep -q '^found private-number ' "$WORK/found" || fail "the search" "does not find the number: $(cat "$WORK/found")"
	kill "$server"
	PLANTED=$(cat "$PKI/planted-key.pem") sleep 60 &
	holder=$!
	wait_for grep -q sleep "/proc/$holder/comm"
	search "a process that has it in its environment" "$SECRETS" "$holder" &&
		fail "the search" "does not find the key's text"
	grep -q '^found pem ' "$WORK/found" || fail "the search" "does not find the lines: $(cat "$WORK/found")"
	kill "$holder"
}

make_pki
tls_case "the search finds what is there" the_search
tls_case "certificate, TLS 1.3" by_ec 1.3 off
tls_case "certificate, TLS 1.2" by_ec 1.2 off
tls_case "certificate, TLS 1.2 in the kernel" by_ec 1.2 on
[ -z "${LAB_LONG:-}" ] || tls_case "certificate with an RSA key, TLS 1.3" by_rsa 1.3
tls_case "key with a passphrase, TLS 1.3" by_encrypted
tls_case "shared key, TLS 1.3" by_psk
tls_case "shared key, TLS 1.2" by_psk tls1.3
