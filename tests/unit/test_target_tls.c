/* SPDX-License-Identifier: MIT */
/*
 * Goal: the TLS options of a TARGET and those in its URI make what the user meant, or are refused;
 * nothing makes TLS optional or unverified without the user's own word for it.
 * Method: command lines through the same functions as the verbs; files in a directory of the test.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/cli/target.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define WORDS_MAX    20
#define SAID_BYTES   1000
#define PATH_BYTES   128
#define LINE_BYTES   600

static char folder[PATH_BYTES];
static const char *const files[] = { "ca-cert.pem", "client-cert.pem", "client-key.pem", "psk",
				     "crl.pem" };

static void file_path(char *path, const char *name)
{
	snprintf(path, PATH_BYTES, "%.100s/%s", folder, name);
}

static int group_open(void **state)
{
	char path[PATH_BYTES];

	(void)state;
	strcpy(folder, "/tmp/test_target_tls.XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	for (size_t i = 0; i < COUNT(files); i++) {
		int fd;

		file_path(path, files[i]);
		fd = open(path, O_CREAT | O_WRONLY, 0600);
		if (fd < 0)
			return -1;
		close(fd);
	}
	return chdir(folder);
}

static int group_close(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(files); i++)
		unlink(files[i]);
	return chdir("/") || rmdir(folder);
}

/* Runs the words of line (parted by spaces, the target is the last; FOLDER stands for ours) as a
 * verb would; what it said on stderr is in said. */
static enum exit_code parse(const char *line, struct target_options *wanted, struct nbd_uri *uri)
{
	static const struct option longs[] = { TARGET_OPTIONS, OPTIONS_COMMON, { 0 } };
	struct options options = { .verb = "info", .help = "", .longs = longs };
	char copy[LINE_BYTES], *words[WORDS_MAX] = { "info" }, *next = copy;
	int count = 1, option;

	snprintf(copy, sizeof(copy), "%s", line);
	for (char *word; (word = strsep(&next, " ")) && count < WORDS_MAX - 1;)
		words[count++] = word;
	optind = 0;
	target_options_init(wanted);
	while ((option = options_next(&options, count, words)) >= 0)
		if (!target_option_take(&options, wanted, option))
			return EXIT_CODE_USAGE;
	if (option == OPTION_EXIT)
		return (enum exit_code)options.exit_code;
	return target_parse(&options, wanted, words[optind], uri);
}

/* The same, with what it said on stderr. */
static enum exit_code parse_saying(const char *line, struct target_options *wanted,
				   struct nbd_uri *uri, char *said)
{
	FILE *file = tmpfile();
	int saved = dup(STDERR_FILENO);
	enum exit_code code;
	size_t n;

	assert_non_null(file);
	fflush(stderr);
	dup2(fileno(file), STDERR_FILENO);
	code = parse(line, wanted, uri);
	fflush(stderr);
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(file);
	n = fread(said, 1, SAID_BYTES - 1, file);
	said[n] = '\0';
	fclose(file);
	return code;
}

