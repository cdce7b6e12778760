/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/common/disk_config.h"

#define DISK_TIMEOUT_MS_MIN	    100u
#define DISK_TIMEOUT_MS_MAX	    (24u * 3600 * 1000)
#define DISK_CONNECT_TIMEOUT_MS_MAX (3600u * 1000)
#define DISK_DEVICE_MAX		    65535
#define DISK_BLOCK_BYTES_MIN	    512u
#define DISK_MAX_IO_BYTES_MIN	    4096u
#define DISK_MAX_IO_BYTES_MAX	    (32u << 20)

/* --- the tables: one line for each field, in the order it is written ------------------------------ */

struct number_field {
	struct disk_limit limit;
	size_t offset;
};

#define NUMBER(name, low, high, two, zero)                                                         \
	{                                                                                          \
		{ #name, low, high, two, zero }, offsetof(struct disk_config, name)                \
	}

static const struct number_field number_fields[] = {
	NUMBER(connections, 1, DISK_CONNECTIONS_MAX, false, true),
	NUMBER(queue_depth, 1, DISK_QUEUE_DEPTH_MAX, false, false),
	NUMBER(block_size_bytes, DISK_BLOCK_BYTES_MIN, 1u << 16, true, true),
	NUMBER(max_io_bytes, DISK_MAX_IO_BYTES_MIN, DISK_MAX_IO_BYTES_MAX, true, false),
	NUMBER(timeout_ms, DISK_TIMEOUT_MS_MIN, DISK_TIMEOUT_MS_MAX, false, false),
	NUMBER(dead_timeout_ms, 0, 0, false, false),
	NUMBER(connect_timeout_ms, DISK_TIMEOUT_MS_MIN, DISK_CONNECT_TIMEOUT_MS_MAX, false, false),
};

struct bool_field {
	const char *name;
	size_t offset;
	bool same_disk; /* it makes another disk */
};

#define BOOL(name, same_disk)                                                                      \
	{                                                                                          \
#name, offsetof(struct disk_config, name), same_disk                               \
	}

static const struct bool_field bool_fields[] = {
	BOOL(read_only, true),
	BOOL(no_structured, true),
	BOOL(foreground, false),
	BOOL(verbose, false),
};

struct string_field {
	const char *name;
	size_t offset;
	size_t bytes; /* room, with the NUL */
};

#define STRING(name)                                                                               \
	{                                                                                          \
#name, offsetof(struct nbd_uri, name), sizeof(((struct nbd_uri *)0)->name)         \
	}

static const struct string_field target_strings[] = {
	STRING(host),	      STRING(port),	STRING(socket_path),
	STRING(export_name),  STRING(user),	STRING(tls_certificates),
	STRING(tls_psk_file), STRING(tls_type), STRING(tls_hostname),
};

#define TLS_STRING(name)                                                                           \
	{                                                                                          \
#name, offsetof(struct tls_options, name), sizeof(((struct tls_options *)0)->name) \
	}

static const struct string_field tls_strings[] = {
	TLS_STRING(hostname), TLS_STRING(ca),		TLS_STRING(crl),
	TLS_STRING(cert),     TLS_STRING(key),		TLS_STRING(passphrase_file),
	TLS_STRING(psk_file), TLS_STRING(psk_identity),
};

static const char *const ktls_names[] = {
	[TLS_KTLS_AUTO] = "auto",
	[TLS_KTLS_ON] = "on",
	[TLS_KTLS_OFF] = "off",
};

static const char *const transport_names[] = {
	[NBD_TRANSPORT_TCP] = "tcp",
	[NBD_TRANSPORT_UNIX] = "unix",
	[NBD_TRANSPORT_VSOCK] = "vsock",
};

static const char *const payload_names[] = {
	[DISK_PAYLOAD_AUTO] = "auto",
	[DISK_PAYLOAD_MAPPED] = "mapped",
	[DISK_PAYLOAD_USER_COPY] = "user-copy",
};

#define COUNT(array)		 (sizeof(array) / sizeof((array)[0]))

#define FIELD(type, base, field) ((type *)(void *)((char *)(base) + (field)->offset))
#define CONST_FIELD(type, base, field)                                                             \
	((const type *)(const void *)((const char *)(base) + (field)->offset))

/* --- limits ---------------------------------------------------------------------------------------- */

struct disk_limit disk_config_limit(const char *field)
{
	for (size_t i = 0; i < COUNT(number_fields); i++) {
		struct disk_limit limit = number_fields[i].limit;

		if (strcmp(limit.field, field))
			continue;
		if (number_fields[i].offset == offsetof(struct disk_config, block_size_bytes))
			limit.maximum = (uint32_t)sysconf(_SC_PAGESIZE);
		return limit;
	}
	assert(!"a field that exists");
	abort();
}

bool disk_limit_allows(const struct disk_limit *limit, uint64_t value)
{
	if (value == 0 && limit->zero_too)
		return true;
	if (value < limit->minimum || value > limit->maximum)
		return false;
	return !limit->power_of_two || (value & (value - 1)) == 0;
}

/* The index of name among count names, or -1. */
static int name_find(const char *const *names, size_t count, const char *name)
{
	for (size_t i = 0; name && i < count; i++) {
		if (!strcmp(names[i], name))
			return (int)i;
	}
	return -1;
}

const char *disk_payload_name(enum disk_payload payload)
{
	assert((size_t)payload < COUNT(payload_names));
	return payload_names[payload];
}

int disk_ktls_parse(const char *name, enum tls_ktls *ktls)
{
	int index = name_find(ktls_names, COUNT(ktls_names), name);

	if (index < 0)
		return -EINVAL;
	*ktls = (enum tls_ktls)index;
	return 0;
}

int disk_payload_parse(const char *name, enum disk_payload *payload)
{
	int index = name_find(payload_names, COUNT(payload_names), name);

	if (index < 0)
		return -EINVAL;
	*payload = (enum disk_payload)index;
	return 0;
}

/* --- life ------------------------------------------------------------------------------------------- */

void disk_config_init(struct disk_config *config)
{
	memset(config, 0, sizeof(*config));
	config->target.tls_verify_peer = -1;
	config->device = -1;
	config->queue_depth = DISK_QUEUE_DEPTH;
	config->max_io_bytes = DISK_MAX_IO_BYTES;
	config->timeout_ms = DISK_TIMEOUT_MS;
	config->connect_timeout_ms = DISK_CONNECT_TIMEOUT_MS;
	config->payload = DISK_PAYLOAD_AUTO;
}

void disk_config_clear(struct disk_config *config)
{
	for (char **arg = config->command; *arg; arg++) {
		free(*arg);
		*arg = NULL;
	}
}

/* --- to JSON ---------------------------------------------------------------------------------------- */

/* A string; what is no UTF-8 (an export's name may be any bytes) as {"hex": "ff61"}. */
static json_t *bytes_to_json(const char *text)
{
	json_t *string = json_string(text);
	size_t count = strlen(text);
	char *hex;

	if (string)
		return string;
	hex = malloc(2 * count + 1);
	for (size_t i = 0; hex && i < count; i++)
		sprintf(hex + 2 * i, "%02x", (unsigned char)text[i]);
	string = hex ? json_pack("{s:s}", "hex", hex) : NULL;
	free(hex);
	return string;
}

static json_t *target_to_json(const struct nbd_uri *target)
{
	json_t *object = json_object();
	int error = 0;

	if (!object)
		return NULL;
	error |= json_object_set_new(object, "transport",
				     json_string(transport_names[target->transport]));
	error |= json_object_set_new(object, "tls", json_boolean(target->tls));
	error |= json_object_set_new(object, "vsock_cid", json_integer(target->vsock_cid));
	error |= json_object_set_new(object, "vsock_port", json_integer(target->vsock_port));
	error |= json_object_set_new(object, "tls_verify_peer",
				     json_integer(target->tls_verify_peer));
	for (size_t i = 0; i < COUNT(target_strings); i++) {
		const struct string_field *field = &target_strings[i];

		error |= json_object_set_new(object, field->name,
					     bytes_to_json(CONST_FIELD(char, target, field)));
	}
	if (error) {
		json_decref(object);
		return NULL;
	}
	return object;
}

/* Names of files, never what is in them. */
static json_t *tls_to_json(const struct tls_options *tls)
{
	json_t *object = json_object();
	int error = 0;

	if (!object)
		return NULL;
	error |= json_object_set_new(object, "no_verify", json_boolean(tls->no_verify));
	error |= json_object_set_new(object, "ktls", json_string(ktls_names[tls->ktls]));
	error |= json_object_set_new(object, "rekey_records", json_integer(tls->rekey_records));
	for (size_t i = 0; i < COUNT(tls_strings); i++) {
		const struct string_field *field = &tls_strings[i];

		error |= json_object_set_new(object, field->name,
					     json_string(CONST_FIELD(char, tls, field)));
	}
	if (error) {
		json_decref(object);
		return NULL;
	}
	return object;
}

static json_t *command_to_json(char *const *command)
{
	json_t *array = json_array();
	int error = array ? 0 : -1;

	for (size_t i = 0; !error && command[i]; i++)
		error = json_array_append_new(array, json_string(command[i]));
	if (error) {
		json_decref(array);
		return NULL;
	}
	return array;
}

json_t *disk_config_to_json(const struct disk_config *config)
{
	json_t *object = json_object();
	int error = 0;

	if (!object)
		return NULL;
	error |= json_object_set_new(object, "target", target_to_json(&config->target));
	error |= json_object_set_new(object, "tls", tls_to_json(&config->tls));
	error |= json_object_set_new(object, "command", command_to_json(config->command));
	error |= json_object_set_new(object, "owner", json_string(config->owner));
	error |= json_object_set_new(object, "name", json_string(config->name));
	error |= json_object_set_new(object, "device", json_integer(config->device));
	error |= json_object_set_new(object, "payload",
				     json_string(disk_payload_name(config->payload)));
	for (size_t i = 0; i < COUNT(number_fields); i++) {
		const struct number_field *field = &number_fields[i];

		error |= json_object_set_new(object, field->limit.field,
					     json_integer(*CONST_FIELD(uint32_t, config, field)));
	}
	for (size_t i = 0; i < COUNT(bool_fields); i++) {
		const struct bool_field *field = &bool_fields[i];

		error |= json_object_set_new(object, field->name,
					     json_boolean(*CONST_FIELD(bool, config, field)));
	}
	if (error) {
		json_decref(object);
		return NULL;
	}
	return object;
}

/* --- from JSON --------------------------------------------------------------------------------------- */

/* Where a reader keeps its complaint. Each take_*() returns true, or false having written one. */
struct reader {
	const json_t *object;
	char *error;
	size_t error_bytes;
};

static bool complain(const struct reader *reader, const char *field, const char *what)
{
	snprintf(reader->error, reader->error_bytes, "the disk's configuration: %s %s", field,
		 what);
	return false;
}

static bool take_integer(const struct reader *reader, const char *field, json_int_t *value)
{
	const json_t *item = json_object_get(reader->object, field);

	if (!json_is_integer(item))
		return complain(reader, field, "is missing or is no whole number");
	*value = json_integer_value(item);
	return true;
}

static bool take_ranged(const struct reader *reader, const char *field, json_int_t low,
			json_int_t high, json_int_t *value)
{
	if (!take_integer(reader, field, value))
		return false;
	if (*value < low || *value > high)
		return complain(reader, field, "is out of range");
	return true;
}

static bool take_bool(const struct reader *reader, const char *field, bool *value)
{
	const json_t *item = json_object_get(reader->object, field);

	if (!json_is_boolean(item))
		return complain(reader, field, "is missing or neither true nor false");
	*value = json_is_true(item);
	return true;
}

/* As bytes_to_json() writes it. */
static bool take_hex(const struct reader *reader, const char *field, const char *hex, char *out,
		     size_t out_bytes)
{
	static const char digits[] = "0123456789abcdef";
	size_t count = strlen(hex) / 2;

	if (strlen(hex) % 2 || strspn(hex, digits) != 2 * count)
		return complain(reader, field, "is no text in hex");
	if (count >= out_bytes)
		return complain(reader, field, "is too long");
	for (size_t i = 0; i < count; i++) {
		out[i] = (char)((strchr(digits, hex[2 * i]) - digits) * 16 +
				(strchr(digits, hex[2 * i + 1]) - digits));
		if (!out[i])
			return complain(reader, field, "holds a NUL");
	}
	out[count] = '\0';
	return true;
}

static bool take_string(const struct reader *reader, const char *field, char *out, size_t out_bytes)
{
	const json_t *item = json_object_get(reader->object, field);
	const char *hex = json_string_value(json_object_get(item, "hex"));

	if (hex)
		return take_hex(reader, field, hex, out, out_bytes);
	if (!json_is_string(item))
		return complain(reader, field, "is missing or is no string");
	if (json_string_length(item) >= out_bytes)
		return complain(reader, field, "is too long");
	if (strlen(json_string_value(item)) != json_string_length(item))
		return complain(reader, field, "holds a NUL");
	strcpy(out, json_string_value(item));
	return true;
}

static bool take_name(const struct reader *reader, const char *field, const char *const *names,
		      size_t count, int *index)
{
	*index = name_find(names, count, json_string_value(json_object_get(reader->object, field)));
	if (*index < 0)
		return complain(reader, field, "is missing or has no such value");
	return true;
}

static bool take_target(const struct reader *reader, struct nbd_uri *target)
{
	struct reader inner = *reader;
	json_int_t verify, cid, port;
	int transport;

	inner.object = json_object_get(reader->object, "target");
	if (!json_is_object(inner.object))
		return complain(reader, "target", "is missing or is no object");
	if (!take_name(&inner, "transport", transport_names, COUNT(transport_names), &transport) ||
	    !take_bool(&inner, "tls", &target->tls) ||
	    !take_ranged(&inner, "vsock_cid", 0, UINT32_MAX, &cid) ||
	    !take_ranged(&inner, "vsock_port", 0, UINT32_MAX, &port) ||
	    !take_ranged(&inner, "tls_verify_peer", -1, 1, &verify))
		return false;
	target->transport = (enum nbd_transport)transport;
	target->vsock_cid = (uint32_t)cid;
	target->vsock_port = (uint32_t)port;
	target->tls_verify_peer = (int)verify;
	for (size_t i = 0; i < COUNT(target_strings); i++) {
		const struct string_field *field = &target_strings[i];

		if (!take_string(&inner, field->name, FIELD(char, target, field), field->bytes))
			return false;
	}
	return true;
}

static bool take_tls(const struct reader *reader, struct tls_options *tls)
{
	struct reader inner = *reader;
	json_int_t records;
	int ktls;

	inner.object = json_object_get(reader->object, "tls");
	if (!json_is_object(inner.object))
		return complain(reader, "tls", "is missing or is no object");
	if (!take_bool(&inner, "no_verify", &tls->no_verify) ||
	    !take_name(&inner, "ktls", ktls_names, COUNT(ktls_names), &ktls) ||
	    !take_ranged(&inner, "rekey_records", 0, TLS_REKEY_RECORDS_MAX, &records))
		return false;
	tls->rekey_records = (uint32_t)records;
	tls->ktls = (enum tls_ktls)ktls;
	for (size_t i = 0; i < COUNT(tls_strings); i++) {
		const struct string_field *field = &tls_strings[i];

		if (!take_string(&inner, field->name, FIELD(char, tls, field), field->bytes))
			return false;
	}
	return true;
}

static bool take_command(const struct reader *reader, char **command)
{
	const json_t *array = json_object_get(reader->object, "command");
	size_t count = json_array_size(array);

	if (!json_is_array(array))
		return complain(reader, "command", "is missing or is no array");
	if (count > DISK_COMMAND_ARGS_MAX)
		return complain(reader, "command", "has too many words");
	for (size_t i = 0; i < count; i++) {
		const json_t *word = json_array_get(array, i);
		const char *text = json_string_value(word);

		if (!text || strlen(text) != json_string_length(word))
			return complain(reader, "command", "holds a word that is no string");
		command[i] = strdup(text);
		if (!command[i])
			return complain(reader, "command", "does not fit in memory");
	}
	return true;
}

/* Version 0.1.0 knew none. */
static bool take_disk_name(const struct reader *reader, struct disk_config *config)
{
	if (!json_object_get(reader->object, "name"))
		return true;
	if (!take_string(reader, "name", config->name, sizeof(config->name)))
		return false;
	if (config->name[0] && !disk_name_is_valid(config->name))
		return complain(reader, "name", "is no name of a disk");
	return true;
}

static bool take_numbers(const struct reader *reader, struct disk_config *config)
{
	for (size_t i = 0; i < COUNT(number_fields); i++) {
		const struct number_field *field = &number_fields[i];
		struct disk_limit limit = disk_config_limit(field->limit.field);
		json_int_t value;

		if (!take_integer(reader, limit.field, &value))
			return false;
		if (value < 0 || !disk_limit_allows(&limit, (uint64_t)value))
			return complain(reader, limit.field, "is out of range");
		*FIELD(uint32_t, config, field) = (uint32_t)value;
	}
	return true;
}

static bool take_all(const struct reader *reader, struct disk_config *config)
{
	json_int_t device;
	int payload;

	if (!json_is_object(reader->object))
		return complain(reader, "it", "is no object");
	if (!take_target(reader, &config->target) || !take_tls(reader, &config->tls) ||
	    !take_command(reader, config->command) ||
	    !take_string(reader, "owner", config->owner, sizeof(config->owner)) ||
	    !take_disk_name(reader, config) ||
	    !take_ranged(reader, "device", -1, DISK_DEVICE_MAX, &device) ||
	    !take_name(reader, "payload", payload_names, COUNT(payload_names), &payload) ||
	    !take_numbers(reader, config))
		return false;
	config->device = (int32_t)device;
	config->payload = (enum disk_payload)payload;
	for (size_t i = 0; i < COUNT(bool_fields); i++) {
		const struct bool_field *field = &bool_fields[i];

		if (!take_bool(reader, field->name, FIELD(bool, config, field)))
			return false;
	}
	return true;
}

int disk_config_from_json(struct disk_config *config, const json_t *object, char *error,
			  size_t error_bytes)
{
	struct reader reader = { .object = object, .error = error, .error_bytes = error_bytes };

	disk_config_init(config);
	if (take_all(&reader, config))
		return 0;
	disk_config_clear(config);
	return -EINVAL;
}

/* --- comparing ------------------------------------------------------------------------- */

static bool same_command(char *const *a, char *const *b)
{
	for (; *a && *b; a++, b++) {
		if (strcmp(*a, *b))
			return false;
	}
	return *a == *b;
}

static bool same_target(const struct nbd_uri *a, const struct nbd_uri *b)
{
	if (a->transport != b->transport || a->tls != b->tls || a->vsock_cid != b->vsock_cid ||
	    a->vsock_port != b->vsock_port || a->tls_verify_peer != b->tls_verify_peer)
		return false;
	for (size_t i = 0; i < COUNT(target_strings); i++) {
		const struct string_field *field = &target_strings[i];

		if (strcmp(CONST_FIELD(char, a, field), CONST_FIELD(char, b, field)))
			return false;
	}
	return true;
}

static bool same_tls(const struct tls_options *a, const struct tls_options *b)
{
	for (size_t i = 0; i < COUNT(tls_strings); i++) {
		const struct string_field *field = &tls_strings[i];

		if (strcmp(CONST_FIELD(char, a, field), CONST_FIELD(char, b, field)))
			return false;
	}
	return a->no_verify == b->no_verify && a->ktls == b->ktls &&
	       a->rekey_records == b->rekey_records;
}

static bool same_options(const struct disk_config *a, const struct disk_config *b)
{
	for (size_t i = 0; i < COUNT(number_fields); i++) {
		const struct number_field *field = &number_fields[i];

		if (*CONST_FIELD(uint32_t, a, field) != *CONST_FIELD(uint32_t, b, field))
			return false;
	}
	for (size_t i = 0; i < COUNT(bool_fields); i++) {
		const struct bool_field *field = &bool_fields[i];

		if (field->same_disk &&
		    *CONST_FIELD(bool, a, field) != *CONST_FIELD(bool, b, field))
			return false;
	}
	return a->payload == b->payload;
}

/* Where a server of one's own listens is another place for each. */
static bool same_server(const struct disk_config *a, const struct disk_config *b)
{
	if (!same_command(a->command, b->command))
		return false;
	if (!a->command[0])
		return same_target(&a->target, &b->target);
	return a->target.tls == b->target.tls &&
	       !strcmp(a->target.export_name, b->target.export_name);
}

bool disk_config_same_disk(const struct disk_config *wanted, const struct disk_config *there)
{
	if (wanted->device >= 0 && there->device >= 0 && wanted->device != there->device)
		return false;
	if (wanted->owner[0] && strcmp(wanted->owner, there->owner))
		return false;
	if (wanted->name[0] && strcmp(wanted->name, there->name))
		return false;
	return same_server(wanted, there) && same_tls(&wanted->tls, &there->tls) &&
	       same_options(wanted, there);
}
