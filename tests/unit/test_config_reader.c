/* SPDX-License-Identifier: MIT */
/*
 * Goal: what a configuration file says is read with the line where it stands; what libinih would take for something
 * else without a word (long lines, long sections, indentation, " ;", what stands twice) is refused with its line, and
 * costs the section that it is in, no other.
 * Method: a table of texts; what was read and what was refused, written out, must be the expected text exactly.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/cli/config.h"
#include "gateway/cli/config_reader.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TEXT_BYTES   4000
#define TEN	     "0123456789"
#define FORTY	     "a123456789" TEN TEN TEN
/* 190 bytes with "owner=" before it: the longest line. */
#define VALUE_184 FORTY FORTY FORTY FORTY TEN TEN "0123"

static void append(char *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void append(char *out, const char *format, ...)
{
	size_t used = strlen(out);
	va_list args;

	va_start(args, format);
	vsnprintf(out + used, TEXT_BYTES - used, format, args);
	va_end(args);
}

static const char *section_name(const struct config *config, size_t section)
{
	if (section == CONFIG_NOBODY)
		return "nobody";
	if (section == CONFIG_ALL)
		return "all";
	return section == CONFIG_DEFAULTS ? "defaults" : config->sections[section].name;
}

/* "4 data.target=nbd://x" for each entry, "!7 data: what is wrong" for each fault; a line each. */
static void describe(const struct config *config, char *out)
{
	out[0] = '\0';
	for (size_t i = 0; i < config->section_count; i++) {
		const struct config_section *section = &config->sections[i];

		for (size_t j = 0; j < section->entry_count; j++)
			append(out, "%u %s.%s=%s\n", section->entries[j].place.line,
			       section_name(config, i), section->entries[j].key,
			       section->entries[j].value);
	}
	for (size_t i = 0; i < config->fault_count; i++)
		append(out, "!%u %s: %s\n", config->faults[i].place.line,
		       section_name(config, config->faults[i].section), config->faults[i].text);
}

static void read_text(struct config *config, const char *text, size_t count)
{
	/* No byte behind the text may be read. */
	char *exact = malloc(count ? count : 1);

	assert_non_null(exact);
	memcpy(exact, text, count);
	config_init(config);
	config_reader_read(config, config_file_add(config, "/f"), exact, count);
	free(exact);
}

static void assert_reads(const char *text, size_t count, const char *expected)
{
	struct config config;
	char found[TEXT_BYTES];

	read_text(&config, text, count);
	describe(&config, found);
	config_clear(&config);
	if (strcmp(found, expected))
		fail_msg("'%s'\nis read as\n%s\nand not as\n%s", text, found, expected);
}

static const struct {
	const char *text, *expected;
} cases[] = {
	{ "", "" },
	{ "\n\n# a comment\n; another\n\t \n  # an indented one\n", "" },
	{ "[disk data]\ntarget = nbd://x\n", "2 data.target=nbd://x\n" },
	/* no newline at the end, CR LF, a byte order mark */
	{ "[disk data]\ntarget = nbd://x", "2 data.target=nbd://x\n" },
	{ "[disk data]\r\ntarget = nbd://x\r\n", "2 data.target=nbd://x\n" },
	{ "[disk data]\r\ntarget = nbd://x\r", "2 data.target=nbd://x\n" },
	{ "\xef\xbb\xbf[disk data]\ntarget=x", "2 data.target=x\n" },
	{ "\xef\xbb\xbf", "" },
	/* blanks around everything but the line */
	{ "[disk \t data]  \nowner\t=\t a b \t\n", "2 data.owner=a b\n" },
	{ "[defaults]\ntimeout=5\n[disk a]\ntarget==x=y\nowner=\n",
	  "2 defaults.timeout=5\n4 a.target==x=y\n5 a.owner=\n" },
	{ "[disk a]\ntarget=nbd://h/#;:\"'\n", "2 a.target=nbd://h/#;:\"'\n" },
	{ "[disk a]\nowner=\xc3\xa9\n", "2 a.owner=\xc3\xa9\n" },
	/* the longest lines and names */
	{ "[disk a]\nowner=" VALUE_184 "\n", "2 a.owner=" VALUE_184 "\n" },
	{ "[disk a]\nowner=" VALUE_184 "\r\n", "2 a.owner=" VALUE_184 "\n" },
	{ "[disk " FORTY "]\nowner=x\n", "2 " FORTY ".owner=x\n" },
	{ "[disk a]\nowner=" VALUE_184 "4\nexport=e\n",
	  "3 a.export=e\n!2 a: the line has 191 bytes: 190 are allowed\n" },
	/* the library would read "export=e" here: what is behind 199 bytes */
	{ "[disk a]\nowner=" VALUE_184 "456789012export=e\n",
	  "!2 a: the line has 207 bytes: 190 are allowed\n" },
	{ "[disk a]\n# " VALUE_184 "456789012export=e\n",
	  "!2 a: the line has 203 bytes: 190 are allowed\n" },
	{ "[disk b" FORTY "]\nowner=x\n[disk b" FORTY "y]\nowner=y\n",
	  "!1 nobody: [disk b" FORTY "]: 'b" FORTY "' is not a valid disk name: " DISK_NAME_RULE
	  "\n"
	  "!3 nobody: [disk b" FORTY "y]: 'b" FORTY "y' is not a valid disk name: " DISK_NAME_RULE
	  "\n" },
	/* the library would add this to the owner */
	{ "[disk a]\nowner=x\n  export=e\n",
	  "2 a.owner=x\n!3 a: the line is indented: sections and keys begin at the left margin\n" },
	{ " [disk a]\n",
	  "!1 nobody: the line is indented: sections and keys begin at the left margin\n" },
	{ "[disk a]\n\ttarget=x\n",
	  "!2 a: the line is indented: sections and keys begin at the left margin\n" },
	/* the library would cut this at ' ;' */
	{ "[disk a]\nowner=x ; mine\n",
	  "!2 a: owner: ' ;' in the value: a comment has a line of its own\n" },
	{ "[disk a]\nowner=; mine\n",
	  "!2 a: owner: ' ;' in the value: a comment has a line of its own\n" },
	{ "[disk a]\nowner=a;b\t;c\n",
	  "!2 a: owner: ' ;' in the value: a comment has a line of its own\n" },
	/* twice */
	{ "[disk a]\nowner=x\nexport=e\nowner=y\n",
	  "2 a.owner=x\n3 a.export=e\n"
	  "!4 a: 'owner' stands twice in this section: line 2 has it too\n" },
	{ "[disk a]\nowner=x\n[disk b]\nowner=y\n[disk  a]\nexport=e\n",
	  "2 a.owner=x\n4 b.owner=y\n!5 a: the section [disk  a] stands twice in this file\n" },
	{ "[disk a]\n[disk a]\n", "!2 a: the section [disk a] stands twice in this file\n" },
	{ "[defaults]\n[defaults]\n",
	  "!2 defaults: the section [defaults] stands twice in this file\n" },
	/* no section, no key */
	{ "owner=x\n[disk a]\n", "!1 nobody: 'owner' stands before the first section\n" },
	{ "[disk a\nowner=x\n", "!1 nobody: '[disk a' has no ']'\n" },
	{ "[disk a] # mine\n",
	  "!1 nobody: text after the ']' of a section: a comment has a line of its own\n" },
	{ "[disc a]\nowner=x\n",
	  "!1 nobody: unknown section [disc a]: there are [defaults] and [disk NAME]\n" },
	{ "[]\n", "!1 nobody: unknown section []: there are [defaults] and [disk NAME]\n" },
	{ "[default]\n",
	  "!1 nobody: unknown section [default]: there are [defaults] and [disk NAME]\n" },
	{ "[disk]\n", "!1 nobody: [disk ]: '' is not a valid disk name: " DISK_NAME_RULE "\n" },
	{ "[disk a b]\n",
	  "!1 nobody: [disk a b]: 'a b' is not a valid disk name: " DISK_NAME_RULE "\n" },
	{ "[disk ublkb0]\n",
	  "!1 nobody: [disk ublkb0]: 'ublkb0' is not a valid disk name: " DISK_NAME_RULE "\n" },
	{ "[disk a]\nread-only\n", "!2 a: 'read-only' is neither [SECTION] nor KEY = VALUE\n" },
	{ "[disk a]\nowner: x\n", "!2 a: 'owner: x' is neither [SECTION] nor KEY = VALUE\n" },
	{ "[disk a]\n=x\n", "!2 a: '' is not a valid key\n" },
	{ "[disk a]\nthe owner=x\n", "!2 a: 'the owner' is not a valid key\n" },
	{ "[disk a]\nowner:x=y\n", "!2 a: 'owner:x' is not a valid key\n" },
	/* what is lost with a section that cannot be told is looked at all the same, and the next is as good as ever */
	{ "[disk 1]\nowner=x\n in\n[disk b]\nowner=y\n",
	  "5 b.owner=y\n!1 nobody: [disk 1]: '1' is not a valid disk name: " DISK_NAME_RULE "\n"
	  "!3 nobody: the line is indented: sections and keys begin at the left margin\n" },
	/* bytes */
	{ "[disk a]\nowner=\xff\n", "!2 a: the line is not UTF-8 text\n" },
	{ "[disk a]\nowner=\xc3\n\xa9\n",
	  "!2 a: the line is not UTF-8 text\n!3 a: the line is not UTF-8 text\n" },
	{ "[disk a]\nowner=x\ry\n", "!2 a: the line has a control character\n" },
	{ "[disk a]\nowner=\033[31m\n", "!2 a: the line has a control character\n" },
	{ "[disk a]\nowner=\x7f\n", "!2 a: the line has a control character\n" },
	{ "[disk a]\n\xef\xbb\xbfowner=x\n", "!2 a: '\xef\xbb\xbfowner' is not a valid key\n" },
};

static void test_texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_reads(cases[i].text, strlen(cases[i].text), cases[i].expected);
}

