/* SPDX-License-Identifier: MIT */
/*
 * handshake.c - see handshake.h.
 *
 * Input is gathered into hs->in until the item that the state waits for is whole (in_want_bytes):
 * the greeting, a reply's header and then its payload, or the answer to EXPORT_NAME. Output is one
 * message at a time; the server has nothing to say until it has all of it.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proto/handshake.h"
#include "proto/refusal.h"
#include "proto/text.h"
#include "proto/wire.h"

#define GREETING_MAGIC_BYTES  8
#define GREETING_BYTES	      18
#define REPLY_HEADER_BYTES    20
#define EXPORT_SIZE_BYTES     8
#define EXPORT_ANSWER_BYTES   10
#define EXPORT_ZEROES_BYTES   124
#define INFO_EXPORT_BYTES     12
#define INFO_BLOCK_SIZE_BYTES 14
#define INFO_TYPE_BYTES	      2

/* What counts without HAS_FLAGS, too: each asks us for more care, and none for trust. */
#define FLAGS_OF_CARE (NBD_FLAG_READ_ONLY | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA)

__attribute__((format(printf, 3, 4))) static void fail(struct nbd_handshake *hs, int errnum,
						       const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(hs->error, sizeof(hs->error), format, args);
	va_end(args);
	hs->error_errno = errnum;
	hs->state = NBD_HS_FAILED;
}

/* --- output ----------------------------------------------------------------------------------- */

static void put_bytes(struct nbd_handshake *hs, const void *bytes, size_t len)
{
	assert(len <= sizeof(hs->out) - hs->out_bytes);
	memcpy(hs->out + hs->out_bytes, bytes, len);
	hs->out_bytes += len;
}

static void put16(struct nbd_handshake *hs, uint16_t value)
{
	uint8_t field[2];

	wire_put16(field, value);
	put_bytes(hs, field, sizeof(field));
}

static void put32(struct nbd_handshake *hs, uint32_t value)
{
	uint8_t field[4];

	wire_put32(field, value);
	put_bytes(hs, field, sizeof(field));
}

static void put_option(struct nbd_handshake *hs, uint32_t option, size_t data_bytes)
{
	uint8_t magic[8];

	wire_put64(magic, NBD_MAGIC_OPTION);
	put_bytes(hs, magic, sizeof(magic));
	put32(hs, option);
	put32(hs, (uint32_t)data_bytes);
}

static void expect(struct nbd_handshake *hs, enum nbd_handshake_state state, size_t want_bytes)
{
	hs->state = state;
	hs->in_bytes = 0;
	hs->in_want_bytes = want_bytes;
}

/* Forgets what an earlier answer said of the export: each request for it starts anew. */
static void export_reset(struct nbd_handshake *hs)
{
	const char *name = hs->options.export_name;

	hs->have_info_export = false;
	hs->export.block_sizes_given = false;
	hs->export.block_minimum_bytes = NBD_BLOCK_MINIMUM_DEFAULT_BYTES;
	hs->export.block_preferred_bytes = NBD_BLOCK_PREFERRED_DEFAULT_BYTES;
	hs->export.payload_max_bytes = NBD_PAYLOAD_DEFAULT_BYTES_MAX;
	hs->export.description[0] = '\0';
	nbd_text_printable(hs->export.name, sizeof(hs->export.name), name, strlen(name));
}

/* The option that is outstanding in this state; 0 before the first. */
static uint32_t state_option(const struct nbd_handshake *hs)
{
	switch (hs->state) {
	case NBD_HS_GREETING:
		return 0;
	case NBD_HS_STARTTLS:
		return NBD_OPT_STARTTLS;
	case NBD_HS_EXTENDED_HEADERS:
		return NBD_OPT_EXTENDED_HEADERS;
	case NBD_HS_STRUCTURED_REPLY:
		return NBD_OPT_STRUCTURED_REPLY;
	case NBD_HS_LIST:
		return NBD_OPT_LIST;
	case NBD_HS_EXPORT_NAME:
		return NBD_OPT_EXPORT_NAME;
	default:
		return hs->options.goal == NBD_GOAL_GO ? NBD_OPT_GO : NBD_OPT_INFO;
	}
}

