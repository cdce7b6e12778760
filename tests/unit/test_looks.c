// SPDX-License-Identifier: MIT
/*
 * Goal: exports, map, info and doctor say the truth about real servers, as JSON and to people, exit
 * as documented, end in time whatever the server does, and leave nothing behind.
 * Method: the verbs are called as main() does, with servers started by their own "[ COMMAND ]" or
 * listening elsewhere (peers.h); what they print is caught in a file.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <getopt.h>
#include <jansson.h>
#include <sys/stat.h>

#include "gateway/cli/commands.h"
#include "gateway/common/activation.h"
#include "gateway/common/minder.h"
#include "gateway/common/exit_code.h"
#include "gateway/map/map.h"
#include "tests/unit/peers.h"
#include "tests/unit/runtime_folder.h"
#include "tests/unit/verbs.h"
#include "tls/clock.h"

static json_int_t integer(json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key);

	assert_true(json_is_integer(value));
	return json_integer_value(value);
}

static const char *string(json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	assert_non_null(value);
	return value;
}

static bool has_feature(json_t *object, const char *name)
{
	json_t *feature;
	size_t i;

	json_array_foreach(json_object_get(object, "features"), i,
			   feature) if (!strcmp(json_string_value(feature), name)) return true;
	return false;
}

/* --- exports ------------------------------------------------------------------------------------ */

static void test_exports_list(void **state)
{
	json_t *object = RUN_JSON(cmd_exports, "[", "nbdkit", "-r", "--filter=exportname", "memory",
				  "1M", "exportname-list=explicit", "exportname=one",
				  "exportname=two", "exportdesc=fixed:of the\ttest", "]");
	json_t *exports = json_object_get(object, "exports"), *one = json_array_get(exports, 0);

	(void)state;
	assert_int_equal(json_array_size(exports), 2);
	assert_string_equal(string(one, "name"), "one");
	assert_string_equal(string(json_array_get(exports, 1), "name"), "two");
	assert_string_equal(string(one, "description"), "of the\ttest");
	assert_int_equal(integer(one, "size_bytes"), 1 << 20);
	assert_true(json_is_true(json_object_get(one, "read_only")));
	assert_true(has_feature(one, "multi-conn"));
	assert_false(has_feature(one, "trim"));
	json_decref(object);
}

static void test_exports_table(void **state)
{
	(void)state;
	assert_int_equal(RUN(cmd_exports, "[", "nbdkit", "--filter=exportname", "memory", "1M",
			     "exportname-list=explicit", "exportname=a\033[31mred",
			     "exportdesc=fixed:words", "]"),
			 EXIT_CODE_OK);
	assert_says(printed, "NAME");
	assert_says(printed, "a?[31mred");
	assert_says(printed, "1 MiB");
	assert_says(printed, "read-write");
	assert_says(printed, "flush, fua, trim");
	assert_says(printed, "words");
	assert_null(strchr(printed, '\033'));
}

/* Names of any bytes: text and JSON list the same, none of them reaches the terminal, and what the table says
 * beside one opens it. */
