/* SPDX-License-Identifier: MIT */
/*
 * ready_reader.h - the command line's half of the ready conversation (runtime_dir.h): listens to a
 * daemon that starts until the disk is usable, or is not.
 */
#ifndef GATEWAY_CLI_READY_READER_H
#define GATEWAY_CLI_READY_READER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "gateway/cli/daemon.h"
#include "gateway/common/exit_code.h"

/* For what comes after dialling (udev, the first read), and between two signs of life. */
#define READY_QUIET_MS 60000
/* With signs of life, but never an end. */
#define READY_TOTAL_MS 3600000

struct ready_reader {
	const struct daemon *daemon;
	const char *verb;
	bool verbose;		     /* progress is shown; warnings always are */
	int interrupt_fd;	     /* of interrupt.h */
	uint32_t connect_timeout_ms; /* the daemon may be silent so long, and READY_QUIET_MS */
	/* EXIT_CODE_UNREACHABLE is not the end: its reason is a warning, or, once it was said, progress. */
	bool tries_again, said;
};

/*
 * EXIT_CODE_OK: *status is STATUS, a new reference. EXIT_CODE_INTERRUPTED: a signal came. Any
 * other: it did not come to be, and the reason was printed. *ended says whether the daemon has
 * said its last word, so that it will end by itself; if not, the caller must end it.
 */
enum exit_code ready_reader_run(const struct ready_reader *reader, json_t **status, bool *ended);

#endif