static void ask_plain(struct nbd_handshake *hs, enum nbd_handshake_state state)
{
	expect(hs, state, REPLY_HEADER_BYTES);
	put_option(hs, state_option(hs), 0);
}

/* "NBD_OPT_INFO and NBD_OPT_GO": asking for BLOCK_SIZE binds us to what is answered. */
static void ask_export(struct nbd_handshake *hs)
{
	static const uint16_t wanted[] = { NBD_INFO_BLOCK_SIZE, NBD_INFO_NAME,
					   NBD_INFO_DESCRIPTION };
	const size_t count = sizeof(wanted) / sizeof(wanted[0]);
	size_t name_bytes = strlen(hs->options.export_name);

	expect(hs, NBD_HS_GO, REPLY_HEADER_BYTES);
	export_reset(hs);
	put_option(hs, state_option(hs), 4 + name_bytes + 2 + 2 * count);
	put32(hs, (uint32_t)name_bytes);
	put_bytes(hs, hs->options.export_name, name_bytes);
	put16(hs, (uint16_t)count);
	for (size_t i = 0; i < count; i++)
		put16(hs, wanted[i]);
}

static void ask_export_name(struct nbd_handshake *hs)
{
	size_t name_bytes = strlen(hs->options.export_name);

	expect(hs, NBD_HS_EXPORT_NAME, EXPORT_SIZE_BYTES);
	export_reset(hs);
	put_option(hs, NBD_OPT_EXPORT_NAME, name_bytes);
	put_bytes(hs, hs->options.export_name, name_bytes);
	hs->export.used_export_name = true;
}

/* The first option of a connection, or of what runs inside TLS. */
static void ask_first(struct nbd_handshake *hs)
{
	if (hs->options.goal == NBD_GOAL_IDLE)
		hs->state = NBD_HS_IDLE;
	else if (hs->options.goal == NBD_GOAL_LIST)
		ask_plain(hs, NBD_HS_LIST);
	else if (hs->options.export_name_only)
		ask_export_name(hs);
	else if (hs->options.no_structured)
		ask_export(hs);
	else if (hs->options.no_extended)
		ask_plain(hs, NBD_HS_STRUCTURED_REPLY);
	else
		ask_plain(hs, NBD_HS_EXTENDED_HEADERS);
}

static struct nbd_refusal refusal_of(const struct nbd_handshake *hs)
{
	return (struct nbd_refusal){
		.option = state_option(hs),
		.export_name = hs->options.export_name,
		.tls = hs->options.tls,
		.no_extended = hs->options.no_extended || hs->options.no_structured,
	};
}

/* Writes hs->error; returns the errno that fits. */
static int explain(struct nbd_handshake *hs, uint32_t error, const char *message,
		   size_t message_bytes)
{
	struct nbd_refusal refusal = refusal_of(hs);

	refusal.error = error;
	refusal.message = message;
	refusal.message_bytes = message_bytes;
	return nbd_refusal_explain(&refusal, hs->error, sizeof(hs->error));
}

/* "NBD_OPT_ABORT": we do not wait for the answer, as the server may close without one. */
static void refuse(struct nbd_handshake *hs, uint32_t error, const char *message, size_t bytes)
{
	hs->option_error = error;
	hs->error_errno = explain(hs, error, message, bytes);
	hs->state = NBD_HS_FAILED;
	put_option(hs, NBD_OPT_ABORT, 0);
}

/* The same for a question that others follow. */
static void refuse_ask(struct nbd_handshake *hs, uint32_t error, const char *message, size_t bytes)
{
	hs->option_error = error;
	hs->error_errno = explain(hs, error, message, bytes);
	hs->state = NBD_HS_IDLE;
}

/* --- greeting --------------------------------------------------------------------------------- */

/* "Newstyle negotiation" before it was fixed: EXPORT_NAME is the one option, and no answer but data or
 * the connection's end. */
