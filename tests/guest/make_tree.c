/* SPDX-License-Identifier: MIT */
/*
 * make_tree.c - makes a tree of files like that of a program's sources: many small files, a few
 * large ones, folders, links. The same seed makes the same tree.
 *
 *   make_tree FOLDER FILES SEED
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_IN_FOLDER 40
#define LARGE_BYTES	(256u << 10)

static uint64_t state;

static uint64_t next_random(void)
{
	uint64_t x = state += 0x9e3779b97f4a7c15ull;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static _Noreturn void die(const char *path)
{
	perror(path);
	exit(1);
}

/* Most are a few KiB, one in ten is empty or tiny, one in fifty large. */
static uint32_t choose_bytes(void)
{
	uint64_t kind = next_random() % 50;

	if (kind == 0)
		return (uint32_t)(next_random() % LARGE_BYTES);
	if (kind < 6)
		return (uint32_t)(next_random() % 3);
	return (uint32_t)(next_random() % (8u << 10));
}

static void write_file(const char *path)
{
	static uint64_t words[LARGE_BYTES / 8];
	uint32_t bytes = choose_bytes();
	FILE *file = fopen(path, "w");

	for (uint32_t i = 0; i < (bytes + 7) / 8; i++)
		words[i] = next_random();
	if (!file || fwrite(words, 1, bytes, file) != bytes || fclose(file) != 0)
		die(path);
}

int main(int argc, char **argv)
{
	char folder[256], path[320], target[320];
	long files;

	if (argc != 4) {
		fprintf(stderr, "usage: make_tree FOLDER FILES SEED\n");
		return 2;
	}
	files = strtol(argv[2], NULL, 0);
	state = strtoull(argv[3], NULL, 0);
	if (mkdir(argv[1], 0755) < 0 || chdir(argv[1]) < 0)
		die(argv[1]);
	for (long i = 0; i < files; i++) {
		snprintf(folder, sizeof(folder), "part-%ld", i / FILES_IN_FOLDER);
		if (i % FILES_IN_FOLDER == 0 && mkdir(folder, 0755) < 0)
			die(folder);
		snprintf(path, sizeof(path), "%s/file-%ld.c", folder, i);
		write_file(path);
		if (next_random() % 30)
			continue;
		snprintf(target, sizeof(target), "file-%ld.c", i);
		snprintf(path, sizeof(path), "%s/link-%ld.c", folder, i);
		if (symlink(target, path) < 0)
			die(path);
	}
	return 0;
}
