/* SPDX-License-Identifier: MIT */
/*
 * resize.c - the export may have grown: ask the server again on a second connection, and tell the
 * kernel. The disk never shrinks: what is mounted on it would lose its end.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/common/log.h"
#include "gateway/disk/serve.h"

static void refuse(struct serve *serve, control_client_id client, int error,
		   enum exit_code exit_code, const char *sentence)
{
	control_server_reply_error(serve->disk->control_server, client, error, exit_code, sentence);
}

void resize_begin(struct serve *serve, control_client_id client)
{
	struct disk *disk = serve->disk;
	struct dial_options options = {
		.target = &disk->config.target,
		.tls = &disk->config.tls,
		.goal = NBD_GOAL_INFO,
		.no_structured = disk->config.no_structured,
		.timeout_ms = disk->config.connect_timeout_ms,
		.addresses = &disk->peer,
		.addresses_count = 1,
	};
	int ret;

	if (serve->resize_task || disk->state != DISK_LIVE) {
		refuse(serve, client, EBUSY, EXIT_CODE_BUSY,
		       "the disk is being resized or stopped already");
		return;
	}
	ret = dial_task_start(&options, &serve->resize_task);
	if (ret < 0) {
		serve->resize_task = NULL;
		refuse(serve, client, -ret, EXIT_CODE_SYSTEM, "no thread to dial with");
		return;
	}
	serve->resize_client = client;
}

/* The queues are told first: the kernel may use the new blocks as soon as it knows of them. */
static int grow(struct disk *disk, uint64_t export_bytes, uint64_t size_bytes)
{
	uint64_t old_export_bytes = atomic_load(&disk->shared.export_size_bytes);
	uint64_t old_bytes = atomic_load(&disk->shared.size_bytes);
	int ret;

	atomic_store(&disk->shared.export_size_bytes, export_bytes);
	atomic_store(&disk->shared.size_bytes, size_bytes);
	ret = ublk_control_update_size(disk->control, disk->info.dev_id, size_bytes >> 9);
	if (ret < 0) {
		atomic_store(&disk->shared.size_bytes, old_bytes);
		atomic_store(&disk->shared.export_size_bytes, old_export_bytes);
	}
	return ret;
}

static void apply(struct serve *serve, uint64_t export_bytes)
{
	struct disk *disk = serve->disk;
	uint64_t old_bytes = atomic_load(&disk->shared.size_bytes);
	uint64_t size_bytes = export_bytes - export_bytes % disk->geometry.logical_block_bytes;
	control_client_id client = serve->resize_client;
	char sentence[240];
	int ret;

	if (size_bytes < old_bytes) {
		snprintf(sentence, sizeof(sentence),
			 "the export has shrunk to %llu bytes, the disk stays at %llu: reading or "
			 "writing beyond the export's end fails",
			 (unsigned long long)export_bytes, (unsigned long long)old_bytes);
		refuse(serve, client, ENOSPC, EXIT_CODE_REFUSED, sentence);
		return;
	}
	if (size_bytes > old_bytes && !(disk->info.flags & UBLK_F_UPDATE_SIZE)) {
		snprintf(sentence, sizeof(sentence),
			 "the export has grown to %llu bytes, but this kernel's ublk driver cannot "
			 "resize a device (6.16 can): disconnect and connect again",
			 (unsigned long long)export_bytes);
		refuse(serve, client, EOPNOTSUPP, EXIT_CODE_SYSTEM, sentence);
		return;
	}
	ret = size_bytes > old_bytes ? grow(disk, export_bytes, size_bytes) : 0;
	if (ret < 0) {
		snprintf(sentence, sizeof(sentence), "the driver does not resize the device: %s",
			 strerror(-ret));
		refuse(serve, client, -ret, EXIT_CODE_SYSTEM, sentence);
		return;
	}
	if (size_bytes > old_bytes) {
		disk->geometry.size_bytes = size_bytes;
		disk_write_state_file(disk);
		log_info("resized from %llu to %llu bytes", (unsigned long long)old_bytes,
			 (unsigned long long)size_bytes);
	}
	control_server_reply(disk->control_server, client,
			     json_pack("{s:b, s:I, s:I}", "ok", 1, "old_size_bytes",
				       (json_int_t)old_bytes, "size_bytes",
				       (json_int_t)size_bytes));
}

void resize_finish(struct serve *serve)
{
	struct dial_result result;

	dial_task_take(serve->resize_task, &result);
	serve->resize_task = NULL;
	if (serve->disk->state != DISK_LIVE) /* the driver has no disk left to resize, or soon */
		refuse(serve, serve->resize_client, ECANCELED, EXIT_CODE_BUSY,
		       "the disk is being removed");
	else if (result.error)
		refuse(serve, serve->resize_client, result.error, result.exit_code,
		       result.sentence);
	else
		apply(serve, result.export->size_bytes);
	dial_result_clear(&result);
}

void resize_abandon(struct serve *serve)
{
	if (!serve->resize_task)
		return;
	dial_task_abandon(serve->resize_task);
	serve->resize_task = NULL;
	refuse(serve, serve->resize_client, ECANCELED, EXIT_CODE_BUSY, "the disk is being removed");
}
