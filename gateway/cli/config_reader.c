/* SPDX-License-Identifier: MIT */
#include "gateway/cli/config_reader.h"

#include <ini.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "gateway/common/disk_name.h"
#include "proto/text.h"

#define BLANKS		   " \t"
#define BYTE_ORDER_MARK	   "\xef\xbb\xbf"
#define LINE_TEXT_BYTES	   (CONFIG_LINE_BYTES_MAX + 1)
#define SECTION_TEXT_BYTES (DISK_NAME_BYTES_MAX + sizeof("disk "))

struct reader {
	struct config *config;
	const char *at, *end; /* what is left of the text */
	struct config_place place;
	size_t section; /* the keys' that follow; CONFIG_NOBODY: they are lost, or there was none yet */
	bool section_seen;		       /* a header, good or not */
	size_t first_entry;		       /* of that section in this file */
	char section_text[SECTION_TEXT_BYTES]; /* as the library is told: "defaults", "disk data" */
	char key[LINE_TEXT_BYTES];
};

#define FAULT(reader, ...)                                                                         \
	config_fault_add((reader)->config, (reader)->section, (reader)->place, __VA_ARGS__)

/* --- a line as such ---------------------------------------------------------------------------------------- */

/* The next line without its end (LF or CR LF, or the text's), into line where it fits. Returns its bytes. */
static size_t line_next(struct reader *reader, char line[LINE_TEXT_BYTES])
{
	const char *start = reader->at;
	const char *end = memchr(start, '\n', (size_t)(reader->end - start));
	size_t bytes = (size_t)((end ? end : reader->end) - start);

	reader->at = end ? end + 1 : reader->end;
	reader->place.line++;
	if (bytes && start[bytes - 1] == '\r')
		bytes--;
	if (bytes < LINE_TEXT_BYTES) {
		memcpy(line, start, bytes);
		line[bytes] = '\0';
	}
	return bytes;
}

static bool has_control(const char *line)
{
	for (; *line; line++)
		if (((unsigned char)*line < ' ' && *line != '\t') || *line == 0x7f)
			return true;
	return false;
}

/* Whether the line is one that both the library and a person read as we do. */
static bool line_check(struct reader *reader, const char *line, size_t bytes)
{
	if (bytes > CONFIG_LINE_BYTES_MAX)
		FAULT(reader, "the line has %zu bytes: %d are allowed", bytes,
		      CONFIG_LINE_BYTES_MAX);
	else if (!nbd_text_is_string(line, bytes))
		FAULT(reader, "the line is not UTF-8 text");
	else if (has_control(line))
		FAULT(reader, "the line has a control character");
	else
		return true;
	return false;
}

/* --- [SECTION] ---------------------------------------------------------------------------------------------- */

/* What stands in the brackets, cut out of line; NULL: it is a fault. */
static char *header_words(struct reader *reader, char *line)
{
	char *close = strchr(line, ']');

	if (!close) {
		FAULT(reader, "'%s' has no ']'", line);
		return NULL;
	}
	if (close[1 + strspn(close + 1, BLANKS)]) {
		FAULT(reader, "text after the ']' of a section: a comment has a line of its own");
		return NULL;
	}
	*close = '\0';
	return line + 1;
}

/* The name that a header's words give a disk, "" for [defaults]; NULL: it is a fault. */
static const char *header_name(struct reader *reader, const char *words)
{
	const char *name = words + strcspn(words, BLANKS);

	if (!strcmp(words, "defaults"))
		return "";
	if (name - words != (ptrdiff_t)strlen("disk") || strncmp(words, "disk", strlen("disk"))) {
		FAULT(reader, "unknown section [%s]: there are [defaults] and [disk NAME]", words);
		return NULL;
	}
	name += strspn(name, BLANKS);
	if (disk_name_is_valid(name))
		return name;
	FAULT(reader, "[disk %s]: '%s' is not a valid disk name: " DISK_NAME_RULE, name, name);
	return NULL;
}

/* Whether this file has had the section before: it may go on in another file, but not in the same. */
static bool header_is_second(const struct reader *reader, size_t section)
{
	return reader->config->sections[section].last_file == reader->place.file;
}

static bool header_take(struct reader *reader, char *line)
{
	struct config *config = reader->config;
	const char *words, *name;
	size_t section;

	reader->section = CONFIG_NOBODY; /* until it is known: whose the line is, and those below */
	reader->section_seen = true;
	words = header_words(reader, line);
	name = words ? header_name(reader, words) : NULL;
	if (!name)
		return false;
	section = config_section_open(config, name, reader->place);
	if (section == CONFIG_NOBODY) {
		FAULT(reader, "too many disks: %d are allowed", CONFIG_SECTIONS_MAX);
		return false;
	}
	if (header_is_second(reader, section)) {
		config_fault_add(config, section, reader->place,
				 "the section [%s] stands twice in this file", words);
		return false;
	}
	config->sections[section].last_file = reader->place.file;
	reader->section = section;
	reader->first_entry = config->sections[section].entry_count;
	snprintf(reader->section_text, sizeof(reader->section_text), "%s%s",
		 name[0] ? "disk " : "defaults", name);
	return true;
}

