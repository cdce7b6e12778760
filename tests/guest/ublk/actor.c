/* SPDX-License-Identifier: MIT */
#include "tests/guest/ublk/actor.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "tests/guest/ublk/control.h"
#include "tests/guest/ublk/probe.h"

#define RING_ENTRIES   256
#define CONTROL_VOLLEY 24
#define STRAY_VOLLEY   200
#define SUBMIT_WAIT_MS 20
#define ORDINARY_USER  1000

void actor_drain(struct io_uring *ring, struct tally *tally)
{
	struct io_uring_cqe *cqe;

	while (!io_uring_peek_cqe(ring, &cqe)) {
		tally_answer(tally, volley_command(cqe->user_data), cqe->res);
		io_uring_cqe_seen(ring, cqe);
	}
}

void actor_submit(struct io_uring *ring, uint32_t wait_ms)
{
	struct __kernel_timespec limit = { .tv_nsec = wait_ms * 1000000LL };
	struct io_uring_cqe *cqe;

	io_uring_submit_and_wait_timeout(ring, &cqe, 1, &limit, NULL);
}

void actor_stray(const struct actor *actor, uint64_t seed)
{
	struct dice dice = { seed };
	struct io_uring ring;

	while (probe_now_ms() < actor->end_ms) {
		uint32_t turns = 1 + dice_below(&dice, 200);

		if (io_uring_queue_init(RING_ENTRIES, &ring, volley_ring_flags(&dice)) < 0)
			return;
		while (turns-- && probe_now_ms() < actor->end_ms) {
			volley_io(&ring, &actor->aim, &dice, STRAY_VOLLEY);
			actor_submit(&ring, SUBMIT_WAIT_MS);
			actor_drain(&ring, actor->aim.tally);
		}
		io_uring_queue_exit(&ring);
	}
}

/* Somebody's char device, if nobody has it open; held for some turns. */
static void stranger_open(struct actor *actor)
{
	char path[CONTROL_PATH_BYTES];

	if (actor->aim.char_fd >= 0) {
		close(actor->aim.char_fd);
		actor->aim.char_fd = -1;
		return;
	}
	actor->aim.id = dice_below(&actor->dice, VOLLEY_IDS);
	snprintf(path, sizeof(path), "/dev/ublkc%u", actor->aim.id);
	actor->aim.char_fd = open(path, O_RDWR | O_CLOEXEC);
	actor->aim.queues = 2;
	actor->aim.depth = 16;
}

static void stranger(struct actor *actor)
{
	struct io_uring ring;

	/* The device was opened as root: what counts is who commands. */
	if (dice_percent(&actor->dice, 20) &&
	    (setgroups(0, NULL) || setgid(ORDINARY_USER) || setuid(ORDINARY_USER)))
		return;
	if (io_uring_queue_init(RING_ENTRIES, &ring, IORING_SETUP_SQE128) < 0)
		return;
	while (probe_now_ms() < actor->end_ms) {
		volley_control(&ring, &actor->aim, &actor->dice, CONTROL_VOLLEY);
		if (actor->aim.char_fd >= 0)
			volley_io(&ring, &actor->aim, &actor->dice, CONTROL_VOLLEY);
		actor_submit(&ring, SUBMIT_WAIT_MS);
		actor_drain(&ring, actor->aim.tally);
		if (dice_percent(&actor->dice, 5))
			stranger_open(actor);
	}
}

void actor_run(struct actor *actor)
{
	actor->aim.char_fd = -1;
	actor->aim.control_fd = open(CONTROL_PATH, O_RDWR | O_CLOEXEC);
	if (actor->aim.control_fd >= 0 && !arena_make(&actor->aim.arena)) {
		switch (actor->role) {
		case ACTOR_DAEMON:
			actor_daemon(actor);
			break;
		case ACTOR_READER:
			actor_reader(actor);
			break;
		default:
			stranger(actor);
		}
	}
	_exit(0);
}
