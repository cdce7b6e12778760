/* SPDX-License-Identifier: MIT */
#include "gateway/nbd/waiting.h"

#include <assert.h>

bool waiting_is_allowed(const struct nbd_client *client)
{
	const struct server_link *link = &client->shared->link;

	return link->waits && !client->giving_up && client->leaving == LEAVE_NONE &&
	       server_link_state(link) != LINK_FAILING;
}

void waiting_note_failure(struct nbd_client *client, const struct wire_request *request)
{
	struct server_link *link = &client->shared->link;

	if (link->counts_unflushed && !link->trusts_server &&
	    (wire_request_changes_export(request) || server_link_unflushed(link) > 0))
		atomic_store(&link->flush_fails, true);
}

static void count(struct nbd_client *client, uint32_t n)
{
	atomic_store_explicit(&client->parked_count, n, memory_order_relaxed);
}

void waiting_add(struct nbd_client *client, struct wire_request *request)
{
	uint32_t n = atomic_load_explicit(&client->parked_count, memory_order_relaxed);

	assert(request->tx == TX_IDLE && !request->connection);
	request->next = NULL;
	if (client->parked_tail)
		client->parked_tail->next = request;
	else
		client->parked_head = request;
	client->parked_tail = request;
	if (n == 0)
		atomic_store_explicit(&client->parked_since_ms, client->base.now_ms,
				      memory_order_relaxed);
	count(client, n + 1);
}

struct wire_request *waiting_take_all(struct nbd_client *client)
{
	struct wire_request *first = client->parked_head;

	client->parked_head = NULL;
	client->parked_tail = NULL;
	count(client, 0);
	return first;
}