static void test_exports_strange_names(void **state)
{
	static const struct {
		const char *name, *text, *hex, *shown, *uri;
	} rows[] = {
		{ "\xff\xfe/1", "\xef\xbf\xbd\xef\xbf\xbd/1", "fffe2f31", "\n?\?/1 ", "/%FF%FE/1" },
		{ "a\xe2\x80\xae"
		  "b\xe2\x80\xac",
		  "a\xe2\x80\xae"
		  "b\xe2\x80\xac",
		  "61e280ae62e280ac", "\na???b??? ", "/a%E2%80%AEb%E2%80%AC" },
		{ "\033[2J", "\033[2J", "1b5b324a", "\n?[2J ", "/%1B%5B2J" },
		{ "end ", "end ", "656e6420", "\nend ", "/end%20" },
		{ "100%", "100%", "31303025", "\n100% ", NULL },
		{ "d\xc3\xbcnn", "d\xc3\xbcnn", "64c3bc6e6e", "\nd\xc3\xbcnn ", NULL },
	};
	char *argv[16] = { "nbdkit", "--filter=exportname",	 "memory",
			   "1M",     "exportname-list=explicit", "exportname-strict=true" };
	char words[6][64], host[64], target[256];
	struct dial_address address;
	json_t *object, *entry;
	struct peer peer;

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		snprintf(words[i], sizeof(words[i]), "exportname=%s", rows[i].name);
		argv[6 + i] = words[i];
	}
	peer = peer_exec(argv, peer_listen(AF_INET, NULL, 8, &address));
	dial_address_text(&address, host, sizeof(host));
	object = RUN_JSON(cmd_exports, host);
	for (const char *c = printed; *c; c++)
		assert_true(*c == '\n' || (*c >= ' ' && *c < 0x7f));
	for (size_t i = 0; i < 6; i++) {
		entry = json_array_get(json_object_get(object, "exports"), i);
		assert_string_equal(string(entry, "name"), rows[i].text);
		assert_string_equal(string(entry, "name_hex"), rows[i].hex);
		assert_int_equal(integer(entry, "size_bytes"), 1 << 20);
	}
	json_decref(object);
	assert_int_equal(RUN(cmd_exports, host), EXIT_CODE_OK);
	assert_null(strstr(printed, "\xe2\x80"));
	assert_null(strchr(printed, '\033'));
	assert_null(strchr(printed, '\xff'));
	for (size_t i = 0; i < 6; i++) {
		char *listing = strdup(printed);

		assert_says(listing, rows[i].shown);
		snprintf(target, sizeof(target), "nbd://%s%s\n", host,
			 rows[i].uri ? rows[i].uri : "/");
		assert_int_equal(!!rows[i].uri, !!strstr(listing, target));
		target[strlen(target) - 1] = '\0';
		if (rows[i].uri)
			assert_int_equal(RUN(cmd_info, target), EXIT_CODE_OK);
		else
			assert_int_equal(RUN(cmd_info, "--export", rows[i].name, host),
					 EXIT_CODE_OK);
		assert_int_equal(RUN(cmd_info, "--export", rows[i].name, host), EXIT_CODE_OK);
		free(printed);
		printed = listing;
	}
	peer_stop(&peer);
}

/* No list: the server says it has none to give. */
static void test_exports_refused(void **state)
{
	struct dial_address address;
	struct peer peer;
	char target[64];

	(void)state;
	peer = peer_script(PEER_SERVE, peer_listen(AF_INET, NULL, 8, &address));
	dial_address_text(&address, target, sizeof(target));
	assert_int_equal(RUN(cmd_exports, target), EXIT_CODE_REFUSED);
	assert_says(complained, "no list");
	peer_stop(&peer);
}

/* Of an export that the server lists and then refuses nothing is known but why. nbd-server gives it a size
 * of 0 until it is opened. */
static void test_exports_one_refused(void **state)
{
	char exports[200], target[80], path[64];
	json_t *object, *list, *gone;
	FILE *file;
	pid_t pid;

	(void)state;
	snprintf(path, sizeof(path), "%s/file", runtime_folder);
	file = fopen(path, "we");
	assert_int_equal(ftruncate(fileno(file), 1 << 20), 0);
	fclose(file);
	snprintf(exports, sizeof(exports),
		 "[ok]\nexportname = %s\n[gone]\nexportname = %s-not-there\n", path, path);
	pid = peer_nbd_server(runtime_folder, exports);
	assert_true(pid > 0);
	snprintf(target, sizeof(target), "nbd+unix:///?socket=%s/nbd-server.sock", runtime_folder);
	object = RUN_JSON(cmd_exports, target);
	list = json_object_get(object, "exports");
	assert_int_equal(integer(json_array_get(list, 0), "size_bytes"), 1 << 20);
	assert_true(json_is_null(json_object_get(json_array_get(list, 0), "error")));
	gone = json_array_get(list, 1);
	assert_string_equal(string(gone, "name"), "gone");
	assert_true(json_is_null(json_object_get(gone, "size_bytes")));
	assert_true(json_is_null(json_object_get(gone, "read_only")));
	assert_says(string(gone, "error"), "\"gone\"");
	json_decref(object);
	assert_int_equal(RUN(cmd_exports, target), EXIT_CODE_OK);
	assert_says(printed, "gone  ?             ?           ");
	assert_says(printed, "access rules");
	peer_nbd_server_end();
	for (int i = 0; i < 500 && !kill(pid, 0); i++)
		usleep(10000);
	for (size_t i = 0; i < 4; i++) {
		static const char *const names[] = { "file", "nbd-server.conf", "nbd-server.pid",
						     "nbd-server.sock" };

		snprintf(path, sizeof(path), "%s/%s", runtime_folder, names[i]);
		unlink(path);
	}
}

