/* SPDX-License-Identifier: MIT */
/*
 * queue.h - one ublk queue: a thread, its ring, the driver's tags and the backend that serves them.
 *
 *   NEW -> SERVING -> LEAVING -> DONE
 *
 *   SERVING   commands are with the driver, or their requests with the backend. It ends when the
 *             driver has aborted every command (STOP_DEV, or the device was never started).
 *   LEAVING   the backend makes durable what was written, and leaves its server
 *   DONE      the thread returned; fd `report_fd` is readable
 *
 * There is no lock: what other threads may do is set a bit in `requested` and write mailbox_fd,
 * and read what is _Atomic.
 */
#ifndef GATEWAY_DISK_QUEUE_H
#define GATEWAY_DISK_QUEUE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "gateway/block/backend.h"
#include "gateway/ublk/tags.h"

enum queue_state { QUEUE_NEW, QUEUE_SERVING, QUEUE_LEAVING, QUEUE_DONE };

/* Bits of `requested`. */
#define QUEUE_REQUEST_CONDEMN 1u /* what waits for the backend fails now */
#define QUEUE_REQUEST_GIVE_UP                                                                      \
	2u		      /* leave although commands are with the driver (it never started) */
#define QUEUE_REQUEST_LOOK 4u /* something was left with the backend for its advance() */

/* What all queues of a device share; constant once they run, but for size_bytes and trouble. */
struct queue_shared {
	int char_fd;
	uint16_t depth;
	bool mapped; /* payloads: in buffers of ours, else by user copy */
	uint32_t max_io_bytes;
	_Atomic uint64_t size_bytes; /* of the device; resize raises it */
	struct trouble trouble;
};

struct queue {
	struct queue_shared *shared;
	struct block_backend *backend; /* the caller's; it outlives the queue */
	uint16_t id;
	_Atomic(enum queue_state) state;
	pthread_t thread;
	bool thread_started;
	int mailbox_fd; /* eventfd, read by the ring */
	int report_fd;	/* eventfd, written when DONE, and when failure is set before that */
	_Atomic uint32_t requested;
	_Atomic int failure; /* positive errno of what ended the queue early; or 0 */

	/* the thread's own from here on */
	struct io_uring ring;
	struct tags tags;
	bool tick_armed;
	bool tick_came;	     /* in this turn */
	int64_t tick_due_ms; /* when the armed one is to come, or the last one was */
	struct __kernel_timespec tick;
	uint64_t mailbox_value;
	bool mailbox_armed;
	bool look; /* QUEUE_REQUEST_LOOK came in this turn */
	struct stats stats;
};

/* Prepares the queue and its tags, for a backend that is open. 0 or -errno; queue_close() is due in every
 * case. Control thread. */
int queue_open(struct queue *queue, struct queue_shared *shared, uint16_t id,
	       struct block_backend *backend);
/* Starts its thread, which issues FETCH for each tag. 0 or -errno. */
int queue_start(struct queue *queue);
/* From any thread. */
void queue_request(struct queue *queue, uint32_t bits);
/* Gives its thread real-time priority, the lowest, or takes it back. 0 or -errno. Main thread. */
int queue_hurry(struct queue *queue, bool hurry);
/* Waits for the thread to end; it must have been made to. false at the deadline. */
bool queue_join(struct queue *queue, uint32_t timeout_ms);
/* Lets go of all but the memory that an operation of the ring, or a command that the driver has, may
 * still use: a ring that failed ends in the kernel when it likes. false: this object, and its backend, are
 * such memory, too, and must stay as long as the process lives. The thread has ended. */
bool queue_close(struct queue *queue);

#endif
