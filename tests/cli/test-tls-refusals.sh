# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Goal: with TLS asked for, every server that is not the one that was meant, or cannot prove it, is
# refused: a non-zero exit and a sentence that says what is wrong and what to do.
# Method: `ublk-nbd info` against nbdkit and qemu-nbd (both GnuTLS) with certificates made for each
# case by openssl, and against socat, which plays a server that goes wrong around STARTTLS. One server
# at a time, on a unix socket. Where there is ublk, tests/system/tls-refusals.sh runs all of it with
# REFUSED_VERB=connect: then no device may come, not even for a moment.

. tests/cli/lib.sh

PKI=$SCRATCH/pki
SOCKET=$SCRATCH/tls.sock
URI="nbds+unix:///?socket=$SOCKET"
NAME=(--tls-hostname disk.example)
CA=(--tls-ca "$PKI/ca/cert.pem")
server=

for tool in nbdkit qemu-nbd socat openssl jq; do
	command -v $tool >/dev/null || {
		printf 'skip TLS refusals: no %s here\n' $tool
		exit 0
	}
done

# --- certificates -----------------------------------------------------------------------------------

# openssl_quiet ARGUMENT...: all of its words only where it fails, which ends the test.
openssl_quiet() {
	openssl "$@" >"$SCRATCH/openssl.log" 2>&1 || {
		printf 'not ok openssl %s\n' "$*"
		sed 's/^/# /' "$SCRATCH/openssl.log"
		exit 1
	}
}

ec_key() {
	openssl_quiet genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"
}

