// SPDX-License-Identifier: MIT
/*
 * Goal: a server of one's own is reachable as soon as activation_start() returns, hears nothing of
 * our signals and descriptors, and leaves neither process nor file behind, however it ends.
 * Method: nbdkit and qemu-nbd are dialled; shell scripts show their environment from inside.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/prctl.h>

#include "gateway/common/activation.h"
#include "gateway/common/minder.h"
#include "gateway/common/server_tag.h"
#include "tests/unit/peers.h"
#include "tests/unit/runtime_folder.h"
#include "tls/clock.h"

/* Waits for the program's end; the sentence says how it came. */
static void await_end(const struct activation *activation, char *sentence, size_t bytes)
{
	struct pollfd ended = { .fd = activation->minder_fd, .events = POLLIN };

	assert_int_equal(poll(&ended, 1, 5000), 1);
	assert_true(activation_has_ended(activation, sentence, bytes));
}

static void start(struct activation *activation, char *const argv[])
{
	char sentence[300] = "";

	if (activation_start(activation, argv, SERVER_TAG_NONE, sentence, sizeof(sentence)))
		fail_msg("%s", sentence);
}

static void serves(char *const argv[], uint64_t size_bytes, uint32_t clients)
{
	struct activation activation;
	struct nbd_uri uri = { .export_name = "" };
	struct dial_options options = { .target = &uri, .timeout_ms = 5000 };
	struct dial_result results[3];
	char sentence[300];
	pid_t pid;

	start(&activation, argv);
	pid = activation.pid;
	activation_target(&activation, &uri);
	for (uint32_t i = 0; i < clients; i++) {
		if (dial_run(&options, &results[i]))
			fail_msg("%s", results[i].sentence);
		assert_int_equal(results[i].export->size_bytes, size_bytes);
	}
	assert_false(activation_has_ended(&activation, sentence, sizeof(sentence)));
	for (uint32_t i = 0; i < clients; i++)
		dial_result_clear(&results[i]);
	activation_stop(&activation);
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(errno, ESRCH);
	assert_int_equal(runtime_folder_count(), 0);
	assert_int_equal(activation.pid, 0);
	activation_stop(&activation); /* once more is nothing */
}

static void test_nbdkit(void **state)
{
	char *const argv[] = { "nbdkit", "memory", "1M", NULL };
	char *const foreground[] = { "nbdkit", "-f", "memory", "1M", NULL };

	(void)state;
	serves(argv, 1 << 20, 3);
	serves(foreground, 1 << 20, 1);
}