static void test_nul(void **state)
{
	static const char text[] = "[disk a]\nowner=x\0y\nexport=e\n\0";

	(void)state;
	assert_reads(text, sizeof(text) - 1,
		     "3 a.export=e\n!2 a: the line is not UTF-8 text\n"
		     "!4 a: the line is not UTF-8 text\n");
}

/* A section goes on in a later file, where its keys may stand once more: the last one counts. */
static void test_two_files(void **state)
{
	static const char first[] = "[defaults]\ntimeout=5\nowner=d\n[disk a]\nowner=x\nexport=e\n";
	static const char second[] =
		"[disk a]\nowner=y\ntimeout=7\n[defaults]\nowner=\n[disk b]\n[disk a]\n";
	struct config config;
	const struct config_section *a, *b;
	const char *file;

	(void)state;
	read_text(&config, first, strlen(first));
	file = config_file_add(&config, "/g");
	config_reader_read(&config, file, second, strlen(second));
	a = config_find(&config, "a");
	b = config_find(&config, "b");
	assert_non_null(a);
	assert_non_null(b);
	assert_string_equal(config_value(&config, a, "owner")->value, "y");
	assert_ptr_equal(config_value(&config, a, "owner")->place.file, file);
	assert_string_equal(config_value(&config, a, "export")->value, "e");
	assert_string_equal(config_value(&config, a, "timeout")->value, "7");
	assert_string_equal(config_value(&config, b, "timeout")->value, "5");
	assert_null(config_value(&config, b, "owner")); /* an empty value takes it back */
	assert_null(config_find(&config, ""));
	assert_true(a->faulty && config_is_faulty(&config, a)); /* twice in the second file */
	assert_false(config_is_faulty(&config, b));
	config_clear(&config);
}

