/* SPDX-License-Identifier: MIT */
/*
 * failure.h - how a run fails: with its seed, what was expected and seen, and what the client logged last. The
 * client's log (gateway/common/log.h) is kept in memory here, in place of the daemon's.
 */
#ifndef TESTS_MODEL_FAILURE_H
#define TESTS_MODEL_FAILURE_H

#include <stdint.h>

/* A new run: its seed is what failure_report() names. Forgets the former run's log. */
void failure_begin_run(uint64_t seed);
/* Ends the program with status 1. Any thread. */
void failure_report(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
/* For events that the model's own parts tell of. Any thread. */
void failure_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
