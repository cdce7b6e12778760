/* SPDX-License-Identifier: MIT */
#include "tls/explain.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "tls/address.h"

/* A certificate's text is the server's: what is not plain ASCII is not repeated. */
static void make_plain(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

static void time_text(const ASN1_TIME *time, char *out, size_t out_bytes)
{
	struct tm tm;

	if (!time || ASN1_TIME_to_tm(time, &tm) != 1 ||
	    strftime(out, out_bytes, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
		snprintf(out, out_bytes, "an unreadable date");
}

/* "/O=Example/CN=disk"; "" for NULL. */
static void name_text(const X509_NAME *name, char *out, size_t out_bytes)
{
	out[0] = '\0';
	if (name)
		X509_NAME_oneline(name, out, (int)out_bytes);
	make_plain(out);
}

static const char *address_text(const ASN1_OCTET_STRING *address, char out[INET6_ADDRSTRLEN])
{
	int bytes = ASN1_STRING_length(address);
	int family = bytes == 4 ? AF_INET : AF_INET6;

	if (bytes != 4 && bytes != 16)
		return "an unreadable address";
	return inet_ntop(family, ASN1_STRING_get0_data(address), out, INET6_ADDRSTRLEN);
}

/* A DNS name. One that looks like an address is none, and is told apart. Bytes that end a string, and others
 * that are not plain, are seen to by the caller. */
static int dns_text(char *out, size_t out_bytes, const char *separator, const ASN1_IA5STRING *dns)
{
	char name[101] = "";
	int bytes = ASN1_STRING_length(dns);

	if (bytes > 100)
		bytes = 100;
	for (int i = 0; i < bytes; i++)
		name[i] = ASN1_STRING_get0_data(dns)[i] ? (char)ASN1_STRING_get0_data(dns)[i] : '?';
	return snprintf(out, out_bytes, "%s%s%s", separator,
			tls_is_address(name) ? "the DNS name " : "", name);
}

/* "a.example, b.example, 10.0.0.1": what the certificate is good for. */
static void names_text(X509 *certificate, char *out, size_t out_bytes)
{
	GENERAL_NAMES *names =
		certificate ? X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL)
			    : NULL;
	size_t used = 0;

	out[0] = '\0';
	for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		const char *separator = used ? ", " : "";
		char address[INET6_ADDRSTRLEN];
		int n = 0;

		if (name->type == GEN_DNS)
			n = dns_text(out + used, out_bytes - used, separator, name->d.dNSName);
		else if (name->type == GEN_IPADD)
			n = snprintf(out + used, out_bytes - used, "%s%s", separator,
				     address_text(name->d.iPAddress, address));
		if (n > 0 && (size_t)n < out_bytes - used)
			used += (size_t)n;
	}
	GENERAL_NAMES_free(names);
	/* Then its subject is what OpenSSL compares, unless with an address. */
	if (!used)
		name_text(certificate ? X509_get_subject_name(certificate) : NULL, out, out_bytes);
	make_plain(out);
}

/* Which certificate is out of its time, and since or until when. */
static void explain_dates(const struct tls_handshake *handshake, const char *subject,
			  char *sentence)
{
	bool expired = handshake->verify_error == X509_V_ERR_CERT_HAS_EXPIRED;
	const char *whose = handshake->verify_depth == 0 ? "the server's certificate"
							 : "a CA certificate of the server's chain";
	const ASN1_TIME *time = NULL;
	char date[64];

	if (handshake->culprit)
		time = expired ? X509_get0_notAfter(handshake->culprit)
			       : X509_get0_notBefore(handshake->culprit);
	time_text(time, date, sizeof(date));
	if (expired)
		snprintf(sentence, TLS_SENTENCE_BYTES,
			 "%s (%s) expired on %s: it has to be renewed there; or is this machine's "
			 "clock wrong?",
			 whose, subject, date);
	else
		snprintf(sentence, TLS_SENTENCE_BYTES,
			 "%s (%s) is not valid before %s: is this machine's clock right?", whose,
			 subject, date);
}

/* About lists of revoked certificates: what is wrong is the list, not the certificate. */
static void explain_list(const struct tls_handshake *handshake, const char *issuer, char *sentence)
{
	bool expired = handshake->verify_error == X509_V_ERR_CRL_HAS_EXPIRED;
	const ASN1_TIME *time = NULL;
	char date[64];

	if (handshake->verify_error == X509_V_ERR_UNABLE_TO_GET_CRL) {
		snprintf(sentence, TLS_SENTENCE_BYTES,
			 "the file of --tls-crl has no revocation list of the CA %s: add it, since "
			 "each CA of the server's chain must have one",
			 issuer);
		return;
	}
	if (handshake->list)
		time = expired ? X509_CRL_get0_nextUpdate(handshake->list)
			       : X509_CRL_get0_lastUpdate(handshake->list);
	time_text(time, date, sizeof(date));
	snprintf(sentence, TLS_SENTENCE_BYTES,
		 "the revocation list of the CA %s %s %s (the list, not the certificate): get %s "
		 "for --tls-crl",
		 issuer, expired ? "expired on" : "is not valid before", date,
		 expired ? "a newer one" : "one that is, or set this machine's clock right,");
}

static void explain_name(const struct tls_handshake *handshake, char *sentence)
{
	const char *name = handshake->options->hostname;
	char names[200];

	names_text(handshake->leaf, names, sizeof(names));
	if (tls_is_address(name))
		snprintf(
			sentence, TLS_SENTENCE_BYTES,
			"the server's certificate is for %s, not for the IP address %.100s, which "
			"has to stand in its subjectAltName as IP:%.100s: have it made so, connect "
			"by a name that it is for, or say that name with --tls-hostname",
			names, name, name);
	else
		snprintf(sentence, TLS_SENTENCE_BYTES,
			 "the server's certificate is for %s, not for \"%.100s\": connect by that "
			 "name, or say which name to expect with --tls-hostname",
			 names, name);
}

/* A certificate that nobody who is trusted here has signed, or not in the end. */
static void explain_trust(const struct tls_handshake *handshake, const char *subject,
			  const char *issuer, char *sentence)
{
	switch (handshake->verify_error) {
	case X509_V_ERR_CERT_REVOKED:
		snprintf(sentence, TLS_SENTENCE_BYTES,
			 "the certificate (%s) has been revoked by its CA (%s): the server needs "
			 "another one",
			 subject, issuer);
		break;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
		snprintf(sentence, TLS_SENTENCE_BYTES,
			 "the server's certificate (%s) is self-signed: trust it with --tls-ca, if "
			 "it is the right one",
			 subject);
		break;
	case X509_V_ERR_CERT_CHAIN_TOO_LONG:
		snprintf(
			sentence, TLS_SENTENCE_BYTES,
			"the server's chain of certificates is longer than %d: it has to come from "
			"a CA with fewer others above it",
			TLS_CHAIN_DEPTH_MAX);
		break;
	default:
		snprintf(sentence, TLS_SENTENCE_BYTES,
			 "the server's certificate comes from a CA that is not trusted here (%s): "
			 "give that CA's certificate with --tls-ca",
			 issuer);
	}
}

static int explain_verify(const struct tls_handshake *handshake, char *sentence)
{
	const X509 *culprit = handshake->culprit ? handshake->culprit : handshake->leaf;
	char subject[160], issuer[160];

	name_text(culprit ? X509_get_subject_name(culprit) : NULL, subject, sizeof(subject));
	name_text(culprit ? X509_get_issuer_name(culprit) : NULL, issuer, sizeof(issuer));
	switch (handshake->verify_error) {
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		explain_name(handshake, sentence);
		break;
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
		explain_dates(handshake, subject, sentence);
		break;
	case X509_V_ERR_UNABLE_TO_GET_CRL:
	case X509_V_ERR_CRL_HAS_EXPIRED:
	case X509_V_ERR_CRL_NOT_YET_VALID:
		explain_list(handshake, issuer, sentence);
		break;
	case X509_V_ERR_CERT_REVOKED:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_CERT_CHAIN_TOO_LONG:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		explain_trust(handshake, subject, issuer, sentence);
		break;
	default:
		snprintf(sentence, TLS_SENTENCE_BYTES,
			 "the server's certificate (%s) is refused: %s", subject,
			 X509_verify_cert_error_string(handshake->verify_error));
	}
	return -EACCES;
}

/* What the server told us, or what OpenSSL could not agree to. */
static const struct {
	int reason;
	int error;
	const char *sentence;
} reasons[] = {
	{ SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, EACCES,
	  "the server requires a client certificate: give one with --tls-cert and --tls-key" },
	{ SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, EACCES,
	  "the server refuses our certificate (--tls-cert) as bad: see its log" },
	{ SSL_R_TLSV1_ALERT_UNKNOWN_CA, EACCES,
	  "the server does not know the CA that issued our certificate (--tls-cert): it must trust "
	  "that CA, or we need a certificate of one that it trusts" },
	{ SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, EACCES,
	  "the server says that our certificate (--tls-cert) has expired: renew it" },
	{ SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED, EACCES,
	  "the server says that our certificate (--tls-cert) has been revoked: get another one" },
	{ SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, EACCES,
	  "the server refuses our certificate (--tls-cert): see its log" },
	{ SSL_R_TLSV1_ALERT_ACCESS_DENIED, EACCES,
	  "the server denies us access: see its rules for clients and their certificates" },
	{ SSL_R_TLSV1_ALERT_UNKNOWN_PSK_IDENTITY, EACCES,
	  "the server does not know this PSK identity: see --tls-user" },
	{ SSL_R_TLSV1_ALERT_DECRYPT_ERROR, EACCES,
	  "the server cannot verify us: with a PSK, the key differs from the server's; with a "
	  "certificate, see the server's log" },
	{ SSL_R_SSLV3_ALERT_BAD_RECORD_MAC, EACCES,
	  "the server cannot decrypt what we sent: with a PSK, the key differs from the server's" },
	{ SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, EPROTO,
	  "the server and we share no TLS version: 1.2 and 1.3 are spoken here" },
	{ SSL_R_UNSUPPORTED_PROTOCOL, EPROTO,
	  "the server speaks only a TLS older than 1.2, which is not spoken here" },
	{ SSL_R_VERSION_TOO_LOW, EPROTO,
	  "the server speaks only a TLS older than 1.2, which is not spoken here" },
	{ SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, EPROTO,
	  "the server found nothing both sides can do: no common cipher, or it wants a client "
	  "certificate (--tls-cert), or a PSK (--tls-psk)" },
	{ SSL_R_TLSV1_ALERT_INSUFFICIENT_SECURITY, EPROTO,
	  "the server wants stronger ciphers than this system's OpenSSL policy offers" },
	{ SSL_R_NO_SHARED_CIPHER, EPROTO,
	  "the server and we share no cipher: see both sides' TLS policy" },
	{ SSL_R_WRONG_VERSION_NUMBER, EPROTO,
	  "what the server sent is not TLS: plain bytes came where the handshake should be" },
	{ SSL_R_UNEXPECTED_EOF_WHILE_READING, ECONNRESET,
	  "the server closed the connection in the middle of TLS and does not say why: perhaps no "
	  "TLS version or cipher is common, it has PSKs only (--tls-psk), or it wants a client "
	  "certificate (--tls-cert); see its log" },
	{ SSL_R_DH_KEY_TOO_SMALL, EPROTO,
	  "the server's key exchange is too weak for this system's policy" },
	{ SSL_R_EE_KEY_TOO_SMALL, EPROTO,
	  "the certificate's key is too small for this system's policy" },
};

static int explain_reason(unsigned long error, char *sentence)
{
	const char *text = error ? ERR_reason_error_string(error) : NULL;

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		if (ERR_GET_LIB(error) != ERR_LIB_SSL || ERR_GET_REASON(error) != reasons[i].reason)
			continue;
		snprintf(sentence, TLS_SENTENCE_BYTES, "%s", reasons[i].sentence);
		return -reasons[i].error;
	}
	snprintf(sentence, TLS_SENTENCE_BYTES, "TLS failed: %s",
		 text ? text : "for no reason given");
	return -EPROTO;
}

