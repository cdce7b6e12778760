/* SPDX-License-Identifier: MIT */
/*
 * config.h - what the configuration files say, as read: sections, their keys and values, where each stands, and what
 * is wrong with them. ublk-nbd.conf(5) has the rules; config_files.h fills it, config_options.h makes a disk of it.
 */
#ifndef GATEWAY_CLI_CONFIG_H
#define GATEWAY_CLI_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/common/disk_name.h"

#define CONFIG_SECTIONS_MAX 4096 /* disks.h: DISKS_MAX */

struct config_place {
	const char *file;  /* config's */
	unsigned int line; /* from 1; 0: the file as a whole */
};

struct config_entry {
	char *key;
	char *value; /* "": as if no file had set the key */
	struct config_place place;
};

struct config_section {
	char name[DISK_NAME_BYTES_MAX + 1]; /* "": [defaults] */
	struct config_place place;    /* where it first stands; {NULL, 0}: [defaults] is nowhere */
	struct config_entry *entries; /* in the order they were read, replaced ones too */
	size_t entry_count;
	const char *last_file; /* where it was last read from */
	bool faulty;	       /* a fault is this section's */
};

/* Whom a fault concerns, beside a section's index. */
#define CONFIG_DEFAULTS 0	     /* the index of [defaults] */
#define CONFIG_NOBODY	((size_t)-1) /* a section that cannot be told, or that is none */
#define CONFIG_ALL	((size_t)-2) /* any: a file that is not read may say something about each disk */

struct config_fault {
	struct config_place place;
	size_t section;
	char *text;
};

struct config {
	char **files; /* those that were read, or should have been, in this order */
	size_t file_count;
	struct config_section
		*sections; /* [defaults] first; then the disks in the order they first stand */
	size_t section_count;
	struct config_fault *faults;
	size_t fault_count;
	bool all_faulty;    /* a fault is CONFIG_ALL's */
	bool nobody_faulty; /* a fault is CONFIG_NOBODY's */
	bool out_of_memory; /* something is missing here: config_load() fails */
};

/* Empty: [defaults] alone. config_clear() frees what it holds. */
void config_init(struct config *config);
void config_clear(struct config *config);

/* Adds a copy of path, which is returned and lives as long as config; NULL: out of memory. */
const char *config_file_add(struct config *config, const char *path);

/* The index of the disk's section (name "": of [defaults]), added if there is none; CONFIG_NOBODY: no room. */
size_t config_section_open(struct config *config, const char *name, struct config_place place);

/* Adds copies. Of entries with one key the last counts. */
void config_entry_add(struct config *config, size_t index, const struct config_entry *entry);

/* section: an index, CONFIG_NOBODY or CONFIG_ALL. */
void config_fault_add(struct config *config, size_t section, struct config_place place,
		      const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The section of that disk; NULL: there is none. */
const struct config_section *config_find(const struct config *config, const char *name);

/* What counts for a disk: its own section's last entry, else the one of [defaults]; NULL: none, or an empty one. */
const struct config_entry *config_value(const struct config *config,
					const struct config_section *section, const char *key);

/* Whether the disk cannot be made because of a fault: its section's, that of [defaults], or of a whole file. */
bool config_is_faulty(const struct config *config, const struct config_section *section);

/* Prints the faults that keep the disk from being made; section NULL: all faults. */
void config_faults_print(const struct config *config, const struct config_section *section,
			 const char *verb);

#endif
