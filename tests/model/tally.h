/* SPDX-License-Identifier: MIT */
/*
 * tally.h - what came to pass in all runs together: a model that never met what it is for proves nothing.
 */
#ifndef TESTS_MODEL_TALLY_H
#define TESTS_MODEL_TALLY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* name, what it counts */
#define TALLY_COUNTERS(X)                                                                          \
	X(runs)                                                                                    \
	X(reads) /* requests that succeeded, by operation */                                       \
	X(writes)                                                                                  \
	X(flushes)                                                                                 \
	X(trims)                                                                                   \
	X(zeroes)                                                                                  \
	X(failures)	 /* requests that failed */                                                \
	X(hold_refusals) /* the client's own counts (gateway/block/stats.h) */                     \
	X(timeouts)                                                                                \
	X(connections_lost)                                                                        \
	X(held)	    /* newer writes that waited for a quiet time */                                \
	X(rejoined) /* connections that came back */                                               \
	X(replaced) /* replacements, by outcome */                                                 \
	X(replace_refused)                                                                         \
	X(replace_cancelled)                                                                       \
	X(wishes)      /* condemned, or given up, at the wish of another thread */                 \
	X(late_writes) /* carried out after their connection was gone */                           \
	X(errors)      /* the server's doings */                                                   \
	X(early_errors)                                                                            \
	X(shutdowns)                                                                               \
	X(silences)                                                                                \
	X(deaf)                                                                                    \
	X(closed)                                                                                  \
	X(breaches)                                                                                \
	X(disconnects)	  /* DISC received */                                                      \
	X(durable_checks) /* of the whole disk */                                                  \
	X(payload_faults)                                                                          \
	X(absences)

struct tally {
#define TALLY_FIELD(name) _Atomic uint64_t name;
	TALLY_COUNTERS(TALLY_FIELD)
#undef TALLY_FIELD
};

extern struct tally tally;

/* Any thread. */
#define tally_add(name, n) atomic_fetch_add_explicit(&tally.name, (n), memory_order_relaxed)

void tally_print(void);
/* Whether all of it came to pass; prints what did not. */
bool tally_is_complete(void);

#endif
