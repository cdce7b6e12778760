/* SPDX-License-Identifier: MIT */
/*
 * resize.c - the export may have grown: ask the server again, and tell the kernel. The disk never
 * shrinks: what is mounted on it would lose its end.
 *
 *   asked (INFO) --it has grown--> dialling, one connection after the other --> handed over to the
 *   queues, which replace theirs (gateway/nbd/replace.h) --> UPDATE_SIZE
 *
 * A server shows a new size to new connections only; an old one would refuse what lies beyond.
 * Everything that can be refused is refused before the first of the old ones is left: see gateway/nbd/replace.h.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/common/dial_task.h"
#include "gateway/common/log.h"
#include "gateway/disk/serve.h"
#include "gateway/nbd/connection.h"
#include "tls/tls.h"

static void refuse(struct serve *serve, control_client_id client, int error,
		   enum exit_code exit_code, const char *sentence)
{
	control_server_reply_error(serve->disk->control_server, client, error, exit_code, sentence);
}

static void forget(struct serve *serve)
{
	for (uint32_t i = 0; i < DISK_CONNECTIONS_MAX; i++) {
		transport_close(serve->resize_transports[i]);
		serve->resize_transports[i] = NULL;
	}
	serve->resize_transports_count = 0;
	serve->resize_handed_over = false;
	serve->resize_bytes = 0;
}

static int dial(struct serve *serve, enum nbd_handshake_goal goal)
{
	struct disk *disk = serve->disk;
	struct dial_options options = {
		.target = &disk->config.target,
		.tls = &disk->config.tls,
		.goal = goal,
		.timeout_ms = disk->config.connect_timeout_ms,
		.addresses = &disk->peer,
		.addresses_count = 1,
	};
	int ret;

	dial_like(&options, disk->export);
	ret = dial_task_start(&options, &serve->resize_task);
	if (ret < 0) {
		serve->resize_task = NULL;
		refuse(serve, serve->resize_client, -ret, EXIT_CODE_SYSTEM,
		       "no thread to dial with");
		forget(serve);
	}
	return ret;
}

void resize_begin(struct serve *serve, control_client_id client)
{
	if (serve->resize_task || serve->resize_handed_over || serve->disk->state != DISK_LIVE) {
		refuse(serve, client, EBUSY, EXIT_CODE_BUSY,
		       "the disk is being resized or stopped already");
		return;
	}
	serve->resize_client = client;
	dial(serve, NBD_GOAL_INFO);
}

/* The queues are told first: the kernel may use the new blocks as soon as it knows of them. */
static int grow(struct disk *disk, uint64_t export_bytes, uint64_t size_bytes)
{
	uint64_t old_export_bytes = atomic_load(&disk->client_shared.export_size_bytes);
	uint64_t old_bytes = atomic_load(&disk->shared.size_bytes);
	int ret;

	atomic_store(&disk->client_shared.export_size_bytes, export_bytes);
	atomic_store(&disk->shared.size_bytes, size_bytes);
	ret = ublk_control_update_size(disk->control, disk->info.dev_id, size_bytes >> 9);
	if (ret < 0) {
		atomic_store(&disk->shared.size_bytes, old_bytes);
		atomic_store(&disk->client_shared.export_size_bytes, old_export_bytes);
	}
	return ret;
}

static void answer(struct serve *serve, uint64_t old_bytes, uint64_t size_bytes)
{
	control_server_reply(serve->disk->control_server, serve->resize_client,
			     json_pack("{s:b, s:I, s:I}", "ok", 1, "old_size_bytes",
				       (json_int_t)old_bytes, "size_bytes",
				       (json_int_t)size_bytes));
}