/* A fault of [defaults], or of a file, is every disk's. */
static void test_whose_faults(void **state)
{
	static const char text[] = "[defaults]\nx\n[disk a]\n[disk b]\nx\n";
	struct config config;

	(void)state;
	read_text(&config, text, strlen(text));
	assert_true(config_is_faulty(&config, config_find(&config, "a")));
	config_clear(&config);
	read_text(&config, text + strlen("[defaults]\nx\n"), strlen("[disk a]\n[disk b]\nx\n"));
	assert_false(config_is_faulty(&config, config_find(&config, "a")));
	assert_true(config_is_faulty(&config, config_find(&config, "b")));
	config_fault_add(&config, CONFIG_ALL, (struct config_place){ "/f", 0 }, "gone");
	assert_true(config_is_faulty(&config, config_find(&config, "a")));
	config_clear(&config);
}

static void test_many_sections(void **state)
{
	size_t room = (size_t)(CONFIG_SECTIONS_MAX + 2) * 16, used = 0;
	char *text = malloc(room);
	struct config config;

	(void)state;
	assert_non_null(text);
	for (int i = 0; i <= CONFIG_SECTIONS_MAX; i++)
		used += (size_t)snprintf(text + used, room - used, "[disk d%d]\n", i);
	read_text(&config, text, used);
	assert_int_equal(config.section_count, CONFIG_SECTIONS_MAX + 1);
	assert_int_equal(config.fault_count, 1);
	assert_int_equal(config.faults[0].place.line, CONFIG_SECTIONS_MAX + 1);
	assert_string_equal(config.faults[0].text, "too many disks: 4096 are allowed");
	config_clear(&config);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),	      cmocka_unit_test(test_nul),
		cmocka_unit_test(test_two_files),     cmocka_unit_test(test_whose_faults),
		cmocka_unit_test(test_many_sections),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
