/* SPDX-License-Identifier: MIT */
/*
 * It looks often and takes no lock: a lock that it shared with the queue's thread would hide from ThreadSanitizer
 * what the client itself does not order.
 */
#include "tests/model/asker.h"

#include <errno.h>
#include <time.h>

#include "gateway/nbd/connection.h"
#include "gateway/nbd/join.h"
#include "tests/model/failure.h"
#include "tests/model/tally.h"

#define NAP_NS		 200000
#define NAPS_MAX	 600000 /* two minutes and more */
#define CONDEMN_NAPS_MAX 4
#define ENDED_ONE_IN	 6

/* Whether the driver is still there. */
static bool nap(struct asker *asker)
{
	const struct timespec time = { .tv_nsec = NAP_NS };

	if (++asker->naps > NAPS_MAX)
		failure_report("the run does not end");
	nanosleep(&time, NULL);
	return !atomic_load(&asker->driver->done);
}

static void connect_incoming(struct asker *asker)
{
	struct driver *driver = asker->driver;
	struct nbd_client *client = &driver->client;
	uint32_t ended = UINT32_MAX;

	if (chance_one_in(&asker->dice, ENDED_ONE_IN))
		ended = dice_below(&asker->dice, client->connections_count);
	for (uint32_t i = 0; i < client->connections_count; i++)
		client->incoming[i] = server_connect(driver->server, i == ended);
}

/* The disk is removed by force amid some of them. */
static int wait_for_outcome(struct asker *asker)
{
	struct driver *driver = asker->driver;
	bool condemns = driver->plan->condemn_amid_replacement && chance_one_in(&asker->dice, 2);
	uint32_t naps = dice_below(&asker->dice, CONDEMN_NAPS_MAX);
	int outcome;

	for (; atomic_load(&driver->client.replaced) == 0; naps--) {
		if (condemns && naps == 0)
			driver_wish(driver, DRIVER_WISH_CONDEMN);
		if (!nap(asker))
			break;
	}
	outcome = atomic_load(&driver->client.replaced);
	return outcome ? outcome : -ECANCELED;
}

static void close_left(struct asker *asker, int outcome)
{
	struct nbd_client *client = &asker->driver->client;

	for (uint32_t i = 0; i < client->connections_count; i++) {
		if (outcome == 1 && (!client->outgoing[i] || client->incoming[i]))
			failure_report("connection %u was not replaced", i);
		transport_close(client->outgoing[i]);
		transport_close(client->incoming[i]);
		client->outgoing[i] = NULL;
		client->incoming[i] = NULL;
	}
}

static void replace(struct asker *asker)
{
	struct driver *driver = asker->driver;
	int outcome;

	connect_incoming(asker);
	nbd_client_ask_replace(&driver->client);
	driver_wish(driver, DRIVER_WISH_LOOK);
	outcome = wait_for_outcome(asker);
	close_left(asker, outcome);
	if (outcome == 1)
		tally_add(replaced, 1);
	else if (outcome == -ECANCELED)
		tally_add(replace_cancelled, 1);
	else if (outcome == -ECONNRESET || outcome == -EIO || outcome == -ENOSPC)
		tally_add(replace_refused, 1);
	else
		failure_report("a replacement ended with %d", outcome);
}

/* As gateway/disk/reconnect.c does where no other connection works: a FLUSH covers nothing of another one. */
static void suspect_loss(struct nbd_client *client)
{
	struct server_link *link = &client->shared->link;
	uint32_t dead = 0;

	for (uint32_t i = 0; i < client->connections_count; i++)
		dead += connection_state(&client->connections[i]) == CONNECTION_DEAD;
	if (dead == client->connections_count && server_link_unflushed(link) > 0 &&
	    !(client->shared->export->flags & NBD_FLAG_CAN_MULTI_CONN))
		atomic_store(&link->flush_fails, true);
}

static bool await_join(struct asker *asker, uint32_t index)
{
	struct nbd_client *client = &asker->driver->client;

	while (atomic_load(&client->joins[index]) == JOIN_ASKED && nap(asker))
		;
	if (atomic_load(&client->joins[index]) == JOIN_TAKEN)
		return true;
	return false;
}

static void bring_back(struct asker *asker, uint32_t index)
{
	struct driver *driver = asker->driver;
	struct nbd_client *client = &driver->client;
	bool taken;

	suspect_loss(client);
	client->joining[index] =
		server_connect(driver->server, chance_one_in(&asker->dice, ENDED_ONE_IN));
	join_ask(client, index);
	driver_wish(driver, DRIVER_WISH_LOOK);
	taken = await_join(asker, index);
	if (atomic_load(&driver->done))
		return; /* the client's end closes what it has */
	transport_close(taken ? client->outgoing[index] : client->joining[index]);
	client->outgoing[index] = NULL;
	client->joining[index] = NULL;
	atomic_store(&client->joins[index], JOIN_NONE);
	if (taken)
		tally_add(rejoined, 1);
}

static void bring_all_back(struct asker *asker)
{
	struct nbd_client *client = &asker->driver->client;

	for (uint32_t i = 0; i < client->connections_count; i++)
		if (connection_state(&client->connections[i]) == CONNECTION_DEAD &&
		    !asker->condemned && !asker->gave_up && chance_one_in(&asker->dice, 4))
			bring_back(asker, i);
}

static void look(struct asker *asker)
{
	struct driver *driver = asker->driver;
	const struct plan *plan = driver->plan;
	uint32_t submitted = atomic_load(&driver->submitted);

	if (plan->waits)
		bring_all_back(asker);
	if (plan->replace_every && submitted >= asker->replace_at) {
		asker->replace_at = submitted + plan->replace_every;
		replace(asker);
	}
	if (plan->condemn_at && submitted >= plan->condemn_at && !asker->condemned) {
		asker->condemned = true;
		driver_wish(driver, DRIVER_WISH_CONDEMN);
	}
	if (plan->give_up_at && submitted >= plan->give_up_at && !asker->gave_up) {
		asker->gave_up = true;
		driver_wish(driver, DRIVER_WISH_GIVE_UP);
	}
}

static void *ask(void *argument)
{
	struct asker *asker = argument;

	while (nap(asker))
		look(asker);
	return NULL;
}

void asker_start(struct asker *asker, struct driver *driver)
{
	*asker = (struct asker){ .driver = driver, .replace_at = driver->plan->replace_every };
	chance_seed(&asker->dice, driver->plan->seed, CHANCE_ASKER);
	if (pthread_create(&asker->thread, NULL, ask, asker) != 0)
		failure_report("no thread to ask with");
}

void asker_join(struct asker *asker)
{
	pthread_join(asker->thread, NULL);
}
