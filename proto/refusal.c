/* SPDX-License-Identifier: MIT */
/* refusal.c - see refusal.h. Source: proto.md, "Option reply types". */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/refusal.h"
#include "proto/text.h"
#include "proto/wire.h"

#define SHOWN_NAME_BYTES    128
#define SHOWN_MESSAGE_BYTES 200

/* One reason: a sentence with the export's title in its middle. */
struct reason {
	uint32_t error;
	int errnum;
	const char *before, *after;
};

/* To GO, INFO, and whatever else may be asked before them. */
static const struct reason reasons[] = {
	{ NBD_REP_ERR_UNSUP, EOPNOTSUPP, "the server cannot describe",
	  " before it is used (it lacks NBD_OPT_INFO); connecting to it may still work" },
	{ NBD_REP_ERR_POLICY, EACCES, "the server's policy forbids",
	  " to this client: look at the server's access rules" },
	{ NBD_REP_ERR_INVALID, EINVAL, "the server calls the request for", " invalid" },
	{ NBD_REP_ERR_PLATFORM, EOPNOTSUPP, "the server cannot serve",
	  " on the platform that it runs on" },
	{ NBD_REP_ERR_UNKNOWN, ENOENT, "the server has no",
	  ": `ublk-nbd exports` lists those it has" },
	{ NBD_REP_ERR_SHUTDOWN, ESHUTDOWN, "the server is shutting down and does not serve",
	  " any more: try again later" },
	{ NBD_REP_ERR_BLOCK_SIZE_REQD, EPROTO, "the server wants block sizes agreed on for",
	  ", although they were asked for: this server is faulty" },
	{ NBD_REP_ERR_TOO_BIG, ENAMETOOLONG, "the server finds the request for",
	  " too long: is the name right?" },
};

static const char *export_title(const struct nbd_refusal *refusal, char *buf, size_t buf_bytes)
{
	const char *name = refusal->export_name;
	char shown[SHOWN_NAME_BYTES];

	if (!*name)
		return "default export (the one without a name)";
	nbd_text_printable(shown, sizeof(shown), name, strlen(name));
	snprintf(buf, buf_bytes, "export \"%s\"", shown);
	return buf;
}

static int explain_known(const struct nbd_refusal *refusal, const char *title, char *text,
			 size_t text_bytes)
{
	char name[64];

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		if (reasons[i].error != refusal->error)
			continue;
		snprintf(text, text_bytes, "%s %s%s", reasons[i].before, title, reasons[i].after);
		return reasons[i].errnum;
	}
	snprintf(text, text_bytes, "the server refuses %s: %s", title,
		 nbd_refusal_error_name(refusal->error, name, sizeof(name)));
	return EPROTO;
}

static int explain_tls_required(const struct nbd_refusal *refusal, char *text, size_t text_bytes)
{
	if (refusal->tls) {
		snprintf(text, text_bytes,
			 "the server asks for TLS inside TLS: this server is faulty");
		return EPROTO;
	}
	snprintf(text, text_bytes,
		 "the server serves only clients that use TLS: write nbds:// in place of nbd://");
	return EACCES;
}

static int explain_no_tls(uint32_t error, char *text, size_t text_bytes)
{
	char name[64];

	snprintf(text, text_bytes,
		 "the server does not offer TLS (%s): turn it on at the server, or write nbd:// if "
		 "the network between is to be trusted",
		 nbd_refusal_error_name(error, name, sizeof(name)));
	return error == NBD_REP_ERR_POLICY ? EACCES : EOPNOTSUPP;
}

static int explain_extended_required(const struct nbd_refusal *refusal, const char *title,
				     char *text, size_t text_bytes)
{
	snprintf(text, text_bytes, "the server serves %s only with extended headers, %s", title,
		 refusal->no_extended ? "which were not asked for: allow them"
				      : "which it refused before: this server is faulty");
	return EPROTONOSUPPORT;
}

static int explain_no_list(uint32_t error, char *text, size_t text_bytes)
{
	char name[64];

	snprintf(text, text_bytes,
		 "the server gives no list of its exports (%s): name the one that is wanted, as in "
		 "nbd://host/export",
		 nbd_refusal_error_name(error, name, sizeof(name)));
	return error == NBD_REP_ERR_POLICY ? EACCES : EOPNOTSUPP;
}

/* What answers EXPORT_NAME here is a reply that it cannot have: a server's way to say no. */
static int explain_by_name(uint32_t type, const char *title, char *text, size_t text_bytes)
{
	char name[64];

	if (!(type & NBD_REP_FLAG_ERROR)) {
		snprintf(text, text_bytes,
			 "the server answered the request for %s with an option reply of type "
			 "%" PRIu32 ", not with a size: this server is faulty",
			 title, type);
		return EPROTO;
	}
	snprintf(text, text_bytes,
		 "the server seems to have no %s (it answered NBD_OPT_EXPORT_NAME with %s): "
		 "`ublk-nbd exports` lists those it has",
		 title, nbd_refusal_error_name(type, name, sizeof(name)));
	return ENOENT;
}

