/* SPDX-License-Identifier: MIT */
#include "tests/guest/tls/nbd.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/wire.h"
#include "tests/guest/tls/options.h"
#include "tests/guest/tls/session.h"

#define OPTION_HEADER_BYTES 16
#define OPTION_BYTES_MAX    4096
#define PAYLOAD_BYTES_MAX   (1u << 20)
/* Of a READ's reply in one chunk. */
#define REPLY_HEAD_BYTES (NBD_STRUCTURED_REPLY_BYTES + 8)

static uint8_t *export;

bool export_open(void)
{
	int fd = options.file ? open(options.file, O_RDWR | O_CREAT | O_CLOEXEC, 0600)
			      : memfd_create("export", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)options.size_bytes) < 0)
		return false;
	export = mmap(NULL, options.size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return export != MAP_FAILED;
}

struct connection {
	int fd;
	bool secured; /* session is there */
	struct session session;
	uint8_t buffer[REPLY_HEAD_BYTES + PAYLOAD_BYTES_MAX];
};

static bool put(struct connection *c, const void *bytes, size_t count)
{
	return c->secured ? session_send(&c->session, bytes, count)
			  : socket_send(c->fd, bytes, count);
}

static bool get(struct connection *c, void *place, size_t count)
{
	return c->secured ? session_receive(&c->session, place, count)
			  : socket_receive(c->fd, place, count);
}

/* --- the handshake ------------------------------------------------------------------------------ */

static bool put_option_reply(struct connection *c, uint32_t option, uint32_t type,
			     const uint8_t *data, uint32_t length)
{
	uint8_t reply[20 + 32];

	wire_put64(reply, NBD_MAGIC_OPTION_REPLY);
	wire_put32(reply + 8, option);
	wire_put32(reply + 12, type);
	wire_put32(reply + 16, length);
	memcpy(reply + 20, data, length);
	return put(c, reply, 20 + length);
}

static bool put_export(struct connection *c, uint32_t option)
{
	uint8_t info[12], sizes[14];

	wire_put16(info, NBD_INFO_EXPORT);
	wire_put64(info + 2, options.size_bytes);
	wire_put16(info + 10, NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA |
				      NBD_FLAG_SEND_TRIM | NBD_FLAG_SEND_WRITE_ZEROES |
				      NBD_FLAG_CAN_MULTI_CONN);
	wire_put16(sizes, NBD_INFO_BLOCK_SIZE);
	wire_put32(sizes + 2, 1);
	wire_put32(sizes + 6, 4096);
	wire_put32(sizes + 10, PAYLOAD_BYTES_MAX);
	return put_option_reply(c, option, NBD_REP_INFO, info, sizeof(info)) &&
	       put_option_reply(c, option, NBD_REP_INFO, sizes, sizeof(sizes)) &&
	       put_option_reply(c, option, NBD_REP_ACK, info, 0);
}

/* false: the connection is over. *done: the transfer begins. */
static bool answer_option(struct connection *c, uint32_t option, uint32_t number, bool *done)
{
	const uint8_t nothing[1] = { 0 };
	uint32_t type = NBD_REP_ERR_UNSUP;

	if (option == NBD_OPT_STARTTLS && !c->secured) {
		if (!put_option_reply(c, option, NBD_REP_ACK, nothing, 0))
			return false;
		c->secured = session_open(&c->session, c->fd, number);
		if (!c->secured)
			SSL_free(c->session.ssl);
		return c->secured;
	}
	if (!c->secured)
		return put_option_reply(c, option, NBD_REP_ERR_TLS_REQD, nothing, 0);
	*done = option == NBD_OPT_GO;
	if (*done || option == NBD_OPT_INFO)
		return put_export(c, option);
	if (option == NBD_OPT_STRUCTURED_REPLY || option == NBD_OPT_ABORT)
		type = NBD_REP_ACK;
	return put_option_reply(c, option, type, nothing, 0) && option != NBD_OPT_ABORT;
}