/* Whether the disk can follow the export's size; if not, the client has its answer. */
static bool is_possible(struct serve *serve, uint64_t export_bytes)
{
	struct disk *disk = serve->disk;
	uint64_t old_bytes = atomic_load(&disk->shared.size_bytes);
	uint64_t size_bytes = export_bytes - export_bytes % disk->geometry.logical_block_bytes;
	char sentence[240];

	if (size_bytes < old_bytes) {
		snprintf(sentence, sizeof(sentence),
			 "the export has shrunk to %llu bytes, the disk stays at %llu: reading or "
			 "writing beyond the export's end fails",
			 (unsigned long long)export_bytes, (unsigned long long)old_bytes);
		refuse(serve, serve->resize_client, ENOSPC, EXIT_CODE_REFUSED, sentence);
		return false;
	}
	if (size_bytes > old_bytes && !(disk->info.flags & UBLK_F_UPDATE_SIZE)) {
		snprintf(sentence, sizeof(sentence),
			 "the export has grown to %llu bytes, but this kernel's ublk driver cannot "
			 "resize a device (6.16 can): disconnect and connect again",
			 (unsigned long long)export_bytes);
		refuse(serve, serve->resize_client, EOPNOTSUPP, EXIT_CODE_SYSTEM, sentence);
		return false;
	}
	if (size_bytes == old_bytes)
		answer(serve, old_bytes, size_bytes);
	return size_bytes > old_bytes;
}

/* Every connection reaches the new end: the kernel may use it. */
static void apply(struct serve *serve)
{
	struct disk *disk = serve->disk;
	uint64_t old_bytes = atomic_load(&disk->shared.size_bytes),
		 export_bytes = serve->resize_bytes;
	uint64_t size_bytes = export_bytes - export_bytes % disk->geometry.logical_block_bytes;
	char sentence[240];
	int ret = grow(disk, export_bytes, size_bytes);

	if (ret < 0) {
		snprintf(sentence, sizeof(sentence), "the driver does not resize the device: %s",
			 strerror(-ret));
		refuse(serve, serve->resize_client, -ret, EXIT_CODE_SYSTEM, sentence);
		return;
	}
	disk->geometry.size_bytes = size_bytes;
	disk_note_size(disk);
	log_info("resized from %llu to %llu bytes", (unsigned long long)old_bytes,
		 (unsigned long long)size_bytes);
	answer(serve, old_bytes, size_bytes);
}

static uint32_t connections_count(const struct disk *disk)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < disk->queues_count; i++)
		count += disk->clients[i].connections_count;
	return count;
}

static void hand_over(struct serve *serve)
{
	struct disk *disk = serve->disk;
	uint32_t next = 0;

	serve->resize_troubles = trouble_count(&disk->shared.trouble);
	for (uint32_t q = 0; q < disk->queues_count; q++) {
		struct nbd_client *client = &disk->clients[q];

		for (uint32_t i = 0; i < client->connections_count; i++, next++) {
			client->incoming[i] = serve->resize_transports[next];
			serve->resize_transports[next] = NULL;
		}
		nbd_client_ask_replace(client);
		queue_request(&disk->queues[q], QUEUE_REQUEST_LOOK);
	}
	serve->resize_handed_over = true;
}

/* Whose place the next transport is to take. */
static const struct connection *next_place(const struct serve *serve)
{
	const struct disk *disk = serve->disk;
	uint32_t left = serve->resize_transports_count, q = 0;

	while (left >= disk->clients[q].connections_count)
		left -= disk->clients[q++].connections_count;
	return &disk->clients[q].connections[left];
}

static void describe_kind(const struct transport *transport, char *out, size_t out_bytes)
{
	const struct tls_description *tls = transport_tls_describe(transport);

	if (tls)
		snprintf(out, out_bytes, "%s, %s sends, %s receives", tls->version,
			 tls->kernel_send ? "kernel" : "daemon",
			 tls->kernel_receive ? "kernel" : "daemon");
	else
		snprintf(out, out_bytes, "plain");
}

/* A queue's buffers are made for one kind of transport. If this is another, the client has its answer. */
static bool fits(struct serve *serve, struct transport *transport)
{
	const struct connection *place = next_place(serve);
	int ret = transport_detach(transport);
	char sentence[300], now[80], before[80];

	if (ret == 0 && connection_fits(place, transport))
		return true;
	describe_kind(place->transport, before, sizeof(before));
	describe_kind(transport, now, sizeof(now));
	if (ret == 0)
		snprintf(sentence, sizeof(sentence),
			 "the server's new connections are of another kind (%s; before: %s): the "
			 "disk stays as it is; disconnect and connect again to have the new size",
			 now, before);
	else
		snprintf(sentence, sizeof(sentence),
			 "a new connection (%s) cannot be used: %s: the disk stays as it is", now,
			 strerror(-ret));
	refuse(serve, serve->resize_client, ret ? -ret : EPROTO,
	       ret == -ENOMEM ? EXIT_CODE_SYSTEM : EXIT_CODE_REFUSED, sentence);
	return false;
}