static const struct {
	const char *line;
	const char *said; /* a part of the sentence */
} refused[] = {
	/* options that would do nothing */
	{ "--tls-ca ca-cert.pem nbd://host", "no TLS" },
	{ "--tls-verify=no nbd://host", "no TLS" },
	{ "--ktls=off host:10809/disk", "no TLS" },
	{ "--tls-psk psk --tls-user alice nbd://host", "no TLS" },
	/* values */
	{ "--tls-verify=maybe nbds://host", "neither yes nor no" },
	{ "--tls-verify= nbds://host", "neither yes nor no" },
	{ "--tls-rekey-records=0 nbds://host", "--tls-rekey-records" },
	{ "--tls-rekey-records=8388609 nbds://host", "--tls-rekey-records" },
	{ "--ktls=yes nbds://host", "not auto, on or off" },
	{ "--tls-ca= nbds://host", "--tls-ca: the value is empty" },
	{ "--tls-hostname= nbds://host", "empty" },
	{ "--tls-hostname host:10809 nbds://host",
	  "'host:10809' is not a host name or an IP address (at character 5)" },
	{ "--tls-hostname [::1]:10809 nbds://host", "(at character 1)" },
	{ "--tls-hostname [host] nbds://host", "(at character 1)" },
	{ "--tls-hostname [] nbds://host", "(at character 1)" },
	{ "--tls-hostname nbds://host nbds://host", "no scheme" },
	{ "--tls-hostname .example nbds://host", "(at character 1)" },
	{ "--tls-hostname d\xc3\xbc.example nbds://host", "xn--" },
	{ "nbds://host?tls-hostname=a%20b", "(at character 2)" },
	/* files */
	{ "--tls-ca nowhere.pem nbds://host", "nowhere.pem" },
	{ "--tls-crl nowhere.pem nbds://host", "--tls-crl" },
	{ "--tls-cert client-cert.pem nbds://host", "go together" },
	{ "--tls-key client-key.pem nbds://host", "go together" },
	{ "--tls-cert nowhere.pem --tls-key client-key.pem nbds://host", "nowhere.pem" },
	{ "--tls-certificates /nowhere nbds://host", "/nowhere" },
	{ "nbds://host?tls-certificates=/nowhere", "/nowhere" },
	/* who is verified */
	{ "nbds://host?tls-verify-peer=0", "not enough" },
	{ "nbds://host?tls-type=anon", "anon" },
	{ "--tls-verify=no nbds://host?tls-type=anon", "anon" },
	{ "nbds+unix:///?socket=/run/s", "--tls-hostname" },
	{ "nbds+vsock://2", "--tls-hostname" },
	{ "--tls nbd+unix:///?socket=/run/s", "--tls-hostname" },
	/* keys */
	{ "--tls-psk psk nbds://host", "--tls-user" },
	{ "--tls-psk nowhere --tls-user alice nbds://host", "nowhere" },
	{ "nbds://alice@host?tls-type=psk", "--tls-psk" },
	{ "--tls-psk psk --tls-user alice --tls-verify=no nbds://host", "makes no sense" },
	{ "--tls-psk psk --tls-user alice --tls-ca ca-cert.pem nbds://host", "exclude" },
	{ "--tls-psk psk --tls-user alice --tls-certificates . nbds://host", "exclude" },
	{ "--tls-psk psk --tls-user alice --tls-crl crl.pem nbds://host", "exclude" },
	{ "--tls-user alice nbds://host", "--tls-psk" },
	{ "--tls-passphrase-file psk nbds://host", "--tls-key" },
};

static void what_is_refused(void **state)
{
	char said[SAID_BYTES];
	struct target_options wanted;
	struct nbd_uri uri;
	int bad = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(refused); i++) {
		enum exit_code code = parse_saying(refused[i].line, &wanted, &uri, said);

		if (code == EXIT_CODE_USAGE && strstr(said, refused[i].said))
			continue;
		print_error("\"%s\": exit code %d, \"%s\", nothing of \"%s\"\n", refused[i].line,
			    (int)code, said, refused[i].said);
		bad++;
	}
	assert_int_equal(bad, 0);
}

/* Accepts line; said holds what was said. */
static void accept(const char *line, struct target_options *wanted, struct nbd_uri *uri, char *said)
{
	enum exit_code code = parse_saying(line, wanted, uri, said);

	if (code != EXIT_CODE_OK)
		fail_msg("\"%s\": exit code %d, %s", line, (int)code, said);
}

static void the_name_to_expect(void **state)
{
	static const struct {
		const char *line, *hostname;
	} cases[] = {
		{ "nbds://disk.example", "disk.example" },
		{ "nbds://disk.example:1234/export", "disk.example" },
		{ "--tls disk.example:10809/x", "disk.example" },
		{ "--tls nbd://disk.example", "disk.example" },
		{ "nbds://10.1.2.3", "10.1.2.3" },
		{ "nbds://[::1]", "::1" },
		{ "nbds://host?tls-hostname=other", "other" },
		{ "--tls-hostname third nbds://host?tls-hostname=other", "third" },
		{ "--tls-hostname disk.example nbds+unix:///?socket=/run/s", "disk.example" },
		{ "--tls-hostname disk.example nbds+vsock://2", "disk.example" },
		/* an address as a URI has it, and what no certificate has */
		{ "--tls-hostname [::1] nbds://host", "::1" },
		{ "--tls-hostname [fe80::1%eth0] nbds://host", "fe80::1" },
		{ "--tls-hostname fe80::1%eth0 nbds://host", "fe80::1" },
		{ "nbds://host?tls-hostname=%5B::1%5D", "::1" },
		{ "nbds://[::1]:10810/", "::1" },
		{ "nbds://[fe80::1%25eth0]/", "fe80::1" },
		{ "--tls-hostname 127.0.0.1 nbds://host", "127.0.0.1" },
		{ "--tls-hostname disk.example. nbds://host", "disk.example" },
		{ "nbds://disk.example./", "disk.example" },
		{ "--tls-psk psk --tls-user alice nbds+unix:///?socket=/run/s", "" },
	};
	char said[SAID_BYTES];
	struct target_options wanted;
	struct nbd_uri uri;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		accept(cases[i].line, &wanted, &uri, said);
		assert_true(uri.tls);
		assert_string_equal(wanted.tls.options.hostname, cases[i].hostname);
		assert_false(wanted.tls.options.no_verify);
		assert_string_equal(said, "");
	}
}