# authority NAME [ISSUER]: a CA, $PKI/NAME/{cert,key}.pem, with what `openssl ca` needs beside it.
authority() {
	local folder=$PKI/$1
	mkdir -p "$folder"
	: >"$folder/index"
	echo 01 >"$folder/serial"
	echo 01 >"$folder/crlnumber"
	ec_key "$folder/key.pem"
	printf '%s\n' '[ca]' 'default_ca=it' '[it]' "database=$folder/index" "serial=$folder/serial" \
		"crlnumber=$folder/crlnumber" "certificate=$folder/cert.pem" "private_key=$folder/key.pem" \
		"new_certs_dir=$folder" 'default_md=sha256' 'default_days=2' 'default_crl_days=2' \
		'policy=any' 'unique_subject=no' '[any]' 'commonName=supplied' \
		'[authority]' 'basicConstraints=critical,CA:TRUE' 'keyUsage=keyCertSign,cRLSign' \
		'[server]' 'subjectAltName=DNS:disk.example,IP:10.1.2.3' \
		'[client]' 'subjectAltName=DNS:client' >"$folder/conf"
	if [ $# = 1 ]; then
		openssl_quiet req -x509 -new -key "$folder/key.pem" -subj "/CN=$1" -days 2 -out "$folder/cert.pem" \
			-addext keyUsage=keyCertSign,cRLSign
	else
		sign "$2" authority "$1" "$folder"
	fi
}

# sign ISSUER SECTION COMMON-NAME FOLDER [OPTION...]: FOLDER/cert.pem for FOLDER/key.pem.
sign() {
	local issuer=$1 section=$2 common=$3 folder=$4
	shift 4
	openssl_quiet req -new -key "$folder/key.pem" -subj "/CN=$common" -out "$folder/request.pem"
	openssl_quiet ca -batch -notext -config "$PKI/$issuer/conf" -extensions "$section" \
		-in "$folder/request.pem" -out "$folder/cert.pem" "$@"
}

# member NAME ISSUER SECTION [OPTION...]: a certificate that is no CA's, and its key.
member() {
	local name=$1 issuer=$2 section=$3
	shift 3
	mkdir -p "$PKI/$name"
	ec_key "$PKI/$name/key.pem"
	sign "$issuer" "$section" "$name" "$PKI/$name" "$@"
}

# list_of CA FILE [OPTION...]: its list of revoked certificates.
list_of() {
	local authority=$1 file=$2
	shift 2
	openssl_quiet ca -config "$PKI/$authority/conf" -gencrl -out "$file" "$@"
}

# as_server NAME [ISSUER...]: the folder as nbdkit and qemu-nbd want it, the chain behind the
# certificate.
as_server() {
	local folder=$PKI/$1 issuer
	shift
	cp "$folder/cert.pem" "$folder/server-cert.pem"
	cp "$folder/key.pem" "$folder/server-key.pem"
	cp "$PKI/ca/cert.pem" "$folder/ca-cert.pem"
	cp "$PKI/dh-params.pem" "$folder/"
	for issuer in "$@"; do
		cat "$PKI/$issuer/cert.pem" >>"$folder/server-cert.pem"
	done
}

make_pki() {
	authority ca
	authority other
	member good ca server
	member revoked ca server
	member expired ca server -startdate 20200101000000Z -enddate 20200601000000Z
	member future ca server -startdate 20480101000000Z -enddate 20490101000000Z
	member client ca client
	mkdir -p "$PKI/lonely"
	ec_key "$PKI/lonely/key.pem"
	openssl_quiet req -x509 -new -key "$PKI/lonely/key.pem" -subj /CN=lonely -days 2 \
		-out "$PKI/lonely/cert.pem" -addext subjectAltName=DNS:disk.example
	list_of ca "$PKI/empty.crl"
	list_of other "$PKI/other.crl"
	list_of ca "$PKI/old.crl" -crl_lastupdate 20200101000000Z -crl_nextupdate 20200601000000Z
	openssl_quiet ca -config "$PKI/ca/conf" -revoke "$PKI/revoked/cert.pem"
	list_of ca "$PKI/revoked.crl"
	# Without it qemu-nbd looks for a safe prime of its own at each start.
	openssl_quiet genpkey -genparam -algorithm DH -pkeyopt group:ffdhe2048 -out "$PKI/dh-params.pem"
	long_chain
	for name in good revoked expired future lonely; do
		as_server $name
	done
	echo 'alice:00112233445566778899aabbccddeeff' >"$PKI/psk"
	printf '%s\n' 'alice:ffeeddccbbaa99887766554433221100' 'bob:00112233445566778899aabbccddeeff' >"$PKI/other-psk"
}

# Seven CAs between the server's certificate and ours.
long_chain() {
	local above=ca between=() i
	for i in 1 2 3 4 5 6 7; do
		authority "between$i" "$above"
		above=between$i
		between=("$above" "${between[@]}")
	done
	member deep "$above" server
	as_server deep "${between[@]}"
}

# --- servers ----------------------------------------------------------------------------------------

# serve PROGRAM ARGUMENT...: started, and waited for until it listens. It ends with the test, too.
serve() {
	local i
	rm -f "$SOCKET"
	setsid "$@" >"$SCRATCH/server.log" 2>&1 </dev/null &
	server=$!
	for i in $(seq 200); do
		[ -S "$SOCKET" ] && return
		sleep 0.02
	done
	printf 'not ok server %s\n' "$*"
	sed 's/^/# /' "$SCRATCH/server.log"
	exit 1
}

# The whole session of it: socat and nbdkit have children.
unserve() {
	[ -n "$server" ] || return
	kill -TERM -- "-$server" 2>/dev/null
	wait "$server" 2>/dev/null
	server=
}
trap unserve EXIT
trap 'exit 130' INT TERM HUP

nbdkit_serves() {
	serve nbdkit -f -U "$SOCKET" "$@" memory 1M
}

# What a server says up to the end of STARTTLS, and then something else: after_starttls TYPE SHELL-COMMAND.
after_starttls() {
	printf 'NBDMAGICIHAVEOPT\0\3\0\3\350\211\4\125\145\251\0\0\0\5%b\0\0\0\0' "$1" >"$SCRATCH/said"
	serve socat "UNIX-LISTEN:$SOCKET" "SYSTEM:cat $SCRATCH/said; $2"
}

# --- cases ------------------------------------------------------------------------------------------

# no NAME STATUS WORDS MORE-WORDS ARGUMENT...: `$VERB ARGUMENT... $URI` is refused like that.
VERB=${REFUSED_VERB:-info}
no() {
	local name=$1 want=$2 words=$3 more=$4 why='' before
	shift 4
	before=$(events)
	call "$VERB" "$@" "$URI"
	[ "$status" = "$want" ] || why="status $status, not $want"
	[ ! -s "$SCRATCH/out" ] || why="$why; it wrote to standard output"
	[ "$(wc -l <"$SCRATCH/err")" = 1 ] || why="$why; not one line on standard error"
	grep -q "^ublk-nbd: $VERB: " "$SCRATCH/err" || why="$why; the line does not begin with ublk-nbd: $VERB:"
	grep -qF -- "$words" "$SCRATCH/err" || why="$why; it does not say '$words'"
	grep -qF -- "$more" "$SCRATCH/err" || why="$why; it does not say '$more'"
	[ "$VERB" != connect ] || [ "$(events)" = "$before" ] || why="$why; a device came"
	verdict "TLS refused: $name" "${why#; }"
}

# events: how often the kernel has told of a device that came, changed or went.
events() {
	cat /sys/kernel/uevent_seqnum 2>/dev/null
}

# shown EXPRESSION ARGUMENT...: what jq makes of `info -o json`.
shown() {
	local expression=$1 why=
	shift
	call info -o json "$@" "$URI"
	[ "$(jq -r ".tls | $expression" "$SCRATCH/out")" = true ] || why="it is not so"
	verdict "TLS shown: $expression" "$why"
}

# yes NAME ARGUMENT...: else nothing below would show anything.
yes() {
	local name=$1 why=
	shift
	call info "$@" "$URI"
	[ "$status" = 0 ] || why="status $status"
	[ ! -s "$SCRATCH/err" ] || why="$why; it complained"
	verdict "TLS agreed: $name" "${why#; }"
}

# explained WORDS ARGUMENT...: `doctor` says so as a failure, whatever else this machine lacks.
explained() {
	local words=$1 why=
	shift
	call doctor "$@" "$URI"
	[ "$status" != 0 ] || why="status 0"
	grep -F -- "$words" "$SCRATCH/out" | grep -q '^ *FAIL *TLS: ' || why="$why; no FAIL that says '$words'"
	verdict "TLS explained by doctor: $words" "${why#; }"
}

# The other verbs go the same way.
other_verbs() {
	answers '"extents"' map -o json "${CA[@]}" "${NAME[@]}" "$URI"
	call doctor "${CA[@]}" "${NAME[@]}" "$URI"
	why=
	grep -q '^ *ok *TLS: ' "$SCRATCH/out" || why="no ok for TLS"
	grep -q '^ *ok *read: ' "$SCRATCH/out" || why="$why; no ok for a read"
	verdict "doctor over TLS" "${why#; }"
	VERB=exports no "exports: unknown CA" 9 'not trusted here' --tls-ca --tls-ca "$PKI/other/cert.pem" "${NAME[@]}"
	VERB=map no "map: unknown CA" 9 'not trusted here' --tls-ca --tls-ca "$PKI/other/cert.pem" "${NAME[@]}"
	explained '(/CN=ca): give that CA' --tls-ca "$PKI/other/cert.pem" "${NAME[@]}"
	explained 'not for "tape.example"' "${CA[@]}" --tls-hostname tape.example
	explained 'with a certificate, not with the PSK' --tls-psk "$PKI/psk" --tls-user alice
}

wrong_certificates() {
	nbdkit_serves --tls=require --tls-certificates="$PKI/good"
	yes "certificate and name" "${CA[@]}" "${NAME[@]}"
	yes "an address in the certificate" "${CA[@]}" --tls-hostname 10.1.2.3
	shown '.version == "TLSv1.3" and .verified and (.peer | endswith("/CN=good"))' "${CA[@]}" "${NAME[@]}"
	shown '.send == "userspace" and .receive == "userspace" and (.resumed | not)' "${CA[@]}" "${NAME[@]}"
	mkdir -p "$PKI/hashed"
	cp "$PKI/ca/cert.pem" "$PKI/hashed/$(openssl x509 -noout -hash -in "$PKI/ca/cert.pem").0"
	yes "a directory of CAs" --tls-ca "$PKI/hashed" "${NAME[@]}"
	SSL_CERT_FILE=$PKI/ca/cert.pem yes "the system's CAs" "${NAME[@]}"
	yes "not revoked" "${CA[@]}" "${NAME[@]}" --tls-crl "$PKI/empty.crl"
	no "wrong host name" 9 'is for disk.example, 10.1.2.3, not for "tape.example"' --tls-hostname "${CA[@]}" \
		--tls-hostname tape.example
	no "IP address not in the certificate" 9 'not for the IP address 10.1.2.4' --tls-hostname "${CA[@]}" --tls-hostname 10.1.2.4
	no "unknown CA" 9 'not trusted here (/CN=ca)' --tls-ca --tls-ca "$PKI/other/cert.pem" "${NAME[@]}"
	no "unknown to the system's CAs" 9 'not trusted here (/CN=ca)' --tls-ca "${NAME[@]}"
	no "a list of another CA" 9 'no revocation list of the CA /CN=ca' --tls-crl "${CA[@]}" "${NAME[@]}" --tls-crl "$PKI/other.crl"
	no "an expired list" 9 'revocation list' 'expired on 2020-06-01' "${CA[@]}" "${NAME[@]}" --tls-crl "$PKI/old.crl"
	no "certificate where a PSK was asked for" 9 'with a certificate, not with the PSK' 'alice' \
		--tls-psk "$PKI/psk" --tls-user alice
	other_verbs
	unserve
	nbdkit_serves --tls=require --tls-certificates="$PKI/expired"
	no "expired" 9 "the server's certificate (/CN=expired) expired on 2020-06-01" 'renew' "${CA[@]}" "${NAME[@]}"
	unserve
	nbdkit_serves --tls=require --tls-certificates="$PKI/future"
	no "not yet valid" 9 '(/CN=future) is not valid before 2048-01-01' clock "${CA[@]}" "${NAME[@]}"
	unserve
	nbdkit_serves --tls=require --tls-certificates="$PKI/revoked"
	yes "without the list" "${CA[@]}" "${NAME[@]}"
	mkdir -p "$PKI/directory"
	cp "$PKI/ca/cert.pem" "$PKI/directory/ca-cert.pem"
	yes "a directory without a list" --tls-certificates "$PKI/directory" "${NAME[@]}"
	cp "$PKI/revoked.crl" "$PKI/directory/ca-crl.pem"
	no "revoked, by the list in a directory" 9 '(/CN=revoked) has been revoked' 'another one' \
		--tls-certificates "$PKI/directory" "${NAME[@]}"
	ln -sf nowhere "$PKI/directory/ca-crl.pem"
	no "a list in a directory that leads nowhere" 2 'ca-crl.pem cannot be read' 'No such file' \
		--tls-certificates "$PKI/directory" "${NAME[@]}"
	no "revoked" 9 '(/CN=revoked) has been revoked by its CA (/CN=ca)' 'another one' "${CA[@]}" "${NAME[@]}" --tls-crl "$PKI/revoked.crl"
	unserve
	nbdkit_serves --tls=require --tls-certificates="$PKI/lonely"
	no "self-signed" 9 '(/CN=lonely) is self-signed' --tls-ca "${CA[@]}" "${NAME[@]}"
	unserve
	nbdkit_serves --tls=require --tls-certificates="$PKI/deep"
	no "chain too long" 9 'longer than 5' 'fewer' "${CA[@]}" "${NAME[@]}"
	unserve
}

our_side() {
	nbdkit_serves --tls=require --tls-certificates="$PKI/good" --tls-verify-peer
	yes "a client certificate" "${CA[@]}" "${NAME[@]}" --tls-cert "$PKI/client/cert.pem" --tls-key "$PKI/client/key.pem"
	no "client certificate missing" 9 'client certificate' --tls-cert "${CA[@]}" "${NAME[@]}"
	no "key that does not match" 9 'does not belong to the certificate' "$PKI/client/cert.pem" "${CA[@]}" \
		"${NAME[@]}" --tls-cert "$PKI/client/cert.pem" --tls-key "$PKI/good/key.pem"
	no "unreadable file" 2 "$PKI/nowhere.pem cannot be read" 'No such file' --tls-ca "$PKI/nowhere.pem" "${NAME[@]}"
	no "a file that is something else" 9 "$PKI/psk cannot be used" PEM --tls-ca "$PKI/psk" "${NAME[@]}"
	unserve
}

shared_keys() {
	nbdkit_serves --tls=require --tls-psk="$PKI/psk"
	shown '.peer == "PSK identity alice" and .verified' --tls-psk "$PKI/psk" --tls-user alice
	yes "a PSK" --tls-psk "$PKI/psk" --tls-user alice
	no "wrong PSK" 9 'PSK' 'key differs' --tls-psk "$PKI/other-psk" --tls-user alice
	no "unknown identity" 9 'PSK' '"bob"' --tls-psk "$PKI/other-psk" --tls-user bob
	no "identity without a key" 9 'has no identity "mallory"' "$PKI/psk" --tls-psk "$PKI/psk" --tls-user mallory
	no "a certificate where the server has PSKs only" 9 '--tls-psk' TLS "${CA[@]}" "${NAME[@]}"
	unserve
}

around_starttls() {
	nbdkit_serves
	no "server without TLS" 9 'does not offer TLS' 'turn it on' "${CA[@]}" "${NAME[@]}"
	unserve
	after_starttls '\200\0\0\2' 'sleep 5'
	no "STARTTLS answered by an error" 9 'does not offer TLS' 'POLICY' "${CA[@]}" "${NAME[@]}"
	unserve
	after_starttls '\0\0\0\1' "cat $SCRATCH/said; sleep 5"
	no "plaintext behind STARTTLS" 9 'is not TLS' 'plain bytes' "${CA[@]}" "${NAME[@]}"
	unserve
	after_starttls '\0\0\0\1' 'sleep 20'
	no "stalled inside the handshake" 9 'TLS handshake' 'log' --connect-timeout 1s "${CA[@]}" "${NAME[@]}"
	unserve
}

# policy NAME LINE...: an OpenSSL configuration, as a system may have it.
policy() {
	local name=$1
	shift
	printf '%s\n' 'openssl_conf=all' '[all]' 'ssl_conf=ssl' '[ssl]' 'system_default=policy' '[policy]' "$@" \
		>"$SCRATCH/$name.cnf"
}

version_serves() {
	serve qemu-nbd --socket="$SOCKET" --read-only --persistent --tls-creds t --object \
		"tls-creds-x509,id=t,dir=$PKI/good,endpoint=server,verify-peer=no,priority=NORMAL:-VERS-ALL:+VERS-$1" \
		--format=raw "$PKI/psk"
}

# The system's policy counts where it asks for more than we do, and only there.
versions() {
	policy weak MinProtocol=TLSv1 CipherString=ALL:@SECLEVEL=0 Options=KTLS,UnsafeLegacyRenegotiation
	policy strong MinProtocol=TLSv1.3
	version_serves TLS1.1
	no "TLS 1.1" 9 'older than 1.2' 'not spoken here' "${CA[@]}" "${NAME[@]}"
	OPENSSL_CONF=$SCRATCH/weak.cnf no "TLS 1.1, where the system allows it" 9 'older than 1.2' 'not spoken' \
		"${CA[@]}" "${NAME[@]}"
	unserve
	version_serves TLS1.2
	yes "TLS 1.2" "${CA[@]}" "${NAME[@]}"
	OPENSSL_CONF=$SCRATCH/strong.cnf no "TLS 1.2, where the system wants 1.3" 9 'TLS version' 'see its log' \
		"${CA[@]}" "${NAME[@]}"
	unserve
}

# psk_serves PRIORITY: qemu-nbd with TLS 1.2 and the PSK of alice.
psk_serves() {
	mkdir -p "$PKI/psks"
	cp "$PKI/psk" "$PKI/psks/keys.psk"
	cp "$PKI/dh-params.pem" "$PKI/psks/"
	serve qemu-nbd --socket="$SOCKET" --read-only --persistent --tls-creds t --object \
		"tls-creds-psk,id=t,dir=$PKI/psks,endpoint=server,priority=NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:$1" \
		--format=raw "$PKI/psk"
}

# What the system forbids is not agreed on with a PSK either.
psk_policy() {
	policy no_aes128 'CipherString=DEFAULT:!AES128'
	policy no_psk 'CipherString=DEFAULT:!PSK'
	psk_serves +DHE-PSK:-CIPHER-ALL:+AES-128-GCM
	shown '.cipher == "DHE-PSK-AES128-GCM-SHA256"' --tls-psk "$PKI/psk" --tls-user alice
	OPENSSL_CONF=$SCRATCH/no_aes128.cnf no "a cipher that the system forbids, with a PSK" 9 'TLS' 'PSK' \
		--tls-psk "$PKI/psk" --tls-user alice
	unserve
	psk_serves +DHE-PSK:+ECDHE-PSK
	shown '.cipher == "DHE-PSK-AES256-GCM-SHA384"' --tls-psk "$PKI/psk" --tls-user alice
	OPENSSL_CONF=$SCRATCH/no_aes128.cnf yes "a PSK, where the system forbids AES-128" --tls-psk "$PKI/psk" --tls-user alice
	OPENSSL_CONF=$SCRATCH/no_psk.cnf no "TLS 1.2 with a PSK, where the system forbids it" 9 'TLS' 'PSK' \
		--tls-psk "$PKI/psk" --tls-user alice
	unserve
}

# Nothing weakens TLS without the user's own word.
asked_for() {
	nbdkit_serves --tls=require --tls-certificates="$PKI/lonely"
	URI="nbd+unix:///?socket=$SOCKET" no "plain, where the server requires TLS" 9 'write nbds://' 'in place of nbd://'
	URI="$URI&tls-type=anon" no "tls-type=anon" 2 'tls-type=anon is refused' nobody "${NAME[@]}"
	URI="$URI&tls-verify-peer=0" no "tls-verify-peer=0 alone" 2 'add --tls-verify=no' enough "${NAME[@]}"
	call info --tls-verify=no "$URI"
	why=
	[ "$status" = 0 ] || why="status $status"
	grep -q 'the server is NOT verified' "$SCRATCH/err" || why="$why; no warning"
	grep -q '/CN=lonely, NOT verified' "$SCRATCH/out" || why="$why; info does not say so"
	verdict "--tls-verify=no is loud" "${why#; }"
	shown '.verified | not' --tls-verify=no
	unserve
}

# nbd-server tells no size before an export is opened: it is asked again, by our own handshake.
listed_without_size() {
	local why=''
	serve nbdkit -f -U "$SOCKET" --tls=require --tls-certificates="$PKI/good" memory 0
	call exports -o json "${CA[@]}" "${NAME[@]}" "$URI"
	[ "$status" = 0 ] || why="status $status"
	jq -e '.exports | length == 1 and .[0].size_bytes == 0' "$SCRATCH/out" >"$SCRATCH/jq" 2>&1 || why="$why; not one export of 0 bytes"
	verdict "TLS agreed: exports, of no size" "${why#; }"
	unserve
}

make_pki
wrong_certificates
listed_without_size
our_side
shared_keys
around_starttls
versions
psk_policy
asked_for
