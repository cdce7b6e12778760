/* SPDX-License-Identifier: MIT */
/*
 * places.h - the connections of all queues of a disk, as the main thread sees them. A queue's client has a fixed
 * number of places for connections; what is in a place comes and goes (gateway/nbd/connection.h).
 */
#ifndef GATEWAY_DISK_PLACES_H
#define GATEWAY_DISK_PLACES_H

#include "gateway/disk/disk.h"

struct place {
	uint32_t queue, index; /* of the queue's client */
};

/* for (struct place at = places_before_all; places_next(disk, &at);) */
extern const struct place places_before_all;
/* Moves on to the next one, in the order of the queues; false: there is none. */
bool places_next(const struct disk *disk, struct place *at);
const struct connection *places_connection(const struct disk *disk, struct place at);

struct places_census {
	uint32_t live;	   /* or about to be: a transport was handed over */
	uint32_t settling; /* neither live nor dead: the server may still answer there */
	uint32_t dead;
};

struct places_census places_census(const struct disk *disk);
/* How many requests wait for a connection, or for a quiet time (gateway/nbd/waiting.h). */
uint32_t places_parked(const struct disk *disk);
/* Whether any request is under way, or waits. */
bool places_any_waits(const struct disk *disk);
/* Why the first of the lost ones was lost, for people. */
const char *places_reason_of_loss(const struct disk *disk);
/* Has each queue look at what waits. */
void places_wake_queues(const struct disk *disk);

#endif
