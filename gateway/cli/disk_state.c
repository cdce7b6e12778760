/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/cli/control_client.h"
#include "gateway/cli/disk_state.h"
#include "gateway/cli/disks.h"
#include "gateway/cli/process.h"
#include "gateway/cli/reap.h"
#include "gateway/common/server_tag.h"

/* For each of the disks of a list. Whoever asks about one disk waits as long as its daemon may take. */
#define LIST_TIMEOUT_MS 2000

static const char *const brief_keys[] = { "device",    "number",	  "pid",   "state",
					  "target",    "export",	  "owner", "size_bytes",
					  "read_only", "connections_live" };

#define BRIEF_KEYS (sizeof(brief_keys) / sizeof(brief_keys[0]))

/* What is known of a disk whose daemon does not answer. */
struct traces {
	uint64_t tag;
	pid_t pid;  /* of its daemon; 0: no such process is seen */
	bool known; /* whether the kernel could be asked, for the next two */
	bool in_kernel, served;
	bool recorded; /* it was usable: N.json, of this disk */
	bool files;
};

static void traces_look(struct traces *traces, uint32_t number, const struct disk_record *record)
{
	struct ublksrv_ctrl_dev_info info;
	int pidfd, error = reap_look(number, &info);

	*traces = (struct traces){
		.tag = error ? SERVER_TAG_NONE : info.ublksrv_flags,
		.known = !error || error == -ENODEV,
		.in_kernel = !error,
		.served = !error && info.state == UBLK_S_DEV_LIVE,
		.recorded = record,
		.files = disk_has_files(number),
	};
	if (error && record)
		traces->tag = record->tag;
	pidfd = process_open_daemon(traces->tag, &traces->pid);
	if (pidfd >= 0)
		close(pidfd);
}

/* error is control_client_status()'s. */
static const char *state_without_answer(const struct traces *traces, int error)
{
	bool nobody = control_client_is_dead(error);

	/* The socket's owner has gone, whatever the kernel has noticed of it yet. */
	if (!traces->pid && error == -ECONNREFUSED && traces->recorded)
		return "dead";
	if (!traces->pid && traces->known && !traces->served)
		return "dead";
	if (!nobody || (traces->pid && traces->recorded))
		return traces->known ? "silent" : "unseen";
	if (traces->pid && (!traces->served || traces->files))
		return "starting";
	return "unseen";
}

static json_t *state_of_record(const struct disk_record *record)
{
	char target[16384];

	disk_config_describe(&record->config, target, sizeof(target));
	return json_pack("{s:s, s:s, s:s, s:I, s:b}", "target", target, "export",
			 record->config.target.export_name, "owner", record->config.owner,
			 "size_bytes", (json_int_t)record->size_bytes, "read_only",
			 (int)record->config.read_only);
}

static json_t *state_without_daemon(uint32_t number, int error)
{
	char device[32], complaint[400];
	struct disk_record record;
	bool have = !disk_record_load(number, &record, complaint, sizeof(complaint));
	json_t *state, *rest = have ? state_of_record(&record) : json_object();
	struct traces traces;

	traces_look(&traces, number, have ? &record : NULL);
	snprintf(device, sizeof(device), "/dev/ublkb%u", number);
	state = json_pack("{s:s, s:i, s:i, s:s}", "device", device, "number", (int)number, "pid",
			  (int)traces.pid, "state", state_without_answer(&traces, error));
	if (have)
		disk_record_clear(&record);
	if (state && rest)
		json_object_update(state, rest);
	json_decref(rest);
	return state;
}

static json_t *state_of(uint32_t number, uint32_t timeout_ms)
{
	json_t *status = NULL;
	uint64_t tag;
	int error = disk_tag(number, &tag);

	if (!error)
		error = control_client_status(number, tag, timeout_ms, &status);
	return error ? state_without_daemon(number, error) : status;
}

json_t *disk_state_full(uint32_t number)
{
	return state_of(number, CONTROL_ALIVE_TIMEOUT_MS);
}

json_t *disk_state_brief(uint32_t number)
{
	json_t *full = state_of(number, LIST_TIMEOUT_MS);
	json_t *brief = full ? json_object() : NULL;

	for (size_t i = 0; brief && i < BRIEF_KEYS; i++) {
		json_t *value = json_object_get(full, brief_keys[i]);

		if (value)
			json_object_set(brief, brief_keys[i], value);
	}
	json_decref(full);
	return brief;
}

const char *disk_state_word(const json_t *state)
{
	const char *word = json_string_value(json_object_get(state, "state"));
	const json_t *live = json_object_get(state, "connections_live");

	if (!word)
		return "unknown";
	if (!strcmp(word, "live") && json_is_integer(live) && json_integer_value(live) == 0)
		return "cut-off";
	return word;
}
