/* SPDX-License-Identifier: MIT */
/* A loop over the connections; new ones come through a box with a lock. */
#include "tests/model/server.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "proto/wire.h"
#include "tests/model/failure.h"
#include "tests/model/peer.h"
#include "tests/model/sockets.h"

#define PEERS_MAX 512
/* How long a loop waits for bytes: what waits for the clock is looked at that often. */
#define NAP_NS 150000

struct server {
	const struct plan *plan;
	pthread_t thread;
	_Atomic bool stopping;
	_Atomic int64_t now_ms;
	_Atomic uint64_t turns;
	_Atomic bool idle;

	pthread_mutex_t lock; /* over the two that follow */
	int box[PEERS_MAX];
	uint32_t box_count;

	struct peer_shared shared; /* the thread's own from here on */
	struct peer peers[PEERS_MAX];
	uint32_t peers_count;
};

static void empty_box(struct server *server)
{
	pthread_mutex_lock(&server->lock);
	for (; server->peers_count < server->box_count; server->peers_count++)
		peer_open(&server->peers[server->peers_count], &server->shared, server->peers_count,
			  server->box[server->peers_count]);
	pthread_mutex_unlock(&server->lock);
}

/* For something to receive, or room to send; or for the next look at the clock. */
static void wait_a_while(struct server *server)
{
	const struct timespec nap = { .tv_nsec = NAP_NS };
	struct pollfd fds[PEERS_MAX];
	nfds_t count = 0;

	for (uint32_t i = 0; i < server->peers_count; i++) {
		const struct peer *peer = &server->peers[i];

		if (peer->fd < 0 || peer->deaf)
			continue;
		fds[count++] = (struct pollfd){ .fd = peer->fd, .events = POLLIN };
		if (peer_has_output(peer))
			fds[count - 1].events |= POLLOUT;
	}
	ppoll(fds, count, &nap, NULL);
}

static bool move_all(struct server *server)
{
	uint32_t count = server->peers_count;
	uint32_t first = count ? dice_below(&server->shared.dice, count) : 0;
	bool moved = peer_carry_out_orphans(&server->shared, false);

	for (uint32_t i = 0; i < count; i++) {
		struct peer *peer = &server->peers[(first + i) % count];

		if (peer->fd >= 0 && peer_move(peer))
			moved = true;
	}
	return moved;
}

static void *serve(void *argument)
{
	struct server *server = argument;
	bool moved = false;

	while (!atomic_load(&server->stopping)) {
		if (!moved)
			wait_a_while(server);
		empty_box(server);
		server->shared.now_ms = atomic_load(&server->now_ms);
		moved = move_all(server);
		atomic_store(&server->idle, !moved);
		atomic_fetch_add(&server->turns, 1);
	}
	return NULL;
}

struct server *server_start(const struct plan *plan)
{
	struct server *server = calloc(1, sizeof(*server));

	if (!server)
		abort();
	server->plan = plan;
	server->shared.plan = plan;
	chance_seed(&server->shared.dice, plan->seed, CHANCE_SERVER);
	store_open(&server->shared.store, plan->blocks,
		   plan->export.flags & NBD_FLAG_CAN_MULTI_CONN);
	pthread_mutex_init(&server->lock, NULL);
	if (pthread_create(&server->thread, NULL, serve, server) != 0)
		failure_report("no thread for the server");
	return server;
}

struct transport *server_connect(struct server *server, bool ended)
{
	struct transport *transport;
	int fd = sockets_connect(server->plan, &transport);

	if (ended) {
		close(fd);
		return transport;
	}
	pthread_mutex_lock(&server->lock);
	if (server->box_count == PEERS_MAX)
		failure_report("more than %d connections", PEERS_MAX);
	server->box[server->box_count++] = fd;
	pthread_mutex_unlock(&server->lock);
	return transport;
}

void server_stop(struct server *server)
{
	atomic_store(&server->stopping, true);
	pthread_join(server->thread, NULL);
	empty_box(server);
	for (uint32_t i = 0; i < server->peers_count; i++) {
		peer_receive_rest(&server->peers[i]);
		peer_close(&server->peers[i]);
	}
	peer_carry_out_orphans(&server->shared, true);
}

uint32_t server_unexplained(const struct server *server)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < server->peers_count; i++) {
		const struct peer *peer = &server->peers[i];

		if (peer->used && !peer->disconnected && !peer->faulty)
			count++;
	}
	return count;
}

void server_free(struct server *server)
{
	store_close(&server->shared.store);
	free(server->shared.orphans);
	pthread_mutex_destroy(&server->lock);
	free(server);
}

void server_set_time(struct server *server, int64_t now_ms)
{
	atomic_store(&server->now_ms, now_ms);
}

uint64_t server_turns(struct server *server)
{
	return atomic_load(&server->turns);
}

bool server_is_idle(struct server *server)
{
	return atomic_load(&server->idle);
}

struct store *server_store(struct server *server)
{
	return &server->shared.store;
}
