/* SPDX-License-Identifier: MIT */
/*
 * memory_scan.c - goal: tell which of some secrets are in the memory of a process, or in a file.
 * method: reads every readable mapping through /proc/PID/mem and looks for the first and the last 16 bytes of
 * each secret, as they stand, and in reverse (big numbers are kept with their lowest word first).
 *
 *   memory_scan SECRETS PID|FILE
 * SECRETS is a file of lines "NAME HEX". Prints "found NAME at ADDRESS in MAPPING" for each place,
 * and at the end "scanned BYTES bytes of N mappings, BYTES unreadable". A mapping of more than 1 TiB, which
 * only a sanitizer has, for its notes, is left out, with a line "left out". Exit status: 0 nothing found,
 * 1 something, 2 it could not look.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECRETS_MAX	 256
#define SECRET_BYTES_MAX 8192
#define NAME_BYTES	 64
/* Of a secret, enough not to be met by chance. */
#define WINDOW_BYTES 16
#define LINE_BYTES   (NAME_BYTES + 2 * SECRET_BYTES_MAX + 4)
#define READ_BYTES   (1u << 20)
#define LARGEST	     (UINT64_C(1) << 40)

struct pattern {
	char name[NAME_BYTES];
	uint8_t bytes[WINDOW_BYTES];
	size_t count; /* shorter where the secret is */
};

static struct pattern patterns[4 * SECRETS_MAX];
static size_t patterns_count;
static bool begins[1 << 16]; /* by their first two bytes: a pattern may */
static unsigned int found, mappings;
static uint64_t scanned_bytes, unreadable_bytes;

/* --- what is looked for ------------------------------------------------------------------------- */

static void add_pattern(const char *name, const uint8_t *bytes, size_t count, bool reversed)
{
	struct pattern *pattern = &patterns[patterns_count++];

	snprintf(pattern->name, sizeof(pattern->name), "%s", name);
	pattern->count = count;
	for (size_t i = 0; i < count; i++)
		pattern->bytes[i] = bytes[reversed ? count - 1 - i : i];
	begins[pattern->bytes[0] << 8 | pattern->bytes[1]] = true;
}

static void add_secret(const char *name, const uint8_t *bytes, size_t count)
{
	size_t window = count < WINDOW_BYTES ? count : WINDOW_BYTES;

	for (int reversed = 0; reversed < 2; reversed++) {
		add_pattern(name, bytes, window, reversed);
		if (count > window)
			add_pattern(name, bytes + count - window, window, reversed);
	}
}

static bool add_line(const char *line)
{
	static uint8_t bytes[SECRET_BYTES_MAX];
	char name[NAME_BYTES];
	int at = 0;
	size_t count = 0;
	unsigned int value;

	if (sscanf(line, "%63s %n", name, &at) != 1)
		return false;
	for (; count < SECRET_BYTES_MAX && sscanf(line + at, "%2x", &value) == 1; at += 2)
		bytes[count++] = (uint8_t)value;
	if (count < 8 || patterns_count + 4 > sizeof(patterns) / sizeof(patterns[0]))
		return false;
	add_secret(name, bytes, count);
	return true;
}

static bool read_secrets(const char *path)
{
	static char line[LINE_BYTES];
	FILE *file = fopen(path, "re");
	bool good = file != NULL;

	while (good && fgets(line, sizeof(line), file)) {
		good = add_line(line);
		if (!good)
			fprintf(stderr, "memory_scan: this is no secret: %.60s\n", line);
	}
	if (file)
		fclose(file);
	return good && patterns_count > 0;
}

/* --- where -------------------------------------------------------------------------------------- */

static void tell(const uint8_t *at, size_t left, uint64_t address, const char *mapping)
{
	for (size_t i = 0; i < patterns_count; i++) {
		const struct pattern *pattern = &patterns[i];

		if (pattern->count > left || memcmp(at, pattern->bytes, pattern->count) != 0)
			continue;
		printf("found %s at %" PRIx64 " in %s\n", pattern->name, address, mapping);
		found++;
	}
}

static void look(const uint8_t *bytes, size_t count, uint64_t address, const char *mapping)
{
	for (size_t at = 0; at + 1 < count; at++)
		if (begins[bytes[at] << 8 | bytes[at + 1]])
			tell(bytes + at, count - at, address + at, mapping);
}

/* Pieces overlap by less than a pattern, so that none is missed and few are told twice. */
static void scan(int fd, uint64_t from, uint64_t to, const char *mapping)
{
	static uint8_t bytes[WINDOW_BYTES + READ_BYTES];
	size_t kept = 0;

	if (to - from > LARGEST) {
		printf("left out from %" PRIx64 " to %" PRIx64 ": %s\n", from, to, mapping);
		return;
	}
	mappings++;
	while (from < to) {
		size_t most = to - from < READ_BYTES ? to - from : READ_BYTES;
		ssize_t n = pread(fd, bytes + kept, most, (off_t)from);

		if (n <= 0) { /* the kernel's own pages, and those of devices */
			unreadable_bytes += to - from;
			printf("unreadable from %" PRIx64 " to %" PRIx64 ": %s\n", from, to,
			       mapping);
			return;
		}
		scanned_bytes += (uint64_t)n;
		look(bytes, kept + (size_t)n, from - kept, mapping);
		from += (uint64_t)n;
		n += (ssize_t)kept;
		kept = n < WINDOW_BYTES - 1 ? (size_t)n : WINDOW_BYTES - 1;
		memmove(bytes, bytes + n - kept, kept);
	}
}

static bool scan_process(const char *pid)
{
	char path[64], line[512], name[256];
	uint64_t from, to;
	FILE *maps;
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/mem", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%s/maps", pid);
	maps = fopen(path, "re");
	if (fd < 0 || !maps)
		return false;
	while (fgets(line, sizeof(line), maps)) {
		char access[8];
		int fields = sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %*s %*s %*s %255s", &from,
				    &to, access, name);

		if (fields >= 3 && access[0] == 'r' && to <= INT64_MAX)
			scan(fd, from, to, fields == 4 ? name : "anonymous");
	}
	fclose(maps);
	close(fd);
	return scanned_bytes > 0;
}

static bool scan_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	off_t bytes = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);

	if (bytes < 0)
		return false;
	scan(fd, 0, (uint64_t)bytes, path);
	close(fd);
	return true;
}

int main(int argc, char **argv)
{
	bool is_pid = argc == 3 && argv[2][strspn(argv[2], "0123456789")] == '\0';

	if (argc != 3 || !read_secrets(argv[1])) {
		fprintf(stderr, "usage: memory_scan SECRETS PID|FILE\n");
		return 2;
	}
	if (!(is_pid ? scan_process(argv[2]) : scan_file(argv[2]))) {
		fprintf(stderr, "memory_scan: %s: %s\n", argv[2], strerror(errno));
		return 2;
	}
	printf("scanned %" PRIu64 " bytes of %u mappings, %" PRIu64 " unreadable\n", scanned_bytes,
	       mappings, unreadable_bytes);
	return found ? 1 : 0;
}
