/* SPDX-License-Identifier: MIT */
/*
 * Goal: a disk's configuration survives being written and read; one with a field that is missing, of
 * the wrong type or out of range is refused by that field's name; --idempotent compares what makes
 * a disk another and nothing else.
 * Method: one configuration with every field off its default, there and back; each field in turn
 * removed, made a different type, set below and above its limits; one field at a time changed.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/cli/connect_options.h"
#include "gateway/common/disk_config.h"
#include "gateway/common/target_text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct disk_config full(void)
{
	struct disk_config config;

	disk_config_init(&config);
	config.target = (struct nbd_uri){
		.transport = NBD_TRANSPORT_VSOCK,
		.tls = true,
		.host = "h",
		.port = "1",
		.vsock_cid = 4294967294u,
		.vsock_port = 7,
		.socket_path = "@s",
		.export_name = "a \"quoted\" \xc3\xa9\n/name",
		.user = "u",
		.tls_certificates = "/c",
		.tls_psk_file = "/p",
		.tls_type = "psk",
		.tls_hostname = "n",
		.tls_verify_peer = 0,
	};
	config.command[0] = strdup("nbdkit");
	config.command[1] = strdup("--opt=a b");
	strcpy(config.owner, "me");
	strcpy(config.name, "data");
	config.device = 12;
	config.connections = 16;
	config.queue_depth = 4096;
	config.block_size_bytes = 4096;
	config.max_io_bytes = 32u << 20;
	config.timeout_ms = 100;
	config.connect_timeout_ms = 3600000;
	config.read_only = config.no_structured = config.foreground = config.verbose = true;
	config.configured = true;
	config.payload = DISK_PAYLOAD_USER_COPY;
	return config;
}

static void assert_equal_text(const struct disk_config *a, const struct disk_config *b)
{
	json_t *x = disk_config_to_json(a), *y = disk_config_to_json(b);

	assert_non_null(x);
	assert_true(json_equal(x, y));
	json_decref(x);
	json_decref(y);
}

static void round_trip(struct disk_config *config)
{
	struct disk_config back;
	json_t *object = disk_config_to_json(config);
	char error[300];

	assert_non_null(object);
	assert_int_equal(disk_config_from_json(&back, object, error, sizeof(error)), 0);
	assert_equal_text(config, &back);
	assert_true(disk_config_same_disk(config, &back));
	json_decref(object);
	disk_config_clear(&back);
	disk_config_clear(config);
}

static void test_round_trip(void **state)
{
	struct disk_config config;
	json_t *object;

	(void)state;
	disk_config_init(&config);
	round_trip(&config);
	config = full();
	round_trip(&config);
	/* The fields themselves, not only what both directions agree on. */
	config = full();
	object = disk_config_to_json(&config);
	assert_string_equal(json_string_value(json_object_get(object, "payload")), "user-copy");
	assert_int_equal(json_integer_value(json_object_get(object, "timeout_ms")), 100);
	assert_true(json_is_true(json_object_get(object, "read_only")));
	assert_string_equal(json_string_value(json_object_get(json_object_get(object, "target"),
							      "export_name")),
			    config.target.export_name);
	json_decref(object);
	disk_config_clear(&config);
}

/* What is written is what `list` and a daemon of another version read. */
static void test_format(void **state)
{
	static const char format[] =
		"{\"target\":{\"transport\":\"vsock\",\"tls\":true,\"vsock_cid\":4294967294,"
		"\"vsock_port\":7,\"tls_verify_peer\":0,\"host\":\"h\",\"port\":\"1\","
		"\"socket_path\":\"@s\",\"export_name\":\"e\",\"user\":\"u\","
		"\"tls_certificates\":\"/c\",\"tls_psk_file\":\"/p\",\"tls_type\":\"psk\","
		"\"tls_hostname\":\"n\"},\"tls\":{\"no_verify\":true,\"ktls\":\"off\","
		"\"rekey_records\":9,\"hostname\":\"x\",\"ca\":\"/a\",\"crl\":\"\",\"cert\":\"\","
		"\"key\":\"\",\"passphrase_file\":\"\",\"psk_file\":\"\",\"psk_identity\":\"i\"},"
		"\"command\":[\"nbdkit\",\"--opt=a b\"],\"owner\":\"me\",\"name\":\"data\","
		"\"device\":12,\"payload\":\"user-copy\",\"connections\":16,"
		"\"queue_depth\":4096,\"block_size_bytes\":4096,\"max_io_bytes\":33554432,"
		"\"timeout_ms\":100,\"dead_timeout_ms\":600000,\"quiet_time_ms\":4294967294,"
		"\"server_cache\":\"fail\",\"connect_timeout_ms\":3600000,"
		"\"read_only\":true,\"no_structured\":true,\"foreground\":true,"
		"\"verbose\":true,\"configured\":true}";
	struct disk_config config = full();
	json_t *object;
	char *text;

	(void)state;
	strcpy(config.target.export_name, "e");
	config.tls = (struct tls_options){ .no_verify = true,
					   .ktls = TLS_KTLS_OFF,
					   .rekey_records = 9,
					   .hostname = "x",
					   .ca = "/a",
					   .psk_identity = "i" };
	object = disk_config_to_json(&config);
	text = json_dumps(object, JSON_COMPACT);
	assert_string_equal(text, format);
	free(text);
	json_decref(object);
	disk_config_clear(&config);
}