static void files_become_absolute(void **state)
{
	char said[SAID_BYTES], path[PATH_BYTES];
	struct target_options wanted;
	struct nbd_uri uri;

	(void)state;
	accept("--tls-ca ca-cert.pem --tls-crl crl.pem --tls-cert client-cert.pem "
	       "--tls-key client-key.pem --tls-passphrase-file psk nbds://host",
	       &wanted, &uri, said);
	file_path(path, "ca-cert.pem");
	assert_string_equal(wanted.tls.options.ca, path);
	file_path(path, "crl.pem");
	assert_string_equal(wanted.tls.options.crl, path);
	file_path(path, "client-cert.pem");
	assert_string_equal(wanted.tls.options.cert, path);
	file_path(path, "client-key.pem");
	assert_string_equal(wanted.tls.options.key, path);
	file_path(path, "psk");
	assert_string_equal(wanted.tls.options.passphrase_file, path);
}

static void a_directory_of_certificates(void **state)
{
	char said[SAID_BYTES], path[PATH_BYTES], line[LINE_BYTES];
	struct target_options wanted;
	struct nbd_uri uri;

	(void)state;
	for (int by_uri = 0; by_uri < 2; by_uri++) {
		snprintf(line, sizeof(line),
			 by_uri ? "nbds://host?tls-certificates=%s"
				: "--tls-certificates %s nbds://host",
			 folder);
		accept(line, &wanted, &uri, said);
		file_path(path, "ca-cert.pem");
		assert_string_equal(wanted.tls.options.ca, path);
		file_path(path, "client-key.pem");
		assert_string_equal(wanted.tls.options.key, path);
		assert_string_equal(wanted.tls.options.crl, ""); /* there is no ca-crl.pem */
	}
	/* What is given by itself counts more. */
	accept("--tls-certificates . --tls-ca crl.pem nbds://host", &wanted, &uri, said);
	file_path(path, "crl.pem");
	assert_string_equal(wanted.tls.options.ca, path);
}

static void shared_keys(void **state)
{
	char said[SAID_BYTES], path[PATH_BYTES], line[LINE_BYTES];
	struct target_options wanted;
	struct nbd_uri uri;

	(void)state;
	file_path(path, "psk");
	accept("--tls-psk psk --tls-user alice nbds://host", &wanted, &uri, said);
	assert_string_equal(wanted.tls.options.psk_file, path);
	assert_string_equal(wanted.tls.options.psk_identity, "alice");
	snprintf(line, sizeof(line), "nbds://alice@host?tls-psk-file=%s", path);
	accept(line, &wanted, &uri, said);
	assert_string_equal(wanted.tls.options.psk_file, path);
	assert_string_equal(wanted.tls.options.psk_identity, "alice");
}

static void no_verification_is_loud(void **state)
{
	char said[SAID_BYTES];
	struct target_options wanted;
	struct nbd_uri uri;

	(void)state;
	accept("--tls-verify=no nbds://host", &wanted, &uri, said);
	assert_true(wanted.tls.options.no_verify);
	assert_non_null(strstr(said, "NOT verified"));
	accept("--tls-verify=no nbds://host?tls-verify-peer=0", &wanted, &uri, said);
	assert_true(wanted.tls.options.no_verify);
	accept("--tls-verify=no --tls-verify=yes nbds://host", &wanted, &uri, said);
	assert_false(wanted.tls.options.no_verify);
	accept("nbd://host", &wanted, &uri, said);
	assert_false(uri.tls);
}

/* From the moment that TLS is certain, and for TLS alone, nothing dumps or traces the process. */
static void a_process_that_may_hold_keys(void **state)
{
	static struct target_options wanted;
	struct nbd_uri uri;

	(void)state;
	assert_int_equal(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), 0);
	assert_int_equal(parse("nbd://host", &wanted, &uri), EXIT_CODE_OK);
	assert_int_equal(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 1);
	assert_int_equal(parse("nbds://host", &wanted, &uri), EXIT_CODE_OK);
	assert_int_equal(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_refused),
		cmocka_unit_test(the_name_to_expect),
		cmocka_unit_test(files_become_absolute),
		cmocka_unit_test(a_directory_of_certificates),
		cmocka_unit_test(shared_keys),
		cmocka_unit_test(no_verification_is_loud),
		cmocka_unit_test(a_process_that_may_hold_keys),
	};

	return cmocka_run_group_tests(tests, group_open, group_close);
}
