/* SPDX-License-Identifier: MIT */
/*
 * checks.h - doctor's findings: one line each as they are made, or one JSON object at the end.
 *
 *	ok    kernel: 7.3.4
 *	warn  udev: it does not run, so ...: start it
 *	FAIL  ublk driver: ...
 *
 * connect makes the same ones before it begins, and says the first failure alone (checks_init_quiet()).
 */
#ifndef GATEWAY_CLI_CHECKS_H
#define GATEWAY_CLI_CHECKS_H

#include <jansson.h>
#include <stdbool.h>

#include "gateway/common/exit_code.h"

#define CHECK_BYTES_MAX 2048

enum check_result { CHECK_OK, CHECK_WARN, CHECK_FAIL };

struct checks {
	bool json;
	bool quiet; /* nothing is printed; the first failure stands in first */
	char first[CHECK_BYTES_MAX];
	const char *area; /* "machine" or "server": of the checks to come */
	json_t *array;	  /* of what was found, with json */
	unsigned int warnings, failures;
	enum exit_code exit_code; /* of the first failure */
};

void checks_init(struct checks *checks, bool json);
void checks_init_quiet(struct checks *checks);
void checks_clear(struct checks *checks);

/* The checks that follow are of this area (a literal); title is printed above them. */
void checks_begin(struct checks *checks, const char *area, const char *title);

/* One finding about what (a word or two); the text says why and, unless it is well, what to do. */
void check_ok(struct checks *checks, const char *what, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void check_warn(struct checks *checks, const char *what, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* A connect would not work, and would exit with exit_code. */
void check_fail(struct checks *checks, enum exit_code exit_code, const char *what,
		const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The sum, or the JSON object. Returns what doctor exits with. */
int checks_finish(struct checks *checks, const char *verb);

#endif
