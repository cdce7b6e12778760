/* SPDX-License-Identifier: MIT */
/*
 * Goal: whatever a server sends, the handshake keeps its promises (handshake.h): it is never stuck,
 * never sends without bound, ends well only with an export whose numbers fit together, and never
 * depends on how the stream was cut.
 * Method: the input is options, a seed, and the server's bytes. They are fed whole, then in random
 * pieces; status, error, bytes sent and export must be the same. A third time what is to be sent is
 * sent only now and then, as by a caller that does not keep the order; that must merely be safe.
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/handshake.h"
#include "proto/text.h"
#include "proto/wire.h"
#include "tests/fuzz/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t input_bytes);

enum { INPUT_HEADER_BYTES = 3, SENT_BYTES_MAX = 1024, ASKS_MAX = 4 };

struct play {
	struct nbd_handshake hs;
	uint8_t sent[SENT_BYTES_MAX]; /* the name is short, so that this is plenty */
	size_t sent_bytes;
	size_t used_bytes;
	unsigned int asked;
	bool orderly; /* all is sent before more is fed */
};

static uint32_t next_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

static bool is_power_of_two(uint32_t value)
{
	return value && !(value & (value - 1));
}

static void check_text(const char *text, size_t room)
{
	size_t len = strnlen(text, room);

	must(len < room);
	must(nbd_text_is_string(text, len));
	for (size_t i = 0; i < len; i++)
		must((unsigned char)text[i] >= 0x20 && text[i] != 0x7f);
}

static void check_export(const struct nbd_handshake *hs)
{
	const struct nbd_export *export = &hs->export;

	must(export->size_bytes <= INT64_MAX);
	must((export->flags & NBD_FLAG_HAS_FLAGS) ||
	     !(export->flags &
	       (uint16_t) ~(NBD_FLAG_READ_ONLY | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA)));
	must(is_power_of_two(export->block_minimum_bytes));
	must(export->block_minimum_bytes <= 65536);
	must(is_power_of_two(export->block_preferred_bytes));
	must(export->block_preferred_bytes >= export->block_minimum_bytes);
	must(export->payload_max_bytes >= export->block_minimum_bytes);
	must(export->payload_max_bytes == UINT32_MAX ||
	     export->payload_max_bytes % export->block_minimum_bytes == 0);
	must(!hs->options.no_structured || export->framing == NBD_FRAMING_SIMPLE);
	must(!hs->options.no_extended || export->framing != NBD_FRAMING_EXTENDED);
	if (export->used_export_name) {
		must(hs->options.goal == NBD_GOAL_GO);
		must(!export->block_sizes_given);
		must(export->framing != NBD_FRAMING_EXTENDED);
	}
	check_text(export->name, sizeof(export->name));
	check_text(export->description, sizeof(export->description));
}

static void check_state(const struct nbd_handshake *hs)
{
	size_t wanted = nbd_handshake_wanted(hs), len;

	nbd_handshake_output(hs, &len);
	must(len <= sizeof(hs->out));
	switch (nbd_handshake_status(hs)) {
	case NBD_HANDSHAKE_ACTIVE:
		must(wanted > 0 && wanted <= sizeof(hs->in));
		break;
	case NBD_HANDSHAKE_START_TLS:
		must(hs->options.tls && wanted == 0);
		break;
	case NBD_HANDSHAKE_DONE:
		must(wanted == 0);
		if (hs->options.goal != NBD_GOAL_LIST)
			check_export(hs);
		break;
	case NBD_HANDSHAKE_IDLE:
		must(hs->options.goal == NBD_GOAL_LIST && wanted == 0);
		must(!hs->error_errno == !hs->error[0]);
		break;
	case NBD_HANDSHAKE_FAILED:
		must(wanted == 0);
		must(hs->error[0] && hs->error_errno > 0);
		check_text(hs->error, sizeof(hs->error));
		break;
	}
}

static void on_listed(void *context, const char *name, size_t name_bytes, const char *description,
		      size_t description_bytes)
{
	static volatile char sink; /* each byte must be there to be read */

	must(!context);
	for (size_t i = 0; i < name_bytes; i++)
		sink = name[i];
	for (size_t i = 0; i < description_bytes; i++)
		sink = description[i];
	(void)sink;
}