static void greet_unfixed(struct nbd_handshake *hs)
{
	static const char old[] = "the server is an old one (newstyle, not fixed newstyle)";

	if (hs->options.tls) {
		fail(hs, EPROTONOSUPPORT, "%s, which has no TLS: update it", old);
	} else if (hs->options.goal == NBD_GOAL_INFO || hs->options.goal == NBD_GOAL_LIST) {
		fail(hs, EPROTONOSUPPORT, "%s, which cannot %s", old,
		     hs->options.goal == NBD_GOAL_LIST
			     ? "list its exports: name the one that is wanted"
			     : "describe an export before it is used");
	} else {
		put32(hs, hs->server_flags & NBD_FLAG_NO_ZEROES);
		if (hs->options.goal == NBD_GOAL_IDLE)
			hs->state = NBD_HS_IDLE;
		else
			ask_export_name(hs);
	}
}

static void on_greeting(struct nbd_handshake *hs)
{
	uint64_t magic;

	if (wire_get64(hs->in) != NBD_MAGIC_INIT) {
		fail(hs, EPROTO,
		     "this is not an NBD server: its first bytes are not NBD's. Is the port "
		     "right?");
		return;
	}
	if (hs->in_bytes < GREETING_BYTES) {
		hs->in_want_bytes = GREETING_BYTES;
		return;
	}
	magic = wire_get64(hs->in + 8);
	if (magic == NBD_MAGIC_OLDSTYLE) {
		fail(hs, EPROTONOSUPPORT,
		     "the server uses the oldstyle handshake, which is not supported: run it "
		     "without "
		     "--oldstyle, or update it");
		return;
	}
	if (magic != NBD_MAGIC_OPTION) {
		fail(hs, EPROTO, "the server's greeting is broken: 0x%016" PRIx64, magic);
		return;
	}
	hs->server_flags = wire_get16(hs->in + 16);
	if (!(hs->server_flags & NBD_FLAG_FIXED_NEWSTYLE)) {
		greet_unfixed(hs);
		return;
	}
	put32(hs, hs->server_flags & (NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES));
	if (hs->options.tls)
		ask_plain(hs, NBD_HS_STARTTLS);
	else
		ask_first(hs);
}

/* --- what is learnt about the export ---------------------------------------------------------- */

static bool take_export(struct nbd_handshake *hs, const uint8_t *size_and_flags)
{
	uint64_t size_bytes = wire_get64(size_and_flags);
	uint16_t flags = wire_get16(size_and_flags + 8);

	if (size_bytes > NBD_EXPORT_BYTES_MAX) {
		fail(hs, EFBIG,
		     "the server says that the export has %" PRIu64
		     " bytes, more than any disk can have",
		     size_bytes);
		return false;
	}
	/* "MUST always be 1": without it nothing is relied on, and nothing that protects is dropped. */
	if (!(flags & NBD_FLAG_HAS_FLAGS))
		flags &= FLAGS_OF_CARE;
	if (hs->have_info_export &&
	    (hs->export.size_bytes != size_bytes || hs->export.flags != flags)) {
		fail(hs, EPROTO,
		     "the server tells two sizes or sets of flags of one export: %" PRIu64
		     " bytes with 0x%04x, %" PRIu64 " bytes with 0x%04x",
		     hs->export.size_bytes, hs->export.flags, size_bytes, flags);
		return false;
	}
	hs->export.size_bytes = size_bytes;
	hs->export.flags = flags;
	hs->have_info_export = true;
	return true;
}

static bool is_power_of_two(uint32_t value)
{
	return value != 0 && (value & (value - 1)) == 0;
}

