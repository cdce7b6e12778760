/* SPDX-License-Identifier: MIT */
#include "gateway/common/disk_config.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/common/json_text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* --- the table of fields ---------------------------------------------------------------------------- */

static const char *const ktls_names[] = {
	[TLS_KTLS_AUTO] = "auto",
	[TLS_KTLS_ON] = "on",
	[TLS_KTLS_OFF] = "off",
	NULL,
};

static const char *const transport_names[] = {
	[NBD_TRANSPORT_TCP] = "tcp",
	[NBD_TRANSPORT_UNIX] = "unix",
	[NBD_TRANSPORT_VSOCK] = "vsock",
	NULL,
};

static const char *const payload_names[] = {
	[DISK_PAYLOAD_AUTO] = "auto",
	[DISK_PAYLOAD_MAPPED] = "mapped",
	[DISK_PAYLOAD_USER_COPY] = "user-copy",
	NULL,
};

static const char *const server_cache_names[] = {
	[DISK_CACHE_FAIL] = "fail",
	[DISK_CACHE_STABLE] = "stable",
	NULL,
};

enum kind {
	WORDS,	/* char *[DISK_COMMAND_ARGS_MAX + 1], owned */
	TEXT,	/* char[] */
	BOOL,	/* bool */
	NUMBER, /* uint32_t, within limit */
	CHOICE, /* int32_t, within limit; or -1: none */
	NAME,	/* an enum, the size of an unsigned int; by its name */
};

/* When a field that differs makes another disk. */
enum matters {
	ALWAYS,
	ADDRESS, /* unless the server is started for the disk: it then listens somewhere else each time */
	WANTED, /* where one is wanted */
	CHOSEN, /* where both name one */
	NEVER,
};

struct field {
	const char *object; /* that it stands in: "target", "tls"; NULL: the configuration itself */
	const char *name;
	size_t offset, bytes; /* in struct disk_config */
	const char *option;   /* of connect, that sets it; "target": the target itself */
	enum kind kind;
	enum matters matters;
	struct disk_limit limit;
	const char *const *names; /* of a NAME, NULL at the end */
	bool may_lack;
};

#define PLACE(in, member)                                                                          \
	.name = #member, .offset = offsetof(struct disk_config, in member),                        \
	.bytes = sizeof(((struct disk_config *)NULL)->in member)
#define OWN(member)	      PLACE(, member)
#define TARGET(member)	      .object = "target", PLACE(target., member)
#define TLS(member)	      .object = "tls", PLACE(tls., member)
#define LIMIT(low, high, ...) .limit = { .minimum = (low), .maximum = (high), __VA_ARGS__ }

