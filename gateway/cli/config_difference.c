/* SPDX-License-Identifier: MIT */
#include "gateway/cli/config_difference.h"

#include <stdbool.h>
#include <string.h>

/* A field of a disk's configuration (disk_config.h), and the key that sets it. */
static const struct field {
	const char *object; /* the object that it is in; NULL: the configuration itself */
	const char *name;
	const char *key;
} fields[] = {
	{ NULL, "command", "command" },
	{ NULL, "device", "device" },
	{ NULL, "owner", "owner" },
	{ NULL, "read_only", "read-only" },
	{ NULL, "timeout_ms", "timeout" },
	{ NULL, "connect_timeout_ms", "connect-timeout" },
	{ NULL, "dead_timeout_ms", "dead-timeout" },
	{ NULL, "connections", "connections" },
	{ NULL, "queue_depth", "queue-depth" },
	{ NULL, "block_size_bytes", "block-size" },
	{ NULL, "max_io_bytes", "max-io-size" },
	{ NULL, "payload", "payload" },
	{ NULL, "no_structured", "no-structured" },
	{ "target", "export_name", "export" },
	{ "target", "tls", "tls" },
	{ "tls", "hostname", "tls-hostname" },
	{ "tls", "ca", "tls-ca" },
	{ "tls", "crl", "tls-crl" },
	{ "tls", "cert", "tls-cert" },
	{ "tls", "key", "tls-key" },
	{ "tls", "passphrase_file", "tls-passphrase-file" },
	{ "tls", "psk_file", "tls-psk" },
	{ "tls", "psk_identity", "tls-user" },
	{ "tls", "no_verify", "tls-verify" },
	{ "tls", "ktls", "ktls" },
	{ "tls", "rekey_records", "tls-rekey-records" },
};

/* Of the target these alone: the rest is one key, "target". */
static bool same_target(const json_t *wanted, const json_t *there)
{
	json_t *left = json_deep_copy(json_object_get(wanted, "target"));
	json_t *right = json_deep_copy(json_object_get(there, "target"));
	bool same;

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (!fields[i].object || strcmp(fields[i].object, "target"))
			continue;
		json_object_del(left, fields[i].name);
		json_object_del(right, fields[i].name);
	}
	same = json_equal(left, right);
	json_decref(left);
	json_decref(right);
	return same;
}

static const json_t *field_value(const json_t *config, const struct field *field)
{
	return json_object_get(field->object ? json_object_get(config, field->object) : config,
			       field->name);
}

/* Whether the field is one that was not asked for, or that is so whatever was. */
static bool field_is_open(const struct disk_config *wanted, const struct disk_record *there,
			  const struct field *field)
{
	if (!strcmp(field->name, "device"))
		return wanted->device < 0 || (uint32_t)wanted->device == there->number;
	return !strcmp(field->name, "owner") && !wanted->owner[0];
}

static json_t *differences(const struct disk_config *wanted, const struct disk_record *there,
			   const json_t *left, const json_t *right)
{
	json_t *keys = json_array();

	if (!wanted->command[0] && !there->config.command[0] && !same_target(left, right))
		json_array_append_new(keys, json_string("target"));
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		if (!json_equal(field_value(left, &fields[i]), field_value(right, &fields[i])) &&
		    !field_is_open(wanted, there, &fields[i]))
			json_array_append_new(keys, json_string(fields[i].key));
	}
	return keys;
}

json_t *config_difference(const struct disk_config *wanted, const struct disk_record *there)
{
	json_t *left = disk_config_to_json(wanted), *right = disk_config_to_json(&there->config);
	json_t *keys = left && right ? differences(wanted, there, left, right) : NULL;

	json_decref(left);
	json_decref(right);
	return keys;
}
