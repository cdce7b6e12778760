/* SPDX-License-Identifier: MIT */
#include "gateway/cli/config_options.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "gateway/cli/config_words.h"
#include "gateway/cli/nearest.h"
#include "gateway/cli/output.h"
#include "proto/uri.h"

#define TARGET	      "target"
#define COMMAND	      "command"
#define AUTO	      "auto"
#define KEY_COUNT_MAX 64
#define PLACE_BYTES   (PATH_MAX + 100)
#define COUNT(array)  (sizeof(array) / sizeof((array)[0]))

static const char *const own_keys[] = { TARGET, COMMAND, AUTO };

/* --- places ------------------------------------------------------------------------------------------------- */

/* "connect: /etc/ublk-nbd/ublk-nbd.conf:12", to stand where a verb does. */
static const char *place_verb(char out[PLACE_BYTES], const char *verb,
			      const struct config_place *place)
{
	snprintf(out, PLACE_BYTES, "%s: %s:%u", verb, place->file, place->line);
	return out;
}

/* --- one key ------------------------------------------------------------------------------------------------ */

static bool key_is_own(const char *key)
{
	for (size_t i = 0; i < COUNT(own_keys); i++)
		if (!strcmp(own_keys[i], key))
			return true;
	return false;
}

static void refuse_unknown(const char *verb, const char *key)
{
	const char *known[KEY_COUNT_MAX], *nearest;
	size_t count = 0;

	for (const struct option *option = connect_options_table(); option->name; option++) {
		if (!strcmp(option->name, key)) {
			output_error(verb, "'%s' is for the command line, not for a file%s", key,
				     strcmp(key, "name") ? "" : ": a disk has its section's name");
			return;
		}
		if (connect_option_is_key(option) && count < KEY_COUNT_MAX)
			known[count++] = option->name;
	}
	for (size_t i = 0; i < COUNT(own_keys) && count < KEY_COUNT_MAX; i++)
		known[count++] = own_keys[i];
	nearest = nearest_word(key, known, count);
	if (nearest)
		output_error(verb, "unknown key '%s': did you mean '%s'?", key, nearest);
	else
		output_error(verb, "unknown key '%s': ublk-nbd.conf(5) has those there are", key);
}

/* What two disks cannot have in common. */
static bool key_is_of_one_disk(const char *key)
{
	static const char *const keys[] = { TARGET, COMMAND, "export", "device" };

	for (size_t i = 0; i < COUNT(keys); i++)
		if (!strcmp(keys[i], key))
			return true;
	return false;
}

/* Whose value is a file's path. */
static bool key_is_path(const char *key)
{
	static const char *const keys[] = { "tls-ca",	       "tls-crl", "tls-cert",
					    "tls-key",	       "tls-psk", "tls-passphrase-file",
					    "tls-certificates" };

	for (size_t i = 0; i < COUNT(keys); i++)
		if (!strcmp(keys[i], key))
			return true;
	return false;
}

static bool command_take(const char *verb, const char *value, struct disk_config *config)
{
	int result = config_words_split(value, config->command, DISK_COMMAND_ARGS_MAX);

	if (result == -EINVAL)
		output_error(verb, "command: a quote is not closed");
	else if (result == -E2BIG)
		output_error(verb, "command: more than %d words", DISK_COMMAND_ARGS_MAX);
	else if (result)
		output_error(verb, "command: %s", strerror(-result));
	return result == 0;
}

static bool auto_check(const char *verb, const char *value)
{
	if (!strcmp(value, "yes") || !strcmp(value, "no"))
		return true;
	output_error(verb, AUTO ": '%s' is neither yes nor no", value);
	return false;
}

/* Paths start nowhere: whoever reads the file may be anywhere. */
static bool path_check(const char *verb, const char *what, const char *path)
{
	if (!path[0] || path[0] == '/' || path[0] == '@')
		return true;
	output_error(verb, "%s: '%s' is relative: in a file, paths begin with /", what, path);
	return false;
}

static bool target_check(const char *verb, const char *value)
{
	struct nbd_uri uri;
	char error[600];

	if (!nbd_uri_parse(&uri, value, NBD_URI_ALLOW_FILES, error, sizeof(error)))
		return path_check(verb, TARGET, uri.socket_path) &&
		       path_check(verb, TARGET, uri.tls_certificates) &&
		       path_check(verb, TARGET, uri.tls_psk_file);
	output_error(verb, "%s", error);
	return false;
}