/* An export's name may be any bytes; JSON is UTF-8. */
static void test_strange_export_name(void **state)
{
	static const char *const names[] = { "\xff\x01/\xc3\xa9", "\xc3\xa9", "\x7f",
					     "{\"hex\":\"ff\"}" };
	static const char *const bad[] = { "f", "fg", "FF", "00", "ff00ff" };
	struct disk_config config;
	json_t *object, *target;
	char error[300];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		config = full();
		strcpy(config.target.export_name, names[i]);
		round_trip(&config);
	}
	config = full();
	object = disk_config_to_json(&config);
	target = json_object_get(object, "target");
	json_object_set_new(target, "export_name", json_pack("{s:s}", "hex", "ff6e"));
	disk_config_clear(&config);
	assert_int_equal(disk_config_from_json(&config, object, error, sizeof(error)), 0);
	assert_string_equal(config.target.export_name, "\xffn");
	disk_config_clear(&config);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		json_object_set_new(target, "export_name", json_pack("{s:s}", "hex", bad[i]));
		assert_int_not_equal(disk_config_from_json(&config, object, error, sizeof(error)),
				     0);
		assert_non_null(strstr(error, "export_name"));
	}
	json_decref(object);
}

static void test_defaults(void **state)
{
	struct disk_config config;

	(void)state;
	disk_config_init(&config);
	assert_int_equal(config.device, -1);
	assert_int_equal(config.queue_depth, 128);
	assert_int_equal(config.timeout_ms, 30000);
	assert_int_equal(config.connect_timeout_ms, 30000);
	assert_int_equal(config.dead_timeout_ms, 600000);
	assert_int_equal(config.quiet_time_ms, DISK_QUIET_AUTO);
	assert_int_equal(config.server_cache, DISK_CACHE_FAIL);
	assert_int_equal(config.max_io_bytes, 1 << 20);
	assert_int_equal(config.target.tls_verify_peer, -1);
	disk_config_clear(&config);
}

/* object, changed, is refused by a sentence with word in it. Takes over object. */
static void assert_refused(json_t *object, const char *word)
{
	struct disk_config config;
	char error[300] = "";
	int result = disk_config_from_json(&config, object, error, sizeof(error));

	json_decref(object);
	if (result != -EINVAL)
		fail_msg("%s: returned %d", word, result);
	if (!strstr(error, word))
		fail_msg("no \"%s\" in: %s", word, error);
}

static json_t *object_of_full(void)
{
	struct disk_config config = full();
	json_t *object = disk_config_to_json(&config);

	disk_config_clear(&config);
	return object;
}

/* Of the object of that name in the configuration; NULL: of itself. */
static void refuse_each(const char *name)
{
	json_t *pattern = object_of_full(), *value;
	json_t *fields = name ? json_object_get(pattern, name) : pattern;
	const char *key;

	json_object_foreach(fields, key, value)
	{
		for (int odd = 0; odd < 2; odd++) {
			json_t *object = object_of_full();
			json_t *inner = name ? json_object_get(object, name) : object;

			if (odd) {
				json_object_set_new(inner, key, json_null());
			} else if (!strcmp(key, "name") || !strcmp(key, "configured") ||
				   !strcmp(key, "quiet_time_ms") || !strcmp(key, "server_cache")) {
				/* older versions had none */
				json_decref(object);
				continue;
			} else {
				json_object_del(inner, key);
			}
			assert_refused(object, key);
		}
	}
	json_decref(pattern);
}

