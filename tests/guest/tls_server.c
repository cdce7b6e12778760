/* SPDX-License-Identifier: MIT */
/*
 * tls_server.c - goal: an NBD server over TLS that does, on demand, all that a TLS peer may do at an
 * awkward moment, and what none may do.
 * method: OpenSSL on memory, so that every record passes through tests/guest/tls/wire.c, where it
 * can be cut, damaged, doubled or dropped before it reaches the socket.
 *
 *   tls_server [OPTION...] --port N --cert FILE --key FILE
 *     --size BYTES (64M)  --file PATH  the export is this file; else memory
 *     --tls 1.2|1.3       this version only      --cipher NAME   these ciphers of it only
 *     --client-ca FILE    a client certificate of it is required
 *     --keylog FILE       the secrets of each session, as NSS writes them
 *     --tickets N         TLS 1.3: a session ticket before one of N records, by chance
 *     --key-updates N     the same with KeyUpdates; half of them ask for one
 *     --rekey N           a KeyUpdate that asks for one after every N records
 *     --padding N         TLS 1.3: records are padded to a multiple of N bytes
 *     --records full|tiny|mixed         how much of a reply goes into a record
 *     --pieces whole|bytes|walk|random  how the records' bytes are given to the socket
 *     --fault NAME        at the record --fault-at N (100) of the transfer, on the connections from
 *                         --fault-from N (1) on: flip, flip-header, replay, drop, swap, truncate,
 *                         half-close, close-notify, flip-received, hello-request, plaintext
 *     --seed N
 * Prints "ready" with the seed, each fault, and for each connection what was said at its end.
 */
#include <assert.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include "tests/guest/tls/nbd.h"
#include "tests/guest/tls/options.h"
#include "tests/guest/tls/session.h"
#include "tests/guest/words.h"

struct options options = {
	.size_bytes = 64u << 20,
	.seed = 1,
	.fault_at = 100,
	.fault_from = 1,
};

static const char *const fault_names[FAULTS] = {
	"none",	    "flip",	  "flip-header",  "replay",	   "drop",	    "swap",
	"truncate", "half-close", "close-notify", "flip-received", "hello-request", "plaintext",
};
static const char *const piece_names[PIECES_COUNT] = { "whole", "bytes", "walk", "random" };
static const char *const shape_names[SHAPES] = { "full", "tiny", "mixed" };
static const char *const version_names[2] = { "1.2", "1.3" };

enum {
	PORT = 1,
	SIZE,
	FILE_PATH,
	VERSION_ONLY,
	CIPHER,
	CERT,
	KEY,
	KEYLOG,
	CLIENT_CA,
	TICKETS,
	KEY_UPDATES,
	REKEY,
	PADDING,
	RECORDS,
	PIECES,
	FAULT,
	FAULT_AT,
	FAULT_FROM,
	SEED
};

static const struct option longs[] = {
	{ "port", required_argument, NULL, PORT },
	{ "size", required_argument, NULL, SIZE },
	{ "file", required_argument, NULL, FILE_PATH },
	{ "tls", required_argument, NULL, VERSION_ONLY },
	{ "cipher", required_argument, NULL, CIPHER },
	{ "cert", required_argument, NULL, CERT },
	{ "key", required_argument, NULL, KEY },
	{ "client-ca", required_argument, NULL, CLIENT_CA },
	{ "keylog", required_argument, NULL, KEYLOG },
	{ "tickets", required_argument, NULL, TICKETS },
	{ "key-updates", required_argument, NULL, KEY_UPDATES },
	{ "rekey", required_argument, NULL, REKEY },
	{ "padding", required_argument, NULL, PADDING },
	{ "records", required_argument, NULL, RECORDS },
	{ "pieces", required_argument, NULL, PIECES },
	{ "fault", required_argument, NULL, FAULT },
	{ "fault-at", required_argument, NULL, FAULT_AT },
	{ "fault-from", required_argument, NULL, FAULT_FROM },
	{ "seed", required_argument, NULL, SEED },
	{ 0 },
};

/* Options whose value is a word. */
static bool take_word(int option)
{
	switch (option) {
	case FILE_PATH:
		options.file = optarg;
		break;
	case VERSION_ONLY:
		options.version =
			word_index(version_names, 2, optarg) ? TLS1_3_VERSION : TLS1_2_VERSION;
		break;
	case CIPHER:
		options.cipher = optarg;
		break;
	case CERT:
		options.cert = optarg;
		break;
	case KEY:
		options.key = optarg;
		break;
	case CLIENT_CA:
		options.client_ca = optarg;
		break;
	case KEYLOG:
		options.keylog = optarg;
		break;
	case RECORDS:
		options.shape = (enum shape)word_index(shape_names, SHAPES, optarg);
		break;
	case PIECES:
		options.pieces = (enum pieces)word_index(piece_names, PIECES_COUNT, optarg);
		break;
	case FAULT:
		options.fault = (enum fault)word_index(fault_names, FAULTS, optarg);
		break;
	default:
		return false;
	}
	return true;
}

static void take_number(int option)
{
	uint64_t number = word_number(optarg);

	switch (option) {
	case PORT:
		options.port = (uint16_t)number;
		break;
	case SIZE:
		options.size_bytes = number;
		break;
	case TICKETS:
		options.tickets = (uint32_t)number;
		break;
	case KEY_UPDATES:
		options.key_updates = (uint32_t)number;
		break;
	case REKEY:
		options.rekey = (uint32_t)number;
		break;
	case PADDING:
		options.padding = (uint32_t)number;
		break;
	case FAULT_AT:
		options.fault_at = number;
		break;
	case FAULT_FROM:
		options.fault_from = (uint32_t)number;
		break;
	case SEED:
		options.seed = number;
		break;
	}
}

static bool parse(int argc, char **argv)
{
	int option;

	while ((option = getopt_long(argc, argv, "", longs, NULL)) >= 0) {
		if (option == '?')
			return false;
		if (!take_word(option))
			take_number(option);
	}
	return optind == argc && options.port && options.cert && options.key;
}

static int listen_on(uint16_t port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons(port),
				       .sin_addr.s_addr = htonl(INADDR_ANY) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const int one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, 64) < 0)
		return -1;
	return fd;
}

struct guest {
	int fd;
	uint32_t number;
};

static void *serve(void *argument)
{
	struct guest guest = *(struct guest *)argument;
	const int one = 1;

	free(argument);
	setsockopt(guest.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	nbd_serve(guest.fd, guest.number);
	close(guest.fd);
	return NULL;
}

static void accept_forever(int listen_fd)
{
	pthread_attr_t detached;

	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	for (uint32_t number = 1;; number++) {
		struct guest *guest = malloc(sizeof(*guest));
		pthread_t thread;

		if (!guest)
			abort();
		guest->number = number;
		guest->fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (guest->fd < 0 || pthread_create(&thread, &detached, serve, guest) != 0)
			abort();
	}
}

int main(int argc, char **argv)
{
	int listen_fd;

	if (!parse(argc, argv)) {
		fprintf(stderr, "usage: tls_server [OPTION...] --port N --cert FILE --key FILE\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	sessions_prepare();
	listen_fd = listen_on(options.port);
	if (listen_fd < 0 || !export_open()) {
		perror("tls_server");
		return 1;
	}
	printf("ready: seed %llu\n", (unsigned long long)options.seed);
	accept_forever(listen_fd);
}