/* --- info --------------------------------------------------------------------------------------- */

static void test_info_nbdkit(void **state)
{
	json_t *object = RUN_JSON(cmd_info, "[", "nbdkit", "--filter=blocksize-policy", "memory",
				  "1000001", "blocksize-minimum=1", "blocksize-preferred=64K",
				  "blocksize-maximum=256K", "]");
	json_t *disk = json_object_get(object, "disk");

	(void)state;
	assert_int_equal(integer(object, "size_bytes"), 1000001);
	assert_string_equal(string(object, "framing"), "structured");
	assert_true(json_is_true(json_object_get(object, "block_sizes_given")));
	assert_int_equal(integer(object, "block_preferred_bytes"), 65536);
	assert_int_equal(integer(object, "payload_max_bytes"), 256 << 10);
	assert_true(has_feature(object, "fua"));
	assert_true(json_is_true(json_object_get(disk, "possible")));
	assert_int_equal(integer(disk, "size_bytes"), 1000001 / 512 * 512);
	assert_int_equal(integer(disk, "tail_bytes"), 1000001 % 512);
	assert_int_equal(integer(disk, "requests_per_io"), 4);
	json_decref(object);
}

static void test_info_refusals(void **state)
{
	json_t *object;

	(void)state;
	object = RUN_JSON(cmd_info, "[", "nbdkit", "--no-sr", "--filter=blocksize-policy", "memory",
			  "1M", "blocksize-minimum=64K", "blocksize-preferred=64K", "]");
	assert_string_equal(string(object, "framing"), "simple");
	assert_true(json_is_false(json_object_get(json_object_get(object, "disk"), "possible")));
	json_decref(object);
	assert_int_equal(RUN(cmd_info, "[", "nbdkit", "nonsense", "]"), EXIT_CODE_UNREACHABLE);
	assert_says(complained, "exit status 1");
	assert_int_equal(RUN(cmd_info, "[", "no-such-server", "]"), EXIT_CODE_UNREACHABLE);
	assert_says(complained, "not found in PATH");
	assert_int_equal(RUN(cmd_info, "["), EXIT_CODE_USAGE);
	assert_int_equal(RUN(cmd_info, "-o", "json"), EXIT_CODE_USAGE);
	assert_int_equal(RUN(cmd_info, "a", "[", "nbdkit", "null", "]"), EXIT_CODE_USAGE);
	assert_int_equal(RUN(cmd_info, "--tls", "--tls-verify=no", "[", "nbdkit", "null", "]"),
			 EXIT_CODE_TLS);
	assert_says(complained, "TLS");
}

static void test_info_qemu(void **state)
{
	char image[64];
	json_t *object;
	int fd;

	(void)state;
	snprintf(image, sizeof(image), "%s.img", runtime_folder);
	fd = open(image, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, 3 << 20), 0);
	close(fd);
	object = RUN_JSON(cmd_info, "--export", "disk", "[", "qemu-nbd", "-t", "-r", "-f", "raw",
			  "-x", "disk", "-D", "of qemu", image, "]");
	assert_int_equal(integer(object, "size_bytes"), 3 << 20);
	assert_string_equal(string(object, "description"), "of qemu");
	assert_true(json_is_true(json_object_get(object, "read_only")));
	json_decref(object);
	assert_int_equal(RUN(cmd_info, "--export=other", "[", "qemu-nbd", "-t", "-r", "-f", "raw",
			     "-x", "disk", image, "]"),
			 EXIT_CODE_REFUSED);
	assert_says(complained, "\"other\"");
	unlink(image);
}

/* --- map ---------------------------------------------------------------------------------------- */

/* 8 MiB: 1 MiB of data at 0, and at 4 MiB; holes elsewhere. */
static void make_sparse(char *image, size_t image_bytes)
{
	char *data = malloc(1 << 20);
	int fd;

	memset(data, 0x5a, 1 << 20);
	snprintf(image, image_bytes, "%s.img", runtime_folder);
	fd = open(image, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, 8 << 20), 0);
	assert_int_equal(pwrite(fd, data, 1 << 20, 0), 1 << 20);
	assert_int_equal(pwrite(fd, data, 1 << 20, 4 << 20), 1 << 20);
	fsync(fd);
	close(fd);
	free(data);
}

