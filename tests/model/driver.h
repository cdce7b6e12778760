/* SPDX-License-Identifier: MIT */
/*
 * driver.h - the driver's side of a queue, and the thread that holds both sides (as gateway/disk/queue.h): submits
 * random block requests to the client under test, and asks the oracle about each that is done.
 *
 * Its clock is the client's and the server's, too: a tick of it takes less than a millisecond, and comes only after
 * the server has done what there was to do. So a deadline does not depend on how busy the machine is.
 */
#ifndef TESTS_MODEL_DRIVER_H
#define TESTS_MODEL_DRIVER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "gateway/nbd/client.h"
#include "tests/model/chance.h"
#include "tests/model/memory.h"
#include "tests/model/oracle.h"
#include "tests/model/plan.h"
#include "tests/model/server.h"

/* Bits of requested: what another thread wants. */
#define DRIVER_WISH_LOOK    1u /* something was left with the client for its advance() */
#define DRIVER_WISH_CONDEMN 2u
#define DRIVER_WISH_GIVE_UP 4u /* condemned, and nothing more is submitted */

struct driver_tag {
	struct block_request request;
	struct oracle_request asked;
	bool active;
	bool late; /* it was submitted while the client left: it must fail */
	int64_t began_ms;
	int64_t absences_ms; /* of the clock, before it began */
	int64_t limit_ms;    /* it may take so long, absences apart */
};

struct driver {
	const struct plan *plan;
	struct server *server;
	struct nbd_client_shared shared;
	struct nbd_client client;
	pthread_t thread;
	int mailbox_fd;
	_Atomic uint32_t requested;
	_Atomic uint32_t submitted;
	_Atomic bool done; /* the thread has ended, or is about to */

	/* the thread's own */
	struct io_uring ring;
	struct memory memory;
	struct stats stats;
	struct trouble trouble;
	struct oracle *oracle;
	struct dice dice;
	struct driver_tag *tags;
	uint8_t *disk; /* room for a copy of the server's */
	uint32_t active;
	uint32_t cut_off; /* so many were submitted with no connection left */
	bool gave_up;
	bool wished; /* for what no server is to blame */
	bool leaving;
	struct oracle_request last_flush;
	int64_t leave_ms;
	uint64_t mailbox_value;
	bool mailbox_armed;
	bool look;
	struct __kernel_timespec tick;
	bool tick_armed;
	bool tick_wanted; /* when it was armed, the client had something to wait for */
	bool tick_came;
	int64_t tick_due_ms;
	int64_t absences_ms;
	uint64_t server_turns; /* at the last tick */
};

/* A client of its own over new connections of the server's. */
void driver_start(struct driver *driver, const struct plan *plan, struct server *server);
/* Another thread. */
void driver_wish(struct driver *driver, uint32_t bits);
/* Waits for all requests to be done, and the client to have left. */
void driver_join(struct driver *driver);
/* Closes the client's connections. */
void driver_close(struct driver *driver);
/* What the server has at last is what the oracle says. The server has stopped. */
void driver_check_end(struct driver *driver);
void driver_free(struct driver *driver);

#endif
