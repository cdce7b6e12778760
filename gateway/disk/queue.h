/* SPDX-License-Identifier: MIT */
/*
 * queue.h - one ublk queue: a thread, its ring, a slot for each tag, and one or more connections.
 *
 *   NEW -> SERVING -> FLUSHING -> LEAVING -> DONE
 *
 *   SERVING   commands are with the driver, or their requests with the server. It ends when the
 *             driver has aborted every command (STOP_DEV, or the device was never started).
 *   FLUSHING  one FLUSH of our own, where the server takes it and something was written
 *   LEAVING   DISC is sent on each live connection
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

#include "gateway/common/disk_config.h"
#include "gateway/disk/connection.h"
#include "gateway/disk/payload.h"
#include "gateway/disk/ring.h"
#include "gateway/disk/slot.h"
#include "gateway/disk/stats.h"
#include "gateway/disk/stale.h"
#include "gateway/disk/trouble.h"
#include "kernel/ublk_cmd.h"

enum queue_state { QUEUE_NEW, QUEUE_SERVING, QUEUE_FLUSHING, QUEUE_LEAVING, QUEUE_DONE };

/* How far replace.c is. */
enum replace_state { REPLACE_NONE, REPLACE_DRAINING, REPLACE_FLUSHING, REPLACE_LEAVING };

/* Bits of `requested`. */
#define QUEUE_REQUEST_CONDEMN 1u /* condemn every connection: what waits fails now */
#define QUEUE_REQUEST_REPLACE 4u /* take incoming[] in place of the connections there are */
#define QUEUE_REQUEST_GIVE_UP                                                                      \
	2u /* leave although commands are with the driver (it never started) */

/* What all queues of a device share; constant once they run, but for size_bytes. */
struct queue_shared {
	const struct nbd_export *export;    /* as negotiated at the start */
	_Atomic uint64_t export_size_bytes; /* now: resize raises both, this one first */
	_Atomic uint64_t size_bytes;	    /* of the device */
	int char_fd;
	enum disk_payload payload;
	uint16_t depth;
	uint16_t parts_max;
	uint32_t max_io_bytes;
	uint32_t timeout_ms;
	bool fua_always; /* FUA without FLUSH: every write carries it */
	struct trouble trouble;
	struct stale stale; /* writes of lost connections; the queues' threads write it */
};

struct queue {
	struct queue_shared *shared;
	uint16_t id;
	_Atomic(enum queue_state) state;
	pthread_t thread;
	bool thread_started;
	int mailbox_fd; /* eventfd, read by the ring */
	int report_fd;	/* eventfd, written when DONE, and when failure is set before that */
	_Atomic uint32_t requested;
	_Atomic int failure; /* positive errno of what ended the queue early; or 0 */
	_Atomic int
		flush_error; /* positive errno of the last FLUSH; 0 when it was not needed or done */

	/* For QUEUE_REQUEST_REPLACE, one for each connection: incoming is the other threads' before
	 * they ask; outgoing is theirs, to be closed, once replaced is not 0: 1, or negative errno. */
	struct transport *incoming[DISK_CONNECTIONS_MAX];
	struct transport *outgoing[DISK_CONNECTIONS_MAX];
	_Atomic int replaced;

	/* the thread's own from here on */
	struct nbd_export *export; /* its copy: its size follows shared->export_size_bytes */
	struct io_uring ring;
	struct ublksrv_io_desc *descriptors; /* read-only, shared with the driver */
	size_t descriptors_bytes;
	struct payload payload;
	struct slot *slots;
	struct wire_request *parts; /* depth x parts_max, then our own */
	struct slot own;	    /* for FLUSH and DISC at the end; its tag is the depth */
	uint32_t slots_active;
	uint32_t slots_ended;
	struct connection connections[DISK_CONNECTIONS_MAX];
	uint32_t connections_count;
	uint32_t connections_retiring; /* of them, how many are RETIRING */
	uint32_t connection_next;
	int64_t now_ms;		      /* CLOCK_MONOTONIC_COARSE, once each turn of the loop */
	uint32_t turns;		      /* of the thread's loop */
	uint32_t completions_at_once; /* that this turn's submission is expected to bring */
	bool tick_armed;
	bool tick_came;	     /* in this turn: deadline_look() is due */
	int64_t tick_due_ms; /* when the armed one is to come, or the last one was */
	struct __kernel_timespec tick;
	uint64_t mailbox_value;
	bool mailbox_armed;
	enum replace_state replacing;
	bool replace_cancelled; /* the disk is being removed by force */
	bool wrote;		/* something was acknowledged that a FLUSH would make durable */
	struct stats stats;
};