static bool own_key_take(const struct config_entry *entry, struct connect_options *wanted)
{
	if (!strcmp(entry->key, TARGET))
		return target_check(wanted->common.verb, entry->value);
	if (!strcmp(entry->key, AUTO))
		return auto_check(wanted->common.verb, entry->value);
	disk_config_clear(&wanted->config);
	return command_take(wanted->common.verb, entry->value, &wanted->config);
}

/* wanted->common.verb has the place. */
static bool key_take(const struct config_entry *entry, struct connect_options *wanted)
{
	const struct option *option = connect_option_find(entry->key);

	if (!option && !key_is_own(entry->key)) {
		refuse_unknown(wanted->common.verb, entry->key);
		return false;
	}
	if (!entry->value[0])
		return true;
	if (!option)
		return own_key_take(entry, wanted);
	if (key_is_path(entry->key) && !path_check(wanted->common.verb, entry->key, entry->value))
		return false;
	return connect_options_set(wanted, option, entry->value);
}

static bool entry_take(const struct config_entry *entry, struct connect_options *wanted)
{
	const char *verb = wanted->common.verb;
	char place[PLACE_BYTES];
	bool good;

	wanted->common.verb = place_verb(place, verb, &entry->place);
	good = key_take(entry, wanted);
	wanted->common.verb = verb;
	return good;
}

void config_options_check(struct config *config, size_t index, const char *verb)
{
	struct config_section *section = &config->sections[index];
	struct connect_options scratch;
	char place[PLACE_BYTES];

	connect_options_init(&scratch);
	scratch.common.verb = verb;
	for (size_t i = 0; i < section->entry_count; i++) {
		const struct config_entry *entry = &section->entries[i];

		if (!entry_take(entry, &scratch)) {
			section->faulty = true;
		} else if (index == CONFIG_DEFAULTS && key_is_of_one_disk(entry->key)) {
			output_error(place_verb(place, verb, &entry->place),
				     "%s is a disk's own: it stands in a [disk NAME]", entry->key);
			section->faulty = true;
		}
	}
	connect_options_clear(&scratch);
}

/* --- a disk ------------------------------------------------------------------------------------------------- */

bool config_options_is_automatic(const struct config *config, const struct config_section *section)
{
	const struct config_entry *entry = config_value(config, section, AUTO);

	return !entry || strcmp(entry->value, "no");
}

bool config_options_take(const struct config *config, const struct config_section *section,
			 struct connect_options *wanted)
{
	snprintf(wanted->config.name, sizeof(wanted->config.name), "%s", section->name);
	wanted->config.configured = true;
	for (const struct option *option = connect_options_table(); option->name; option++) {
		const struct config_entry *entry;

		if (!connect_option_is_key(option))
			continue;
		entry = config_value(config, section, option->name);
		if (entry && !entry_take(entry, wanted))
			return false;
	}
	return true;
}

/* Where the target is said, or it is said that there is none. false: it has complained. */
static bool target_place(const struct config *config, const struct config_section *section,
			 const char *verb, const struct config_entry **found)
{
	const struct config_entry *target = config_value(config, section, TARGET);
	const struct config_entry *command = config_value(config, section, COMMAND);
	char place[PLACE_BYTES];

	*found = target ? target : command;
	if (!target && !command)
		output_error(place_verb(place, verb, &section->place),
			     "[disk %s] has neither target nor command", section->name);
	else if (target && command)
		output_error(place_verb(place, verb, &command->place),
			     "[disk %s] has a target too (%s:%u): only one of them", section->name,
			     target->place.file, target->place.line);
	else
		return true;
	return false;
}

static bool target_take(const struct config_entry *entry, struct connect_options *wanted)
{
	bool command = !strcmp(entry->key, COMMAND);

	wanted->word = command ? NULL : entry->value;
	if (!command || command_take(wanted->common.verb, entry->value, &wanted->config))
		return connect_options_complete(wanted) == OPTION_END;
	connect_options_clear(wanted);
	return false;
}

bool config_options_complete(const struct config *config, const struct config_section *section,
			     struct connect_options *wanted)
{
	const char *verb = wanted->common.verb;
	const struct config_entry *entry;
	char place[PLACE_BYTES];
	bool good;

	if (!target_place(config, section, verb, &entry)) {
		connect_options_clear(wanted);
		return false;
	}
	wanted->common.verb = place_verb(place, verb, &entry->place);
	good = target_take(entry, wanted);
	wanted->common.verb = verb;
	return good;
}