/* With a PSK some of TLS's reasons mean more than their words; false for any other. */
static bool explain_psk(const char *identity, int reason, int *ret, char *sentence)
{
	switch (reason) {
	case SSL_R_CERTIFICATE_VERIFY_FAILED:
		*ret = -EACCES;
		snprintf(
			sentence, TLS_SENTENCE_BYTES,
			"the server answered with a certificate, not with the PSK: it does not "
			"know the identity \"%s\", or has no PSK at all (then leave out --tls-psk)",
			identity);
		return true;
	case SSL_R_SSLV3_ALERT_ILLEGAL_PARAMETER:
		/* How OpenSSL's servers answer a binder that does not fit (RFC 8446, 4.2.11). */
		*ret = -EACCES;
		snprintf(sentence, TLS_SENTENCE_BYTES,
			 "the server does not accept our PSK of \"%s\": the key differs from the "
			 "server's",
			 identity);
		return true;
	case SSL_R_UNEXPECTED_EOF_WHILE_READING:
		/* GnuTLS's servers give no reason for a binder that does not fit. */
		*ret = -ECONNRESET;
		snprintf(sentence, TLS_SENTENCE_BYTES,
			 "the server closed the connection in the middle of TLS: perhaps it does "
			 "not know the PSK identity \"%s\", or its key differs: compare both files",
			 identity);
		return true;
	default:
		return false;
	}
}

int tls_explain(const struct tls_handshake *handshake, char *sentence)
{
	const struct tls_options *options = handshake->options;
	unsigned long error = ERR_peek_error();
	int ret;

	if (*options->psk_file && ERR_GET_LIB(error) == ERR_LIB_SSL &&
	    explain_psk(options->psk_identity, ERR_GET_REASON(error), &ret, sentence)) {
		ERR_clear_error();
		return ret;
	}
	if (handshake->verify_error != X509_V_OK)
		ret = explain_verify(handshake, sentence);
	else
		ret = explain_reason(error, sentence);
	ERR_clear_error();
	return ret;
}
