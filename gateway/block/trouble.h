/* SPDX-License-Identifier: MIT */
/*
 * trouble.h - what last went wrong with a disk's requests, in words. The kernel is told an errno, and whoever
 * reads the disk gets that; who asks the daemon (connect, disconnect, resize, status) gets these words.
 *
 * One for all queues of a disk. The lock is taken only where a request or a connection fails.
 */
#ifndef GATEWAY_BLOCK_TROUBLE_H
#define GATEWAY_BLOCK_TROUBLE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define TROUBLE_BYTES_MAX 480

struct trouble_note {
	char text[TROUBLE_BYTES_MAX];
	bool server_said; /* the server answered with an error; else it is ours, or the network's */
	int64_t at_ms;	  /* CLOCK_MONOTONIC */
};

struct trouble {
	pthread_mutex_t lock;
	uint64_t count; /* of notes up to now, of which the last is kept */
	struct trouble_note last;
};

/* Nothing is wrong. Before any queue's thread runs. */
void trouble_init(struct trouble *trouble);
/* Any thread. Before the failure that it explains is reported. Plain ASCII. */
void trouble_note(struct trouble *trouble, bool server_said, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
uint64_t trouble_count(struct trouble *trouble);
/* The last note, if there are more than count by now; else false. Any thread. */
bool trouble_since(struct trouble *trouble, uint64_t count, struct trouble_note *note);

#endif