/* --- KEY = VALUE -------------------------------------------------------------------------------------------- */

static char *trim(char *text)
{
	size_t bytes;

	text += strspn(text, BLANKS);
	for (bytes = strlen(text); bytes && strchr(BLANKS, text[bytes - 1]); bytes--)
		;
	text[bytes] = '\0';
	return text;
}

/* The line that set the key before, in this file; 0: none. */
static unsigned int key_line(const struct reader *reader, const char *key)
{
	const struct config_section *section = &reader->config->sections[reader->section];

	for (size_t i = reader->first_entry; i < section->entry_count; i++)
		if (!strcmp(section->entries[i].key, key))
			return section->entries[i].place.line;
	return 0;
}

/* A blank before ';' begins a comment for the library. */
static bool has_comment(const char *value)
{
	for (const char *at = strchr(value, ';'); at; at = strchr(at + 1, ';'))
		if (at == value || strchr(BLANKS, at[-1]))
			return true;
	return false;
}

static bool key_is_one(const char *key)
{
	return *key && !key[strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					"0123456789-_")];
}

static bool key_take(struct reader *reader, char *line, char **value)
{
	char *equals = strchr(line, '=');
	unsigned int before;
	const char *key;

	if (!equals) {
		FAULT(reader, "'%s' is neither [SECTION] nor KEY = VALUE", line);
		return false;
	}
	*equals = '\0';
	key = trim(line);
	*value = trim(equals + 1);
	if (!key_is_one(key))
		FAULT(reader, "'%s' is not a valid key", key);
	else if (has_comment(*value))
		FAULT(reader, "%s: ' ;' in the value: a comment has a line of its own", key);
	else if (reader->section == CONFIG_NOBODY && !reader->section_seen)
		FAULT(reader, "'%s' stands before the first section", key);
	else if (reader->section != CONFIG_NOBODY && (before = key_line(reader, key)) != 0)
		FAULT(reader, "'%s' stands twice in this section: line %u has it too", key, before);
	else {
		snprintf(reader->key, sizeof(reader->key), "%s", key);
		return reader->section != CONFIG_NOBODY;
	}
	return false;
}

/* --- between the library and the text ------------------------------------------------------------------------ */

/* What the library gets of the line: its plain form, or nothing. */
static void line_plain(struct reader *reader, char *line, char *out, size_t out_bytes)
{
	const char *start = line + strspn(line, BLANKS);
	char *value;

	out[0] = '\0';
	if (!*start || *start == '#' || *start == ';')
		return;
	if (start != line) {
		FAULT(reader, "the line is indented: sections and keys begin at the left margin");
		return;
	}
	if (line[0] == '[') {
		if (header_take(reader, line))
			snprintf(out, out_bytes, "[%s]", reader->section_text);
	} else if (key_take(reader, line, &value)) {
		snprintf(out, out_bytes, "%s=%s", reader->key, value);
	}
}

/* As fgets(3), for the library. */
static char *reader_line(char *out, int out_bytes, void *stream)
{
	struct reader *reader = stream;
	char line[LINE_TEXT_BYTES];
	size_t bytes;

	if (reader->at == reader->end)
		return NULL;
	bytes = line_next(reader, line);
	if (line_check(reader, line, bytes))
		line_plain(reader, line, out, (size_t)out_bytes);
	else
		out[0] = '\0';
	return out;
}

/* The library's reading of the line that it was just given; 0 where it is not ours. */
static int reader_entry(void *user, const char *section, const char *key, const char *value)
{
	struct reader *reader = user;
	struct config_entry entry = { .place = reader->place };

	if (strcmp(section, reader->section_text) || strcmp(key, reader->key))
		return 0;
	entry.key = reader->key;
	entry.value = (char *)value;
	config_entry_add(reader->config, reader->section, &entry);
	return 1;
}

void config_reader_read(struct config *config, const char *file, const char *bytes, size_t count)
{
	struct reader reader = {
		.config = config,
		.at = bytes,
		.end = bytes + count,
		.place = { .file = file },
		.section = CONFIG_NOBODY,
	};
	int line;

	if (count >= strlen(BYTE_ORDER_MARK) &&
	    !memcmp(bytes, BYTE_ORDER_MARK, strlen(BYTE_ORDER_MARK)))
		reader.at += strlen(BYTE_ORDER_MARK);
	line = ini_parse_stream(reader_line, &reader, reader_entry, &reader);
	if (!line)
		return;
	reader.place.line = line > 0 ? (unsigned int)line : 0;
	config_fault_add(config, CONFIG_ALL, reader.place, "libinih cannot read this");
}
