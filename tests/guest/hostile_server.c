/* SPDX-License-Identifier: MIT */
/*
 * hostile_server.c - goal: an NBD server that does, on demand, everything a server may do that few
 * do, and everything it must not do. method: fixed newstyle with GO only; real data, so that what a
 * client reads can be verified; a thread for each connection, which gathers some requests, makes
 * their replies (hostile/reply.h), makes one of them wrong (hostile/wrong.h), and sends them in the
 * order asked for.
 *
 *   hostile_server [OPTION...] --port N | --unix PATH
 *     --size BYTES (16M)  --file PATH (in memory)  --seed N
 *     --first-size BYTES  what the first connection is told (default --size): the export has grown
 *     --framing simple|structured|extended (structured): the most it grants
 *     --flags N           transmission flags (all but read-only)   --payload-max BYTES
 *   what is legal:
 *     --order arrival|reverse|shuffle|interleave   --gather N (requests for that, 16)
 *     --split N           chunks of a READ, at most, in random order; with --holes, zeroes as holes
 *     --dribble           in small writes, headers byte by byte
 *     --early             a WRITE is answered before its payload is read
 *     --delay-ms N  --delay-first N    the first N requests are answered so late (default all);
 *     --delay-only COMMAND             of this command alone
 *   what is an error:
 *     --fail-offset N     requests that touch this byte fail with EIO, or --fail-error
 *     --fail COMMAND      flush, read, write, trim, zeroes: fails with EIO, or --fail-error N,...
 *                         (values on the wire, one after the other), from the first --fail-after N
 *                         (0) of them on; --fail-count N: so many (all)
 *     --deaf COMMAND      never answered, from the first --deaf-after N (0) of them on
 *     --late-write MS     the first WRITE of all is carried out so late, whatever became of its client;
 *                         then "late" is printed
 *   what is wrong:
 *     --wrong NAME,...    the Nth connection does the Nth of these, once, in the first reply that it
 *                         can be done to, after --wrong-after N (5) requests of its own and 2 more
 *                         for each earlier one; --wrong-from N (1): connections before this one are
 *                         honest; --list-wrong prints FRAMING NAME EFFECT for each
 *     --close-at N        the connection is closed after so many bytes of replies; or --stall-at N
 *     --greeting NAME     a handshake gone wrong, see greetings[] below; --greeting-from N (1):
 *                         connections before this one are greeted well
 *     --garbage           what it sends after accepting is noise
 * It prints "ready" when it listens, "wrong NAME" when it has done the wrong thing, "left NAME" when
 * that connection's client said DISC, and "end NAME MS" when it ended, so long after; and "the client
 * broke the protocol: ..." where that is so.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/guest/hostile/reply.h"
#include "tests/guest/hostile/wrong.h"
#include "tests/guest/words.h"
#include "tls/clock.h"

#define GATHER_MAX	  64
#define GATHER_WINDOW_MS  3
#define LEAVE_MS	  500
#define OPTION_BYTES_MAX  (64u << 10)
#define TRICKLE_MS	  100
#define COMMANDS	  7
#define WRONG_MAX	  32
#define PAYLOAD_MAX_BYTES (32u << 20)
#define SLOWLY_BYTES	  (64u << 10)

enum order { ORDER_ARRIVAL, ORDER_REVERSE, ORDER_SHUFFLE, ORDER_INTERLEAVE };

enum greeting {
	GREETING_FINE,
	GREETING_STALL,		/* not a byte */
	GREETING_STALL_OPTION,	/* the first option is not answered */
	GREETING_STALL_GO,	/* GO is not */
	GREETING_CLOSE,		/* at once */
	GREETING_CLOSE_GO,	/* on GO */
	GREETING_GARBAGE,	/* noise */
	GREETING_MAGIC,		/* the option replies' magic is wrong */
	GREETING_OPTION,	/* the reply names another option */
	GREETING_GIANT,		/* an option reply of 4 GiB */
	GREETING_ENDLESS,	/* informations without end */
	GREETING_NO_EXPORT,	/* GO is acknowledged without INFO_EXPORT */
	GREETING_SIZE_ZERO,	/* the export has no bytes */
	GREETING_SIZE_NEGATIVE, /* its size does not fit 63 bits */
	GREETING_BLOCK_SIZE,	/* the smallest block is no power of two */
	GREETING_TRICKLE,	/* right, but a byte every 100 ms */
	GREETING_SIZE_DIFFERS,	/* the second connection gets another size */
	GREETING_FLAGS_DIFFER,	/* the second connection gets other flags */
	GREETING_LIMITS_DIFFER, /* ... half the payload */
	GREETING_BLOCK_DIFFERS, /* ... a larger smallest block */
	GREETING_FRAMES_DIFFER, /* ... simple replies */
	GREETINGS,
};

