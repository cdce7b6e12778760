/* SPDX-License-Identifier: MIT */
/*
 * Goal: configuration files are read in systemd's order, and one that is replaced or masked is not; a command's words
 * are parted as ublk-nbd.conf(5) says; a mistyped word finds the one that was meant, and no other.
 * Method: three directories of the test's own; tables.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/cli/config_files.h"
#include "gateway/cli/config_words.h"
#include "gateway/cli/nearest.h"

#define COUNT(array)   (sizeof(array) / sizeof((array)[0]))
#define PATH_BYTES     200
#define WORDS_MAX_HERE 4

static char folder[] = "/tmp/test_config_files.XXXXXX";
static char places[3][PATH_BYTES];

static void path_of(char path[PATH_BYTES], size_t place, const char *name)
{
	snprintf(path, PATH_BYTES, "%.100s/%s", places[place], name);
}

static void write_file(size_t place, const char *name, const char *text)
{
	char path[PATH_BYTES];
	FILE *file;

	path_of(path, place, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
}

static int group_open(void **state)
{
	char path[PATH_BYTES];

	(void)state;
	umask(022);
	if (!mkdtemp(folder))
		return -1;
	for (size_t i = 0; i < COUNT(places); i++) {
		snprintf(places[i], PATH_BYTES, "%s/%zu", folder, i);
		path_of(path, i, "conf.d");
		if (mkdir(places[i], 0755) || mkdir(path, 0755))
			return -1;
	}
	return 0;
}

static void remove_file(size_t place, const char *name)
{
	char path[PATH_BYTES];

	path_of(path, place, name);
	remove(path);
}

static int group_close(void **state)
{
	static const char *const names[] = { "ublk-nbd.conf", "conf.d/10.conf", "conf.d/20.conf",
					     "conf.d/30.conf", "conf.d" };

	(void)state;
	for (size_t i = 0; i < COUNT(places); i++) {
		for (size_t j = 0; j < COUNT(names); j++)
			remove_file(i, names[j]);
		rmdir(places[i]);
	}
	return rmdir(folder);
}

static void load(struct config *config)
{
	const char *const from[] = { places[0], places[1], places[2] };

	assert_int_equal(config_load_from(from, COUNT(from), config), 0);
}

/* The value of the disk "a" is value, from the file of that place. */
static void assert_value(const struct config *config, const char *key, const char *value,
			 size_t place, const char *name)
{
	const struct config_entry *entry = config_value(config, config_find(config, "a"), key);
	char path[PATH_BYTES];

	assert_non_null(entry);
	assert_string_equal(entry->value, value);
	path_of(path, place, name);
	assert_string_equal(entry->place.file, path);
}

static void test_order(void **state)
{
	struct config config;

	(void)state;
	write_file(1, "ublk-nbd.conf", "[disk a]\nowner=run\ntimeout=1\nexport=e\n");
	write_file(2, "ublk-nbd.conf", "[disk usr]\n"); /* not read */
	write_file(2, "conf.d/10.conf", "[disk a]\nowner=ten\ntimeout=10\n");
	write_file(0, "conf.d/20.conf", "[disk a]\nowner=twenty\n");
	write_file(2, "conf.d/20.conf", "[disk a]\ntimeout=20\n[disk usr]\n"); /* replaced */
	write_file(1, "conf.d/30.conf", "[disk a]\nowner=thirty\n");
	write_file(0, "conf.d/30.conf", ""); /* takes it away */
	load(&config);
	assert_int_equal(config.fault_count, 0);
	assert_int_equal(config.file_count, 4);
	assert_null(config_find(&config, "usr"));
	assert_value(&config, "owner", "twenty", 0, "conf.d/20.conf");
	assert_value(&config, "timeout", "10", 2, "conf.d/10.conf");
	assert_value(&config, "export", "e", 1, "ublk-nbd.conf");
	config_clear(&config);
	write_file(0, "ublk-nbd.conf", "[disk a]\ntimeout=1\n");
	load(&config);
	assert_null(config_value(&config, config_find(&config, "a"), "export"));
	config_clear(&config);
}

