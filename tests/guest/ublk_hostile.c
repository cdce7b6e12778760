/* SPDX-License-Identifier: MIT */
/*
 * ublk_hostile.c - goal: nothing that userspace does harms the kernel or leaves anything behind in a ublk
 * driver. method: processes that come and go at random (ublk/actor.h) send random commands (ublk/volley.h)
 * while this one watches: whoever was killed has to end, at the latest when the daemons are gone too.
 *
 *   ublk_hostile [--seconds N] [--commands N] [--seed N] [--actors N] [--scale N]
 *
 * It goes on until both the seconds and the commands are reached, and longer while something that has to
 * happen did not happen yet (ten times as long at most). The seed makes the same choices again,
 * not the same order of events. Prints what was done. Exit status: 0; 1 with the reason on stderr: somebody
 * hangs, crashed, or something is left; 2 called wrongly; 3 all is well but something that should have
 * happened never did.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/ublk/actor.h"
#include "tests/guest/ublk/control.h"
#include "tests/guest/ublk/probe.h"

#define ACTORS_MAX	 32u
#define TURN_US		 20000
#define LIFE_MIN_MS	 300u
#define LIFE_SPAN_MS	 3000u
#define STUCK_MS	 4000u	/* after SIGKILL, before the daemons are killed for it */
#define RESCUE_MS	 15000u /* after that, with no daemon left */
#define GARDEN_MS	 300u
#define REPORT_MS	 60000u
#define LOOKS		 20 /* after a kill */
#define LOOK_US		 2000
#define FULL_COMMANDS	 1000000u /* with as many, everything must have happened */
#define PATIENCE	 10u
#define PLACES_PAUSE_US	 500000
#define UNPRIVILEGED_MAX 64u

struct cast {
	pid_t group; /* 0: nobody */
	uint64_t die_ms, killed_ms;
};

static struct {
	uint64_t seconds, commands, seed, actors, scale;
} options = { .seconds = 10, .actors = 8, .scale = 1 };

static struct cast cast[ACTORS_MAX];
static struct tally *tally;
static struct control control;
static struct dice dice;
static const char *failure;

/* --- actors ---------------------------------------------------------------------------------------- */

static void kill_group(struct cast *member)
{
	if (member->group && !member->killed_ms) {
		kill(-member->group, SIGKILL);
		member->killed_ms = probe_now_ms();
		atomic_fetch_add(&tally->kills, 1);
	}
}

static void spawn(struct cast *member)
{
	uint64_t now = probe_now_ms();
	uint32_t life_ms = LIFE_MIN_MS + dice_below(&dice, LIFE_SPAN_MS);
	uint32_t role = dice_below(&dice, 10);
	struct actor actor = {
		.role = role < 5   ? ACTOR_DAEMON
			: role < 7 ? ACTOR_STRANGER
				   : ACTOR_READER,
		.aim = { .tally = tally },
		.dice = { dice_next(&dice) },
		/* Half of them end by themselves, half are killed at a moment that they do not know. */
		.end_ms = now + life_ms * (dice_percent(&dice, 50) ? 1 : 2),
	};
	pid_t pid = fork();

	if (pid < 0)
		return;
	if (!pid) {
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		actor_run(&actor);
	}
	setpgid(pid, pid);
	*member = (struct cast){ .group = pid, .die_ms = now + life_ms + life_ms / 4 };
	atomic_fetch_add(&tally->processes, 1);
}

/* All that have ended, actors and what they left behind. A crash is the failure of this program. */
static void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL) {
			fprintf(stderr, "ublk_hostile: process %d died by signal %d\n", pid,
				WTERMSIG(status));
			failure = "an actor crashed";
		}
	}
	for (uint32_t i = 0; i < options.actors; i++)
		if (cast[i].group && kill(-cast[i].group, 0) && errno == ESRCH)
			cast[i].group = 0;
}

static bool all_gone(void)
{
	reap();
	for (uint32_t i = 0; i < options.actors; i++)
		if (cast[i].group)
			return false;
	return true;
}

/* --- devices --------------------------------------------------------------------------------------- */

/* Calls the function for each device that sysfs has. */
static uint32_t each_device(void (*act)(uint32_t id))
{
	glob_t found;
	uint32_t count = 0;

	if (!glob("/sys/class/ublk-char/ublkc*", 0, NULL, &found)) {
		for (size_t i = 0; i < found.gl_pathc; i++)
			act((uint32_t)strtoul(strrchr(found.gl_pathv[i], 'c') + 1, NULL, 10));
		count = (uint32_t)found.gl_pathc;
	}
	globfree(&found);
	return count;
}

static void told(const char *what, int result)
{
	if (result == -ETIME) {
		fprintf(stderr, "ublk_hostile: no answer to %s\n", what);
		failure = "a control command hangs";
	}
}

