/* SPDX-License-Identifier: MIT */
/*
 * Goal: whatever a server does, and whatever is asked meanwhile, the server's side of a queue (gateway/nbd) loses
 * nothing that it acknowledged, returns nothing that was overwritten, is done with each request once and in
 * its time, and takes its leave in good order.
 * Method: many short runs, each made of a seed: a random export, a server with random faults, random
 * requests, and random wishes of another thread, against an oracle of what each block may hold.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "tests/model/asker.h"
#include "tests/model/driver.h"
#include "tests/model/failure.h"
#include "tests/model/plan.h"
#include "tests/model/server.h"
#include "tests/model/tally.h"

/* In so many runs each event must have come to pass. */
#define COMPLETE_RUNS 400

struct options {
	uint64_t seed;
	uint64_t runs;	  /* 0: any */
	uint64_t seconds; /* 0: any */
	enum control control;
};

static void run(uint64_t seed, enum control control)
{
	static struct plan plan;
	static struct driver driver;
	struct server *server;
	struct asker asker;

	plan_make(&plan, seed, control);
	plan_print(&plan);
	failure_begin_run(seed);
	server = server_start(&plan);
	driver_start(&driver, &plan, server);
	asker_start(&asker, &driver);
	driver_join(&driver);
	asker_join(&asker);
	driver_close(&driver);
	server_stop(server);
	driver_check_end(&driver);
	driver_free(&driver);
	server_free(server);
	tally_add(runs, 1);
}

static int64_t now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static void run_all(const struct options *options)
{
	int64_t until_s = now_s() + (int64_t)options->seconds;

	for (uint64_t i = 0; !options->runs || i < options->runs; i++) {
		if (options->seconds && now_s() >= until_s)
			return;
		run(options->seed + i, options->control);
	}
}

static int usage(void)
{
	fprintf(stderr, "usage: model [--seed N] [--runs N] [--seconds N] [--control NAME]\n"
			"controls:");
	for (int control = 0; control < CONTROLS; control++)
		fprintf(stderr, " %s", control_name((enum control)control));
	fprintf(stderr, "\n");
	return 2;
}

static bool read_control(const char *name, enum control *control)
{
	for (int i = 0; i < CONTROLS; i++) {
		if (strcmp(control_name((enum control)i), name) != 0)
			continue;
		*control = (enum control)i;
		return true;
	}
	return false;
}

static bool read_options(int argc, char **argv, struct options *options)
{
	static const struct option names[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "runs", required_argument, NULL, 'r' },
		{ "seconds", required_argument, NULL, 't' },
		{ "control", required_argument, NULL, 'c' },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
		if (option == 's')
			options->seed = strtoull(optarg, NULL, 0);
		else if (option == 'r')
			options->runs = strtoull(optarg, NULL, 0);
		else if (option == 't')
			options->seconds = strtoull(optarg, NULL, 0);
		else if (option != 'c' || !read_control(optarg, &options->control))
			return false;
	}
	return optind == argc;
}

int main(int argc, char **argv)
{
	struct options options = { 0 };
	uint32_t seed;

	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		return 1;
	options.seed = seed;
	setvbuf(stdout, NULL, _IOLBF, 0); /* the seed is out before a run that crashes */
	if (!read_options(argc, argv, &options))
		return usage();
	if (!options.runs && !options.seconds)
		options.runs = 1;
	run_all(&options);
	tally_print();
	if (tally.runs >= COMPLETE_RUNS && options.control == CONTROL_NONE && !tally_is_complete())
		return 1;
	printf("ok\n");
	return 0;
}
