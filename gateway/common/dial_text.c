// SPDX-License-Identifier: MIT
#include "gateway/common/dial_text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static enum exit_code text_exit_code(int error)
{
	switch (error) {
	case EACCES:
	case EPERM:
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case ENOBUFS:
	case EAFNOSUPPORT:
	case EADDRNOTAVAIL:
		return EXIT_CODE_SYSTEM;
	default:
		return EXIT_CODE_UNREACHABLE;
	}
}

static const char *text_unix(int error)
{
	switch (error) {
	case ENOENT:
	case ENOTDIR:
		return "there is no such socket: is the server running, and the path right?";
	case ECONNREFUSED:
		return "nobody listens on this socket: has the server that made it ended?";
	case EACCES:
	case EPERM:
		return "permission denied: this user may not write to the socket";
	case ETIMEDOUT:
		return "the server accepted no connection in time: it may be stopped or overloaded";
	case EPROTOTYPE:
		return "this is not a stream socket, which an NBD server has";
	default:
		return NULL;
	}
}

static const char *text_vsock(int error)
{
	switch (error) {
	case ENODEV:
	case EAFNOSUPPORT:
	case EADDRNOTAVAIL:
		return "this machine has no vsock transport: load vmw_vsock_virtio_transport in a "
		       "guest, vhost_vsock on a host (vsock_loopback for CID 1)";
	case ECONNRESET:
	case ECONNREFUSED:
		return "connection refused: is the NBD server running there?";
	case ETIMEDOUT:
	case EHOSTUNREACH:
	case ENETUNREACH:
		return "no answer: is the CID right, and that machine running?";
	default:
		return NULL;
	}
}

static const char *text_tcp(int error)
{
	switch (error) {
	case ECONNREFUSED:
		return "connection refused: is the NBD server running there?";
	case ETIMEDOUT:
		return "no answer in time: is the address right, does a firewall drop packets?";
	case ENETUNREACH:
	case EHOSTUNREACH:
		return "no route there: see this machine's network, and whether the address is "
		       "right";
	case EACCES:
	case EPERM:
		return "not permitted: a local firewall rule or container policy forbids it";
	default:
		return NULL;
	}
}

enum exit_code dial_text_connect(char *out, size_t out_bytes, const struct dial_address *address,
				 int error)
{
	char peer[DIAL_PEER_TEXT_BYTES];
	const char *why;

	switch (address->address.ss_family) {
	case AF_UNIX:
		why = text_unix(error);
		break;
	case AF_VSOCK:
		why = text_vsock(error);
		break;
	default:
		why = text_tcp(error);
	}
	dial_address_text(address, peer, sizeof(peer));
	snprintf(out, out_bytes, "cannot connect to %s: %s", peer, why ? why : strerror(error));
	return text_exit_code(error);
}

static const char *text_awaited(enum nbd_handshake_state state)
{
	switch (state) {
	case NBD_HS_GREETING:
		return "its NBD greeting";
	case NBD_HS_STARTTLS:
		return "its answer to STARTTLS";
	case NBD_HS_EXTENDED_HEADERS:
		return "its answer to EXTENDED_HEADERS";
	case NBD_HS_STRUCTURED_REPLY:
		return "its answer to STRUCTURED_REPLY";
	case NBD_HS_GO:
		return "its answer about the export";
	case NBD_HS_EXPORT_NAME:
		return "the export's size";
	case NBD_HS_LIST:
		return "its list of exports";
	default:
		return "the handshake's end";
	}
}

void dial_text_handshake(char *out, size_t out_bytes, const char *peer, int error,
			 enum nbd_handshake_state state)
{
	const char *awaited = text_awaited(state);

	if (error == ETIMEDOUT && state == NBD_HS_GREETING)
		snprintf(out, out_bytes,
			 "%s accepted the connection but sent no NBD greeting in time: is an NBD "
			 "server behind it, and does it expect TLS from the first byte?",
			 peer);
	else if (error == ETIMEDOUT)
		snprintf(out, out_bytes,
			 "%s fell silent: %s did not come in time; see the server's log", peer,
			 awaited);
	else if (error == ECONNRESET || error == EPIPE)
		snprintf(out, out_bytes,
			 "%s closed the connection before %s came: see the server's log, and "
			 "whether it lets this client in",
			 peer, awaited);
	else
		snprintf(out, out_bytes, "the connection to %s broke before %s came: %s", peer,
			 awaited, strerror(error));
}

const char *dial_text_short(int error)
{
	switch (error) {
	case ECONNREFUSED:
		return "connection refused";
	case ETIMEDOUT:
		return "no answer in time";
	case ENETUNREACH:
	case EHOSTUNREACH:
		return "no route";
	case ECONNRESET:
	case EPIPE:
		return "closed the connection";
	default:
		return strerror(error);
	}
}