static void test_qemu_nbd(void **state)
{
	char image[64];
	char *const argv[] = { "qemu-nbd", "-t", "-e", "3", "-f", "raw", image, NULL };
	int fd;

	(void)state;
	snprintf(image, sizeof(image), "%s.img", runtime_folder);
	fd = open(image, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	close(fd);
	serves(argv, 1 << 20, 3);
	unlink(image);
}

static void test_no_such_program(void **state)
{
	char *const unknown[] = { "no-such-server", NULL };
	char *const no_program[] = { runtime_folder, NULL };
	struct activation activation;
	char sentence[300];
	int fds = peer_count_fds();

	(void)state;
	assert_int_equal(
		activation_start(&activation, unknown, SERVER_TAG_NONE, sentence, sizeof(sentence)),
		-ENOENT);
	assert_string_equal(sentence,
			    "no-such-server: not found in PATH: is its package installed?");
	assert_int_equal(activation_start(&activation, no_program, SERVER_TAG_NONE, sentence,
					  sizeof(sentence)),
			 -EACCES);
	assert_non_null(strstr(sentence, "Permission denied"));
	assert_int_equal(runtime_folder_count(), 0);
	assert_int_equal(peer_count_fds(), fds);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void test_early_end(void **state)
{
	char *const refuses[] = { "sh", "-c", "exit 3", NULL };
	char *const dies[] = { "sh", "-c", "kill -9 $$", NULL };
	struct nbd_uri uri = { .export_name = "" };
	struct dial_options options = { .target = &uri, .timeout_ms = 5000 };
	struct dial_result result;
	struct activation activation;
	char sentence[300];

	(void)state;
	start(&activation, refuses);
	await_end(&activation, sentence, sizeof(sentence));
	assert_non_null(strstr(sentence, "exit status 3"));
	/* Nobody keeps its socket open: dialling fails at once. */
	activation_target(&activation, &uri);
	assert_int_equal(dial_run(&options, &result), -ECONNREFUSED);
	activation_stop(&activation);
	start(&activation, dies);
	await_end(&activation, sentence, sizeof(sentence));
	assert_non_null(strstr(sentence, "signal 9"));
	activation_stop(&activation);
	assert_int_equal(runtime_folder_count(), 0);
}

/* What the program finds: written to a file by itself. The shell reads its signal mask before it
 * starts anything, and without a helper: it blocks signals while it forks, and clears the mask after. */
static void test_surroundings(void **state)
{
	char out[64], script[1024], text[4096], sentence[300];
	char *const argv[] = { "sh", "-c", script, NULL };
	int extra = open("/dev/null", O_RDONLY), fd; /* without close-on-exec */
	unsigned long long ignored;
	struct activation activation;
	sigset_t blocked, before;
	ssize_t n;

	(void)state;
	snprintf(out, sizeof(out), "%s.out", runtime_folder);
	snprintf(script, sizeof(script),
		 "exec >%s; echo \"fds=$LISTEN_FDS pid=$((LISTEN_PID == $$)) names=$LISTEN_FDNAMES "
		 "notify=$NOTIFY_SOCKET mine=$TEST_MINE\"; "
		 "while read -r line; do case $line in SigBlk* | SigIgn*) echo \"$line\";; esac; "
		 "done "
		 "</proc/$$/status; "
		 "echo oom=$(cat /proc/self/oom_score_adj); ls -l /proc/$$/fd; exit 0",
		 out);
	setenv("LISTEN_FDNAMES", "ours", 1);
	setenv("NOTIFY_SOCKET", "/ours", 1);
	setenv("TEST_MINE", "kept", 1);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	sigprocmask(SIG_BLOCK, &blocked, &before);
	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	assert_int_equal(write(fd, "200", 3), 3);
	start(&activation, argv);
	assert_int_equal(write(fd, "0", 1), 1);
	close(fd);
	sigprocmask(SIG_SETMASK, &before, NULL);
	await_end(&activation, sentence, sizeof(sentence));
	activation_stop(&activation);

	fd = open(out, O_RDONLY | O_CLOEXEC);
	n = read(fd, text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = '\0';
	close(fd);
	close(extra);
	unlink(out);
	assert_non_null(strstr(text, "fds=1 pid=1 names= notify= mine=kept\n"));
	assert_non_null(strstr(text, "oom=0\n"));
	/* SIGHUP (1), SIGINT (2) and SIGTERM (15) alone. */
	assert_non_null(strstr(text, "SigBlk:\t0000000000004003\n"));
	assert_non_null(strstr(text, "SigIgn:\t"));
	/* Signals 32 and 33 are libc's own and not to be set by anyone; make leaves them ignored. */
	ignored = strtoull(strstr(text, "SigIgn:\t") + strlen("SigIgn:\t"), NULL, 16);
	assert_int_equal(ignored & ~(3ULL << 31), 0);
	assert_non_null(strstr(text, "0 -> /dev/null"));
	assert_non_null(strstr(text, "3 -> socket:"));
	assert_null(strstr(text, " 4 -> "));
	assert_null(strstr(text, " 5 -> "));
}

/* One that ignores SIGTERM, and has a helper in the background: both end. They hold the pipe's
 * writing end as their stdout. */
static void test_stubborn(void **state)
{
	char *const argv[] = { "sh", "-c", "trap '' TERM; sleep 60 & sleep 60; sleep 60", NULL };
	int held[2], standard = dup(STDOUT_FILENO);
	struct pollfd released = { .events = POLLIN };
	struct activation activation;
	int64_t started_ms;
	char sentence[300];

	(void)state;
	assert_int_equal(pipe2(held, O_CLOEXEC), 0);
	released.fd = held[0];
	dup2(held[1], STDOUT_FILENO);
	start(&activation, argv);
	dup2(standard, STDOUT_FILENO);
	close(standard);
	close(held[1]);
	usleep(300000);
	assert_false(activation_has_ended(&activation, sentence, sizeof(sentence)));
	assert_int_equal(poll(&released, 1, 0), 0);
	started_ms = clock_now_ms();
	activation_stop(&activation);
	assert_in_range(clock_now_ms() - started_ms, MINDER_STOP_MS, MINDER_STOP_MS + 1500);
	assert_int_equal(poll(&released, 1, 1000), 1);
	assert_true(released.revents & POLLHUP);
	close(held[0]);
	assert_int_equal(runtime_folder_count(), 0);
}

/* The one child of the minder, once it has run its program. */
static pid_t server_of(const struct activation *activation)
{
	char path[80], digits[32] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", activation->pid, activation->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(read(fd, digits, sizeof(digits) - 1) > 0);
	close(fd);
	return (pid_t)strtol(digits, NULL, 10);
}

/* What the servers that people use do with it decides: both must live through it, and end by themselves
 * when they are asked to. A shell with a trap tells that it was SIGTERM; it must start nothing,
 * since it would clear its mask for that. */
static void test_swept_signals(void **state)
{
	static const int swept[] = { SIGTERM, SIGHUP, SIGINT };
	char image[64], script[200], told[64];
	char *const nbdkit[] = { "nbdkit", "memory", "1M", NULL };
	char *const qemu[] = { "qemu-nbd", "-t", "-f", "raw", image, NULL };
	char *const trap[] = { "sh", "-c", script, NULL };
	char *const *const servers[] = { nbdkit, qemu, trap };
	struct activation activation;
	char sentence[300];
	int64_t started_ms;

	(void)state;
	snprintf(image, sizeof(image), "%s.img", runtime_folder);
	snprintf(told, sizeof(told), "%s.told", runtime_folder);
	snprintf(script, sizeof(script), "trap 'echo > %s; exit 0' TERM; while :; do :; done",
		 told);
	close(open(image, O_CREAT | O_RDWR | O_CLOEXEC, 0600));
	assert_int_equal(truncate(image, 1 << 20), 0);
	for (size_t i = 0; i < 3; i++) {
		pid_t server;

		start(&activation, servers[i]);
		server = server_of(&activation);
		usleep(300000); /* until it has set its handlers */
		for (size_t k = 0; k < 3; k++) {
			assert_int_equal(kill(server, swept[k]), 0);
			assert_int_equal(kill(activation.pid, swept[k]), 0);
		}
		usleep(200000);
		assert_false(activation_has_ended(&activation, sentence, sizeof(sentence)));
		started_ms = clock_now_ms();
		activation_stop(&activation);
		assert_in_range(clock_now_ms() - started_ms, 0, MINDER_STOP_MS - 1000);
		assert_int_equal(kill(server, 0), -1);
	}
	assert_int_equal(unlink(told), 0);
	unlink(image);
	assert_int_equal(runtime_folder_count(), 0);
}

/* Each default-terminating signal to the minder but SIGKILL: nothing. SIGKILL ends both, which is told. */
static void test_minder(void **state)
{
	char *const argv[] = { "sleep", "60", NULL };
	struct activation activation;
	char sentence[300] = "";
	pid_t server;

	(void)state;
	start(&activation, argv);
	server = server_of(&activation);
	for (int number = 1; number <= SIGRTMAX; number++)
		if (number != SIGKILL && number != SIGSTOP)
			kill(activation.pid, number);
	usleep(100000);
	assert_false(activation_has_ended(&activation, sentence, sizeof(sentence)));
	assert_int_equal(kill(activation.pid, SIGKILL), 0);
	await_end(&activation, sentence, sizeof(sentence));
	assert_string_equal(sentence, "sleep was ended by signal 9 (Killed)");
	activation_stop(&activation);
	for (int i = 0; i < 500 && kill(server, 0) == 0; i++)
		usleep(10000);
	assert_int_equal(kill(server, 0), -1);
	assert_int_equal(runtime_folder_count(), 0);
}

/* Asks the kernel, in a server of its own: this program, which main() then makes one. Where that is not
 * permitted (CAP_SYS_RESOURCE) the server runs all the same; transport-kinds.sh shows the rest. */
static void test_io_flusher(void **state)
{
	char *const argv[] = { "/proc/self/exe", "--flusher", NULL };
	bool permitted = prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0) >= 0;
	struct activation activation;
	char sentence[300];

	(void)state;
	start(&activation, argv);
	await_end(&activation, sentence, sizeof(sentence));
	activation_stop(&activation);
	assert_string_equal(sentence,
			    permitted ? "/proc/self/exe ended by itself, with exit status 41: see "
					"its own message"
				      : "/proc/self/exe ended by itself, with exit status 39: see "
					"its own message");
}

/* We end without a word: the program does so, too. */
static void test_orphan(void **state)
{
	char *const argv[] = { "sleep", "60", NULL };
	struct activation activation;
	int report[2];
	char sentence[300], path[64], byte;
	pid_t pid, server;

	(void)state;
	assert_int_equal(pipe2(report, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		if (activation_start(&activation, argv, SERVER_TAG_NONE, sentence,
				     sizeof(sentence)) ||
		    write(report[1], &activation.pid, sizeof(activation.pid)) < 0 ||
		    write(report[1], activation.directory, sizeof(path)) < 0)
			_exit(1);
		kill(getpid(), SIGKILL);
	}
	close(report[1]);
	assert_int_equal(read(report[0], &server, sizeof(server)), sizeof(server));
	assert_int_equal(read(report[0], path, sizeof(path)), sizeof(path));
	assert_int_equal(read(report[0], &byte, 1), 0);
	close(report[0]);
	waitpid(pid, NULL, 0);
	for (int i = 0; i < 200 && kill(server, 0) == 0; i++) {
		waitpid(server, NULL, WNOHANG);
		usleep(10000);
	}
	/* A container's first process may not reap it: a zombie has ended as well. */
	snprintf(sentence, sizeof(sentence), "/proc/%d/exe", server);
	assert_int_equal(readlink(sentence, &byte, 1), -1);
	/* What a killed process cannot remove its server's minder does. */
	for (int i = 0; i < 500 && access(path, F_OK) == 0; i++)
		usleep(10000);
	assert_int_equal(access(path, F_OK), -1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nbdkit),		cmocka_unit_test(test_qemu_nbd),
		cmocka_unit_test(test_no_such_program), cmocka_unit_test(test_early_end),
		cmocka_unit_test(test_surroundings),	cmocka_unit_test(test_stubborn),
		cmocka_unit_test(test_orphan),		cmocka_unit_test(test_swept_signals),
		cmocka_unit_test(test_minder),		cmocka_unit_test(test_io_flusher),
	};

	if (argc > 1 && !strcmp(argv[1], "--flusher"))
		return 40 + prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0);
	return cmocka_run_group_tests(tests, runtime_folder_make, runtime_folder_remove);
}