/* A file that may not be believed may concern any disk: none is made. */
static void test_trust(void **state)
{
	struct config config;
	char path[PATH_BYTES];

	(void)state;
	path_of(path, 2, "conf.d/10.conf");
	assert_int_equal(chmod(path, 0620), 0);
	load(&config);
	assert_int_equal(config.fault_count, 1);
	assert_true(config.all_faulty);
	assert_string_equal(config.faults[0].place.file, path);
	assert_true(config_is_faulty(&config, config_find(&config, "a")));
	config_clear(&config);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(chmod(places[2], 0777), 0); /* of 10.conf, below its conf.d */
	load(&config);
	assert_true(config.all_faulty);
	assert_string_equal(config.faults[0].place.file, places[2]);
	config_clear(&config);
	assert_int_equal(chmod(places[2], 0755), 0);
}

static void test_nothing_there(void **state)
{
	static const char *const from[] = { "/nowhere/at/all" };
	struct config config;

	(void)state;
	assert_int_equal(config_load_from(from, 1, &config), 0);
	assert_int_equal(config.fault_count, 0);
	assert_int_equal(config.section_count, 1);
	config_clear(&config);
	assert_int_equal(config_load(from[0], &config), 0);
	assert_true(config.all_faulty);
	config_clear(&config);
}

static void test_words(void **state)
{
	static const struct {
		const char *text;
		int result;
		const char *words; /* each with a '|' behind */
	} cases[] = {
		{ "nbdkit memory 1G", 0, "nbdkit|memory|1G|" },
		{ " \t a\t b ", 0, "a|b|" },
		{ "'a b' \"c d\"", 0, "a b|c d|" },
		{ "a'b 'c\"d \"e", 0, "ab cd e|" },
		{ "'' \"\"", 0, "||" },
		{ "'\\' \"\\\"\\\\\" a\\b", 0, "\\|\"\\|a\\b|" },
		{ "'\"' \"'\"", 0, "\"|'|" },
		{ "$HOME *;|", 0, "$HOME|*;||" },
		{ "a b c d", 0, "a|b|c|d|" },
		{ "a b c d e", -E2BIG, "" },
		{ "a 'b", -EINVAL, "" },
		{ "a \"b\\\"", -EINVAL, "" },
		{ "", -ENOENT, "" },
		{ "  ", -ENOENT, "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char *words[WORDS_MAX_HERE + 1], found[PATH_BYTES] = "";
		int result = config_words_split(cases[i].text, words, WORDS_MAX_HERE);

		for (char **word = words; *word; word++) {
			strcat(strcat(found, *word), "|");
			free(*word);
		}
		if (result != cases[i].result || strcmp(found, cases[i].words))
			fail_msg("%s: %d, %s", cases[i].text, result, found);
	}
}

static void test_nearest(void **state)
{
	static const char *const words[] = { "timeout", "connect-timeout", "connections",
					     "tls",	"tls-ca",	   "tls-key" };
	static const struct {
		const char *word, *nearest;
	} cases[] = {
		{ "timout", "timeout" },
		{ "TIMEOUT", "timeout" },
		{ "time-out", "timeout" },
		{ "conections", "connections" },
		{ "connnectionss", "connections" },
		{ "tsl-ca", "tls-ca" },
		{ "tls-kex", "tls-key" },
		{ "connect", NULL },
		{ "x", NULL },
		{ "", NULL },
		{ "tl", NULL },
		{ "timers", NULL },
		{ "a-word-that-is-longer-than-any-of-the-known-ones", NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		const char *found = nearest_word(cases[i].word, words, COUNT(words));

		if (!found != !cases[i].nearest || (found && strcmp(found, cases[i].nearest)))
			fail_msg("%s: %s", cases[i].word, found ? found : "none");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),	      cmocka_unit_test(test_trust),
		cmocka_unit_test(test_nothing_there), cmocka_unit_test(test_words),
		cmocka_unit_test(test_nearest),
	};

	return cmocka_run_group_tests(tests, group_open, group_close);
}
