/* SPDX-License-Identifier: MIT */
/*
 * asker.h - another thread, as the daemon's main thread is: replaces the client's connections, condemns them, gives
 * the client up. It also sees to it that a run ends.
 */
#ifndef TESTS_MODEL_ASKER_H
#define TESTS_MODEL_ASKER_H

#include <pthread.h>
#include <stdbool.h>

#include "tests/model/driver.h"

struct asker {
	struct driver *driver;
	pthread_t thread;
	struct dice dice;
	uint32_t replace_at; /* when so many requests were submitted */
	bool condemned, gave_up;
	uint32_t naps;
};

void asker_start(struct asker *asker, struct driver *driver);
/* It ends with the driver. */
void asker_join(struct asker *asker);

#endif