static void test_each_field_is_needed(void **state)
{
	json_t *object;

	(void)state;
	refuse_each(NULL);
	refuse_each("target");
	refuse_each("tls");
	assert_refused(json_array(), "not an object");
	object = object_of_full();
	json_object_set_new(object, "name", json_string("ublkb7"));
	assert_refused(object, "name");
}

static const struct range {
	const char *field;
	json_int_t good[4], bad[4];
} ranges[] = {
	{ "device", { -1, 0, 65535, 7 }, { -2, 65536, INT32_MAX, INT64_MIN } },
	{ "connections", { 0, 1, 16, 4 }, { -1, 17, INT64_MAX, 1LL << 32 } },
	{ "queue_depth", { 1, 4096, 128, 3 }, { 0, 4097, -1, (1LL << 32) + 1 } },
	{ "block_size_bytes", { 0, 512, 1024, 4096 }, { 1, 256, 3000, 1 << 17 } },
	{ "max_io_bytes", { 4096, 1 << 20, 1 << 25, 8192 }, { 0, 2048, 3 << 20, 1 << 26 } },
	{ "timeout_ms", { 100, 86400000, 101, 30000 }, { 0, 99, 86400001, -1 } },
	{ "dead_timeout_ms", { 0, 1, UINT32_MAX, 600000 }, { -1, 1LL << 32, INT64_MAX, -5 } },
	{ "quiet_time_ms",
	  { 0, 1, UINT32_MAX, DISK_QUIET_AUTO },
	  { -1, 1LL << 32, INT64_MAX, -5 } },
	{ "connect_timeout_ms", { 100, 3600000, 101, 5000 }, { 0, 99, 3600001, -5 } },
};

static void test_ranges(void **state)
{
	struct disk_config config;
	char error[300];

	(void)state;
	for (size_t i = 0; i < 4 * COUNT(ranges); i++) {
		const struct range *range = &ranges[i / 4];
		json_t *object = object_of_full();

		json_object_set_new(object, range->field, json_integer(range->good[i % 4]));
		if (disk_config_from_json(&config, object, error, sizeof(error)))
			fail_msg("%s", error);
		disk_config_clear(&config);
		json_object_set_new(object, range->field, json_integer(range->bad[i % 4]));
		assert_refused(object, range->field);
	}
}

static void test_strings(void **state)
{
	char *long_name = malloc(NBD_STRING_BYTES_MAX + 2);
	json_t *object;

	(void)state;
	assert_non_null(long_name);
	memset(long_name, 'a', NBD_STRING_BYTES_MAX + 1);
	long_name[NBD_STRING_BYTES_MAX + 1] = '\0';
	object = object_of_full();
	json_object_set_new(json_object_get(object, "target"), "export_name",
			    json_string(long_name));
	assert_refused(object, "export_name");
	free(long_name);
	object = object_of_full();
	json_object_set_new(object, "owner", json_stringn("a\0b", 3));
	assert_refused(object, "owner");
	object = object_of_full();
	json_object_set_new(object, "payload", json_string("magic"));
	assert_refused(object, "payload");
	object = object_of_full();
	json_object_set_new(json_object_get(object, "target"), "transport", json_string("udp"));
	assert_refused(object, "transport");
}

static void test_command(void **state)
{
	json_t *object = object_of_full(), *words = json_object_get(object, "command");
	struct disk_config config;
	char error[300];

	(void)state;
	while (json_array_size(words) < DISK_COMMAND_ARGS_MAX)
		json_array_append_new(words, json_string("x"));
	assert_int_equal(disk_config_from_json(&config, object, error, sizeof(error)), 0);
	assert_null(config.command[DISK_COMMAND_ARGS_MAX]);
	disk_config_clear(&config);
	assert_null(config.command[0]);
	json_array_append_new(words, json_string("one too many"));
	assert_refused(json_incref(object), "command");
	json_array_clear(words);
	json_array_append_new(words, json_integer(1));
	assert_refused(object, "command");
}

static void test_page_size(void **state)
{
	struct disk_limit limit = disk_config_limit("block_size_bytes");

	(void)state;
	assert_int_equal(limit.maximum, sysconf(_SC_PAGESIZE));
	assert_true(disk_limit_allows(&limit, 0));
	assert_true(disk_limit_allows(&limit, limit.maximum));
	assert_false(disk_limit_allows(&limit, 2ull * limit.maximum));
	assert_false(disk_limit_allows(&limit, 1536));
	assert_false(disk_limit_allows(&limit, 1ull << 32));
}

