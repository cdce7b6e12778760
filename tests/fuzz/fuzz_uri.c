/* SPDX-License-Identifier: MIT */
/*
 * Goal: no text, however odd, makes the target's parser crash, overrun or lie.
 * Method: any bytes are parsed. A success must have a canonical form that fits, parses to the same
 * fields (those that name files are not in it) and has itself as its canonical form; a failure must
 * have a sentence.
 */
#include <stdlib.h>
#include <string.h>

#include "proto/uri.h"
#include "tests/fuzz/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct nbd_uri first, second;
/* Each byte of each field may become three. */
static char canonical[3 * sizeof(struct nbd_uri)], again[3 * sizeof(struct nbd_uri)];

static void check_round_trip(void)
{
	char error[300];

	must(!nbd_uri_format(&first, canonical, sizeof(canonical)));
	must(!nbd_uri_parse(&second, canonical, 0, error, sizeof(error)));
	memset(first.tls_certificates, 0, sizeof(first.tls_certificates));
	memset(first.tls_psk_file, 0, sizeof(first.tls_psk_file));
	must(first.transport == second.transport && first.tls == second.tls);
	must(!strcmp(first.host, second.host) && !strcmp(first.port, second.port));
	must(first.vsock_cid == second.vsock_cid && first.vsock_port == second.vsock_port);
	must(!strcmp(first.socket_path, second.socket_path));
	must(!strcmp(first.export_name, second.export_name) && !strcmp(first.user, second.user));
	must(!strcmp(first.tls_type, second.tls_type));
	must(!strcmp(first.tls_hostname, second.tls_hostname));
	must(first.tls_verify_peer == second.tls_verify_peer);
	must(!nbd_uri_format(&second, again, sizeof(again)));
	must(!strcmp(canonical, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* The first byte is the flags and how much room the error has. */
	size_t room = size ? data[0] : 0;
	char *error = malloc(room + 1), *text = malloc(size + 1);

	must(error && text);
	memcpy(text, data, size);
	text[size] = '\0';
	error[0] = '\0';
	if (!nbd_uri_parse(&first, size ? text + 1 : text, room & NBD_URI_ALLOW_FILES, error,
			   (unsigned int)room))
		check_round_trip();
	else
		must(!room || room == 1 || error[0]);
	free(error);
	free(text);
	return 0;
}
