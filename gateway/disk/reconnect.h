/* SPDX-License-Identifier: MIT */
/*
 * reconnect.h - the main thread's part in bringing lost connections back: it dials, checks that the server still
 * has the disk that this one is, and hands the connection to the queue whose place is empty. What requests do
 * meanwhile is the queues' (gateway/nbd/waiting.h); the link's states are in gateway/nbd/server_link.h.
 *
 *   a place is DEAD --its time comes--> dialling --answered--> checked --no other connection works--> handed over
 *                        ^                  |                     |
 *                        +-- refused -------+   others work: a FLUSH on one of them, sent after the new one was
 *                                               made, is answered (join.h) --> handed over
 *
 * Why that FLUSH: a server that was restarted behind an idle, silent connection has lost what it acknowledged. A
 * connection that answers now proves that its server is the one that was there before the new one was made.
 *
 * Main thread only.
 */
#ifndef GATEWAY_DISK_RECONNECT_H
#define GATEWAY_DISK_RECONNECT_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/common/dial_task.h"
#include "gateway/disk/disk.h"

struct reconnect {
	struct disk *disk;
	int64_t now_ms;	  /* of the last look */
	int64_t since_ms; /* when the link's state began */
	uint32_t away_ms; /* of --dead-timeout, how much is used up; 0 after an answered request */
	int64_t said_ms;  /* when the log last said that the server is away */
	int64_t lost_ms;  /* when the last connection was lost; 0: the server was answered since */
	struct dial_task *task; /* NULL: none is under way */
	uint32_t queue, index;	/* the place that it is for */
	struct transport
		*ready;	   /* made and checked, and waits for the FLUSH on another connection */
	bool asked;	   /* for that FLUSH, since it was made */
	int64_t dial_ms;   /* when the next one is due */
	uint32_t pace_ms;  /* the pause before it */
	uint32_t attempts; /* since a request was answered */
	bool refused;	   /* the server that answers does not have this disk */
	bool by_name;	   /* the next dial looks its name up again */
	char error[700];   /* why the last dial came to nothing; "" */
};

/* From now on requests wait for a lost server, as the disk's configuration has it. */
void reconnect_open(struct reconnect *reconnect, struct disk *disk);
void reconnect_close(struct reconnect *reconnect);
/* Readable when a dial is over; -1: none is under way. */
int reconnect_fd(const struct reconnect *reconnect);
/* How long the main thread may sleep until reconnect_look() is due; -1: as long as it likes. */
int reconnect_wait_ms(const struct reconnect *reconnect);
/* Once each turn. idle: whether a dial may be begun (connections are not being replaced, the disk goes on). */
void reconnect_look(struct reconnect *reconnect, int64_t now_ms, bool idle);
/* --dead-timeout is another one. */
void reconnect_follow_settings(struct reconnect *reconnect);
/* The user wants it now. accept_loss: FLUSH works again, though acknowledged writes may be lost. */
void reconnect_now(struct reconnect *reconnect, bool accept_loss);
/* Whether the disk has no connection: nothing is gained by giving the server time. */
bool reconnect_is_away(const struct reconnect *reconnect);
/* Whether the disk's server is one that can come back: not one that was started for the disk. */
bool reconnect_dials(const struct disk *disk);

#endif