static void append_message(const struct nbd_refusal *refusal, char *text, size_t text_bytes)
{
	size_t at = strlen(text);
	char shown[SHOWN_MESSAGE_BYTES];

	if (refusal->message_bytes == 0)
		return;
	nbd_text_printable(shown, sizeof(shown), refusal->message, refusal->message_bytes);
	snprintf(text + at, text_bytes - at, " (the server says: \"%s\")", shown);
}

int nbd_refusal_explain(const struct nbd_refusal *refusal, char *text, size_t text_bytes)
{
	char buf[SHOWN_NAME_BYTES + 16];
	const char *title = export_title(refusal, buf, sizeof(buf));
	uint32_t option = refusal->option, error = refusal->error;
	int errnum;

	if (option == NBD_OPT_STARTTLS && error != NBD_REP_ERR_SHUTDOWN)
		errnum = explain_no_tls(error, text, text_bytes);
	else if (error == NBD_REP_ERR_TLS_REQD)
		errnum = explain_tls_required(refusal, text, text_bytes);
	else if (option == NBD_OPT_LIST && error != NBD_REP_ERR_SHUTDOWN)
		errnum = explain_no_list(error, text, text_bytes);
	else if (error == NBD_REP_ERR_EXT_HEADER_REQD)
		errnum = explain_extended_required(refusal, title, text, text_bytes);
	else if (option == NBD_OPT_EXPORT_NAME && error != NBD_REP_ERR_POLICY &&
		 error != NBD_REP_ERR_SHUTDOWN)
		errnum = explain_by_name(error, title, text, text_bytes);
	else
		errnum = explain_known(refusal, title, text, text_bytes);
	append_message(refusal, text, text_bytes);
	return errnum;
}

int nbd_refusal_explain_close(const struct nbd_refusal *refusal, char *text, size_t text_bytes)
{
	char buf[SHOWN_NAME_BYTES + 16];
	const char *title = export_title(refusal, buf, sizeof(buf));

	if (!refusal->option) {
		snprintf(text, text_bytes,
			 "the server closed the connection without a greeting: it may not allow "
			 "this client, or not be an NBD server");
		return ECONNRESET;
	}
	if (refusal->option == NBD_OPT_EXPORT_NAME) {
		snprintf(text, text_bytes,
			 "the server closed the connection when asked for %s: an old server's way "
			 "to say that it has none, or not for this client: `ublk-nbd exports` "
			 "lists those it has",
			 title);
		return ENOENT;
	}
	if (refusal->option == NBD_OPT_LIST) {
		snprintf(text, text_bytes,
			 "the server closed the connection when asked for the list of its exports: "
			 "it may have none to give; name the one that is wanted, as in "
			 "nbd://host/export");
		return EOPNOTSUPP;
	}
	snprintf(text, text_bytes, "the server closed the connection while %s was negotiated",
		 title);
	return ECONNRESET;
}

const char *nbd_refusal_error_name(uint32_t error, char *buf, size_t buf_bytes)
{
	static const char *const names[] = {
		[NBD_REP_ERR_UNSUP & 0xff] = "NBD_REP_ERR_UNSUP",
		[NBD_REP_ERR_POLICY & 0xff] = "NBD_REP_ERR_POLICY",
		[NBD_REP_ERR_INVALID & 0xff] = "NBD_REP_ERR_INVALID",
		[NBD_REP_ERR_PLATFORM & 0xff] = "NBD_REP_ERR_PLATFORM",
		[NBD_REP_ERR_TLS_REQD & 0xff] = "NBD_REP_ERR_TLS_REQD",
		[NBD_REP_ERR_UNKNOWN & 0xff] = "NBD_REP_ERR_UNKNOWN",
		[NBD_REP_ERR_SHUTDOWN & 0xff] = "NBD_REP_ERR_SHUTDOWN",
		[NBD_REP_ERR_BLOCK_SIZE_REQD & 0xff] = "NBD_REP_ERR_BLOCK_SIZE_REQD",
		[NBD_REP_ERR_TOO_BIG & 0xff] = "NBD_REP_ERR_TOO_BIG",
		[NBD_REP_ERR_EXT_HEADER_REQD & 0xff] = "NBD_REP_ERR_EXT_HEADER_REQD",
	};
	uint32_t index = error ^ NBD_REP_FLAG_ERROR;

	if (index > 0 && index < sizeof(names) / sizeof(names[0]))
		return names[index];
	snprintf(buf, buf_bytes, "unknown error 0x%08" PRIx32, error);
	return buf;
}