/* Checked with the other facts, when all are known. */
static void take_block_size(struct nbd_handshake *hs, const uint8_t *info)
{
	struct nbd_export *export = &hs->export;
	uint32_t minimum = wire_get32(info + 2), preferred = wire_get32(info + 6);
	uint32_t payload = wire_get32(info + 10);

	if (export->block_sizes_given &&
	    (export->block_minimum_bytes != minimum || export->block_preferred_bytes != preferred ||
	     export->payload_max_bytes != payload)) {
		fail(hs, EPROTO,
		     "the server tells two smallest blocks, preferred blocks or largest requests "
		     "of "
		     "one export: %" PRIu32 ", %" PRIu32 ", %" PRIu32 " and %" PRIu32 ", %" PRIu32
		     ", %" PRIu32,
		     export->block_minimum_bytes, export->block_preferred_bytes,
		     export->payload_max_bytes, minimum, preferred, payload);
		return;
	}
	export->block_minimum_bytes = minimum;
	export->block_preferred_bytes = preferred;
	export->payload_max_bytes = payload;
	export->block_sizes_given = true;
}

static void on_info(struct nbd_handshake *hs, const uint8_t *info, size_t len)
{
	uint16_t type = len >= INFO_TYPE_BYTES ? wire_get16(info) : 0;
	const char *text = (const char *)info + INFO_TYPE_BYTES;
	size_t text_bytes = len - INFO_TYPE_BYTES;
	bool is_text = type == NBD_INFO_NAME || type == NBD_INFO_DESCRIPTION;

	if (len < INFO_TYPE_BYTES || (type == NBD_INFO_EXPORT && len != INFO_EXPORT_BYTES) ||
	    (type == NBD_INFO_BLOCK_SIZE && len != INFO_BLOCK_SIZE_BYTES) ||
	    (is_text && text_bytes > NBD_STRING_BYTES_MAX)) {
		fail(hs, EPROTO, "the server sent an information of type %u with %zu bytes", type,
		     len);
		return;
	}
	if (type == NBD_INFO_EXPORT && !take_export(hs, info + INFO_TYPE_BYTES))
		return;
	if (type == NBD_INFO_BLOCK_SIZE)
		take_block_size(hs, info);
	if (type == NBD_INFO_NAME)
		nbd_text_printable(hs->export.name, sizeof(hs->export.name), text, text_bytes);
	if (type == NBD_INFO_DESCRIPTION)
		nbd_text_printable(hs->export.description, sizeof(hs->export.description), text,
				   text_bytes);
}

/*
 * "Block size constraints". The payload maximum need be no power of two; some revisions ask for a
 * multiple of the minimum block and some do not, so what is beyond a multiple is left unused.
 */
static bool check_block_sizes(struct nbd_handshake *hs)
{
	struct nbd_export *export = &hs->export;
	uint32_t minimum = export->block_minimum_bytes;
	uint32_t preferred = export->block_preferred_bytes;
	uint32_t payload = export->payload_max_bytes;
	uint64_t least = preferred < export->size_bytes ? preferred : export->size_bytes;

	if (!is_power_of_two(minimum) || minimum > NBD_BLOCK_MINIMUM_BYTES_MAX ||
	    !is_power_of_two(preferred) || preferred < minimum || payload < minimum ||
	    payload < least) {
		fail(hs, EPROTO,
		     "the server's block sizes make no sense: minimum %" PRIu32
		     ", preferred %" PRIu32 ", largest request %" PRIu32,
		     minimum, preferred, payload);
		return false;
	}
	if (payload != UINT32_MAX)
		export->payload_max_bytes = payload - payload % minimum;
	return true;
}

static void on_export_ack(struct nbd_handshake *hs)
{
	if (!hs->have_info_export) {
		fail(hs, EPROTO, "the server agreed to the export but never told its size");
		return;
	}
	if (!check_block_sizes(hs))
		return;
	hs->state = hs->options.goal == NBD_GOAL_LIST ? NBD_HS_IDLE : NBD_HS_DONE;
	if (hs->options.goal == NBD_GOAL_INFO)
		put_option(hs, NBD_OPT_ABORT, 0);
}

/* --- EXPORT_NAME ------------------------------------------------------------------------------ */

/* Whether the 64 bits are the beginning of a message, not of a size. */
static bool is_message(uint64_t bits)
{
	static const uint32_t replies[] = { NBD_MAGIC_SIMPLE_REPLY, NBD_MAGIC_STRUCTURED_REPLY,
					    NBD_MAGIC_EXTENDED_REPLY };

	for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++)
		if (bits >> 32 == replies[i])
			return true;
	return bits == NBD_MAGIC_INIT || bits == NBD_MAGIC_OPTION || bits == NBD_MAGIC_OLDSTYLE;
}