/* A list is asked about, so often that nothing is sent beyond what play holds. */
static void ask_some(struct play *play)
{
	if (play->asked++ < ASKS_MAX)
		nbd_handshake_ask(&play->hs, "disk");
	else
		nbd_handshake_leave(&play->hs);
}

static void send_some(struct play *play, size_t most)
{
	size_t len;
	const uint8_t *bytes = nbd_handshake_output(&play->hs, &len);

	if (len > most)
		len = most;
	must(len <= sizeof(play->sent) - play->sent_bytes);
	memcpy(play->sent + play->sent_bytes, bytes, len);
	play->sent_bytes += len;
	nbd_handshake_sent(&play->hs, len);
}

/* Feeds it all; piece sizes from the seed, or as large as wanted when it is 0. */
static void play_all(struct play *play, const struct nbd_handshake_options *options,
		     const uint8_t *stream, size_t stream_bytes, uint32_t seed)
{
	must(nbd_handshake_init(&play->hs, options) == 0);
	play->sent_bytes = play->used_bytes = play->asked = 0;
	for (;;) {
		size_t n = nbd_handshake_wanted(&play->hs);

		check_state(&play->hs);
		if (nbd_handshake_status(&play->hs) == NBD_HANDSHAKE_START_TLS) {
			nbd_handshake_tls_done(&play->hs);
		} else if (nbd_handshake_status(&play->hs) == NBD_HANDSHAKE_IDLE) {
			ask_some(play);
		} else {
			if (seed && n > 1)
				n = 1 + next_random(&seed) % n;
			if (n > stream_bytes - play->used_bytes)
				n = stream_bytes - play->used_bytes;
			if (n == 0)
				return;
			nbd_handshake_feed(&play->hs, stream + play->used_bytes, n);
			play->used_bytes += n;
		}
		if (play->orderly)
			send_some(play, SIZE_MAX);
		else
			send_some(play, next_random(&seed) % 64);
	}
}

static void compare(const struct play *a, const struct play *b)
{
	const struct nbd_export *x = &a->hs.export, *y = &b->hs.export;

	must(a->hs.state == b->hs.state);
	must(a->used_bytes == b->used_bytes);
	must(a->sent_bytes == b->sent_bytes);
	must(memcmp(a->sent, b->sent, a->sent_bytes) == 0);
	must(a->hs.error_errno == b->hs.error_errno);
	must(a->hs.option_error == b->hs.option_error);
	must(strcmp(a->hs.error, b->hs.error) == 0);
	must(nbd_handshake_wanted(&a->hs) == nbd_handshake_wanted(&b->hs));
	must(x->size_bytes == y->size_bytes && x->flags == y->flags && x->framing == y->framing);
	must(x->block_minimum_bytes == y->block_minimum_bytes);
	must(x->block_preferred_bytes == y->block_preferred_bytes);
	must(x->payload_max_bytes == y->payload_max_bytes);
	must(x->used_export_name == y->used_export_name);
	must(strcmp(x->name, y->name) == 0 && strcmp(x->description, y->description) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t input_bytes)
{
	static struct play whole = { .orderly = true }, pieces = { .orderly = true }, disorderly;
	struct nbd_handshake_options options = { .export_name = "disk" };
	uint32_t seed;

	if (input_bytes < INPUT_HEADER_BYTES)
		return 0;
	options.goal = input[0] & 1 ? NBD_GOAL_INFO : NBD_GOAL_GO;
	if (input[0] & 16) {
		options.goal = NBD_GOAL_LIST;
		options.export_name = "";
	}
	options.export_name_only = input[0] & 32 && options.goal == NBD_GOAL_GO;
	options.listed = on_listed;
	options.tls = input[0] & 2;
	options.no_structured = input[0] & 4;
	options.no_extended = input[0] & 8;
	seed = 1 + input[1] + 256u * input[2];
	input += INPUT_HEADER_BYTES;
	input_bytes -= INPUT_HEADER_BYTES;

	play_all(&whole, &options, input, input_bytes, 0);
	play_all(&pieces, &options, input, input_bytes, seed);
	compare(&whole, &pieces);
	play_all(&disorderly, &options, input, input_bytes, seed);
	nbd_handshake_closed(&whole.hs);
	check_state(&whole.hs);
	return 0;
}
