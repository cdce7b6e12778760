/* SPDX-License-Identifier: MIT */
#include "gateway/disk/settings.h"

#include <errno.h>
#include <stdio.h>

#include "gateway/common/log.h"
#include "gateway/disk/places.h"

/* What is asked for of one field, checked; what is not asked for stays. false: sentence says why not. */
static bool take(const json_t *request, const char *field, uint32_t *value, char *sentence,
		 size_t sentence_bytes)
{
	const json_t *asked = json_object_get(request, field);
	struct disk_limit limit = disk_config_limit(field);
	json_int_t number = json_integer_value(asked);

	if (!asked)
		return true;
	if (json_is_integer(asked) && number >= 0 && disk_limit_allows(&limit, (uint64_t)number)) {
		*value = (uint32_t)number;
		return true;
	}
	snprintf(sentence, sentence_bytes, "%s is no number from %u to %u", field, limit.minimum,
		 limit.maximum);
	return false;
}

static void apply(struct disk *disk, uint32_t timeout_ms, uint32_t dead_timeout_ms)
{
	struct nbd_client_shared *shared = &disk->client_shared;

	log_info("--timeout is %u ms now (was %u), --dead-timeout %u ms (was %u)", timeout_ms,
		 disk->config.timeout_ms, dead_timeout_ms, disk->config.dead_timeout_ms);
	disk->config.timeout_ms = timeout_ms;
	disk->config.dead_timeout_ms = dead_timeout_ms;
	atomic_store(&shared->timeout_ms, timeout_ms);
	if (disk->config.quiet_time_ms == DISK_QUIET_AUTO)
		atomic_store(&shared->quiet_silent_ms, timeout_ms);
}

void settings_take(struct disk *disk, struct reconnect *reconnect, control_client_id client,
		   const json_t *request)
{
	uint32_t timeout_ms = disk->config.timeout_ms, dead_ms = disk->config.dead_timeout_ms;
	char sentence[200];

	if (disk->state != DISK_LIVE) {
		control_server_reply_error(disk->control_server, client, EBUSY, EXIT_CODE_BUSY,
					   "the disk is being removed");
	} else if (!take(request, "timeout_ms", &timeout_ms, sentence, sizeof(sentence)) ||
		   !take(request, "dead_timeout_ms", &dead_ms, sentence, sizeof(sentence))) {
		control_server_reply_error(disk->control_server, client, EINVAL, EXIT_CODE_USAGE,
					   sentence);
	} else {
		apply(disk, timeout_ms, dead_ms);
		reconnect_follow_settings(reconnect);
		places_wake_queues(disk);
		disk_note_times(disk);
		control_server_reply(disk->control_server, client, json_pack("{s:b}", "ok", 1));
	}
}