static void test_map_sparse(void **state)
{
	static const json_int_t expected[4][2] = {
		{ 0, 1 << 20 }, { 1 << 20, 3 << 20 }, { 4 << 20, 1 << 20 }, { 5 << 20, 3 << 20 }
	};
	json_t *object, *extents, *extent;
	char image[64];

	(void)state;
	make_sparse(image, sizeof(image));
	object = RUN_JSON(map_command, "[", "qemu-nbd", "-t", "-r", "-f", "raw", image, "]");
	extents = json_object_get(object, "extents");
	assert_int_equal(json_array_size(extents), 4);
	for (size_t i = 0; i < 4; i++) {
		extent = json_array_get(extents, i);
		assert_int_equal(integer(extent, "offset"), expected[i][0]);
		assert_int_equal(integer(extent, "length"), expected[i][1]);
		assert_string_equal(string(extent, "type"), i % 2 ? "hole" : "data");
	}
	assert_int_equal(integer(json_object_get(object, "totals"), "data_bytes"), 2 << 20);
	assert_true(json_is_true(json_object_get(object, "complete")));
	json_decref(object);

	assert_int_equal(RUN(map_command, "[", "nbdkit", "file", image, "]"), EXIT_CODE_OK);
	assert_says(printed,
		    "[#########...........................#########...........................]");
	assert_says(printed, "25.0 %");
	assert_says(printed, "             1048576              3145728  hole  (3 MiB)");
	unlink(image);
}

/* More than one request can ask for; and a server that gives small pieces. */
static void test_map_large(void **state)
{
	json_t *object = RUN_JSON(map_command, "[", "nbdkit", "memory", "5T", "]");

	(void)state;
	assert_int_equal(json_array_size(json_object_get(object, "extents")), 1);
	assert_int_equal(integer(object, "mapped_bytes"), (json_int_t)5 << 40);
	json_decref(object);
	object = RUN_JSON(map_command, "[", "nbdkit", "eval", "get_size=echo 10M",
			  "can_extents=exit 0", "pread=dd if=/dev/zero count=$3 iflag=count_bytes",
			  "extents=t=; [ $(($4 / 1048576 % 2)) = 0 ] || t=hole,zero; echo $4 1M $t",
			  "]");
	assert_int_equal(json_array_size(json_object_get(object, "extents")), 10);
	assert_int_equal(integer(json_object_get(object, "totals"), "hole_bytes"), 5 << 20);
	json_decref(object);
}

static void test_map_refused(void **state)
{
	(void)state;
	assert_int_equal(RUN(map_command, "[", "nbdkit", "--no-sr", "memory", "1M", "]"),
			 EXIT_CODE_REFUSED);
	assert_says(complained, "simple replies");
	assert_int_equal(RUN(map_command, "[", "nbdkit", "--filter=error", "memory", "1M",
			     "error-extents-rate=100%", "]"),
			 EXIT_CODE_REFUSED);
	assert_says(complained, "block status");
}

/* What is known by the deadline is shown. */
static void test_map_partial(void **state)
{
	int64_t started_ms = clock_now_ms();
	json_t *object;

	(void)state;
	assert_int_equal(RUN(map_command, "-o", "json", "-t", "3", "[", "nbdkit", "eval",
			     "get_size=echo 10M", "can_extents=exit 0", "pread=exit 1",
			     "extents=[ $4 -lt 3145728 ] || sleep 4; echo $4 1M", "]"),
			 EXIT_CODE_UNREACHABLE);
	/* nbdkit ends only after its script has: that long it is given. */
	assert_in_range(clock_now_ms() - started_ms, 3000, 3000 + MINDER_STOP_MS + 1500);
	assert_says(complained, "3.0 s");
	object = json_loads(printed, 0, NULL);
	assert_int_equal(integer(object, "mapped_bytes"), 3 << 20);
	assert_true(json_is_false(json_object_get(object, "complete")));
	json_decref(object);
}

/* --- doctor ------------------------------------------------------------------------------------- */

/* The finding about what in an area, or NULL. */
static json_t *finding(json_t *object, const char *area, const char *what)
{
	json_t *check;
	size_t i;

	json_array_foreach(json_object_get(object, "checks"), i,
			   check) if (!strcmp(string(check, "area"), area) &&
				      !strcmp(string(check, "what"), what)) return check;
	return NULL;
}