/* Each changes one thing of a configuration. */
enum change {
	DEVICE,
	NO_DEVICE,
	OWNER,
	NO_OWNER,
	FOREGROUND,
	VERBOSE, /* the same disk, or not: see below */
	EXPORT,
	HOST,
	TRANSPORT,
	TLS,
	VERIFY,
	COMMAND,
	COMMAND_SHORTER,
	READ_ONLY,
	STRUCTURED,
	DEPTH,
	CONNECTIONS,
	BLOCK,
	MAX_IO,
	TIMEOUT,
	CONNECT_TIMEOUT,
	PAYLOAD,
	CHANGES,
};

static void apply(struct disk_config *config, enum change change)
{
	switch (change) {
	case DEVICE:
		config->device = 13;
		break;
	case NO_DEVICE:
		config->device = -1;
		break;
	case OWNER:
		strcpy(config->owner, "other");
		break;
	case NO_OWNER:
		config->owner[0] = '\0';
		break;
	case FOREGROUND:
		config->foreground = false;
		break;
	case VERBOSE:
		config->verbose = false;
		break;
	case EXPORT:
		strcpy(config->target.export_name, "x");
		break;
	case HOST:
		strcpy(config->target.host, "x");
		break;
	case TRANSPORT:
		config->target.transport = NBD_TRANSPORT_TCP;
		break;
	case TLS:
		config->target.tls = false;
		break;
	case VERIFY:
		config->target.tls_verify_peer = 1;
		break;
	case COMMAND:
		config->command[1][0] = 'X';
		break;
	case COMMAND_SHORTER:
		free(config->command[1]);
		config->command[1] = NULL;
		break;
	case READ_ONLY:
		config->read_only = false;
		break;
	case STRUCTURED:
		config->no_structured = false;
		break;
	case DEPTH:
		config->queue_depth = 1;
		break;
	case CONNECTIONS:
		config->connections = 1;
		break;
	case BLOCK:
		config->block_size_bytes = 512;
		break;
	case MAX_IO:
		config->max_io_bytes = 4096;
		break;
	case TIMEOUT:
		config->timeout_ms = 101;
		break;
	case CONNECT_TIMEOUT:
		config->connect_timeout_ms = 101;
		break;
	case PAYLOAD:
		config->payload = DISK_PAYLOAD_MAPPED;
		break;
	case CHANGES:
		break;
	}
}

/* A whole one, of a server's or, with `started`, of a server of its own, which is somewhere else each time. */
static struct disk_config full_of(bool started)
{
	struct disk_config config = full();

	for (size_t i = 0; !started && config.command[i]; i++) {
		free(config.command[i]);
		config.command[i] = NULL;
	}
	return config;
}

static bool makes_another(enum change change, bool started)
{
	switch (change) {
	case NO_DEVICE:
	case NO_OWNER: /* of the one that is wanted */
	case FOREGROUND:
	case VERBOSE:
	case CHANGES:
		return false;
	case HOST:
	case TRANSPORT:
	case VERIFY:
		return !started;
	default:
		return true;
	}
}

static void compare(enum change change, bool started)
{
	struct disk_config there = full_of(started), wanted = full_of(started);
	bool same = !makes_another(change, started);

	apply(&wanted, change);
	if (disk_config_same_disk(&wanted, &there) != same)
		fail_msg("change %d, server of its own %d: expected %d", change, started, same);
	/* Who wants an owner does not take a disk that has none. */
	same &= change != NO_OWNER;
	if (disk_config_same_disk(&there, &wanted) != same)
		fail_msg("change %d, server of its own %d, the other way: expected %d", change,
			 started, same);
	disk_config_clear(&wanted);
	disk_config_clear(&there);
}

static void test_same_disk(void **state)
{
	(void)state;
	for (int change = 0; change <= CHANGES; change++) {
		compare((enum change)change, true);
		if (change != COMMAND && change != COMMAND_SHORTER)
			compare((enum change)change, false);
	}
}

/* Another value of the field that is allowed. */
static json_t *other_value(const char *key, const json_t *value)
{
	static const struct {
		const char *key, *text;
		json_int_t number;
	} chosen[] = {
		{ "transport", "unix", 0 },	   { "ktls", "on", 0 },
		{ "payload", "auto", 0 },	   { "server_cache", "stable", 0 },
		{ "block_size_bytes", NULL, 512 }, { "max_io_bytes", NULL, 4096 },
		{ "timeout_ms", NULL, 101 },	   { "connect_timeout_ms", NULL, 101 },
	};

	for (size_t i = 0; i < COUNT(chosen); i++)
		if (!strcmp(chosen[i].key, key))
			return chosen[i].text ? json_string(chosen[i].text)
					      : json_integer(chosen[i].number);
	if (json_is_string(value))
		return json_string("other");
	return json_is_boolean(value) ? json_boolean(json_is_false(value)) : json_integer(1);
}