/* In the order in which they are written, and complained about. */
/* clang-format off */
static const struct field fields[] = {
	{ TARGET(transport),         "target",              NAME,   ADDRESS, .names = transport_names },
	{ TARGET(tls),               "tls",                 BOOL,   ALWAYS },
	{ TARGET(vsock_cid),         "target",              NUMBER, ADDRESS, LIMIT(0, UINT32_MAX) },
	{ TARGET(vsock_port),        "target",              NUMBER, ADDRESS, LIMIT(0, UINT32_MAX) },
	{ TARGET(tls_verify_peer),   "target",              CHOICE, ADDRESS, LIMIT(0, 1) },
	{ TARGET(host),              "target",              TEXT,   ADDRESS },
	{ TARGET(port),              "target",              TEXT,   ADDRESS },
	{ TARGET(socket_path),       "target",              TEXT,   ADDRESS },
	{ TARGET(export_name),       "export",              TEXT,   ALWAYS },
	{ TARGET(user),              "target",              TEXT,   ADDRESS },
	{ TARGET(tls_certificates),  "target",              TEXT,   ADDRESS },
	{ TARGET(tls_psk_file),      "target",              TEXT,   ADDRESS },
	{ TARGET(tls_type),          "target",              TEXT,   ADDRESS },
	{ TARGET(tls_hostname),      "target",              TEXT,   ADDRESS },
	{ TLS(no_verify),            "tls-verify",          BOOL,   ALWAYS },
	{ TLS(ktls),                 "ktls",                NAME,   ALWAYS, .names = ktls_names },
	{ TLS(rekey_records),        "tls-rekey-records",   NUMBER, ALWAYS, LIMIT(0, TLS_REKEY_RECORDS_MAX) },
	{ TLS(hostname),             "tls-hostname",        TEXT,   ALWAYS },
	{ TLS(ca),                   "tls-ca",              TEXT,   ALWAYS },
	{ TLS(crl),                  "tls-crl",             TEXT,   ALWAYS },
	{ TLS(cert),                 "tls-cert",            TEXT,   ALWAYS },
	{ TLS(key),                  "tls-key",             TEXT,   ALWAYS },
	{ TLS(passphrase_file),      "tls-passphrase-file", TEXT,   ALWAYS },
	{ TLS(psk_file),             "tls-psk",             TEXT,   ALWAYS },
	{ TLS(psk_identity),         "tls-user",            TEXT,   ALWAYS },
	{ OWN(command),              "command",             WORDS,  ALWAYS },
	{ OWN(owner),                "owner",               TEXT,   WANTED },
	{ OWN(name),                 "name",                TEXT,   WANTED, .may_lack = true }, /* version 0.1.0 knew none */
	{ OWN(device),               "device",              CHOICE, CHOSEN, LIMIT(0, 65535) },
	{ OWN(payload),              "payload",             NAME,   ALWAYS, .names = payload_names },
	{ OWN(connections),          "connections",         NUMBER, ALWAYS, LIMIT(1, DISK_CONNECTIONS_MAX, .zero_too = true) },
	{ OWN(queue_depth),          "queue-depth",         NUMBER, ALWAYS, LIMIT(1, DISK_QUEUE_DEPTH_MAX) },
	/* limit_of() knows better how large a block may be. */
	{ OWN(block_size_bytes),     "block-size",          NUMBER, ALWAYS, LIMIT(512, 0, .power_of_two = true, .zero_too = true) },
	{ OWN(max_io_bytes),         "max-io-size",         NUMBER, ALWAYS, LIMIT(4096, 32u << 20, .power_of_two = true) },
	{ OWN(timeout_ms),           "timeout",             NUMBER, ALWAYS, LIMIT(100, 24 * 3600 * 1000) },
	{ OWN(dead_timeout_ms),      "dead-timeout",        NUMBER, ALWAYS, LIMIT(0, UINT32_MAX) },
	{ OWN(quiet_time_ms),        "quiet-time",          NUMBER, ALWAYS, LIMIT(0, UINT32_MAX), .may_lack = true }, /* nor 0.2.0 */
	{ OWN(server_cache),         "server-cache",        NAME,   ALWAYS, .names = server_cache_names, .may_lack = true },
	{ OWN(connect_timeout_ms),   "connect-timeout",     NUMBER, ALWAYS, LIMIT(100, 3600 * 1000) },
	{ OWN(read_only),            "read-only",           BOOL,   ALWAYS },
	{ OWN(no_structured),        "no-structured",       BOOL,   ALWAYS },
	{ OWN(foreground),           "foreground",          BOOL,   NEVER },
	{ OWN(verbose),              "verbose",             BOOL,   NEVER },
	{ OWN(configured),           NULL,                  BOOL,   NEVER, .may_lack = true }, /* version 0.2.0 knew none */
};
/* clang-format on */

static const void *value_of(const struct field *field, const struct disk_config *config)
{
	return (const char *)config + field->offset;
}

/* --- limits and names ------------------------------------------------------------------------------- */

static struct disk_limit limit_of(const struct field *field)
{
	struct disk_limit limit = field->limit;

	limit.field = field->name;
	if (field->offset == offsetof(struct disk_config, block_size_bytes))
		limit.maximum = (uint32_t)sysconf(_SC_PAGESIZE);
	return limit;
}

