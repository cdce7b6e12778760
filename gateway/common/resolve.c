// SPDX-License-Identifier: MIT
#include "gateway/common/resolve.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/vm_sockets.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "gateway/common/open_files.h"

static int resolve_errno(int gai_error)
{
	switch (gai_error) {
	case EAI_SYSTEM:
		return errno ? errno : EIO;
	case EAI_MEMORY:
		return ENOMEM;
	case EAI_AGAIN:
		return EAGAIN;
	case EAI_NONAME:
	case EAI_NODATA:
		return ENOENT;
	default:
		return EIO;
	}
}

static int resolve_failed(const char *host, int gai_error, char *sentence, size_t sentence_bytes)
{
	int error = resolve_errno(gai_error), shortage = open_files_shortage();

	/* The library tells of that as of a name that nobody knows. */
	if (shortage) {
		snprintf(sentence, sentence_bytes, "looking up the name \"%s\" failed: %s", host,
			 strerror(shortage));
		return -shortage;
	}
	if (error == ENOENT)
		snprintf(
			sentence, sentence_bytes,
			"no address is known for the name \"%s\" (%s): check its spelling, or give "
			"an address instead",
			host, gai_strerror(gai_error));
	else
		snprintf(sentence, sentence_bytes,
			 "looking up the name \"%s\" failed (%s): see whether this machine's name "
			 "servers answer (/etc/resolv.conf), or give an address instead",
			 host, gai_error == EAI_SYSTEM ? strerror(error) : gai_strerror(gai_error));
	return -error;
}

static bool resolve_is_known(const struct addrinfo *info, const struct dial_address *addresses,
			     uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		if (addresses[i].address_bytes == info->ai_addrlen &&
		    !memcmp(&addresses[i].address, info->ai_addr, info->ai_addrlen))
			return true;
	return false;
}

/*
 * AI_ADDRCONFIG is left out on purpose: it may hide 127.0.0.1 or ::1 on a machine that has no other
 * address of that family, and gains nothing here, since an address without a route fails at once.
 */
static int resolve_tcp(const struct nbd_uri *target, struct dial_address *addresses,
		       uint32_t *count, char *sentence, size_t sentence_bytes)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL, *info;
	uint32_t n = 0;
	int error;

	/* An address in numbers is not to wait for any name server. */
	hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
	error = getaddrinfo(target->host, target->port, &hints, &list);
	if (error == EAI_NONAME) {
		hints.ai_flags = AI_NUMERICSERV;
		error = getaddrinfo(target->host, target->port, &hints, &list);
	}
	if (error)
		return resolve_failed(target->host, error, sentence, sentence_bytes);

	for (info = list; info && n < *count; info = info->ai_next) {
		if (info->ai_addrlen > sizeof(addresses[n].address) ||
		    resolve_is_known(info, addresses, n))
			continue;
		memset(&addresses[n], 0, sizeof(addresses[n]));
		memcpy(&addresses[n].address, info->ai_addr, info->ai_addrlen);
		addresses[n++].address_bytes = info->ai_addrlen;
	}
	freeaddrinfo(list);
	*count = n;
	return n ? 0 : resolve_failed(target->host, EAI_NODATA, sentence, sentence_bytes);
}

static int resolve_unix(const char *path, struct dial_address *address, char *sentence,
			size_t sentence_bytes)
{
	struct sockaddr_un *sun = (struct sockaddr_un *)&address->address;
	size_t len = strlen(path);

	if (len == 0 || len >= sizeof(sun->sun_path)) {
		snprintf(sentence, sentence_bytes,
			 "the socket path \"%s\" is %s: a unix socket's path has 1 to %zu bytes",
			 path, len ? "too long" : "empty", sizeof(sun->sun_path) - 1);
		return -EINVAL;
	}
	memset(address, 0, sizeof(*address));
	sun->sun_family = AF_UNIX;
	memcpy(sun->sun_path, path, len);
	address->address_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
	if (path[0] == '@') {
		/* An abstract name begins with a NUL and is as long as it is: no NUL ends it. */
		sun->sun_path[0] = '\0';
		address->address_bytes--;
	}
	return 0;
}

static void resolve_vsock(uint32_t cid, uint32_t port, struct dial_address *address)
{
	struct sockaddr_vm *svm = (struct sockaddr_vm *)&address->address;

	memset(address, 0, sizeof(*address));
	svm->svm_family = AF_VSOCK;
	svm->svm_cid = cid;
	svm->svm_port = port;
	address->address_bytes = sizeof(*svm);
}

int dial_resolve(const struct nbd_uri *target, struct dial_address *addresses, uint32_t *count,
		 char *sentence, size_t sentence_bytes)
{
	int error = 0;

	assert(*count > 0);
	switch (target->transport) {
	case NBD_TRANSPORT_TCP:
		return resolve_tcp(target, addresses, count, sentence, sentence_bytes);
	case NBD_TRANSPORT_UNIX:
		error = resolve_unix(target->socket_path, addresses, sentence, sentence_bytes);
		break;
	case NBD_TRANSPORT_VSOCK:
		resolve_vsock(target->vsock_cid, target->vsock_port, addresses);
		break;
	}
	if (!error)
		*count = 1;
	return error;
}

static void address_text_unix(const struct dial_address *address, char *out, size_t out_bytes)
{
	const struct sockaddr_un *sun = (const struct sockaddr_un *)&address->address;
	size_t len = address->address_bytes - offsetof(struct sockaddr_un, sun_path);

	if (len > 0 && !sun->sun_path[0])
		snprintf(out, out_bytes, "unix:@%.*s", (int)len - 1, sun->sun_path + 1);
	else
		snprintf(out, out_bytes, "unix:%.*s", (int)len, sun->sun_path);
}

void dial_address_text(const struct dial_address *address, char *out, size_t out_bytes)
{
	const struct sockaddr *sa = (const struct sockaddr *)&address->address;
	const struct sockaddr_vm *svm = (const struct sockaddr_vm *)sa;
	char host[NI_MAXHOST], port[NI_MAXSERV];

	switch (sa->sa_family) {
	case AF_UNIX:
		address_text_unix(address, out, out_bytes);
		break;
	case AF_VSOCK:
		snprintf(out, out_bytes, "vsock:%u:%u", svm->svm_cid, svm->svm_port);
		break;
	default:
		if (getnameinfo(sa, address->address_bytes, host, sizeof(host), port, sizeof(port),
				NI_NUMERICHOST | NI_NUMERICSERV))
			snprintf(out, out_bytes, "address family %d", sa->sa_family);
		else
			snprintf(out, out_bytes, sa->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s",
				 host, port);
	}
}
