/* SPDX-License-Identifier: MIT */
#include "gateway/disk/status.h"

#include <string.h>
#include <unistd.h>

#include "gateway/common/json_text.h"
#include "gateway/common/server_tag.h"
#include "gateway/common/target_text.h"
#include "gateway/common/tls_json.h"
#include "proto/wire.h"
#include "tls/clock.h"
#include "tls/tls.h"

static const char *state_name(const struct disk *disk)
{
	static const char *const names[] = {
		[DISK_DIALING] = "dialing",   [DISK_ADDED] = "added", [DISK_STARTING] = "starting",
		[DISK_SETTLING] = "settling", [DISK_LIVE] = "live",   [DISK_STOPPING] = "stopping",
		[DISK_GONE] = "gone",
	};

	return names[disk->state];
}

static const char *framing_name(enum nbd_framing framing)
{
	static const char *const names[] = {
		[NBD_FRAMING_SIMPLE] = "simple",
		[NBD_FRAMING_STRUCTURED] = "structured",
		[NBD_FRAMING_EXTENDED] = "extended",
	};

	return names[framing];
}

static json_t *features(uint16_t flags)
{
	static const struct {
		uint16_t flag;
		const char *name;
	} known[] = {
		{ NBD_FLAG_READ_ONLY, "read-only" },
		{ NBD_FLAG_SEND_FLUSH, "flush" },
		{ NBD_FLAG_SEND_FUA, "fua" },
		{ NBD_FLAG_ROTATIONAL, "rotational" },
		{ NBD_FLAG_SEND_TRIM, "trim" },
		{ NBD_FLAG_SEND_WRITE_ZEROES, "write-zeroes" },
		{ NBD_FLAG_SEND_FAST_ZERO, "fast-zero" },
		{ NBD_FLAG_SEND_DF, "df" },
		{ NBD_FLAG_CAN_MULTI_CONN, "multi-conn" },
		{ NBD_FLAG_SEND_CACHE, "cache" },
	};
	json_t *list = json_array();

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (flags & known[i].flag)
			json_array_append_new(list, json_string(known[i].name));
	return list;
}

static const char *connection_state_name(const struct connection *connection)
{
	static const char *const names[] = {
		[CONNECTION_LIVE] = "live",
		[CONNECTION_RETIRING] = "retiring",
		[CONNECTION_CONDEMNED] = "condemned",
		[CONNECTION_DEAD] = "dead",
	};

	return names[atomic_load(&connection->state)];
}

static void add_tls(json_t *object, const struct transport *transport)
{
	const struct tls_description *tls = transport_tls_describe(transport);

	if (tls)
		json_object_set_new(object, "tls", tls_json_describe(tls));
}

static json_t *connections(const struct disk *disk)
{
	json_t *list = json_array();

	for (uint32_t q = 0; q < disk->queues_count; q++) {
		const struct nbd_client *client = &disk->clients[q];

		for (uint32_t i = 0; i < client->connections_count; i++) {
			const struct connection *connection = &client->connections[i];
			bool lost = atomic_load(&connection->state) != CONNECTION_LIVE;
			json_t *object = json_pack(
				"{s:i, s:s, s:s, s:s, s:I, s:s}", "queue", (int)q, "transport",
				connection->transport->ops->name, "peer", connection->peer_text,
				"state", connection_state_name(connection), "in_flight",
				(json_int_t)atomic_load(&connection->in_flight), "reason",
				lost ? connection->reason : "");

			add_tls(object, connection->transport);
			json_array_append_new(list, object);
		}
	}
	return list;
}