struct disk_limit disk_config_limit(const char *name)
{
	for (size_t i = 0; i < COUNT(fields); i++)
		if (fields[i].kind == NUMBER && !strcmp(fields[i].name, name))
			return limit_of(&fields[i]);
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

/* The index of name among names, or -1. */
static int name_find(const char *const *names, const char *name)
{
	for (int i = 0; name && names[i]; i++)
		if (!strcmp(names[i], name))
			return i;
	return -1;
}

int disk_ktls_parse(const char *name, enum tls_ktls *ktls)
{
	int index = name_find(ktls_names, name);

	if (index < 0)
		return -EINVAL;
	*ktls = (enum tls_ktls)index;
	return 0;
}

int disk_payload_parse(const char *name, enum disk_payload *payload)
{
	int index = name_find(payload_names, name);

	if (index < 0)
		return -EINVAL;
	*payload = (enum disk_payload)index;
	return 0;
}

int disk_server_cache_parse(const char *name, enum disk_server_cache *cache)
{
	int index = name_find(server_cache_names, name);

	if (index < 0)
		return -EINVAL;
	*cache = (enum disk_server_cache)index;
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
	config->dead_timeout_ms = DISK_DEAD_TIMEOUT_MS;
	config->quiet_time_ms = DISK_QUIET_AUTO;
	config->server_cache = DISK_CACHE_FAIL;
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
static json_t *text_to_json(const char *text)
{
	json_t *string = json_string(text);

	return string ? string : json_pack("{s:o}", "hex", json_text_hex(text, strlen(text)));
}

static json_t *words_to_json(char *const *words)
{
	json_t *array = json_array();
	int error = array ? 0 : -1;

	for (size_t i = 0; !error && words[i]; i++)
		error = json_array_append_new(array, json_string(words[i]));
	if (error) {
		json_decref(array);
		return NULL;
	}
	return array;
}

static json_t *field_to_json(const struct field *field, const void *value)
{
	switch (field->kind) {
	case WORDS:
		return words_to_json(value);
	case TEXT:
		return text_to_json(value);
	case BOOL:
		return json_boolean(*(const bool *)value);
	case NUMBER:
		return json_integer(*(const uint32_t *)value);
	case CHOICE:
		return json_integer(*(const int32_t *)value);
	case NAME:
		return json_string(field->names[*(const unsigned int *)value]);
	}
	return NULL;
}

/* The object that the field stands in, made when its first field comes; NULL without memory. */
static json_t *object_for(const struct field *field, json_t *all)
{
	json_t *object = field->object ? json_object_get(all, field->object) : all;

	if (object)
		return object;
	json_object_set_new(all, field->object, json_object());
	return json_object_get(all, field->object);
}

json_t *disk_config_to_json(const struct disk_config *config)
{
	json_t *all = json_object();
	int error = all ? 0 : -1;

	for (size_t i = 0; !error && i < COUNT(fields); i++) {
		json_t *value = field_to_json(&fields[i], value_of(&fields[i], config));

		error = json_object_set_new(object_for(&fields[i], all), fields[i].name, value);
	}
	if (error) {
		json_decref(all);
		return NULL;
	}
	return all;
}

/* --- from JSON --------------------------------------------------------------------------------------- */

/* Each take_*() returns NULL, or what is wrong with the field. */

/* As text_to_json() writes it. */
static const char *take_hex(const char *hex, char *out, size_t out_bytes)
{
	static const char digits[] = "0123456789abcdef";
	size_t count = strlen(hex) / 2;

	if (strlen(hex) % 2 || strspn(hex, digits) != 2 * count)
		return "is not hex digits in pairs";
	if (count >= out_bytes)
		return "is too long";
	for (size_t i = 0; i < count; i++) {
		out[i] = (char)((strchr(digits, hex[2 * i]) - digits) * 16 +
				(strchr(digits, hex[2 * i + 1]) - digits));
		if (!out[i])
			return "holds a NUL";
	}
	out[count] = '\0';
	return NULL;
}

static const char *take_text(const json_t *item, char *out, size_t out_bytes)
{
	const char *hex = json_string_value(json_object_get(item, "hex"));

	if (hex)
		return take_hex(hex, out, out_bytes);
	if (!json_is_string(item))
		return "is missing or is not a string";
	if (json_string_length(item) >= out_bytes)
		return "is too long";
	if (strlen(json_string_value(item)) != json_string_length(item))
		return "holds a NUL";
	strcpy(out, json_string_value(item));
	return NULL;
}

static const char *take_words(const json_t *array, char **words)
{
	size_t count = json_array_size(array);

	if (!json_is_array(array))
		return "is missing or is not an array";
	if (count > DISK_COMMAND_ARGS_MAX)
		return "has too many words";
	for (size_t i = 0; i < count; i++) {
		const json_t *word = json_array_get(array, i);
		const char *text = json_string_value(word);

		if (!text || strlen(text) != json_string_length(word))
			return "contains a word that is not a string";
		words[i] = strdup(text);
		if (!words[i])
			return "does not fit in memory";
	}
	return NULL;
}

static const char *take_bool(const json_t *item, bool *value)
{
	if (!json_is_boolean(item))
		return "is missing or neither true nor false";
	*value = json_is_true(item);
	return NULL;
}

/* A NUMBER or a CHOICE: what is stored is the lower 32 bits of either. */
static const char *take_number(const struct field *field, const json_t *item, uint32_t *value)
{
	struct disk_limit limit = limit_of(field);
	json_int_t number = json_integer_value(item);
	bool none = field->kind == CHOICE && number == -1;

	if (!json_is_integer(item))
		return "is missing or is not a whole number";
	if (!none && (number < 0 || !disk_limit_allows(&limit, (uint64_t)number)))
		return "is out of range";
	*value = (uint32_t)number;
	return NULL;
}

static const char *take_name(const struct field *field, const json_t *item, unsigned int *value)
{
	int index = name_find(field->names, json_string_value(item));

	if (index < 0)
		return "is missing or has no such value";
	*value = (unsigned int)index;
	return NULL;
}

static const char *take_field(const struct field *field, const json_t *item, void *value)
{
	if (!item && field->may_lack)
		return NULL;
	switch (field->kind) {
	case WORDS:
		return take_words(item, value);
	case TEXT:
		return take_text(item, value, field->bytes);
	case BOOL:
		return take_bool(item, value);
	case NUMBER:
	case CHOICE:
		return take_number(field, item, value);
	case NAME:
		return take_name(field, item, value);
	}
	return NULL;
}

/* What is wrong, and in *what with which field; or NULL. */
static const char *take_all(struct disk_config *config, const json_t *all, const char **what)
{
	*what = "it";
	if (!json_is_object(all))
		return "is not an object";
	for (size_t i = 0; i < COUNT(fields); i++) {
		const struct field *field = &fields[i];
		const json_t *object = field->object ? json_object_get(all, field->object) : all;
		const char *wrong;

		*what = field->object;
		if (!json_is_object(object))
			return "is missing or is not an object";
		*what = field->name;
		wrong = take_field(field, json_object_get(object, field->name),
				   (char *)config + field->offset);
		if (wrong)
			return wrong;
	}
	*what = "name";
	return config->name[0] && !disk_name_is_valid(config->name) ? "is not a valid disk name"
								    : NULL;
}

int disk_config_from_json(struct disk_config *config, const json_t *object, char *error,
			  size_t error_bytes)
{
	const char *what, *wrong;

	disk_config_init(config);
	wrong = take_all(config, object, &what);
	if (!wrong)
		return 0;
	snprintf(error, error_bytes, "the disk's configuration: %s %s", what, wrong);
	disk_config_clear(config);
	return -EINVAL;
}

/* --- comparing --------------------------------------------------------------------------------------- */

static bool same_words(char *const *a, char *const *b)
{
	for (; *a && *b; a++, b++)
		if (strcmp(*a, *b))
			return false;
	return *a == *b;
}

static bool same_value(const struct field *field, const void *a, const void *b)
{
	if (field->kind == WORDS)
		return same_words(a, b);
	return field->kind == TEXT ? !strcmp(a, b) : !memcmp(a, b, field->bytes);
}

static bool matters(const struct field *field, const struct disk_config *wanted,
		    const struct disk_config *there)
{
	switch (field->matters) {
	case ALWAYS:
		return true;
	case ADDRESS:
		return !wanted->command[0] && !there->command[0];
	case WANTED:
		return *(const char *)value_of(field, wanted);
	case CHOSEN:
		return *(const int32_t *)value_of(field, wanted) >= 0 &&
		       *(const int32_t *)value_of(field, there) >= 0;
	case NEVER:
		break;
	}
	return false;
}

const char *disk_config_difference(const struct disk_config *wanted,
				   const struct disk_config *there, size_t *next)
{
	while (*next < COUNT(fields)) {
		const struct field *field = &fields[(*next)++];

		if (matters(field, wanted, there) &&
		    !same_value(field, value_of(field, wanted), value_of(field, there)))
			return field->option;
	}
	return NULL;
}

bool disk_config_same_disk(const struct disk_config *wanted, const struct disk_config *there)
{
	size_t next = 0;

	return !disk_config_difference(wanted, there, &next);
}
