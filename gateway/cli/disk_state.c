/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "gateway/cli/control_client.h"
#include "gateway/cli/disk_state.h"
#include "gateway/cli/output.h"
#include "gateway/cli/disks.h"
#include "gateway/cli/process.h"
#include "gateway/cli/reap.h"
#include "gateway/common/json_text.h"
#include "gateway/common/link_file.h"
#include "gateway/common/server_tag.h"
#include "gateway/common/target_text.h"

/* For each of the disks of a list. Whoever asks about one disk waits as long as its daemon may take. */
#define LIST_TIMEOUT_MS 2000

static const char *const brief_keys[] = {
	"device",	    "number",		"pid",	 "state",      "target",
	"export",	    "export_hex",	"owner", "size_bytes", "read_only",
	"connections_live", "connections_lost", "name",	 "link",       "link_shared_with",
	"state_since_ms"
};

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
	const char *export_name = record->config.target.export_name;
	char target[16384];

	target_describe(&record->config.target, record->config.command, target, sizeof(target));
	return json_pack("{s:s, s:s, s:o, s:o, s:s, s:I, s:b}", "name", record->config.name,
			 "target", target, "export", json_text(export_name, strlen(export_name)),
			 "export_hex", json_text_hex(export_name, strlen(export_name)), "owner",
			 record->config.owner, "size_bytes", (json_int_t)record->size_bytes,
			 "read_only", (int)record->config.read_only);
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

static bool is_live(const json_t *connection)
{
	const char *word = json_string_value(json_object_get(connection, "state"));

	return word && !strcmp(word, "live");
}

/* One that was left in good order, to be replaced by another (resize), has no reason. */
static bool is_lost(const json_t *connection)
{
	const char *reason = json_string_value(json_object_get(connection, "reason"));

	return !is_live(connection) && reason && reason[0];
}

/* Queues none of whose connections is left: each CPU has its queue. */
static json_t *queues_cut_off(const json_t *connections)
{
	json_t *queues = json_array();
	const json_t *one, *other;
	size_t i, j;

	json_array_foreach(connections, i, one)
	{
		const json_t *queue = json_object_get(one, "queue");
		bool served = !is_lost(one);

		json_array_foreach(connections, j, other)
		{
			/* Said with the first of them. */
			if (json_equal(json_object_get(other, "queue"), queue))
				served |= is_live(other) || (is_lost(other) && j < i);
		}
		if (!served)
			json_array_append(queues, json_object_get(one, "queue"));
	}
	return queues;
}

/* How a disk is that has no connection left. */
static const char *state_without_server(const json_t *server)
{
	if (json_is_true(json_object_get(server, "refused")))
		return "refused";
	return json_string_value(json_object_get(server, "state"));
}

/* A daemon says "live" whatever became of its connections. */
static void judge_connections(json_t *status)
{
	const json_t *connections = json_object_get(status, "connections"), *connection;
	const json_t *server = json_object_get(status, "server");
	const char *word = json_string_value(json_object_get(status, "state"));
	const char *online = json_string_value(json_object_get(server, "state"));
	uint32_t lost = 0;
	size_t i;

	if (!word || strcmp(word, "live"))
		return;
	json_array_foreach(connections, i, connection) lost += is_lost(connection);
	if (online && strcmp(online, "online")) {
		json_object_set_new(status, "state", json_string(state_without_server(server)));
		json_object_set(status, "state_since_ms", json_object_get(server, "since_ms"));
	} else if (
		lost) { /* a daemon of 0.2.0 does not tell of its server, and does not dial it again */
		bool all = !server && lost == json_array_size(connections);

		json_object_set_new(status, "state", json_string(all ? "failing" : "degraded"));
	}
	json_object_set_new(status, "connections_lost", json_integer(lost));
	json_object_set_new(status, "queues_cut_off", queues_cut_off(connections));
}

void disk_state_add_link(json_t *state)
{
	uint32_t number = (uint32_t)json_integer_value(json_object_get(state, "number"));
	char link[sizeof(LINK_FOLDER) + LINK_TEXT_BYTES_MAX] = "", other[32];
	struct link_file file;

	if (!disk_files_answer(number) || !link_file_read(number, &file))
		return;
	if (file.link[0])
		snprintf(link, sizeof(link), LINK_FOLDER "%s", file.link);
	json_object_set_new(state, "link", json_string(link));
	if (file.shared < 0)
		return;
	snprintf(other, sizeof(other), "/dev/ublkb%d", file.shared);
	json_object_set_new(state, "link_shared_with", json_string(other));
}

static json_t *state_of(uint32_t number, uint32_t timeout_ms)
{
	json_t *status = NULL;
	uint64_t tag;
	int error = disk_tag(number, &tag);

	if (!error && !disk_files_answer(number)) /* nor does its socket */
		error = -ETIMEDOUT;
	if (!error)
		error = control_client_status(number, tag, timeout_ms, &status);
	if (error)
		status = state_without_daemon(number, error);
	else
		judge_connections(status);
	if (status && strcmp(disk_state_word(status), "unseen"))
		disk_state_add_link(status);
	return status;
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

	return word ? word : "unknown";
}
