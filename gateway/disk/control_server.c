/* SPDX-License-Identifier: MIT */
#include "gateway/disk/control_server.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/common/exit_code.h"
#include "gateway/common/log.h"
#include "gateway/common/runtime_dir.h"
#include "tls/clock.h"

/* From connecting to a whole line, and from the answer to its having been read. */
#define CLIENT_TIMEOUT_MS 10000
/* When all places are taken, whoever has kept one idle for so long loses it to the next. */
#define CLIENT_IDLE_MS 500

struct client {
	int fd; /* -1: free */
	uint32_t generation;
	bool waiting; /* asked, and not yet answered: no deadline of its own */
	int64_t deadline_ms;
	size_t in_bytes;
	char *out; /* what is left of the answer, or NULL */
	size_t out_bytes, out_sent_bytes;
	char in[CONTROL_LINE_BYTES_MAX];
};

struct control_server {
	int fd; /* -1 once it stopped listening */
	char path[108];
	control_request_fn take;
	void *context;
	uint32_t fds_count; /* of the last poll_fill: listener first, then clients by index */
	int8_t fds_client[CONTROL_POLLFDS_MAX];
	struct client clients[CONTROL_CLIENTS_MAX];
};

static int listen_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int ret;

	if (fd < 0)
		return -errno;
	memcpy(address.sun_path, path, strlen(path) + 1);
	/* The device number is ours alone while the device exists, so the file is a dead daemon's. */
	unlink(path);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || chmod(path, 0600) < 0 ||
	    listen(fd, CONTROL_CLIENTS_MAX) < 0) {
		ret = -errno;
		close(fd);
		return ret;
	}
	return fd;
}

int control_server_open(struct control_server **out, uint32_t number, control_request_fn take,
			void *context)
{
	struct control_server *server = calloc(1, sizeof(*server));
	int ret;

	if (!server)
		return -ENOMEM;
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++)
		server->clients[i].fd = -1;
	server->take = take;
	server->context = context;
	ret = runtime_dir_file(server->path, sizeof(server->path), number, "sock");
	if (ret == 0)
		ret = server->fd = listen_at(server->path);
	if (ret < 0) {
		free(server);
		return ret;
	}
	*out = server;
	return 0;
}

static void drop(struct client *client)
{
	close(client->fd);
	free(client->out);
	client->fd = -1;
	client->out = NULL;
	client->in_bytes = 0;
	client->waiting = false;
}

static bool peer_is_allowed(int fd)
{
	struct ucred peer;
	socklen_t peer_bytes = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_bytes) == 0 &&
	       (peer.uid == 0 || peer.uid == geteuid());
}

static bool has_line(const struct client *client)
{
	return client->fd >= 0 && !client->waiting && !client->out &&
	       memchr(client->in, '\n', client->in_bytes);
}

/* A place for one more: a free one, else that of the client who has been idle for longest. NULL: all are
 * being served; who knocks then waits in the socket's backlog. */
static struct client *find_place(struct control_server *server)
{
	int64_t idle_ms = clock_now_ms() + CLIENT_TIMEOUT_MS - CLIENT_IDLE_MS;
	struct client *place = NULL;

	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct client *client = &server->clients[i];

		if (client->fd < 0)
			return client;
		if (!client->waiting && !has_line(client) && client->deadline_ms < idle_ms &&
		    (!place || client->deadline_ms < place->deadline_ms))
			place = client;
	}
	return place;
}

static void accept_client(struct control_server *server)
{
	struct client *client = find_place(server);
	int fd;

	if (!client)
		return;
	fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	if (!peer_is_allowed(fd)) {
		close(fd);
		return;
	}
	if (client->fd >= 0)
		drop(client);
	client->fd = fd;
	client->generation++;
	client->deadline_ms = clock_now_ms() + CLIENT_TIMEOUT_MS;
}

static control_client_id id_of(const struct control_server *server, const struct client *client)
{
	return (uint64_t)client->generation << 8 | (uint64_t)(client - server->clients);
}

static struct client *client_of(struct control_server *server, control_client_id id)
{
	struct client *client = &server->clients[(id & 0xff) % CONTROL_CLIENTS_MAX];

	return client->fd >= 0 && client->generation == id >> 8 ? client : NULL;
}

bool control_server_has(struct control_server *server, control_client_id id)
{
	return client_of(server, id) != NULL;
}

static void push_out(struct client *client)
{
	while (client->out && client->out_sent_bytes < client->out_bytes) {
		ssize_t n = send(client->fd, client->out + client->out_sent_bytes,
				 client->out_bytes - client->out_sent_bytes, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			drop(client);
			return;
		}
		client->out_sent_bytes += (size_t)n;
	}
	free(client->out);
	client->out = NULL;
}