static void delete (uint32_t id)
{
	told("DEL_DEV_ASYNC", control_device_command(&control, UBLK_U_CMD_DEL_DEV_ASYNC, id, 0));
}

/* Counts the device's state; a device beyond the actors' ids goes. */
static void garden(uint32_t id)
{
	struct ublksrv_ctrl_dev_info info;

	if (id >= VOLLEY_IDS) {
		delete (id);
	} else if (!control_device_info(&control, id, &info) && info.state < TALLY_STATES) {
		atomic_fetch_add(&tally->states[info.state], 1);
	}
}

/* Waits for a daemon by design: what it holds up ends when it is deleted. No other device is touched. */
static void delete_if_quiesced(uint32_t id)
{
	struct ublksrv_ctrl_dev_info info;

	if (!control_device_info(&control, id, &info) && info.state == UBLK_S_DEV_QUIESCED)
		delete (id);
}

/* --- the watch -------------------------------------------------------------------------------------- */

static size_t read_text(const char *path, char *text, size_t bytes)
{
	int file = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = file < 0 ? 0 : read(file, text, bytes - 1);

	if (file >= 0)
		close(file);
	text[got > 0 ? got : 0] = '\0';
	return got > 0 ? (size_t)got : 0;
}

/* Where our tasks are, and in the kernel's log where everybody is. */
static void show_stuck(void)
{
	char path[300], text[4096];
	glob_t found;
	int trigger;

	if (!glob("/proc/[0-9]*/task/*", 0, NULL, &found)) {
		for (size_t i = 0; i < found.gl_pathc; i++) {
			snprintf(path, sizeof(path), "%s/comm", found.gl_pathv[i]);
			if (!read_text(path, text, sizeof(text)) ||
			    (strncmp(text, "ublk_hostile", 12) != 0 &&
			     strncmp(text, "iou-", 4) != 0))
				continue;
			snprintf(path, sizeof(path), "%s/stack", found.gl_pathv[i]);
			read_text(path, text, sizeof(text));
			printf("# %s\n%s", found.gl_pathv[i], text);
		}
	}
	globfree(&found);
	fflush(stdout);
	trigger = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);
	if (trigger < 0 || write(trigger, "w", 1) != 1)
		fprintf(stderr, "ublk_hostile: the kernel does not show who is blocked\n");
	if (trigger >= 0)
		close(trigger);
}

/* Kills all and waits until they are gone: without daemons nothing may hang. */
static void end_all(void)
{
	uint64_t end_ms = probe_now_ms() + RESCUE_MS * options.scale;

	for (uint32_t i = 0; i < options.actors; i++)
		kill_group(&cast[i]);
	while (!all_gone() && !failure) {
		/* Forks that were under way when the group was killed. */
		for (uint32_t i = 0; i < options.actors; i++)
			if (cast[i].group)
				kill(-cast[i].group, SIGKILL);
		each_device(delete_if_quiesced);
		if (probe_now_ms() > end_ms) {
			failure = "somebody hangs though no daemon is left";
			show_stuck();
		}
		usleep(TURN_US);
	}
}

/* What becomes of a device whose daemon was killed is there for a moment only. */
static void look_at_the_bereaved(void)
{
	for (int i = 0; i < LOOKS && tally_missing(tally); i++) {
		each_device(garden);
		usleep(LOOK_US);
	}
}

static void watch(struct cast *member)
{
	uint64_t now = probe_now_ms();

	if (!member->group) {
		spawn(member);
	} else if (!member->killed_ms && now >= member->die_ms) {
		kill_group(member);
		look_at_the_bereaved();
	} else if (member->killed_ms && now > member->killed_ms + STUCK_MS * options.scale) {
		atomic_fetch_add(&tally->rescues, 1);
		end_all();
	}
}

static void report(uint64_t start_ms)
{
	uint64_t ms = probe_now_ms() - start_ms + 1;

	printf("# %llu commands in %llu s, %llu in a second\n",
	       (unsigned long long)tally_sent(tally), (unsigned long long)ms / 1000,
	       (unsigned long long)(tally_sent(tally) * 1000 / ms));
	fflush(stdout);
}

static bool is_enough(uint64_t ms)
{
	uint64_t limit_ms = options.seconds * 1000;

	if (ms < limit_ms || tally_sent(tally) < options.commands)
		return false;
	return !tally_missing(tally) || ms >= PATIENCE * limit_ms;
}