static const char *const greetings[GREETINGS] = {
	"fine",		 "stall",	  "stall-option",
	"stall-go",	 "close",	  "close-go",
	"garbage",	 "magic",	  "option",
	"giant",	 "endless",	  "no-export",
	"size-0",	 "size-negative", "block-size",
	"trickle",	 "size-differs",  "flags-differ",
	"limits-differ", "block-differs", "framing-differs",
};

static const char *const command_names[COMMANDS] = { "read", "write", "disc",  "flush",
						     "trim", "cache", "zeroes" };

static struct {
	uint64_t size_bytes, first_size_bytes; /* the latter 0: the same */
	const char *file, *unix_path;
	uint16_t port;
	enum nbd_framing framing;
	uint16_t flags;
	uint32_t payload_max_bytes;
	enum order order;
	uint32_t gather, split;
	bool holes, dribble, early, garbage;
	uint32_t delay_ms, delay_first, late_write_ms;
	uint64_t fail_offset, close_at_bytes, stall_at_bytes;
	int fail_command, deaf_command, delay_command;
	uint32_t fail_after, fail_count, deaf_after;
	uint32_t fail_errors[WRONG_MAX], fail_errors_count;
	const struct wrong *wrongs[WRONG_MAX];
	uint32_t wrongs_count, wrong_after, wrong_from;
	uint32_t greeting_from;
	enum greeting greeting;
	uint64_t seed;
} options = {
	.size_bytes = 16u << 20,
	.framing = NBD_FRAMING_STRUCTURED,
	.flags = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA | NBD_FLAG_SEND_TRIM |
		 NBD_FLAG_SEND_WRITE_ZEROES | NBD_FLAG_CAN_MULTI_CONN,
	.payload_max_bytes = 1u << 20,
	.gather = 16,
	.split = 1,
	.delay_first = UINT32_MAX,
	.fail_offset = UINT64_MAX,
	.close_at_bytes = UINT64_MAX,
	.stall_at_bytes = UINT64_MAX,
	.fail_command = -1,
	.fail_count = UINT32_MAX,
	.fail_errors = { NBD_EIO },
	.fail_errors_count = 1,
	.deaf_command = -1,
	.delay_command = -1,
	.wrong_after = 5,
	.wrong_from = 1,
	.seed = 1,
};

struct connection {
	int fd;
	uint32_t number; /* 1 is the first one accepted */
	enum nbd_framing framing;
	enum greeting greeting;
	uint64_t random;
	uint64_t sent_bytes; /* of replies */
	uint64_t answered_cookie;
	bool trickle;
	uint32_t requests;
	const struct wrong *wrong; /* still to be done; NULL none */
	const char *wrong_name;	   /* once it is done */
	int64_t wrong_ms;	   /* when */
	uint8_t *payload;
	uint32_t count;
	struct reply replies[GATHER_MAX];
};

static uint8_t *export;
static pthread_mutex_t export_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint connections, requests, failed, touched, writes, unanswered;

static uint32_t random_below(struct connection *c, uint32_t limit)
{
	assert(limit > 0);
	c->random ^= c->random << 13;
	c->random ^= c->random >> 7;
	c->random ^= c->random << 17;
	return (uint32_t)(c->random >> 32) % limit;
}

/* --- bytes --------------------------------------------------------------------------------------- */

static void sleep_ms(uint32_t ms)
{
	usleep(ms * 1000u);
}

/* Stays, without reading or sending, until the client closes. */
static void stall(int fd)
{
	struct pollfd hangup = { .fd = fd, .events = POLLRDHUP };

	poll(&hangup, 1, -1);
}

static bool receive_all(int fd, void *place, size_t bytes)
{
	uint8_t *next = place;

	while (bytes > 0) {
		ssize_t n = recv(fd, next, bytes, 0);

		if (n <= 0)
			return false;
		next += n;
		bytes -= (size_t)n;
	}
	return true;
}

