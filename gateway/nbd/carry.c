/* SPDX-License-Identifier: MIT */
#include "gateway/nbd/carry.h"

#include <string.h>

#include "gateway/nbd/settle.h"
#include "gateway/nbd/waiting.h"

/* --- the lender ------------------------------------------------------------------------------------- */

static bool has_live_connection(const struct nbd_client *client)
{
	for (uint32_t i = 0; i < client->connections_count; i++)
		if (connection_state(&client->connections[i]) == CONNECTION_LIVE)
			return true;
	return false;
}

static struct loan *free_loan(struct nbd_client *client)
{
	for (uint32_t i = 0; i < LOANS_MAX; i++)
		if (!client->loans[i].part)
			return &client->loans[i];
	return NULL;
}

static void fill(struct loan *loan, struct nbd_client *client, struct wire_request *part)
{
	const struct block_request *whole = nbd_client_split(client, part->tag)->request;

	*loan = (struct loan){
		.lender = client,
		.part = part,
		.request = *whole,
		.payload = client->base.payload,
		.payload_offset_bytes = part->payload_offset_bytes,
		.sent = part->sent_before,
		.losses = part->losses,
	};
	loan->request.offset_bytes = part->nbd.offset_bytes;
	loan->request.length_bytes = part->nbd.length_bytes;
}

bool carry_lend(struct nbd_client *client, struct wire_request *part)
{
	struct nbd_client_shared *shared = client->shared;
	struct loan *loan = free_loan(client);

	for (uint32_t i = 1; loan && i < shared->clients_count; i++) {
		uint32_t index = (client->base.queue_id + i) % shared->clients_count;
		struct nbd_client *carrier = shared->clients[index];

		if (!has_live_connection(carrier))
			continue;
		fill(loan, client, part);
		if (loan_leave(&carrier->box, loan)) {
			stats_add(&client->base.stats->carried, 1);
			shared->wake(shared->wake_context, index);
			return true;
		}
		loan->part = NULL;
	}
	return false;
}

static void take_back(struct nbd_client *client, struct loan *loan)
{
	struct wire_request *part = loan->part;

	loan->part = NULL;
	part->sent_before = loan->sent;
	part->losses = loan->losses;
	if (!loan->lost)
		settle_part_carried(client, part, loan->request.error);
	else if (waiting_is_allowed(client))
		waiting_add(client, part);
	else
		settle_part_lost(client, part);
}

void carry_take_back(struct nbd_client *client)
{
	struct loan *loan = loan_take_given_back(&client->box);

	/* There is room for more; what was lost goes out with the next tick. */
	client->parked_look |= loan && !loan->lost;
	while (loan) {
		struct loan *next = loan->next;

		take_back(client, loan);
		loan = next;
	}
}

/* --- the carrier ------------------------------------------------------------------------------------ */

static void refuse(struct nbd_client *client, struct loan *loan)
{
	loan->lost = true;
	settle_give_back(client, loan);
}

static struct split *free_split(struct nbd_client *client)
{
	for (uint32_t i = 0; i < LOANS_MAX; i++)
		if (!client->carried[i].active)
			return &client->carried[i];
	return NULL;
}

struct split *carry_begin(struct nbd_client *client, struct loan *loan)
{
	struct split *split = free_split(client);

	if (!split || client->leaving != LEAVE_NONE || client->replacing != REPLACE_NONE) {
		refuse(client, loan);
		return NULL;
	}
	split->loan = loan;
	split->request = &loan->request;
	split->active = true;
	client->carrying++;
	return split;
}

bool carry_end(struct nbd_client *client)
{
	struct loan *loan = loan_box_close(&client->box);

	while (loan) {
		struct loan *next = loan->next;

		refuse(client, loan);
		loan = next;
	}
	return client->carrying == 0;
}