static void run(void)
{
	uint64_t start_ms = probe_now_ms(), garden_ms = 0, report_ms = start_ms + REPORT_MS;

	while (!failure) {
		uint64_t now = probe_now_ms();

		reap();
		for (uint32_t i = 0; i < options.actors && !failure; i++)
			watch(&cast[i]);
		if (now >= garden_ms) {
			each_device(garden);
			/* Some states last for a moment only: nothing is missed for want of looking. */
			garden_ms = tally_missing(tally) ? now : now + GARDEN_MS;
		}
		if (now >= report_ms) {
			report(start_ms);
			report_ms = now + REPORT_MS;
		}
		if (is_enough(now - start_ms))
			break;
		usleep(TURN_US);
	}
	report(start_ms);
	if (!failure)
		end_all();
}

/* --- what is left ----------------------------------------------------------------------------------- */

static void delete_wholly(uint32_t id)
{
	int result = control_device_command(&control, UBLK_U_CMD_DEL_DEV, id, 0);

	atomic_fetch_add(&tally->sent[TALLY_DEL], 1);
	tally_answer(tally, TALLY_DEL, result);
	told("DEL_DEV", result);
}

/* Nobody is there who could have one open: each goes while DEL_DEV waits for it. */
static void remove_devices(void)
{
	uint64_t end_ms = probe_now_ms() + RESCUE_MS * options.scale;

	while (each_device(delete_wholly) && !failure) {
		if (probe_now_ms() > end_ms)
			failure = "a deleted device does not go";
		usleep(TURN_US);
	}
}

/* Takes every place for an unprivileged device. Says what is not as on the first day, or NULL. */
static const char *take_places(void)
{
	const char *wrong = NULL;
	int result = 0;
	uint32_t count;

	for (count = 0; count <= UNPRIVILEGED_MAX && !result; count++) {
		struct ublksrv_ctrl_dev_info info = {
			.dev_id = UINT32_MAX,
			.nr_hw_queues = 1,
			.queue_depth = 1,
			.flags = UBLK_F_UNPRIVILEGED_DEV | UBLK_F_CMD_IOCTL_ENCODE,
		};

		result = control_device_add(&control, &info);
		if (!result && info.dev_id != count)
			wrong = "an id is left";
	}
	if (count != UNPRIVILEGED_MAX + 1 || result != -EACCES)
		wrong = "places for unprivileged devices are lost";
	remove_devices();
	return wrong;
}

/*
 * Ids start from 0 again, and every place for an unprivileged device is free, and not one more. What
 * the dead had open is closed by workers, some time later.
 */
static void check_places(void)
{
	uint64_t end_ms = probe_now_ms() + RESCUE_MS * options.scale;
	const char *wrong;

	while ((wrong = take_places()) && !failure && probe_now_ms() < end_ms)
		usleep(PLACES_PAUSE_US);
	if (!failure)
		failure = wrong;
}

/* --- */

static void read_options(int argc, char **argv)
{
	const struct {
		const char *name;
		uint64_t *value;
	} rows[] = { { "--seconds", &options.seconds },
		     { "--commands", &options.commands },
		     { "--seed", &options.seed },
		     { "--actors", &options.actors },
		     { "--scale", &options.scale } };

	options.seed = (uint64_t)time(NULL) ^ (uint64_t)getpid() << 32;
	for (int i = 1; i < argc; i += 2) {
		size_t r = 0;

		while (r < sizeof(rows) / sizeof(rows[0]) && strcmp(rows[r].name, argv[i]) != 0)
			r++;
		if (r == sizeof(rows) / sizeof(rows[0]) || i + 1 == argc) {
			fprintf(stderr, "ublk_hostile: %s: see the head of the source\n", argv[i]);
			exit(2);
		}
		*rows[r].value = strtoull(argv[i + 1], NULL, 0);
	}
	if (!options.scale || !options.actors || options.actors > ACTORS_MAX) {
		fprintf(stderr, "ublk_hostile: at most %u actors\n", ACTORS_MAX);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	const char *missing;

	read_options(argc, argv);
	dice.state = options.seed;
	printf("# seed %llu\n", (unsigned long long)options.seed);
	fflush(stdout);
	tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	control.timeout_ms = (uint32_t)(CONTROL_TIMEOUT_MS * options.scale);
	if (tally == MAP_FAILED || prctl(PR_SET_CHILD_SUBREAPER, 1) || control_open(&control) < 0) {
		perror("ublk_hostile");
		return 1;
	}
	check_places(); /* so that it can tell the difference afterwards */
	if (!failure)
		run();
	if (!failure)
		remove_devices();
	if (!failure)
		check_places();
	tally_print(tally);
	if (failure) {
		fprintf(stderr, "ublk_hostile: %s\n", failure);
		return 1;
	}
	missing = tally_sent(tally) < FULL_COMMANDS ? tally_missing_basic(tally)
						    : tally_missing(tally);
	if (missing)
		fprintf(stderr, "ublk_hostile: there never was: %s\n", missing);
	else if (tally_missing(tally))
		printf("# too few commands to see everything: there never was: %s\n",
		       tally_missing(tally));
	return missing ? 3 : 0;
}
