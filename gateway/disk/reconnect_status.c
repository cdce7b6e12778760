/* SPDX-License-Identifier: MIT */
#include "gateway/disk/reconnect_status.h"

#include <stdio.h>

#include "gateway/disk/places.h"
#include "tls/clock.h"

bool reconnect_status_loss(const struct reconnect *reconnect, char *sentence, size_t sentence_bytes)
{
	const struct server_link *link = &reconnect->disk->client_shared.link;
	uint64_t unflushed = link->trusts_server ? 0 : server_link_unflushed(link);
	uint32_t waiting = places_parked(reconnect->disk);

	/* A server of the disk's own does not come back: there is nothing to wait for. */
	if (!reconnect_is_away(reconnect) || !reconnect_dials(reconnect->disk) ||
	    (unflushed == 0 && waiting == 0))
		return false;
	snprintf(sentence, sentence_bytes,
		 "%s has lost its server (%s): %llu acknowledged write%s not flushed and %u "
		 "request%s, which would be lost: wait for the server, or use --force",
		 reconnect->disk->device_path, places_reason_of_loss(reconnect->disk),
		 (unsigned long long)unflushed, unflushed == 1 ? " is" : "s are", waiting,
		 waiting == 1 ? " waits" : "s wait");
	return true;
}

static int64_t oldest_wait_ms(const struct disk *disk, int64_t now_ms)
{
	int64_t oldest_ms = 0;

	for (uint32_t q = 0; q < disk->queues_count; q++) {
		const struct nbd_client *client = &disk->clients[q];
		int64_t ms = now_ms - atomic_load(&client->parked_since_ms);

		if (atomic_load(&client->parked_count) > 0 && ms > oldest_ms)
			oldest_ms = ms;
	}
	return oldest_ms;
}

static json_t *dead_in(const struct reconnect *reconnect)
{
	uint32_t limit_ms = reconnect->disk->config.dead_timeout_ms;

	if (server_link_state(&reconnect->disk->client_shared.link) != LINK_WAITING ||
	    limit_ms == DISK_NEVER || reconnect->away_ms >= limit_ms)
		return json_null();
	return json_integer(limit_ms - reconnect->away_ms);
}

static json_t *describe_link(const struct reconnect *reconnect)
{
	const struct disk *disk = reconnect->disk;
	enum link_state state = server_link_state(&reconnect->disk->client_shared.link);
	int64_t now_ms = clock_now_ms(), dial_in_ms = reconnect->dial_ms - now_ms;
	bool away = state != LINK_ONLINE;

	return json_pack("{s:s, s:I, s:s*, s:i, s:I, s:o, s:o, s:i, s:b, s:s, s:b}", "state",
			 server_link_state_name(state), "since_ms",
			 (json_int_t)(now_ms - reconnect->since_ms), "reason",
			 away ? places_reason_of_loss(disk) : NULL, "waiting",
			 (int)places_parked(disk), "oldest_wait_ms",
			 (json_int_t)oldest_wait_ms(disk, now_ms), "dead_in_ms", dead_in(reconnect),
			 "next_dial_ms",
			 away && !reconnect->task ? json_integer(dial_in_ms > 0 ? dial_in_ms : 0)
						  : json_null(),
			 "attempts", (int)reconnect->attempts, "refused", (int)reconnect->refused,
			 "last_error", reconnect->error, "flush_fails",
			 (int)atomic_load(&disk->client_shared.link.flush_fails));
}

static json_t *describe_holds(struct disk *disk)
{
	int64_t now_ms = clock_now_ms();
	struct holds_summary summary = holds_summarize(&disk->client_shared.holds, now_ms);

	return json_pack("{s:i, s:I, s:o}", "ranges", (int)summary.ranges, "bytes",
			 (json_int_t)summary.bytes, "ends_in_ms",
			 summary.ends_ms > 0 ? json_integer(summary.ends_ms - now_ms)
					     : json_null());
}

void reconnect_status_add(const struct reconnect *reconnect, json_t *status)
{
	json_object_set_new(status, "server", describe_link(reconnect));
	json_object_set_new(status, "unflushed_writes",
			    json_integer((json_int_t)server_link_unflushed(
				    &reconnect->disk->client_shared.link)));
	json_object_set_new(status, "holds", describe_holds(reconnect->disk));
}