static void assert_finding(json_t *object, const char *area, const char *what, const char *result)
{
	json_t *check = finding(object, area, what);

	if (!check || strcmp(string(check, "result"), result))
		fail_msg("%s: %s is not %s: %s", area, what, result, printed);
}

/* Whatever this machine is like, the exit code is that of what was found. */
static json_t *doctor(const char *const *words, int *exit_code)
{
	json_t *object;

	*exit_code = run(cmd_doctor, words);
	object = json_loads(printed, 0, NULL);
	assert_non_null(object);
	assert_int_equal(*exit_code, integer(object, "exit"));
	assert_int_equal(json_is_true(json_object_get(object, "ok")), *exit_code == EXIT_CODE_OK);
	return object;
}

#define DOCTOR(exit_code, ...)                                                                     \
	doctor((const char *const[]){ "doctor", "-o", "json", __VA_ARGS__, NULL }, exit_code)

static void test_doctor_machine(void **state)
{
	json_t *object, *driver;
	int exit_code;

	(void)state;
	object = DOCTOR(&exit_code, "-v");
	driver = finding(object, "machine", "ublk driver");
	assert_non_null(finding(object, "machine", "kernel"));
	assert_non_null(finding(object, "machine", "io_uring"));
	assert_non_null(driver);
	if (access("/dev/ublk-control", F_OK) && strcmp(string(driver, "result"), "ok"))
		assert_int_equal(exit_code, EXIT_CODE_SYSTEM);
	assert_null(finding(object, "server", "export"));
	json_decref(object);
}

static void test_doctor_server(void **state)
{
	json_t *object;
	int exit_code;

	(void)state;
	object = DOCTOR(&exit_code, "[", "nbdkit", "memory", "1M", "]");
	assert_finding(object, "server", "connection", "ok");
	assert_finding(object, "server", "export", "ok");
	assert_finding(object, "server", "flush", "ok");
	assert_finding(object, "server", "disk", "ok");
	assert_finding(object, "server", "read", "ok");
	assert_finding(object, "server", "latency", "ok");
	json_decref(object);
	object = DOCTOR(&exit_code, "[", "nbdkit", "--no-sr", "--filter=fua", "memory", "1M",
			"fuamode=discard", "]");
	assert_finding(object, "server", "read", "ok");
	json_decref(object);
}

static void test_doctor_ill_servers(void **state)
{
	json_t *object;
	int exit_code;

	(void)state;
	object = DOCTOR(&exit_code, "[", "nbdkit", "--filter=error", "memory", "1M",
			"error-pread-rate=100%", "]");
	assert_int_not_equal(exit_code, EXIT_CODE_OK);
	assert_finding(object, "server", "read", "fail");
	assert_says(string(finding(object, "server", "read"), "text"), "Input/output error");
	json_decref(object);

	object = DOCTOR(&exit_code, "[", "nbdkit", "--filter=delay", "memory", "1M",
			"delay-read=30ms", "]");
	assert_finding(object, "server", "latency", "warn");
	json_decref(object);

	object = DOCTOR(&exit_code, "--timeout=500ms", "[", "nbdkit", "--filter=delay", "memory",
			"1M", "delay-read=5", "]");
	assert_finding(object, "server", "read", "fail");
	assert_says(string(finding(object, "server", "read"), "text"), "within 500 ms (--timeout)");
	json_decref(object);

	/* Each read is in time, all of them together are not: that is slow, and no failure. */
	object = DOCTOR(&exit_code, "--timeout=3s", "--connect-timeout=2s", "[", "nbdkit",
			"--filter=delay", "memory", "1M", "delay-read=1100ms", "]");
	assert_finding(object, "server", "read", "ok");
	assert_finding(object, "server", "latency", "warn");
	assert_says(string(finding(object, "server", "latency"), "text"),
		    "3 reads one after another took 11");
	json_decref(object);

	object = DOCTOR(&exit_code, "[", "nbdkit", "--filter=blocksize-policy", "memory", "1M",
			"blocksize-minimum=64K", "blocksize-preferred=64K", "]");
	assert_finding(object, "server", "disk", "fail");
	assert_finding(object, "server", "read", "ok");
	json_decref(object);
}