/* An option reply, for which EXPORT_NAME has no place: some servers say so that there is no such
 * export. Its magic would make a size of 1000 TiB. */
static void on_export_name_reply(struct nbd_handshake *hs)
{
	uint32_t type = wire_get32(hs->in + 12), payload_bytes = wire_get32(hs->in + 16);
	const char *message = (const char *)hs->in + REPLY_HEADER_BYTES;

	if (payload_bytes > NBD_OPTION_REPLY_BYTES_MAX)
		payload_bytes = 0;
	hs->in_want_bytes = REPLY_HEADER_BYTES + payload_bytes;
	if (hs->in_bytes < hs->in_want_bytes)
		return;
	hs->option_error = type & NBD_REP_FLAG_ERROR ? type : 0;
	hs->error_errno = explain(hs, type, message, payload_bytes);
	hs->state = NBD_HS_FAILED;
}

/* The size first: it tells whether this is an answer at all. */
static void on_export_name(struct nbd_handshake *hs)
{
	size_t zeroes_bytes = hs->server_flags & NBD_FLAG_NO_ZEROES ? 0 : EXPORT_ZEROES_BYTES;
	uint64_t bits = wire_get64(hs->in);

	if (hs->out_sent_bytes < hs->out_bytes)
		fail(hs, EPROTO, "the server answered NBD_OPT_EXPORT_NAME before it was asked");
	else if (bits == NBD_MAGIC_OPTION_REPLY && hs->in_bytes < REPLY_HEADER_BYTES)
		hs->in_want_bytes = REPLY_HEADER_BYTES;
	else if (bits == NBD_MAGIC_OPTION_REPLY)
		on_export_name_reply(hs);
	else if (is_message(bits))
		fail(hs, EPROTO,
		     "the server sent 0x%016" PRIx64 " where the export's size belongs, which is a "
		     "message's beginning and no size",
		     bits);
	else if (hs->in_bytes == EXPORT_SIZE_BYTES)
		hs->in_want_bytes = EXPORT_ANSWER_BYTES + zeroes_bytes;
	else if (take_export(hs, hs->in))
		hs->state = NBD_HS_DONE;
}

/* --- option replies --------------------------------------------------------------------------- */

/* The server does not have what the state asked for: the next best, if there is one. */
static void on_option_error(struct nbd_handshake *hs, uint32_t error, const char *message,
			    size_t message_bytes)
{
	bool fatal = error == NBD_REP_ERR_SHUTDOWN || error == NBD_REP_ERR_TLS_REQD;

	if (!fatal && hs->state == NBD_HS_EXTENDED_HEADERS)
		ask_plain(hs, NBD_HS_STRUCTURED_REPLY);
	else if (!fatal && hs->state == NBD_HS_STRUCTURED_REPLY)
		ask_export(hs);
	else if (error == NBD_REP_ERR_UNSUP && hs->state == NBD_HS_GO &&
		 hs->options.goal == NBD_GOAL_GO && hs->export.framing == NBD_FRAMING_EXTENDED)
		fail(hs, EPROTO,
		     "the server granted extended headers but does not know NBD_OPT_GO, "
		     "which it must: this server is faulty");
	else if (error == NBD_REP_ERR_UNSUP && hs->state == NBD_HS_GO &&
		 hs->options.goal == NBD_GOAL_GO)
		ask_export_name(hs);
	else if (!fatal && hs->state == NBD_HS_GO && hs->options.goal == NBD_GOAL_LIST)
		refuse_ask(hs, error, message, message_bytes);
	else
		refuse(hs, error, message, message_bytes);
}

