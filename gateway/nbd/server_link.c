/* SPDX-License-Identifier: MIT */
#include "gateway/nbd/server_link.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "gateway/common/log.h"

void server_link_init(struct server_link *link, int event_fd)
{
	memset(link, 0, sizeof(*link));
	link->event_fd = event_fd;
}

enum link_state server_link_move(struct server_link *link, enum link_event event)
{
	static const enum link_state table[][3] = {
		[LINK_ONLINE] = { [LINK_LOST] = LINK_WAITING,
				  [LINK_EXPIRED] = LINK_ONLINE,
				  [LINK_MADE] = LINK_ONLINE },
		[LINK_WAITING] = { [LINK_LOST] = LINK_WAITING,
				   [LINK_EXPIRED] = LINK_FAILING,
				   [LINK_MADE] = LINK_ONLINE },
		[LINK_FAILING] = { [LINK_LOST] = LINK_FAILING,
				   [LINK_EXPIRED] = LINK_FAILING,
				   [LINK_MADE] = LINK_ONLINE },
	};
	enum link_state to = table[server_link_state(link)][event];

	atomic_store(&link->state, to);
	return to;
}

const char *server_link_state_name(enum link_state state)
{
	static const char *const names[] = {
		[LINK_ONLINE] = "online",
		[LINK_WAITING] = "waiting",
		[LINK_FAILING] = "failing",
	};

	return names[state];
}

void server_link_notify(const struct server_link *link)
{
	const uint64_t one = 1;

	if (link->event_fd >= 0 && write(link->event_fd, &one, sizeof(one)) < 0)
		log_error("the main thread cannot be told of the server: %s", strerror(errno));
}

void server_link_changed(struct server_link *link)
{
	atomic_store(&link->unproven, true);
	server_link_notify(link);
}

void server_link_answered(struct server_link *link)
{
	if (atomic_exchange(&link->unproven, false))
		server_link_notify(link);
}

void server_link_flushed(struct server_link *link, uint64_t mark)
{
	uint64_t durable = atomic_load(&link->durable);

	while (durable < mark && !atomic_compare_exchange_weak(&link->durable, &durable, mark))
		;
}
