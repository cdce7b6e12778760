/* SPDX-License-Identifier: MIT */
/*
 * nbdlog.c - reads what nbdkit's log filter wrote and judges the client by it: what was not
 * advertised must not have been sent, and limits must have been kept.
 *
 *   nbdlog FILE [FIRST-LINE]
 *
 * Prints what was seen as "name=value" lines, which a shell can take in. Exits 1, naming the line,
 * when a request was against what its connection had been told. With FIRST-LINE only requests from
 * that line on are counted. A connection that asks for extents is libnbd's, which looks on from
 * outside: the daemon cannot ask for them. It is an outsider, and left out.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTIONS_MAX 256

struct granted {
	bool known, outsider;
	uint64_t size_bytes, minimum_bytes, maximum_bytes;
	bool write, flush, trim, zero, fua, fast_zero;
};

static struct granted granted[CONNECTIONS_MAX];
static unsigned violations;
static struct {
	uint64_t outsiders, connections, disconnects, reads, writes, fua_writes, trims, fua_trims,
		zeroes, fua_zeroes, no_hole_zeroes, fast_zeroes, flushes, count_max, count_min;
} seen = { .count_min = UINT64_MAX };

/* The number after " key=", decimal or hex; 0 when it is not there. */
static uint64_t value_of(const char *line, const char *key)
{
	char pattern[40];
	const char *at;

	snprintf(pattern, sizeof(pattern), " %s=", key);
	at = strstr(line, pattern);
	return at ? strtoull(at + strlen(pattern), NULL, 0) : 0;
}

static void violate(const char *line, const char *what)
{
	violations++;
	printf("# against the server's word: %s: %s", what, line);
}

static void take_connect(struct granted *g, const char *line)
{
	bool outsider = g->outsider;

	memset(g, 0, sizeof(*g));
	g->known = true;
	g->outsider = outsider;
	g->size_bytes = value_of(line, "size");
	g->minimum_bytes = value_of(line, "minsize");
	g->maximum_bytes = value_of(line, "maxsize");
	g->write = value_of(line, "write");
	g->flush = value_of(line, "flush");
	g->trim = value_of(line, "trim");
	g->zero = value_of(line, "zero");
	g->fua = value_of(line, "fua");
	g->fast_zero = value_of(line, "fast_zero");
	seen.connections += !outsider;
	seen.outsiders += outsider;
}

static void check_range(const struct granted *g, const char *line, bool payload)
{
	uint64_t offset = value_of(line, "offset"), count = value_of(line, "count");

	if (count == 0 || offset + count > g->size_bytes)
		violate(line, "outside of the export");
	if (g->minimum_bytes && (offset % g->minimum_bytes || count % g->minimum_bytes))
		violate(line, "no multiple of the minimum block");
	if (payload && count > (g->maximum_bytes ? g->maximum_bytes : 32u << 20))
		violate(line, "larger than the maximum payload");
	if (!payload)
		return;
	if (count > seen.count_max)
		seen.count_max = count;
	if (count < seen.count_min)
		seen.count_min = count;
}

static void check_change(const struct granted *g, const char *line, bool offered)
{
	if (!g->write)
		violate(line, "the export is read-only");
	if (!offered)
		violate(line, "not advertised");
	if (value_of(line, "fua") && !g->fua)
		violate(line, "FUA was not advertised");
}

static void take_zero(const struct granted *g, const char *line)
{
	bool fua = value_of(line, "fua"), fast = value_of(line, "fast");

	seen.zeroes++;
	seen.fua_zeroes += fua;
	seen.fast_zeroes += fast;
	seen.no_hole_zeroes += !value_of(line, "trim");
	if (fast && !g->fast_zero)
		violate(line, "FAST_ZERO was not advertised");
	check_change(g, line, g->zero);
	check_range(g, line, false);
}

static void take_request(const struct granted *g, const char *verb, const char *line)
{
	bool fua = value_of(line, "fua");

	if (!strncmp(verb, "Read ", 5)) {
		seen.reads++;
		check_range(g, line, true);
	} else if (!strncmp(verb, "Write ", 6)) {
		seen.writes++;
		seen.fua_writes += fua;
		check_change(g, line, true);
		check_range(g, line, true);
	} else if (!strncmp(verb, "Trim ", 5)) {
		seen.trims++;
		seen.fua_trims += fua;
		check_change(g, line, g->trim);
		check_range(g, line, false);
	} else if (!strncmp(verb, "Zero ", 5)) {
		take_zero(g, line);
	} else if (!strncmp(verb, "Flush ", 6)) {
		seen.flushes++;
		if (!g->flush)
			violate(line, "not advertised");
	} else if (!strncmp(verb, "Disconnect ", 11)) {
		seen.disconnects++;
	} else if (strncmp(verb, "...", 3)) {
		violate(line, "a command that we have no use for");
	}
}

/* What the line is about: "Read ", "...Read "; NULL when it names no connection. */
static const char *verb_of(const char *line, struct granted **g)
{
	const char *at = strstr(line, " connection=");
	const char *verb = at ? strchr(at + 1, ' ') : NULL;
	uint64_t id = value_of(line, "connection");

	if (!verb || id >= CONNECTIONS_MAX)
		return NULL;
	*g = &granted[id];
	return verb + 1;
}

static void find_outsider(const char *line)
{
	struct granted *g;
	const char *verb = verb_of(line, &g);

	if (verb && !strncmp(verb, "Extents ", 8))
		g->outsider = true;
}

static void take_line(const char *line, bool count)
{
	struct granted *g;
	const char *verb = verb_of(line, &g);

	if (!verb)
		return;
	if (!strncmp(verb, "Connect ", 8))
		take_connect(g, line);
	else if (g->outsider)
		return;
	else if (count && g->known)
		take_request(g, verb, line);
	else if (count)
		violate(line, "a request before the connection was there");
}

static void print_seen(void)
{
#define PRINT(name) printf(#name "=%" PRIu64 "\n", seen.name)
	PRINT(outsiders);
	PRINT(connections);
	PRINT(disconnects);
	PRINT(reads);
	PRINT(writes);
	PRINT(fua_writes);
	PRINT(trims);
	PRINT(fua_trims);
	PRINT(zeroes);
	PRINT(fua_zeroes);
	PRINT(no_hole_zeroes);
	PRINT(fast_zeroes);
	PRINT(flushes);
	PRINT(count_max);
	PRINT(count_min);
#undef PRINT
	printf("violations=%u\n", violations);
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 0) : 1, number = 0;
	char line[1024];
	FILE *file = argc > 1 ? fopen(argv[1], "r") : NULL;

	if (!file) {
		perror(argc > 1 ? argv[1] : "usage: nbdlog FILE [FIRST-LINE]");
		return 2;
	}
	while (fgets(line, sizeof(line), file))
		find_outsider(line);
	rewind(file);
	while (fgets(line, sizeof(line), file))
		take_line(line, ++number >= first);
	fclose(file);
	print_seen();
	return violations ? 1 : 0;
}