/* "NBD_REP_SERVER": the name's length, the name, and what is left describes it. */
static void on_listed(struct nbd_handshake *hs, const uint8_t *payload, size_t bytes)
{
	uint32_t name_bytes = bytes >= 4 ? wire_get32(payload) : 0;
	const char *name = (const char *)payload + 4;

	if (bytes < 4 || name_bytes > bytes - 4)
		fail(hs, EPROTO,
		     "the server's list of exports is broken: a name of %" PRIu32
		     " bytes in %zu bytes",
		     name_bytes, bytes);
	else
		hs->options.listed(hs->options.context, name, name_bytes, name + name_bytes,
				   bytes - 4 - name_bytes);
}

static void on_ack(struct nbd_handshake *hs)
{
	switch (hs->state) {
	case NBD_HS_STARTTLS:
		hs->state = NBD_HS_TLS;
		break;
	case NBD_HS_EXTENDED_HEADERS:
		hs->export.framing = NBD_FRAMING_EXTENDED;
		ask_export(hs);
		break;
	case NBD_HS_STRUCTURED_REPLY:
		hs->export.framing = NBD_FRAMING_STRUCTURED;
		ask_export(hs);
		break;
	case NBD_HS_LIST:
		hs->state = NBD_HS_IDLE;
		break;
	default:
		on_export_ack(hs);
		break;
	}
}

static void on_reply(struct nbd_handshake *hs)
{
	uint32_t type = wire_get32(hs->in + 12);
	const uint8_t *payload = hs->in + REPLY_HEADER_BYTES;
	size_t payload_bytes = hs->in_bytes - REPLY_HEADER_BYTES;

	hs->in_bytes = 0;
	hs->in_want_bytes = REPLY_HEADER_BYTES;
	if (type & NBD_REP_FLAG_ERROR)
		on_option_error(hs, type, (const char *)payload, payload_bytes);
	else if (type == NBD_REP_ACK && payload_bytes > 0)
		fail(hs, EPROTO,
		     "the server agreed to option %" PRIu32
		     " with data (%zu bytes), which does not "
		     "belong there",
		     state_option(hs), payload_bytes);
	else if (type == NBD_REP_ACK)
		on_ack(hs);
	else if (type == NBD_REP_INFO && hs->state == NBD_HS_GO)
		on_info(hs, payload, payload_bytes);
	else if (type == NBD_REP_SERVER && hs->state == NBD_HS_LIST)
		on_listed(hs, payload, payload_bytes);
	else
		fail(hs, EPROTO,
		     "the server answered option %" PRIu32 " with reply type %" PRIu32
		     ", which does not belong there",
		     state_option(hs), type);
}

static void on_reply_header(struct nbd_handshake *hs)
{
	uint64_t magic = wire_get64(hs->in);
	uint32_t option = wire_get32(hs->in + 8);
	uint32_t payload_bytes = wire_get32(hs->in + 16);

	if (magic != NBD_MAGIC_OPTION_REPLY)
		fail(hs, EPROTO, "the server's answer to an option is broken: 0x%016" PRIx64,
		     magic);
	else if (option != state_option(hs))
		fail(hs, EPROTO,
		     "the server answered option %" PRIu32 " when %" PRIu32 " was asked for",
		     option, state_option(hs));
	else if (payload_bytes > NBD_OPTION_REPLY_BYTES_MAX)
		fail(hs, EPROTO,
		     "the server's answer to option %" PRIu32 " has %" PRIu32 " bytes: too long",
		     option, payload_bytes);
	else if (hs->out_sent_bytes < hs->out_bytes)
		fail(hs, EPROTO, "the server answered option %" PRIu32 " before it was asked",
		     option);
	else if (++hs->replies > NBD_OPTION_REPLIES_MAX && hs->state != NBD_HS_LIST)
		fail(hs, EPROTO,
		     "the server does not come to an end with its answers to option %" PRIu32,
		     option);
	else
		hs->in_want_bytes = REPLY_HEADER_BYTES + payload_bytes;
}

/* The item that was waited for is whole. */
static void on_input(struct nbd_handshake *hs)
{
	if (hs->state == NBD_HS_GREETING) {
		on_greeting(hs);
	} else if (hs->state == NBD_HS_EXPORT_NAME) {
		on_export_name(hs);
	} else {
		if (hs->in_bytes == REPLY_HEADER_BYTES)
			on_reply_header(hs);
		if (hs->state != NBD_HS_FAILED && hs->in_bytes == hs->in_want_bytes)
			on_reply(hs);
	}
}