static bool is_option(const char *name)
{
	const struct option *option = connect_options_table();

	while (option->name && strcmp(option->name, name))
		option++;
	return option->name;
}

/* Which option it is that differs is told, one that connect has, and no other. */
static void assert_differs_once(const struct disk_config *wanted, const struct disk_config *there,
				bool same)
{
	size_t next = 0;

	if (!same) {
		const char *option = disk_config_difference(wanted, there, &next);

		assert_non_null(option);
		if (strcmp(option, "target") && !is_option(option))
			fail_msg("connect has no option '%s'", option);
	}
	assert_null(disk_config_difference(wanted, there, &next));
}

static void assert_next_difference(const struct disk_config *wanted,
				   const struct disk_config *there, size_t *next,
				   const char *option)
{
	const char *found = disk_config_difference(wanted, there, next);

	assert_non_null(found);
	assert_string_equal(found, option);
}

static void test_differences(void **state)
{
	struct disk_config there = full_of(false), wanted = full_of(false);
	size_t next = 0;

	(void)state;
	strcpy(wanted.target.host, "elsewhere");
	strcpy(wanted.target.export_name, "another");
	wanted.tls.no_verify = !wanted.tls.no_verify;
	wanted.timeout_ms++;
	wanted.verbose = !wanted.verbose;
	assert_next_difference(&wanted, &there, &next, "target");
	assert_next_difference(&wanted, &there, &next, "export");
	assert_next_difference(&wanted, &there, &next, "tls-verify");
	assert_next_difference(&wanted, &there, &next, "timeout");
	assert_null(disk_config_difference(&wanted, &there, &next));
	disk_config_clear(&wanted);
	disk_config_clear(&there);
}

static void compare_each(const char *name)
{
	struct disk_config there = full_of(false), wanted;
	json_t *pattern = disk_config_to_json(&there), *value;
	json_t *fields = name ? json_object_get(pattern, name) : pattern;
	const char *key;
	char error[300];

	json_object_foreach(fields, key, value)
	{
		bool same = !strcmp(key, "foreground") || !strcmp(key, "verbose") ||
			    !strcmp(key, "configured");
		json_t *object = json_deep_copy(pattern);

		/* Objects are looked into by themselves, words in test_same_disk(); one has no other value. */
		if (json_is_object(value) || json_is_array(value)) {
			json_decref(object);
			continue;
		}
		json_object_set_new(name ? json_object_get(object, name) : object, key,
				    other_value(key, value));
		if (disk_config_from_json(&wanted, object, error, sizeof(error)))
			fail_msg("%s: %s", key, error);
		if (disk_config_same_disk(&wanted, &there) != same)
			fail_msg("%s: expected %d", key, same);
		assert_differs_once(&wanted, &there, same);
		disk_config_clear(&wanted);
		json_decref(object);
	}
	json_decref(pattern);
	disk_config_clear(&there);
}

static void test_each_field_counts(void **state)
{
	(void)state;
	compare_each(NULL);
	compare_each("target");
	compare_each("tls");
}

static void test_describe(void **state)
{
	struct disk_config config = full();
	char out[64], small[12];

	(void)state;
	target_describe(&config.target, config.command, out, sizeof(out));
	assert_string_equal(out, "[ nbdkit '--opt=a b' ]");
	target_describe(&config.target, config.command, small, sizeof(small));
	assert_true(strlen(small) < sizeof(small));
	disk_config_clear(&config);
	disk_config_init(&config);
	strcpy(config.target.host, "::1");
	strcpy(config.target.port, "10809");
	strcpy(config.target.export_name, "a b");
	target_describe(&config.target, config.command, out, sizeof(out));
	assert_string_equal(out, "nbd://[::1]/a%20b");
	disk_config_clear(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),  cmocka_unit_test(test_strange_export_name),
		cmocka_unit_test(test_defaults),    cmocka_unit_test(test_each_field_is_needed),
		cmocka_unit_test(test_ranges),	    cmocka_unit_test(test_strings),
		cmocka_unit_test(test_command),	    cmocka_unit_test(test_page_size),
		cmocka_unit_test(test_same_disk),   cmocka_unit_test(test_each_field_counts),
		cmocka_unit_test(test_format),	    cmocka_unit_test(test_describe),
		cmocka_unit_test(test_differences),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
