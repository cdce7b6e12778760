// SPDX-License-Identifier: MIT
#include "gateway/common/dial_exports.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/common/dial_conversation.h"
#include "proto/text.h"
#include "proto/wire.h"

/* One question. False when the connection bears no other. */
static bool ask(struct dial *dial, struct transport *transport, struct dial_listed *entry)
{
	struct nbd_handshake *hs = dial->handshake;
	char text[160];
	int error;

	nbd_text_printable(text, sizeof(text), entry->name, entry->name_bytes);
	snprintf(dial->result->sentence, sizeof(dial->result->sentence),
		 "asking about export \"%s\"", text);
	dial_report(dial, DIAL_HANDSHAKE, 0, dial->result->sentence);
	nbd_handshake_ask(hs, entry->name);
	error = dial_converse(dial, transport);
	if (error == -ECONNRESET || error == -EPIPE)
		nbd_handshake_closed(hs);
	if (nbd_handshake_status(hs) == NBD_HANDSHAKE_ACTIVE)
		entry->why = strdup(error == -ETIMEDOUT ? "the server did not answer in time"
							: strerror(-error));
	else if (hs->error_errno)
		entry->why = strdup(hs->error);
	else
		dial_listed_take(entry, &hs->export);
	/* Who does not know INFO knows it no better for the next, and may have left its data unread. */
	return nbd_handshake_status(hs) == NBD_HANDSHAKE_IDLE &&
	       hs->option_error != NBD_REP_ERR_UNSUP;
}

void dial_exports_ask(struct dial *dial, struct transport *transport)
{
	struct dial_list *list = dial->result->list;
	bool goes_on = true;

	if (nbd_handshake_status(dial->handshake) != NBD_HANDSHAKE_IDLE)
		return;
	dial->share_ms = dial->deadline_ms; /* this address is the right one */
	for (size_t i = 0; i < list->count && goes_on; i++)
		if (dial_listed_can_be_asked(&list->entries[i]))
			goes_on = ask(dial, transport, &list->entries[i]);
		else
			list->entries[i].why =
				strdup("nobody can ask for it: its name holds a NUL, "
				       "or is longer than NBD allows");
	if (nbd_handshake_status(dial->handshake) == NBD_HANDSHAKE_IDLE)
		nbd_handshake_leave(dial->handshake);
	else /* the list is there: what ended it afterwards stands beside the export */
		dial->handshake->state = NBD_HS_DONE;
}
