/* SPDX-License-Identifier: MIT */
#include "gateway/cli/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/cli/output.h"

/* An array with room for one more. NULL, and config knows it: out of memory, the array is as it was. */
static void *grow(struct config *config, void *array, size_t count, size_t item_bytes)
{
	void *larger = reallocarray(array, count + 1, item_bytes);

	config->out_of_memory |= !larger;
	return larger;
}

void config_init(struct config *config)
{
	memset(config, 0, sizeof(*config));
	config_section_open(config, "", (struct config_place){ NULL, 0 });
}

static void section_clear(struct config_section *section)
{
	for (size_t i = 0; i < section->entry_count; i++) {
		free(section->entries[i].key);
		free(section->entries[i].value);
	}
	free(section->entries);
}

void config_clear(struct config *config)
{
	for (size_t i = 0; i < config->section_count; i++)
		section_clear(&config->sections[i]);
	for (size_t i = 0; i < config->fault_count; i++)
		free(config->faults[i].text);
	for (size_t i = 0; i < config->file_count; i++)
		free(config->files[i]);
	free(config->sections);
	free(config->faults);
	free(config->files);
	memset(config, 0, sizeof(*config));
}

const char *config_file_add(struct config *config, const char *path)
{
	char **larger = grow(config, config->files, config->file_count, sizeof(*larger));
	char *copy = strdup(path);

	if (larger)
		config->files = larger;
	if (larger && copy)
		return larger[config->file_count++] = copy;
	config->out_of_memory = true;
	free(copy);
	return NULL;
}

size_t config_section_open(struct config *config, const char *name, struct config_place place)
{
	struct config_section *larger;

	for (size_t i = 0; i < config->section_count; i++) {
		if (strcmp(config->sections[i].name, name))
			continue;
		if (!config->sections[i].place.file)
			config->sections[i].place = place;
		return i;
	}
	if (config->section_count > CONFIG_SECTIONS_MAX)
		return CONFIG_NOBODY;
	larger = grow(config, config->sections, config->section_count, sizeof(*larger));
	if (!larger)
		return CONFIG_NOBODY;
	config->sections = larger;
	larger[config->section_count] = (struct config_section){ .place = place };
	snprintf(larger[config->section_count].name, sizeof(larger->name), "%s", name);
	return config->section_count++;
}

void config_entry_add(struct config *config, size_t index, const struct config_entry *entry)
{
	struct config_section *section = &config->sections[index];
	struct config_entry copy = {
		.key = strdup(entry->key),
		.value = strdup(entry->value),
		.place = entry->place,
	};
	struct config_entry *larger =
		grow(config, section->entries, section->entry_count, sizeof(*larger));

	if (larger)
		section->entries = larger;
	if (larger && copy.key && copy.value) {
		larger[section->entry_count++] = copy;
		return;
	}
	config->out_of_memory = true;
	free(copy.key);
	free(copy.value);
}

static void mark_faulty(struct config *config, size_t section)
{
	if (section == CONFIG_ALL)
		config->all_faulty = true;
	else if (section == CONFIG_NOBODY)
		config->nobody_faulty = true;
	else
		config->sections[section].faulty = true;
}

void config_fault_add(struct config *config, size_t section, struct config_place place,
		      const char *format, ...)
{
	struct config_fault fault = { .place = place, .section = section };
	struct config_fault *larger =
		grow(config, config->faults, config->fault_count, sizeof(*larger));
	va_list args;

	mark_faulty(config, section);
	if (!larger)
		return;
	config->faults = larger;
	va_start(args, format);
	if (vasprintf(&fault.text, format, args) < 0) {
		fault.text = NULL;
		config->out_of_memory = true;
	}
	va_end(args);
	if (fault.text)
		larger[config->fault_count++] = fault;
}

const struct config_section *config_find(const struct config *config, const char *name)
{
	for (size_t i = CONFIG_DEFAULTS + 1; i < config->section_count; i++)
		if (!strcmp(config->sections[i].name, name))
			return &config->sections[i];
	return NULL;
}

static const struct config_entry *entry_last(const struct config_section *section, const char *key)
{
	for (size_t i = section->entry_count; i > 0; i--)
		if (!strcmp(section->entries[i - 1].key, key))
			return &section->entries[i - 1];
	return NULL;
}

const struct config_entry *config_value(const struct config *config,
					const struct config_section *section, const char *key)
{
	const struct config_entry *entry = entry_last(section, key);

	if (!entry)
		entry = entry_last(&config->sections[CONFIG_DEFAULTS], key);
	return entry && entry->value[0] ? entry : NULL;
}

bool config_is_faulty(const struct config *config, const struct config_section *section)
{
	return config->all_faulty || config->sections[CONFIG_DEFAULTS].faulty || section->faulty;
}

static bool fault_concerns(const struct config *config, const struct config_fault *fault,
			   const struct config_section *section)
{
	if (!section || fault->section == CONFIG_ALL || fault->section == CONFIG_DEFAULTS)
		return true;
	return fault->section != CONFIG_NOBODY && &config->sections[fault->section] == section;
}

void config_faults_print(const struct config *config, const struct config_section *section,
			 const char *verb)
{
	for (size_t i = 0; i < config->fault_count; i++) {
		const struct config_fault *fault = &config->faults[i];

		if (!fault_concerns(config, fault, section))
			continue;
		if (fault->place.line)
			output_error(verb, "%s:%u: %s", fault->place.file, fault->place.line,
				     fault->text);
		else
			output_error(verb, "%s: %s", fault->place.file, fault->text);
	}
}