void control_server_reply(struct control_server *server, control_client_id id, json_t *answer)
{
	struct client *client = server ? client_of(server, id) : NULL;
	char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;

	json_decref(answer);
	if (!client) {
		free(text);
		return;
	}
	if (!text && !(text = strdup("{\"ok\":false,\"exit\":1,\"error\":\"out of memory\"}"))) {
		drop(client);
		return;
	}
	client->waiting = false;
	client->deadline_ms = clock_now_ms() + CLIENT_TIMEOUT_MS;
	client->out = text;
	client->out_bytes = strlen(text) + 1;
	client->out_sent_bytes = 0;
	text[client->out_bytes - 1] = '\n'; /* json_dumps' NUL becomes the line's end */
	push_out(client);
}

void control_server_reply_error(struct control_server *server, control_client_id client, int error,
				enum exit_code exit_code, const char *sentence)
{
	const char *name = strerrorname_np(error);

	control_server_reply(server, client,
			     json_pack("{s:b, s:s, s:i, s:s}", "ok", 0, "errno", name ? name : "",
				       "exit", (int)exit_code, "error", sentence));
}

/* One line, NUL-terminated. */
static void take_line(struct control_server *server, struct client *client, const char *line)
{
	json_error_t error;
	json_t *request = json_loads(line, JSON_REJECT_DUPLICATES, &error);
	const char *verb = json_string_value(json_object_get(request, "verb"));

	client->waiting = true;
	if (verb)
		server->take(server->context, id_of(server, client), verb, request);
	else
		control_server_reply_error(server, id_of(server, client), EINVAL, EXIT_CODE_USAGE,
					   "a request is a JSON object with a \"verb\"");
	json_decref(request);
}

/* One line: the client's next is looked at once this one's answer has left and everybody else has had his
 * turn. */
static void serve_line(struct control_server *server, struct client *client)
{
	size_t line_bytes;
	char *line;

	if (!has_line(client))
		return;
	line_bytes = (size_t)((char *)memchr(client->in, '\n', client->in_bytes) - client->in) + 1;
	line = strndup(client->in, line_bytes - 1);
	memmove(client->in, client->in + line_bytes, client->in_bytes - line_bytes);
	client->in_bytes -= line_bytes;
	if (!line) {
		drop(client);
		return;
	}
	take_line(server, client, line);
	free(line);
}

bool control_server_has_lines(const struct control_server *server)
{
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (has_line(&server->clients[i]))
			return true;
	return false;
}

static void read_client(struct client *client)
{
	size_t room = sizeof(client->in) - client->in_bytes;
	ssize_t n = room ? recv(client->fd, client->in + client->in_bytes, room, 0) : 0;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) { /* it left, or its line is longer than a line may be */
		drop(client);
		return;
	}
	client->in_bytes += (size_t)n;
}

uint32_t control_server_poll_fill(struct control_server *server, struct pollfd *fds)
{
	uint32_t count = 0;

	if (server->fd >= 0 && find_place(server)) {
		server->fds_client[count] = -1;
		fds[count++] = (struct pollfd){ .fd = server->fd, .events = POLLIN };
	}
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct client *client = &server->clients[i];
		short events = client->out			     ? POLLOUT
			       : client->waiting || has_line(client) ? 0
								     : POLLIN;

		if (client->fd < 0)
			continue;
		server->fds_client[count] = (int8_t)i;
		fds[count++] = (struct pollfd){ .fd = client->fd, .events = events };
	}
	server->fds_count = count;
	return count;
}

void control_server_poll_take(struct control_server *server, const struct pollfd *fds,
			      uint32_t count)
{
	for (uint32_t i = 0; i < count && i < server->fds_count; i++) {
		int8_t index = server->fds_client[i];
		struct client *client = index < 0 ? NULL : &server->clients[index];

		if (!fds[i].revents)
			continue;
		if (!client) {
			accept_client(server);
		} else if (client->fd != fds[i].fd) {
			continue;
		} else if (fds[i].revents & POLLOUT) {
			push_out(client);
		} else if (fds[i].revents & POLLIN) {
			read_client(client);
		} else {
			drop(client);
		}
	}
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++)
		serve_line(server, &server->clients[i]);
}

void control_server_forgive(struct control_server *server, int64_t absence_ms)
{
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++)
		server->clients[i].deadline_ms += absence_ms;
}

bool control_server_expire(struct control_server *server, int64_t now_ms)
{
	bool any = false;

	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct client *client = &server->clients[i];

		if (client->fd >= 0 && !client->waiting && client->deadline_ms <= now_ms)
			drop(client);
		any |= client->fd >= 0;
	}
	return any;
}

void control_server_stop_listening(struct control_server *server)
{
	if (server->fd < 0)
		return;
	close(server->fd);
	server->fd = -1;
}

void control_server_close(struct control_server *server, uint32_t wait_ms)
{
	int64_t deadline_ms = clock_now_ms() + wait_ms;

	if (!server)
		return;
	control_server_stop_listening(server);
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct client *client = &server->clients[i];

		while (client->fd >= 0 && client->out && clock_now_ms() < deadline_ms) {
			struct pollfd fd = { .fd = client->fd, .events = POLLOUT };

			poll(&fd, 1, 100);
			push_out(client);
		}
		if (client->fd >= 0)
			drop(client);
	}
	free(server);
}
