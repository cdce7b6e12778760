/* SPDX-License-Identifier: MIT */
/*
 * log_ring.h - lines on their way from threads that must not wait to the process that writes them out
 * (log_writer.h), in memory that both share. Whoever puts a line allocates nothing, takes no lock and
 * waits for nobody: where there is no room the line is counted and dropped.
 */
#ifndef GATEWAY_COMMON_LOG_RING_H
#define GATEWAY_COMMON_LOG_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_LINE_BYTES_MAX 1024
/* A power of two. */
#define LOG_RING_LINES 64

struct log_cell {
	/* Its position p: free for the line p. p + 1: that line is in it. */
	atomic_uint_fast64_t sequence;
	uint16_t bytes;
	char text[LOG_LINE_BYTES_MAX];
};

struct log_ring {
	atomic_uint_fast64_t tail; /* of the next line that is put; producers' */
	atomic_uint_fast64_t head; /* of the next that is taken; the writer's */
	atomic_uint lost;	   /* lines that did not go out, and nobody was told of */
	struct log_cell cells[LOG_RING_LINES];
};

/* In shared memory, for a process and what it forks. NULL: there is none to be had. */
struct log_ring *log_ring_create(void);

/* Any thread of any process. bytes: at most LOG_LINE_BYTES_MAX. false: no room; the caller counts it. */
bool log_ring_put(struct log_ring *ring, const char *text, size_t bytes);

/* The writer alone: copies the next line to text and returns its bytes; 0: there is none. It keeps its place
 * until log_ring_drop(), so that an empty ring means that every line is out. */
size_t log_ring_look(struct log_ring *ring, char text[LOG_LINE_BYTES_MAX]);
void log_ring_drop(struct log_ring *ring);

/* Somebody has begun to put the next line and not finished. */
bool log_ring_is_held_up(struct log_ring *ring);
/* The writer alone: goes on without that line. Whoever was putting it has been killed, or stopped. */
void log_ring_pass(struct log_ring *ring);

bool log_ring_is_empty(struct log_ring *ring);

#endif