static bool send_all(int fd, const void *data, size_t bytes)
{
	const uint8_t *next = data;

	while (bytes > 0) {
		ssize_t n = send(fd, next, bytes, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		next += n;
		bytes -= (size_t)n;
	}
	return true;
}

/* In the pieces that were asked for. */
static bool send_pieces(struct connection *c, const uint8_t *bytes, size_t length)
{
	size_t at = 0;

	if (!options.dribble && !c->trickle)
		return send_all(c->fd, bytes, length);
	while (at < length) {
		size_t piece = c->trickle || at < 40 ? 1 : 1 + random_below(c, 8192);

		if (piece > length - at)
			piece = length - at;
		if (!send_all(c->fd, bytes + at, piece))
			return false;
		at += piece;
		if (c->trickle)
			sleep_ms(TRICKLE_MS);
	}
	return true;
}

/* Bytes of a reply; stops where --close-at or --stall-at wants it to. */
static bool send_reply_bytes(struct connection *c, const uint8_t *bytes, uint32_t length)
{
	uint64_t end = options.close_at_bytes < options.stall_at_bytes ? options.close_at_bytes
								       : options.stall_at_bytes;
	uint64_t left = end - c->sent_bytes;

	if (length < left) {
		c->sent_bytes += length;
		return send_pieces(c, bytes, length);
	}
	send_all(c->fd, bytes, left);
	if (end == options.stall_at_bytes)
		stall(c->fd);
	return false;
}

/* --- the handshake ------------------------------------------------------------------------------- */

static bool send_option_reply(struct connection *c, uint32_t option, uint32_t type,
			      const uint8_t *data, uint32_t length)
{
	uint8_t header[20];

	wire_put64(header, NBD_MAGIC_OPTION_REPLY ^ (c->greeting == GREETING_MAGIC));
	wire_put32(header + 8, option + (c->greeting == GREETING_OPTION));
	wire_put32(header + 12, type);
	wire_put32(header + 16, c->greeting == GREETING_GIANT ? UINT32_MAX : length);
	if (!send_pieces(c, header, sizeof(header)) || !send_pieces(c, data, length))
		return false;
	while (c->greeting == GREETING_GIANT)
		if (!send_all(c->fd, export, 4096))
			return false;
	return true;
}

static bool send_export_info(struct connection *c, uint32_t option)
{
	uint64_t size_bytes = options.size_bytes;
	uint16_t flags = options.flags;
	uint8_t info[12];

	if (options.first_size_bytes && c->number == 1)
		size_bytes = options.first_size_bytes;
	if (c->greeting == GREETING_SIZE_ZERO)
		size_bytes = 0;
	if (c->greeting == GREETING_SIZE_NEGATIVE)
		size_bytes = UINT64_C(1) << 63;
	if (c->greeting == GREETING_SIZE_DIFFERS && c->number > 1)
		size_bytes -= 1u << 20;
	if (c->greeting == GREETING_FLAGS_DIFFER && c->number > 1)
		flags ^= NBD_FLAG_SEND_FUA;
	wire_put16(info, NBD_INFO_EXPORT);
	wire_put64(info + 2, size_bytes);
	wire_put16(info + 10, flags);
	return send_option_reply(c, option, NBD_REP_INFO, info, sizeof(info));
}

static bool send_block_sizes(struct connection *c, uint32_t option)
{
	uint32_t minimum_bytes = 1, maximum_bytes = options.payload_max_bytes;
	uint8_t info[14];

	if (c->greeting == GREETING_BLOCK_SIZE)
		minimum_bytes = 777;
	if (c->greeting == GREETING_BLOCK_DIFFERS && c->number > 1)
		minimum_bytes = 512;
	if (c->greeting == GREETING_LIMITS_DIFFER && c->number > 1)
		maximum_bytes /= 2;
	wire_put16(info, NBD_INFO_BLOCK_SIZE);
	wire_put32(info + 2, minimum_bytes);
	wire_put32(info + 6, 4096);
	wire_put32(info + 10, maximum_bytes);
	return send_option_reply(c, option, NBD_REP_INFO, info, sizeof(info));
}

static bool answer_go(struct connection *c, uint32_t option)
{
	if (c->greeting == GREETING_CLOSE_GO)
		return false;
	if (c->greeting == GREETING_STALL_GO) {
		stall(c->fd);
		return false;
	}
	while (c->greeting == GREETING_ENDLESS)
		if (!send_block_sizes(c, option))
			return false;
	if (c->greeting != GREETING_NO_EXPORT && !send_export_info(c, option))
		return false;
	return send_block_sizes(c, option) && send_option_reply(c, option, NBD_REP_ACK, NULL, 0);
}

static enum nbd_framing framing_granted(const struct connection *c)
{
	return c->greeting == GREETING_FRAMES_DIFFER && c->number > 1 ? NBD_FRAMING_SIMPLE
								      : options.framing;
}

/* false: the connection is over. *done: transmission begins. */
static bool answer_option(struct connection *c, uint32_t option, bool *done)
{
	switch (option) {
	case NBD_OPT_EXTENDED_HEADERS:
		if (framing_granted(c) < NBD_FRAMING_EXTENDED)
			break;
		c->framing = NBD_FRAMING_EXTENDED;
		return send_option_reply(c, option, NBD_REP_ACK, NULL, 0);
	case NBD_OPT_STRUCTURED_REPLY:
		if (framing_granted(c) < NBD_FRAMING_STRUCTURED)
			break;
		c->framing = NBD_FRAMING_STRUCTURED;
		return send_option_reply(c, option, NBD_REP_ACK, NULL, 0);
	case NBD_OPT_GO:
		*done = true;
		return answer_go(c, option);
	case NBD_OPT_INFO:
		return answer_go(c, option);
	case NBD_OPT_ABORT:
		send_option_reply(c, option, NBD_REP_ACK, NULL, 0);
		return false;
	}
	return send_option_reply(c, option, NBD_REP_ERR_UNSUP, NULL, 0);
}

static bool greet(struct connection *c)
{
	uint8_t greeting[18];

	if (c->greeting == GREETING_CLOSE)
		return false;
	if (c->greeting == GREETING_STALL) {
		stall(c->fd);
		return false;
	}
	while (c->greeting == GREETING_GARBAGE || options.garbage) {
		uint8_t noise[4096];

		for (size_t i = 0; i < sizeof(noise); i++)
			noise[i] = (uint8_t)random_below(c, 256);
		if (!send_all(c->fd, noise, sizeof(noise)))
			return false;
	}
	wire_put64(greeting, NBD_MAGIC_INIT);
	wire_put64(greeting + 8, NBD_MAGIC_OPTION);
	wire_put16(greeting + 16, NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
	return send_pieces(c, greeting, sizeof(greeting));
}

static bool handshake(struct connection *c)
{
	uint8_t header[16], payload[OPTION_BYTES_MAX];
	bool done = false;

	c->greeting = c->number < options.greeting_from ? GREETING_FINE : options.greeting;
	c->trickle = c->greeting == GREETING_TRICKLE;
	if (!greet(c) || !receive_all(c->fd, header, 4))
		return false;
	while (!done) {
		uint32_t option, length;

		if (!receive_all(c->fd, header, sizeof(header)))
			return false;
		option = wire_get32(header + 8);
		length = wire_get32(header + 12);
		if (length > sizeof(payload) || !receive_all(c->fd, payload, length))
			return false;
		if (c->greeting == GREETING_STALL_OPTION) {
			stall(c->fd);
			return false;
		}
		if (!answer_option(c, option, &done))
			return false;
	}
	c->trickle = false;
	return true;
}

/* --- requests ------------------------------------------------------------------------------------ */

static bool touches(const struct request *request, uint64_t at)
{
	return request->offset <= at && at < request->offset + request->length;
}

static uint32_t fail_error(uint32_t nth)
{
	return options.fail_errors[nth % options.fail_errors_count];
}

/* The error that this request is to be answered with. */
static uint32_t judge(const struct request *request)
{
	if (request->command >= COMMANDS || request->offset > options.size_bytes ||
	    request->length > options.size_bytes - request->offset)
		return NBD_EINVAL;
	if ((request->command == NBD_CMD_READ || request->command == NBD_CMD_WRITE) &&
	    request->length > options.payload_max_bytes)
		return NBD_EINVAL;
	if (request->command == options.fail_command) {
		uint32_t nth = atomic_fetch_add(&failed, 1);

		if (nth >= options.fail_after && nth - options.fail_after < options.fail_count)
			return fail_error(nth - options.fail_after);
	}
	if (request->command != NBD_CMD_FLUSH && touches(request, options.fail_offset))
		return fail_error(atomic_fetch_add(&touched, 1));
	return 0;
}

/*
 * Reads a WRITE's payload, slowly when it was answered already, and puts it in its place: unless the
 * client has given the connection up, for then it may have written anew on another one.
 */
static bool receive_payload(struct connection *c, const struct request *request, bool slowly)
{
	struct pollfd hangup = { .fd = c->fd, .events = POLLRDHUP };
	size_t at = 0, length = request->length;
	bool alive;

	if (length > PAYLOAD_MAX_BYTES)
		return false;
	while (at < length) {
		size_t piece = slowly && length - at > SLOWLY_BYTES ? SLOWLY_BYTES : length - at;

		if (!receive_all(c->fd, c->payload + at, piece))
			return false;
		at += piece;
		if (slowly && at < length)
			sleep_ms(1);
	}
	/* Look and write as one: a write on the new connection waits for an old one that began. */
	pthread_mutex_lock(&export_lock);
	alive = poll(&hangup, 1, 0) <= 0 || !(hangup.revents & POLLRDHUP);
	if (alive && !request->error)
		memcpy(export + request->offset, c->payload, length);
	pthread_mutex_unlock(&export_lock);
	return alive;
}

/* As a worker of a server would do it that knows nothing of its client's end. */
static bool write_late(struct connection *c, const struct request *request)
{
	if (request->length > PAYLOAD_MAX_BYTES || !receive_all(c->fd, c->payload, request->length))
		return false;
	sleep_ms(options.late_write_ms);
	pthread_mutex_lock(&export_lock);
	memcpy(export + request->offset, c->payload, request->length);
	pthread_mutex_unlock(&export_lock);
	printf("late\n");
	return true;
}

static bool send_plainly(struct connection *c, struct reply *reply)
{
	bool good = true;

	plain_make(reply, export);
	for (uint32_t i = 0; good && i < reply->count; i++)
		good = send_reply_bytes(c, reply->messages[i].bytes, reply->messages[i].length);
	reply_clear(reply);
	return good;
}

/* Does what the request asks for; READs are done when their reply is made. */
static bool execute(struct connection *c, struct reply *reply)
{
	struct request *request = &reply->request;
	bool zeroes = request->command == NBD_CMD_TRIM || request->command == NBD_CMD_WRITE_ZEROES;

	request->error = judge(request);
	if (request->command == NBD_CMD_WRITE) {
		if (options.late_write_ms && !request->error && atomic_fetch_add(&writes, 1) == 0)
			return write_late(c, request);
		if (!options.early)
			return receive_payload(c, request, false);
		c->count--; /* answered now */
		return send_plainly(c, reply) && receive_payload(c, request, true);
	}
	if (zeroes && !request->error)
		memset(export + request->offset, 0, request->length);
	return true;
}

/* DISC comes last: when all is answered, and nothing follows it. */
static void take_leave(struct connection *c)
{
	struct pollfd more = { .fd = c->fd, .events = POLLIN };
	uint8_t byte;

	if (c->count > 0)
		printf("the client broke the protocol: DISC before %u answers\n", c->count);
	if (poll(&more, 1, LEAVE_MS) > 0 && recv(c->fd, &byte, 1, 0) > 0)
		printf("the client broke the protocol: bytes behind DISC\n");
	if (c->wrong_name)
		printf("left %s\n", c->wrong_name);
}

/* Reads one request into the next reply. false: the connection is over. */
static bool receive_request(struct connection *c)
{
	bool extended = c->framing == NBD_FRAMING_EXTENDED;
	struct reply *reply = &c->replies[c->count];
	uint8_t header[NBD_EXTENDED_REQUEST_BYTES];
	struct request *request = &reply->request;

	if (!receive_all(c->fd, header, extended ? NBD_EXTENDED_REQUEST_BYTES : NBD_REQUEST_BYTES))
		return false;
	if (wire_get32(header) != (extended ? NBD_MAGIC_EXTENDED_REQUEST : NBD_MAGIC_REQUEST)) {
		printf("the client broke the protocol: no request's magic\n");
		return false;
	}
	reply->framing = c->framing;
	request->flags = wire_get16(header + 4);
	request->command = wire_get16(header + 6);
	request->cookie = wire_get64(header + 8);
	request->offset = wire_get64(header + 16);
	request->length = extended ? wire_get64(header + 24) : wire_get32(header + 24);
	if (request->command == NBD_CMD_DISC) {
		take_leave(c);
		return false;
	}
	c->count++;
	c->requests++;
	if ((options.delay_command < 0 || request->command == options.delay_command) &&
	    atomic_fetch_add(&requests, 1) < options.delay_first && options.delay_ms)
		sleep_ms(options.delay_ms);
	return execute(c, reply);
}

/* Waits for one request, and takes those that follow it at once. */
static bool gather(struct connection *c)
{
	struct pollfd more = { .fd = c->fd, .events = POLLIN };
	bool together = options.order != ORDER_ARRIVAL || c->wrong;

	do
		if (!receive_request(c))
			return false;
	while (together && c->count < options.gather && poll(&more, 1, GATHER_WINDOW_MS) > 0);
	return true;
}

/* --- replies ------------------------------------------------------------------------------------- */

static bool is_zero(uint64_t offset, uint32_t bytes)
{
	for (uint32_t i = 0; i < bytes; i++)
		if (export[offset + i])
			return false;
	return true;
}

static void content_add(struct reply *reply, uint64_t offset, uint32_t bytes)
{
	if (options.holes && is_zero(offset, bytes))
		hole_add(reply, offset, bytes);
	else
		data_add(reply, export, offset, bytes);
}

/* A READ in several chunks, in random order; the last one sent is the one marked as such. */
static void split_make(struct connection *c, struct reply *reply)
{
	const struct request *request = &reply->request;
	uint32_t most = options.split < CHUNKS_MAX ? options.split : CHUNKS_MAX;
	uint32_t piece = (uint32_t)((request->length / most + 511) / 512 * 512);
	uint64_t at = request->offset, end = at + request->length;

	if (piece < 512)
		piece = 512;
	reply_clear(reply);
	for (; at < end; at += piece)
		content_add(reply, at, end - at < piece ? (uint32_t)(end - at) : piece);
	for (uint32_t i = reply->count - 1; i > 0; i--) {
		uint32_t j = random_below(c, i + 1);
		struct message swapped = reply->messages[i];

		reply->messages[i] = reply->messages[j];
		reply->messages[j] = swapped;
	}
	if (random_below(c, 2)) /* as legal: the end apart */
		chunk_add(reply, NBD_REPLY_TYPE_NONE, 0);
	chunks_finish(reply);
}

static void reply_make(struct connection *c, struct reply *reply)
{
	const struct request *request = &reply->request;

	if (request->command == options.deaf_command &&
	    atomic_fetch_add(&unanswered, 1) >= options.deaf_after)
		reply_clear(reply);
	else if (request->command == NBD_CMD_READ && !request->error && options.split > 1 &&
		 c->framing != NBD_FRAMING_SIMPLE)
		split_make(c, reply);
	else
		plain_make(reply, export);
}

static void aftermath_do(struct connection *c, enum aftermath aftermath)
{
	const struct linger reset = { .l_onoff = 1 };
	uint8_t nowhere[4096];

	switch (aftermath) {
	case AFTER_STALL:
		stall(c->fd);
		break;
	case AFTER_RESET:
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		break;
	case AFTER_HALF_CLOSE:
		shutdown(c->fd, SHUT_WR);
		while (recv(c->fd, nowhere, sizeof(nowhere), 0) > 0)
			;
		break;
	case AFTER_CLOSE:
	case AFTER_NOTHING:
		break;
	}
}

/* Sends a wrong reply in one piece, up to where it is cut. */
static bool send_wrong(struct connection *c, struct wrong_context *context)
{
	struct reply *reply = context->reply;
	uint32_t left = context->cut_bytes || context->aftermath ? context->cut_bytes : UINT32_MAX;
	bool good = true;

	c->trickle = context->trickle;
	for (uint32_t i = 0; good && i < reply->count; i++) {
		uint32_t length = reply->messages[i].length;

		if (length > left)
			length = left;
		good = send_reply_bytes(c, reply->messages[i].bytes, length);
		left -= length;
	}
	c->trickle = false;
	if (good && context->aftermath)
		aftermath_do(c, context->aftermath);
	reply_clear(reply);
	return good && !context->aftermath;
}

/* Looks for a reply that can be made wrong, and sends it. false: the connection is over. */
static bool do_wrong(struct connection *c)
{
	for (uint32_t i = 0; i < c->count; i++) {
		struct wrong_context context = { .reply = &c->replies[i],
						 .export = export,
						 .random = c->random,
						 .answered_cookie = c->answered_cookie };

		if (c->count > 1)
			context.other_cookie = c->replies[(i + 1) % c->count].request.cookie;
		if (!wrong_apply(c->wrong, &context))
			continue;
		c->wrong_name = c->wrong->name;
		c->wrong_ms = clock_now_ms();
		c->wrong = NULL;
		printf("wrong %s\n", c->wrong_name);
		return send_wrong(c, &context);
	}
	return true;
}

/* The next reply to send a message of. */
static struct reply *pick(struct connection *c)
{
	uint32_t left[GATHER_MAX], count = 0;

	for (uint32_t i = 0; i < c->count; i++)
		if (c->replies[i].next < c->replies[i].count)
			left[count++] = i;
	if (count == 0)
		return NULL;
	if (options.order == ORDER_REVERSE)
		return &c->replies[left[count - 1]];
	if (options.order == ORDER_INTERLEAVE)
		return &c->replies[left[random_below(c, count)]];
	return &c->replies[left[0]];
}

static void shuffle(struct connection *c)
{
	for (uint32_t i = c->count - 1; i > 0; i--) {
		uint32_t j = random_below(c, i + 1);
		struct reply swapped = c->replies[i];

		c->replies[i] = c->replies[j];
		c->replies[j] = swapped;
	}
}

static bool send_replies(struct connection *c)
{
	struct reply *reply;
	bool good = true;

	if (c->count && options.order == ORDER_SHUFFLE)
		shuffle(c);
	while (good && (reply = pick(c)) != NULL) {
		const struct message *message = &reply->messages[reply->next++];

		good = send_reply_bytes(c, message->bytes, message->length);
		if (reply->next == reply->count)
			c->answered_cookie = reply->request.cookie;
	}
	return good;
}

/* Requests that were gathered are answered. false: the connection is over. */
static bool answer(struct connection *c)
{
	bool good;

	for (uint32_t i = 0; i < c->count; i++)
		reply_make(c, &c->replies[i]);
	good = !c->wrong || c->requests < options.wrong_after + 2 * c->number || do_wrong(c);
	good = good && send_replies(c);
	for (uint32_t i = 0; i < c->count; i++)
		reply_clear(&c->replies[i]);
	c->count = 0;
	return good;
}

static void *serve(void *argument)
{
	struct connection *c = argument;
	uint32_t index = c->number - options.wrong_from;
	const int one = 1;

	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c->random = (options.seed + c->number) * UINT64_C(0x9e3779b97f4a7c15) | 1;
	if (c->number >= options.wrong_from && index < options.wrongs_count)
		c->wrong = options.wrongs[index];
	c->payload = malloc(PAYLOAD_MAX_BYTES);
	if (c->payload && handshake(c))
		while (gather(c) && answer(c))
			;
	if (c->wrong_name)
		printf("end %s %" PRId64 "\n", c->wrong_name, clock_now_ms() - c->wrong_ms);
	close(c->fd);
	for (uint32_t i = 0; i < c->count; i++)
		reply_clear(&c->replies[i]);
	free(c->payload);
	free(c);
	return NULL;
}

/* --- the start ----------------------------------------------------------------------------------- */

static int listen_unix(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", options.unix_path);
	unlink(options.unix_path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -1;
	return fd;
}

static int listen_tcp(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(options.port),
				       .sin_addr.s_addr = htonl(INADDR_ANY) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const int one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -1;
	return fd;
}

static bool open_export(void)
{
	int fd = options.file ? open(options.file, O_RDWR | O_CREAT | O_CLOEXEC, 0600)
			      : memfd_create("export", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)options.size_bytes) < 0)
		return false;
	export = mmap(NULL, options.size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return export != MAP_FAILED;
}

enum {
	FILE_PATH = 1,
	UNIX_PATH,
	PORT,
	SIZE,
	FIRST_SIZE,
	SEED,
	FRAMING,
	FLAGS,
	PAYLOAD_MAX,
	ORDER,
	GATHER,
	SPLIT,
	HOLES,
	DRIBBLE,
	EARLY,
	DELAY_MS,
	DELAY_FIRST,
	DELAY_ONLY,
	FAIL_OFFSET,
	LATE_WRITE,
	FAIL,
	FAIL_AFTER,
	FAIL_COUNT,
	FAIL_ERROR,
	DEAF,
	DEAF_AFTER,
	WRONG,
	WRONG_AFTER,
	WRONG_FROM,
	LIST_WRONG,
	CLOSE_AT,
	STALL_AT,
	GREETING,
	GREETING_FROM,
	GARBAGE,
};

static const struct option longs[] = {
	{ "file", required_argument, NULL, FILE_PATH },
	{ "unix", required_argument, NULL, UNIX_PATH },
	{ "port", required_argument, NULL, PORT },
	{ "size", required_argument, NULL, SIZE },
	{ "first-size", required_argument, NULL, FIRST_SIZE },
	{ "seed", required_argument, NULL, SEED },
	{ "framing", required_argument, NULL, FRAMING },
	{ "flags", required_argument, NULL, FLAGS },
	{ "payload-max", required_argument, NULL, PAYLOAD_MAX },
	{ "order", required_argument, NULL, ORDER },
	{ "gather", required_argument, NULL, GATHER },
	{ "split", required_argument, NULL, SPLIT },
	{ "holes", no_argument, NULL, HOLES },
	{ "dribble", no_argument, NULL, DRIBBLE },
	{ "early", no_argument, NULL, EARLY },
	{ "delay-ms", required_argument, NULL, DELAY_MS },
	{ "delay-first", required_argument, NULL, DELAY_FIRST },
	{ "delay-only", required_argument, NULL, DELAY_ONLY },
	{ "fail-offset", required_argument, NULL, FAIL_OFFSET },
	{ "fail", required_argument, NULL, FAIL },
	{ "fail-after", required_argument, NULL, FAIL_AFTER },
	{ "fail-count", required_argument, NULL, FAIL_COUNT },
	{ "fail-error", required_argument, NULL, FAIL_ERROR },
	{ "deaf", required_argument, NULL, DEAF },
	{ "deaf-after", required_argument, NULL, DEAF_AFTER },
	{ "wrong", required_argument, NULL, WRONG },
	{ "wrong-after", required_argument, NULL, WRONG_AFTER },
	{ "wrong-from", required_argument, NULL, WRONG_FROM },
	{ "list-wrong", no_argument, NULL, LIST_WRONG },
	{ "close-at", required_argument, NULL, CLOSE_AT },
	{ "stall-at", required_argument, NULL, STALL_AT },
	{ "late-write", required_argument, NULL, LATE_WRITE },
	{ "greeting", required_argument, NULL, GREETING },
	{ "greeting-from", required_argument, NULL, GREETING_FROM },
	{ "garbage", no_argument, NULL, GARBAGE },
	{ 0 },
};

static void take_wrongs(void)
{
	for (char *name = strtok(optarg, ","); name; name = strtok(NULL, ",")) {
		const struct wrong *wrong = wrong_find(name);

		if (!wrong || options.wrongs_count == WRONG_MAX) {
			fprintf(stderr, "hostile_server: no such wrong: %s\n", name);
			exit(2);
		}
		options.wrongs[options.wrongs_count++] = wrong;
	}
}

static void take_fail_errors(void)
{
	options.fail_errors_count = 0;
	for (char *number = strtok(optarg, ","); number; number = strtok(NULL, ",")) {
		if (options.fail_errors_count == WRONG_MAX) {
			fprintf(stderr, "hostile_server: %d errors at most\n", WRONG_MAX);
			exit(2);
		}
		options.fail_errors[options.fail_errors_count++] = (uint32_t)word_number(number);
	}
}

/* Options whose value is a word, and those without one. */
static bool take_word(int option)
{
	static const char *const orders[] = { "arrival", "reverse", "shuffle", "interleave" };

	switch (option) {
	case FILE_PATH:
		options.file = optarg;
		break;
	case UNIX_PATH:
		options.unix_path = optarg;
		break;
	case FRAMING:
		options.framing = (enum nbd_framing)word_index(framing_names, 3, optarg);
		break;
	case ORDER:
		options.order = (enum order)word_index(orders, 4, optarg);
		break;
	case FAIL:
		options.fail_command = word_index(command_names, COMMANDS, optarg);
		break;
	case DEAF:
		options.deaf_command = word_index(command_names, COMMANDS, optarg);
		break;
	case DELAY_ONLY:
		options.delay_command = word_index(command_names, COMMANDS, optarg);
		break;
	case GREETING:
		options.greeting = (enum greeting)word_index(greetings, GREETINGS, optarg);
		break;
	case WRONG:
		take_wrongs();
		break;
	case FAIL_ERROR:
		take_fail_errors();
		break;
	case HOLES:
		options.holes = true;
		break;
	case DRIBBLE:
		options.dribble = true;
		break;
	case EARLY:
		options.early = true;
		break;
	case GARBAGE:
		options.garbage = true;
		break;
	case LIST_WRONG:
		wrongs_print();
		exit(0);
	default:
		return false;
	}
	return true;
}

static bool take_number(int option)
{
	uint64_t number = word_number(optarg);

	switch (option) {
	case PORT:
		options.port = (uint16_t)number;
		break;
	case SIZE:
		options.size_bytes = number;
		break;
	case FIRST_SIZE:
		options.first_size_bytes = number;
		break;
	case SEED:
		options.seed = number;
		break;
	case FLAGS:
		options.flags = (uint16_t)number;
		break;
	case PAYLOAD_MAX:
		options.payload_max_bytes = (uint32_t)number;
		break;
	case GATHER:
		options.gather = (uint32_t)number;
		break;
	case SPLIT:
		options.split = (uint32_t)number;
		break;
	case DELAY_MS:
		options.delay_ms = (uint32_t)number;
		break;
	case DELAY_FIRST:
		options.delay_first = (uint32_t)number;
		break;
	case LATE_WRITE:
		options.late_write_ms = (uint32_t)number;
		break;
	case FAIL_OFFSET:
		options.fail_offset = number;
		break;
	case FAIL_AFTER:
		options.fail_after = (uint32_t)number;
		break;
	case FAIL_COUNT:
		options.fail_count = (uint32_t)number;
		break;
	case DEAF_AFTER:
		options.deaf_after = (uint32_t)number;
		break;
	case WRONG_AFTER:
		options.wrong_after = (uint32_t)number;
		break;
	case WRONG_FROM:
		options.wrong_from = (uint32_t)number;
		break;
	case GREETING_FROM:
		options.greeting_from = (uint32_t)number;
		break;
	case CLOSE_AT:
		options.close_at_bytes = number;
		break;
	case STALL_AT:
		options.stall_at_bytes = number;
		break;
	}
	return true;
}

static bool parse(int argc, char **argv)
{
	int option;

	while ((option = getopt_long(argc, argv, "", longs, NULL)) >= 0) {
		if (option == '?')
			return false;
		if (!take_word(option) && (!optarg || !take_number(option)))
			return false;
	}
	return optind == argc && (options.port || options.unix_path) && options.split >= 1 &&
	       options.gather >= 1 && options.gather <= GATHER_MAX;
}

static void accept_forever(int listen_fd)
{
	pthread_attr_t detached;

	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	for (;;) {
		struct connection *c = calloc(1, sizeof(*c));
		pthread_t thread;

		if (!c)
			abort();
		c->fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
		c->number = atomic_fetch_add(&connections, 1) + 1;
		if (c->fd < 0 || pthread_create(&thread, &detached, serve, c) != 0)
			abort();
	}
}

int main(int argc, char **argv)
{
	int listen_fd;

	if (!parse(argc, argv)) {
		fprintf(stderr, "usage: hostile_server [OPTION...] --port N | --unix PATH\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	listen_fd = options.unix_path ? listen_unix() : listen_tcp();
	if (!open_export() || listen_fd < 0 || listen(listen_fd, 64) < 0) {
		perror("hostile_server");
		return 1;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready\n");
	accept_forever(listen_fd);
}
