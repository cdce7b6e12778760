/* SPDX-License-Identifier: MIT */
#include "gateway/disk/places.h"

const struct place places_before_all = { 0, UINT32_MAX };

bool places_next(const struct disk *disk, struct place *at)
{
	at->index++;
	while (at->queue < disk->queues_count &&
	       at->index >= disk->clients[at->queue].connections_count) {
		at->queue++;
		at->index = 0;
	}
	return at->queue < disk->queues_count;
}

const struct connection *places_connection(const struct disk *disk, struct place at)
{
	return &disk->clients[at.queue].connections[at.index];
}

struct places_census places_census(const struct disk *disk)
{
	struct places_census census = { 0 };

	for (struct place at = places_before_all; places_next(disk, &at);) {
		enum connection_state state = connection_state(places_connection(disk, at));

		if (state == CONNECTION_LIVE ||
		    atomic_load(&disk->clients[at.queue].joins[at.index]) == JOIN_ASKED)
			census.live++;
		else if (state == CONNECTION_DEAD)
			census.dead++;
		else
			census.settling++;
	}
	return census;
}

uint32_t places_parked(const struct disk *disk)
{
	uint32_t sum = 0;

	for (uint32_t q = 0; q < disk->queues_count; q++)
		sum += atomic_load(&disk->clients[q].parked_count);
	return sum;
}

bool places_any_waits(const struct disk *disk)
{
	for (struct place at = places_before_all; places_next(disk, &at);)
		if (atomic_load(&places_connection(disk, at)->in_flight) > 0)
			return true;
	return places_parked(disk) > 0;
}

const char *places_reason_of_loss(const struct disk *disk)
{
	for (struct place at = places_before_all; places_next(disk, &at);)
		/* Written before it stops to work. */
		if (!connection_works(places_connection(disk, at)) &&
		    places_connection(disk, at)->reason[0])
			return places_connection(disk, at)->reason;
	return "the connection is gone";
}

void places_wake_queues(const struct disk *disk)
{
	for (uint32_t q = 0; q < disk->queues_count; q++)
		queue_request(&disk->queues[q], QUEUE_REQUEST_LOOK);
}
