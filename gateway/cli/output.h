/* SPDX-License-Identifier: MIT */
/*
 * output.h - what a person and what a program see. Results go to stdout, complaints to stderr, one
 * line each: "ublk-nbd: connect: what failed, with whom; what to do".
 */
#ifndef GATEWAY_CLI_OUTPUT_H
#define GATEWAY_CLI_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/common/exit_code.h"

/* From now on nothing is said but what --verbose asks for: it was said before. false: everything is. */
void output_mute(bool mute);

/* "ublk-nbd: VERB: message\n"; verb NULL leaves it out. What a server or a file may have put into
 * the message cannot control the terminal: see output_text(). */
void output_error(const char *verb, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same with "warning: " before the message. */
void output_warning(const char *verb, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* The same, only with --verbose. */
void output_progress(bool verbose, const char *verb, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Who ends a disk must not wait for a file that lies on it, nor for a pipe or a terminal that nobody reads: from
 * here on a complaint that standard error may not take at once is kept, until output_release(). That may
 * wait: call it when all is done. */
void output_hold(void);
void output_release(void);
/* The same in a process that may wait in our place. No thread may be there but ours. */
void output_release_aside(void);

/* Prints value to stdout (two spaces a level, keys in the order they were set, all that is not printable
 * ASCII as \uXXXX, so that no terminal obeys it), and frees it; NULL (no memory) is complained about. Returns EXIT_CODE_OK or EXIT_CODE_FAILURE. */
int output_json(const char *verb, json_t *value);

/* stdout is flushed and whole: EXIT_CODE_OK; else (disk full, pipe closed) says so and returns
 * EXIT_CODE_FAILURE. Call it before a verb that printed something returns. */
int output_finish(const char *verb);

/* Waits until standard output takes something: a pipe may be full that nobody reads. EXIT_CODE_OK;
 * EXIT_CODE_INTERRUPTED: interrupt_fd (interrupt.h) can be read; EXIT_CODE_FAILURE, and that was said, after
 * OUTPUT_READER_MS. */
#define OUTPUT_READER_MS 5000
int output_await_reader(const char *verb, int interrupt_fd);

/* A size as people say it, exact where it can be: "1 GiB", "1.5 GiB", "512 bytes", and where it had
 * to be rounded "1.46 GiB". Returns buf. */
const char *output_size(char *buf, size_t buf_bytes, uint64_t size_bytes);

/* Text of foreign origin made fit for a terminal: what nbd_text_printable() does not show becomes '?'. Returns buf (4 bytes or more); what does not fit ends with "...". */
const char *output_text(char *buf, size_t buf_bytes, const char *text);

/* A word for a shell that knows $'...' (bash, ksh, zsh): $'a\377b', ASCII alone. Returns buf; "..." stands
 * at the end of what does not fit. */
const char *output_quoted(char *buf, size_t buf_bytes, const char *word);

/* "label:        value" in a page for people: labels are padded to one column. */
void output_field(const char *label, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