/* --- what the caller sees --------------------------------------------------------------------- */

int nbd_handshake_init(struct nbd_handshake *hs, const struct nbd_handshake_options *options)
{
	size_t name_bytes = strlen(options->export_name);

	memset(hs, 0, sizeof(*hs));
	hs->options = *options;
	expect(hs, NBD_HS_GREETING, GREETING_MAGIC_BYTES);
	if (name_bytes > NBD_STRING_BYTES_MAX) {
		fail(hs, EINVAL, "the export's name has %zu bytes, and NBD allows %d", name_bytes,
		     NBD_STRING_BYTES_MAX);
		return -EINVAL;
	}
	export_reset(hs);
	return 0;
}

const uint8_t *nbd_handshake_output(const struct nbd_handshake *hs, size_t *len)
{
	*len = hs->out_bytes - hs->out_sent_bytes;
	return hs->out + hs->out_sent_bytes;
}

void nbd_handshake_sent(struct nbd_handshake *hs, size_t len)
{
	assert(len <= hs->out_bytes - hs->out_sent_bytes);
	hs->out_sent_bytes += len;
	if (hs->out_sent_bytes == hs->out_bytes)
		hs->out_sent_bytes = hs->out_bytes = 0;
}

enum nbd_handshake_status nbd_handshake_status(const struct nbd_handshake *hs)
{
	switch (hs->state) {
	case NBD_HS_TLS:
		return NBD_HANDSHAKE_START_TLS;
	case NBD_HS_IDLE:
		return NBD_HANDSHAKE_IDLE;
	case NBD_HS_DONE:
		return NBD_HANDSHAKE_DONE;
	case NBD_HS_FAILED:
		return NBD_HANDSHAKE_FAILED;
	default:
		return NBD_HANDSHAKE_ACTIVE;
	}
}

size_t nbd_handshake_wanted(const struct nbd_handshake *hs)
{
	if (nbd_handshake_status(hs) != NBD_HANDSHAKE_ACTIVE)
		return 0;
	return hs->in_want_bytes - hs->in_bytes;
}

enum nbd_handshake_status nbd_handshake_feed(struct nbd_handshake *hs, const uint8_t *bytes,
					     size_t len)
{
	assert(len <= nbd_handshake_wanted(hs));
	if (len > 0) {
		memcpy(hs->in + hs->in_bytes, bytes, len);
		hs->in_bytes += len;
		if (hs->in_bytes == hs->in_want_bytes)
			on_input(hs);
	}
	return nbd_handshake_status(hs);
}

void nbd_handshake_closed(struct nbd_handshake *hs)
{
	struct nbd_refusal refusal = refusal_of(hs);

	if (nbd_handshake_status(hs) != NBD_HANDSHAKE_ACTIVE)
		return;
	hs->error_errno = nbd_refusal_explain_close(&refusal, hs->error, sizeof(hs->error));
	hs->state = NBD_HS_FAILED;
	hs->out_bytes = hs->out_sent_bytes = 0;
}

void nbd_handshake_tls_done(struct nbd_handshake *hs)
{
	assert(hs->state == NBD_HS_TLS);
	ask_first(hs);
}

void nbd_handshake_ask(struct nbd_handshake *hs, const char *name)
{
	assert(hs->state == NBD_HS_IDLE && hs->options.goal == NBD_GOAL_LIST);
	assert(strlen(name) <= NBD_STRING_BYTES_MAX);
	hs->options.export_name = name;
	hs->option_error = 0;
	hs->error_errno = 0;
	hs->error[0] = '\0';
	hs->replies = 0;
	ask_export(hs);
}

void nbd_handshake_leave(struct nbd_handshake *hs)
{
	assert(hs->state == NBD_HS_IDLE && hs->options.goal == NBD_GOAL_LIST);
	put_option(hs, NBD_OPT_ABORT, 0);
	hs->state = NBD_HS_DONE;
}