static void take_connection(struct serve *serve, struct dial_result *result)
{
	struct disk *disk = serve->disk;

	if (result->export->size_bytes != serve->resize_bytes ||
	    !params_same_terms(result->export, disk->export)) {
		refuse(serve, serve->resize_client, EPROTO, EXIT_CODE_REFUSED,
		       "the server grants a new connection other flags, limits or another size: "
		       "the disk stays as it is");
		forget(serve);
		return;
	}
	if (!fits(serve, result->transport)) {
		forget(serve);
		return;
	}
	serve->resize_transports[serve->resize_transports_count++] = result->transport;
	result->transport = NULL;
	if (serve->resize_transports_count < connections_count(disk))
		dial(serve, NBD_GOAL_GO);
	else
		hand_over(serve);
}

void resize_finish(struct serve *serve)
{
	struct dial_result result;

	dial_task_take(serve->resize_task, &result);
	serve->resize_task = NULL;
	if (serve->disk->state != DISK_LIVE || result.error) {
		if (result.error)
			refuse(serve, serve->resize_client, result.error, result.exit_code,
			       result.sentence);
		else /* the driver has no disk left to resize, or soon */
			refuse(serve, serve->resize_client, ECANCELED, EXIT_CODE_BUSY,
			       "the disk is being removed");
		forget(serve);
	} else if (serve->resize_bytes) {
		take_connection(serve, &result);
	} else if (is_possible(serve, result.export->size_bytes)) {
		serve->resize_bytes = result.export->size_bytes;
		dial(serve, NBD_GOAL_GO);
	}
	dial_result_clear(&result);
}

/* The queue's outcome: 1, a negative errno, or 0 as long as it has none. What it let go is closed. */
static int take_outcome(struct disk *disk, uint32_t q)
{
	struct nbd_client *client = &disk->clients[q];
	int outcome = atomic_load(&client->replaced);

	if (!outcome && atomic_load(&disk->queues[q].state) == QUEUE_DONE)
		outcome = -ECANCELED;
	for (uint32_t i = 0; outcome && i < client->connections_count; i++) {
		transport_close(client->outgoing[i]);
		transport_close(client->incoming[i]);
		client->outgoing[i] = NULL;
		client->incoming[i] = NULL;
	}
	return outcome;
}

void resize_look(struct serve *serve)
{
	struct disk *disk = serve->disk;
	char sentence[TROUBLE_BYTES_MAX + 140];
	struct trouble_note note;
	int error = 0;

	if (!serve->resize_handed_over)
		return;
	for (uint32_t q = 0; q < disk->queues_count; q++) {
		int outcome = take_outcome(disk, q);

		if (outcome == 0)
			return;
		if (outcome < 0)
			error = -outcome;
	}
	if (!error && disk->state != DISK_LIVE)
		error = ECANCELED;
	if (error) {
		snprintf(sentence, sizeof(sentence),
			 "the connections cannot be replaced by ones that see the new size: %s%s",
			 trouble_since(&disk->shared.trouble, serve->resize_troubles, &note)
				 ? note.text
				 : strerror(error),
			 disk->state == DISK_LIVE ? ": the disk goes on with those it has" : "");
		refuse(serve, serve->resize_client, error, EXIT_CODE_UNREACHABLE, sentence);
	} else {
		apply(serve);
	}
	forget(serve);
}

void resize_abandon(struct serve *serve)
{
	if (!serve->resize_task && !serve->resize_handed_over)
		return;
	if (serve->resize_task)
		dial_task_abandon(serve->resize_task);
	serve->resize_task = NULL;
	forget(serve); /* what was handed over is closed with the queues */
	refuse(serve, serve->resize_client, ECANCELED, EXIT_CODE_BUSY, "the disk is being removed");
}