/* What queue_open() takes of memory, beside its connections'. */
uint64_t queue_memory_bytes(const struct queue_shared *shared);
/* Prepares the queue: slots, payload memory, descriptor mapping, connections (each transport is
 * taken over, also on failure). 0 or -errno. Control thread. */
int queue_open(struct queue *queue, struct queue_shared *shared, uint16_t id,
	       struct transport **transports, uint32_t transports_count);
/* Starts its thread, which issues FETCH for each tag. 0 or -errno. */
int queue_start(struct queue *queue);
/* From any thread. */
void queue_request(struct queue *queue, uint32_t bits);
/* Gives its thread real-time priority, the lowest, or takes it back. 0 or -errno. Main thread. */
int queue_hurry(struct queue *queue, bool hurry);
/* Waits for the thread to end; it must have been made to. false at the deadline. */
bool queue_join(struct queue *queue, uint32_t timeout_ms);
/* Lets go of all but the memory that an operation of the ring, or a command that the driver has, may
 * still use: a ring that failed ends in the kernel when it likes. false: this object is such memory, too,
 * and must stay as long as the process lives. The thread has ended. */
bool queue_close(struct queue *queue);

/* --- queue thread only, from here on ------------------------------------------------------------ */

/* Wakes the main thread, which looks at failure and state. */
void queue_report(struct queue *queue);

/* Forward only; checked. */
void queue_move(struct queue *queue, enum queue_state to);

static inline enum queue_state queue_state(const struct queue *queue)
{
	return atomic_load_explicit(&queue->state, memory_order_relaxed);
}

/* fetch.c: a FETCH for each tag; what became of a tag's command; the end of a slot's request, whose
 * parts are all closed. */
void fetch_all(struct queue *queue);
void fetch_completed(struct queue *queue, uint32_t tag, int result);
void fetch_commit(struct queue *queue, struct slot *slot);

/* dispatch.c: hands the parts of an ACTIVE slot to connections. */
void dispatch_slot(struct queue *queue, struct slot *slot);
/* The live connection for a request of so many bytes; NULL when none is left. */
struct connection *dispatch_pick_connection(struct queue *queue, uint64_t length_bytes);
/* A request fails because no connection is left: the reason of the loss is its reason. */
void dispatch_note_cut_off(const struct queue *queue);
/* The reply is final, or the send of one whose reply is has completed: closes the part, and
 * commits the slot with its last. */
void dispatch_part_settled(struct queue *queue, struct wire_request *request);
/* Ends a part that is not closed with an error of our own: EIO (proto/error.h). It must be in no list. */
void dispatch_part_fail(struct queue *queue, struct wire_request *request);
/* Whether this part still waits for the connection: queued, in its batch, or not answered. */
bool dispatch_part_is_open_on(const struct wire_request *request,
			      const struct connection *connection);
/* The connection became DEAD: its requests are ended. */
void dispatch_connection_dead(struct queue *queue, struct connection *connection);

/* deadline.c: how long a command may take; keeps a tick armed while anything is in flight. */
int64_t deadline_patience_ms(const struct queue *queue, uint16_t command);
uint32_t deadline_tick_ms(const struct queue *queue);
void deadline_begin(const struct queue *queue, struct wire_request *request);
void deadline_arm(struct queue *queue);
void deadline_completed(struct queue *queue);
/* After a turn's completions, answers among them, were handled: looks at each deadline if the tick came. */
void deadline_look(struct queue *queue);

/* leave.c: moves the queue on when what its state waits for has happened. */
void leave_advance(struct queue *queue);
/* Sends a FLUSH or DISC of the queue's own; over when own.parts_open is 0. */
void leave_send_own(struct queue *queue, struct connection *connection, uint16_t command);
/* DISC goes out on each live connection in turn; one on which it has left is closed. True when
 * none is live any more and nothing of any is in the ring. */
bool leave_next_connection(struct queue *queue);

/* Sends DISC on RETIRING connections that owe no answer any more, and closes those where it has left. */
void leave_retiring(struct queue *queue);

/* replace.c: QUEUE_REQUEST_REPLACE came; moves it on, once each turn. */
void replace_begin(struct queue *queue);
void replace_advance(struct queue *queue);

#endif