static bool greet(struct connection *c)
{
	uint8_t greeting[18], flags[4];

	wire_put64(greeting, NBD_MAGIC_INIT);
	wire_put64(greeting + 8, NBD_MAGIC_OPTION);
	wire_put16(greeting + 16, NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
	return put(c, greeting, sizeof(greeting)) && get(c, flags, sizeof(flags));
}

static bool agree(struct connection *c, uint32_t number)
{
	uint8_t header[OPTION_HEADER_BYTES], data[OPTION_BYTES_MAX];
	bool done = false;

	if (!greet(c))
		return false;
	while (!done) {
		uint32_t length;

		if (!get(c, header, sizeof(header)))
			return false;
		length = wire_get32(header + 12);
		if (length > sizeof(data) || !get(c, data, length) ||
		    !answer_option(c, wire_get32(header + 8), number, &done))
			return false;
	}
	return true;
}

/* --- the transfer ------------------------------------------------------------------------------- */

struct request {
	uint16_t command;
	uint64_t offset;
	uint32_t length;
};

static bool inside(const struct request *request)
{
	return request->offset <= options.size_bytes &&
	       request->length <= options.size_bytes - request->offset;
}

/* In c->buffer, where the cookie stands already. */
static bool put_reply(struct connection *c, uint16_t type, uint32_t body_bytes)
{
	uint8_t *reply = c->buffer;

	wire_put32(reply, NBD_MAGIC_STRUCTURED_REPLY);
	wire_put16(reply + 4, NBD_REPLY_FLAG_DONE);
	wire_put16(reply + 6, type);
	wire_put32(reply + 16, body_bytes);
	return put(c, reply, NBD_STRUCTURED_REPLY_BYTES + (size_t)body_bytes);
}

static bool put_error(struct connection *c)
{
	wire_put32(c->buffer + NBD_STRUCTURED_REPLY_BYTES, NBD_EINVAL);
	wire_put16(c->buffer + NBD_STRUCTURED_REPLY_BYTES + 4, 0);
	return put_reply(c, NBD_REPLY_TYPE_ERROR, 6);
}

/* Does it and answers. A WRITE's payload is put into place only when all of it has come. */
static bool execute(struct connection *c, const struct request *request)
{
	uint8_t *place = export + request->offset, *data = c->buffer + REPLY_HEAD_BYTES;
	bool good = inside(request);

	switch (request->command) {
	case NBD_CMD_READ:
		if (!good || request->length > PAYLOAD_BYTES_MAX)
			break;
		wire_put64(c->buffer + NBD_STRUCTURED_REPLY_BYTES, request->offset);
		memcpy(data, place, request->length);
		return put_reply(c, NBD_REPLY_TYPE_OFFSET_DATA, 8 + request->length);
	case NBD_CMD_WRITE:
		if (request->length > PAYLOAD_BYTES_MAX || !get(c, data, request->length))
			return false;
		if (!good)
			break;
		memcpy(place, data, request->length);
		return put_reply(c, NBD_REPLY_TYPE_NONE, 0);
	case NBD_CMD_TRIM:
	case NBD_CMD_WRITE_ZEROES:
		if (!good)
			break;
		memset(place, 0, request->length);
		return put_reply(c, NBD_REPLY_TYPE_NONE, 0);
	case NBD_CMD_FLUSH:
		return put_reply(c, NBD_REPLY_TYPE_NONE, 0);
	case NBD_CMD_DISC:
		return false;
	}
	return put_error(c);
}

static bool serve_one(struct connection *c)
{
	uint8_t header[NBD_REQUEST_BYTES];
	struct request request;

	if (!get(c, header, sizeof(header)))
		return false;
	if (wire_get32(header) != NBD_MAGIC_REQUEST) {
		printf("the client broke the protocol: no request's magic\n");
		return false;
	}
	request.command = wire_get16(header + 6);
	memcpy(c->buffer + 8, header + 8, 8); /* the cookie */
	request.offset = wire_get64(header + 16);
	request.length = wire_get32(header + 24);
	return execute(c, &request);
}

void nbd_serve(int fd, uint32_t number)
{
	struct connection *c = calloc(1, sizeof(*c));

	if (!c)
		abort();
	c->fd = fd;
	if (agree(c, number)) {
		session_arm(&c->session, number);
		while (serve_one(c))
			;
	}
	if (c->secured)
		session_close(&c->session);
	free(c);
}
