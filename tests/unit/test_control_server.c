// SPDX-License-Identifier: MIT
/*
 * Goal: no client of the control socket keeps another from being served: one who sends line after line
 * gets an answer a turn, and one who is idle loses its place to who comes when all are taken.
 * Method: a control server and its clients in one process, turned by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/common/runtime_dir.h"
#include "gateway/common/dial.h"
#include "gateway/disk/control_server.h"
#include "gateway/disk/state_file.h"
#include "tests/unit/runtime_folder.h"
#include "tls/clock.h"

#define FLOOD_LINES 500
#define IDLE_MS	    800

static struct control_server *server;
static uint32_t answered;

static void take(void *context, control_client_id client, const char *verb, const json_t *request)
{
	(void)context;
	(void)request;
	answered++;
	control_server_reply(server, client, json_pack("{s:s}", "echo", verb));
}

static void turn(int wait_ms)
{
	struct pollfd fds[CONTROL_POLLFDS_MAX];
	uint32_t count;

	control_server_expire(server, clock_now_ms());
	count = control_server_poll_fill(server, fds);
	if (control_server_has_lines(server))
		wait_ms = 0;
	poll(fds, count, wait_ms);
	control_server_poll_take(server, fds, count);
}

static int connect_client(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(runtime_dir_file(address.sun_path, sizeof(address.sun_path), 0, "sock"),
			 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void say(int fd, const char *line)
{
	assert_int_equal(send(fd, line, strlen(line), MSG_NOSIGNAL), strlen(line));
}

/* Whether an answer is there; it is taken. */
static bool is_answered(int fd)
{
	char answer[200];

	return recv(fd, answer, sizeof(answer), MSG_DONTWAIT) > 0;
}

static int open_server(void **state)
{
	(void)state;
	answered = 0;
	return control_server_open(&server, 0, take, NULL);
}

static int close_server(void **state)
{
	(void)state;
	control_server_close(server, 0);
	state_files_remove(0);
	return 0;
}

static void test_flood(void **state)
{
	int flood = connect_client(), honest = connect_client();
	char lines[FLOOD_LINES * 20] = "";

	(void)state;
	turn(100); /* both are accepted */
	turn(100);
	for (int i = 0; i < FLOOD_LINES; i++)
		strcat(lines, "{\"verb\":\"flood\"}\n");
	say(flood, lines); /* at once: many small pieces would fill the socket */
	say(honest, "{\"verb\":\"status\"}\n");
	turn(100);
	assert_true(is_answered(honest));
	assert_in_range(answered, 1, 2);
	for (int i = 0; i < FLOOD_LINES && answered < 1 + FLOOD_LINES; i++) {
		turn(100);
		is_answered(flood);
	}
	assert_int_equal(answered, 1 + FLOOD_LINES); /* none is forgotten */
	close(flood);
	close(honest);
}

static void test_idle_ones_make_room(void **state)
{
	int idle[CONTROL_CLIENTS_MAX], late;

	(void)state;
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		idle[i] = connect_client();
		turn(100);
	}
	late = connect_client();
	say(late, "{\"verb\":\"status\"}\n");
	for (int i = 0; i < 3; i++)
		turn(10);
	assert_false(is_answered(late)); /* who came a moment ago is not idle */
	assert_int_equal(recv(idle[0], &(char){ 0 }, 1, MSG_DONTWAIT), -1);
	usleep(IDLE_MS * 1000);
	for (int i = 0; i < 3; i++)
		turn(10);
	assert_true(is_answered(late));
	assert_int_equal(recv(idle[0], &(char){ 0 }, 1, MSG_DONTWAIT), 0); /* the first to go */
	assert_int_equal(recv(idle[1], &(char){ 0 }, 1, MSG_DONTWAIT), -1);
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++)
		close(idle[i]);
	close(late);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_flood, open_server, close_server),
		cmocka_unit_test_setup_teardown(test_idle_ones_make_room, open_server,
						close_server),
	};

	return cmocka_run_group_tests(tests, runtime_folder_make, runtime_folder_remove);
}
