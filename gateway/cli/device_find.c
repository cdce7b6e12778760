/* SPDX-License-Identifier: MIT */
#include "gateway/cli/device_find.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/cli/device_name.h"
#include "gateway/cli/disks.h"
#include "gateway/cli/output.h"
#include "gateway/common/disk_name.h"

static bool is_named(uint32_t number, const char *name, bool collides)
{
	struct disk_record record;
	char error[400];
	bool is;

	if (disk_record_load(number, &record, error, sizeof(error)))
		return false;
	is = record.config.name[0] && (collides ? disk_name_collides(record.config.name, name)
						: !strcmp(record.config.name, name));
	disk_record_clear(&record);
	return is;
}

int device_find_named(const char *name, bool collides, uint32_t *number)
{
	uint32_t *numbers;
	size_t count;
	int result = disks_list(&numbers, &count);

	if (result)
		return result;
	result = -ENOENT;
	for (size_t i = 0; i < count && result; i++) {
		if (!is_named(numbers[i], name, collides))
			continue;
		*number = numbers[i];
		result = 0;
	}
	free(numbers);
	return result;
}

static enum exit_code find(const char *verb, const char *text, bool anyway, uint32_t *number)
{
	bool named = disk_name_is_valid(text);
	char error[600];
	int result;

	if (!named && device_name_parse(text, number, error, sizeof(error))) {
		output_error(verb, "%s", error);
		return EXIT_CODE_USAGE;
	}
	if (!named && anyway && !disks_directory_answers())
		return EXIT_CODE_OK;
	if (!disks_may_look(verb))
		return EXIT_CODE_SYSTEM;
	result = named ? device_find_named(text, false, number) : 0;
	if (!result)
		return anyway || disk_may_look(verb, *number) ? EXIT_CODE_OK : EXIT_CODE_SYSTEM;
	if (result != -ENOENT) {
		output_error(verb, "the disks of this machine cannot be listed: %s",
			     strerror(-result));
		return EXIT_CODE_SYSTEM;
	}
	output_error(verb, "no disk has the name '%s': 'ublk-nbd list' shows those there are",
		     text);
	return EXIT_CODE_NO_DEVICE;
}

enum exit_code device_find(const char *verb, const char *text, uint32_t *number)
{
	return find(verb, text, false, number);
}

enum exit_code device_find_anyway(const char *verb, const char *text, uint32_t *number)
{
	return find(verb, text, true, number);
}