static void test_doctor_no_server(void **state)
{
	struct dial_address address;
	char target[64];
	struct peer peer;
	json_t *object;
	int exit_code;

	(void)state;
	peer_nobody(AF_INET, &address);
	dial_address_text(&address, target, sizeof(target));
	object = DOCTOR(&exit_code, target);
	assert_int_not_equal(exit_code, EXIT_CODE_OK);
	assert_finding(object, "server", "connection", "fail");
	json_decref(object);

	peer = peer_script(PEER_HTTP, peer_listen(AF_INET, NULL, 8, &address));
	dial_address_text(&address, target, sizeof(target));
	object = DOCTOR(&exit_code, target);
	assert_finding(object, "server", "connection", "ok");
	assert_finding(object, "server", "handshake", "fail");
	json_decref(object);
	peer_stop(&peer);

	/* The machine is looked at all the same. */
	object = DOCTOR(&exit_code, "[", "no-such-server", "]");
	assert_int_not_equal(exit_code, EXIT_CODE_OK);
	assert_finding(object, "machine", "kernel", "ok");
	assert_finding(object, "server", "start", "fail");
	json_decref(object);
}

/* --- time, and what is left behind -------------------------------------------------------------- */

static void test_all_in_time(void **state)
{
	static const verb_fn verbs[] = { cmd_exports, cmd_info, map_command, cmd_doctor };
	static const enum peer_script scripts[] = { PEER_SILENT, PEER_STALL_OPTION,
						    PEER_STALL_PARTIAL };
	struct dial_address address;
	int64_t started_ms;
	struct peer peer;
	char target[64];
	int exit_code;

	(void)state;
	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
		peer = peer_script(scripts[i], peer_listen(AF_INET, NULL, 8, &address));
		dial_address_text(&address, target, sizeof(target));
		for (size_t verb = 0; verb < sizeof(verbs) / sizeof(verbs[0]); verb++) {
			const char *words[] = { "verb", "--connect-timeout=300ms", target, NULL,
						NULL };

			if (verbs[verb] == map_command)
				words[3] = "--timeout=300ms";
			started_ms = clock_now_ms();
			exit_code = run(verbs[verb], words);
			assert_in_range(clock_now_ms() - started_ms, 300, 1500);
			if (verbs[verb] == cmd_doctor)
				assert_int_not_equal(exit_code, EXIT_CODE_OK);
			else
				assert_int_equal(exit_code, EXIT_CODE_UNREACHABLE);
		}
		peer_stop(&peer);
	}
}

static void test_help(void **state)
{
	static const verb_fn verbs[] = { cmd_exports, cmd_info, map_command, cmd_doctor };
	const char *line, *end;
	int lines;

	(void)state;
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		const char *words[] = { "verb", "--help", NULL };

		assert_int_equal(run(verbs[i], words), EXIT_CODE_OK);
		for (lines = 0, line = printed; (end = strchr(line, '\n')); line = end + 1, lines++)
			assert_true(end - line <= 80);
		assert_true(lines > 5 && lines <= 24);
	}
}

static int note_fds(void **state)
{
	static int before;

	before = peer_count_fds();
	*state = &before;
	return 0;
}

/* After each test: no descriptor, file or child is left. */
static int check_leftovers(void **state)
{
	const int *before = *state;

	if (peer_count_fds() != *before || runtime_folder_count() != 0 ||
	    waitpid(-1, NULL, WNOHANG) != -1) {
		print_error("left behind: %d descriptors more, %d files, or a child\n",
			    peer_count_fds() - *before, runtime_folder_count());
		return -1;
	}
	return 0;
}

static int set_up(void **state)
{
	signal(SIGPIPE, SIG_IGN);
	return runtime_folder_make(state);
}

static int tear_down(void **state)
{
	free(printed);
	free(complained);
	return runtime_folder_remove(state);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, note_fds, check_leftovers)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_exports_list),	TEST(test_exports_table),
		TEST(test_exports_refused),	TEST(test_exports_strange_names),
		TEST(test_exports_one_refused), TEST(test_info_nbdkit),
		TEST(test_info_refusals),	TEST(test_info_qemu),
		TEST(test_map_sparse),		TEST(test_map_large),
		TEST(test_map_refused),		TEST(test_map_partial),
		TEST(test_doctor_machine),	TEST(test_doctor_server),
		TEST(test_doctor_ill_servers),	TEST(test_doctor_no_server),
		TEST(test_all_in_time),		TEST(test_help),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