static json_t *counters(const struct disk *disk)
{
	json_t *object = json_object();

#define SUM_COUNTER(name)                                                                          \
	do {                                                                                       \
		uint64_t sum = 0;                                                                  \
                                                                                                   \
		for (uint32_t q = 0; q < disk->queues_count; q++)                                  \
			sum += stats_read(&disk->queues[q].stats.name);                            \
		json_object_set_new(object, #name, json_integer((json_int_t)sum));                 \
	} while (0);
	STATS_COUNTERS(SUM_COUNTER)
#undef SUM_COUNTER
	return object;
}

static uint32_t live_connections(const struct disk *disk)
{
	uint32_t live = 0;

	for (uint32_t q = 0; q < disk->queues_count; q++)
		for (uint32_t i = 0; i < disk->clients[q].connections_count; i++)
			live += connection_state(&disk->clients[q].connections[i]) ==
				CONNECTION_LIVE;
	return live;
}

static void add_identity(const struct disk *disk, json_t *status)
{
	char target[NBD_STRING_BYTES_MAX * 4], identity[SERVER_TAG_TEXT_BYTES];

	server_tag_format(disk->tag, identity);
	target_describe(&disk->config.target, disk->config.command, target, sizeof(target));
	json_object_set_new(status, "device", json_string(disk->device_path));
	json_object_set_new(status, "number", json_integer(disk->info.dev_id));
	json_object_set_new(status, "identity", json_string(identity));
	json_object_set_new(status, "pid", json_integer(getpid()));
	json_object_set_new(status, "state", json_string(state_name(disk)));
	json_object_set_new(status, "target", json_string_nocheck(target));
	json_object_set_new(status, "name", json_string(disk->config.name));
	json_object_set_new(status, "owner", json_string(disk->config.owner));
	json_object_set_new(status, "timeout_ms", json_integer(disk->config.timeout_ms));
	json_object_set_new(status, "swap", json_boolean(disk->is_swap));
}

static void add_export(const struct disk *disk, json_t *status)
{
	const struct nbd_export *export = disk->export;
	/* Not as the server calls it: this is the name that was asked for, byte for byte. */
	const char *name = disk->config.target.export_name;

	json_object_set_new(status, "export", json_text(name, strlen(name)));
	json_object_set_new(status, "export_hex", json_text_hex(name, strlen(name)));
	json_object_set_new(status, "description", json_string(export->description));
	json_object_set_new(status, "framing", json_string(framing_name(export->framing)));
	json_object_set_new(status, "features", features(export->flags));
	json_object_set_new(status, "payload_max_bytes", json_integer(export->payload_max_bytes));
	json_object_set_new(status, "peer", json_string(disk->peer_text));
}

static void add_geometry(const struct disk *disk, json_t *status)
{
	const struct disk_geometry *geometry = &disk->geometry;

	json_object_set_new(status, "size_bytes",
			    json_integer((json_int_t)atomic_load(&disk->shared.size_bytes)));
	json_object_set_new(status, "read_only", json_boolean(geometry->read_only));
	json_object_set_new(status, "logical_block_bytes",
			    json_integer(geometry->logical_block_bytes));
	json_object_set_new(status, "physical_block_bytes",
			    json_integer(geometry->physical_block_bytes));
	json_object_set_new(status, "max_io_bytes", json_integer(geometry->max_io_bytes));
	json_object_set_new(status, "queues", json_integer(disk->queues_count));
	json_object_set_new(status, "queue_depth", json_integer(disk->info.queue_depth));
	json_object_set_new(status, "payload",
			    json_string(disk->shared.mapped ? "mapped" : "user-copy"));
}

/* The last failure, and how long ago it was; null and null where nothing ever failed. */
static void add_last_error(struct disk *disk, json_t *status)
{
	struct trouble_note note;
	bool any = trouble_since(&disk->shared.trouble, 0, &note);

	json_object_set_new(status, "last_error", any ? json_string(note.text) : json_null());
	json_object_set_new(status, "last_error_age_ms",
			    any ? json_integer(clock_now_ms() - note.at_ms) : json_null());
}

json_t *status_build(struct disk *disk)
{
	json_t *status = json_object();

	add_identity(disk, status);
	if (disk->export)
		add_export(disk, status);
	if (disk->queues_count) {
		add_geometry(disk, status);
		json_object_set_new(status, "connections", connections(disk));
		json_object_set_new(status, "connections_live",
				    json_integer(live_connections(disk)));
		json_object_set_new(status, "stats", counters(disk));
		add_last_error(disk, status);
	}
	return status;
}
