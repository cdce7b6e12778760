/* SPDX-License-Identifier: MIT */
/*
 * verbs.h - calls a verb of the command line as main() does, and catches what it prints. Behind cmocka.h.
 */
#ifndef TESTS_UNIT_VERBS_H
#define TESTS_UNIT_VERBS_H

#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gateway/common/exit_code.h"

#define WORDS_MAX    24
#define VERBS_UNUSED __attribute__((unused))

typedef int (*verb_fn)(int argc, char **argv);

static char *printed, *complained; /* of the last verb */

static char *slurp(int fd)
{
	off_t bytes = lseek(fd, 0, SEEK_END);
	char *text = calloc(1, (size_t)bytes + 1);

	assert_int_equal(pread(fd, text, (size_t)bytes, 0), bytes);
	close(fd);
	return text;
}

static int redirect(FILE *stream, int *saved)
{
	int fd = memfd_create("output", MFD_CLOEXEC);

	assert_true(fd >= 0);
	fflush(stream);
	*saved = fcntl(fileno(stream), F_DUPFD_CLOEXEC, 0);
	dup2(fd, fileno(stream));
	return fd;
}

static char *restore(FILE *stream, int saved, int fd)
{
	fflush(stream);
	dup2(saved, fileno(stream));
	close(saved);
	return slurp(fd);
}

/* Runs the verb on words, NULL-terminated; words[0] is its name. */
VERBS_UNUSED static int run(verb_fn verb, const char *const *words)
{
	char *argv[WORDS_MAX + 1] = { NULL };
	int argc = 0, out, error, saved_out, saved_error, exit_code;

	for (; words[argc]; argc++)
		argv[argc] = (char *)(uintptr_t)words[argc];
	free(printed);
	free(complained);
	optind = 0; /* glibc: starts anew */
	out = redirect(stdout, &saved_out);
	error = redirect(stderr, &saved_error);
	exit_code = verb(argc, argv);
	complained = restore(stderr, saved_error, error);
	printed = restore(stdout, saved_out, out);
	return exit_code;
}

#define RUN(verb, ...) run(verb, (const char *const[]){ #verb, __VA_ARGS__, NULL })

/* The same; it must succeed, and print JSON. */
VERBS_UNUSED static json_t *run_json(verb_fn verb, const char *const *words)
{
	int exit_code = run(verb, words);
	json_t *object = json_loads(printed, 0, NULL);

	if (exit_code != EXIT_CODE_OK || !object)
		fail_msg("exit %d: %s%s", exit_code, complained, printed);
	return object;
}

#define RUN_JSON(verb, ...)                                                                        \
	run_json(verb, (const char *const[]){ #verb, "-o", "json", __VA_ARGS__, NULL })

VERBS_UNUSED static void assert_says(const char *text, const char *words)
{
	if (!strstr(text, words))
		fail_msg("lacks \"%s\":\n%s", words, text);
}

#endif
