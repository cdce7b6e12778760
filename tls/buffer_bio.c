/* SPDX-License-Identifier: MIT */
#include "tls/buffer_bio.h"

#include <pthread.h>
#include <string.h>

static int buffer_read(BIO *bio, char *to, int bytes)
{
	struct tls_buffers *buffers = BIO_get_data(bio);
	size_t n = buffers->in_bytes < (size_t)bytes ? buffers->in_bytes : (size_t)bytes;

	BIO_clear_retry_flags(bio);
	if (bytes <= 0 || n == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	memcpy(to, buffers->in, n);
	buffers->in += n;
	buffers->in_bytes -= n;
	return (int)n;
}

static int buffer_write(BIO *bio, const char *from, int bytes)
{
	struct tls_buffers *buffers = BIO_get_data(bio);
	uint8_t *to = buffers->out ? buffers->out : buffers->pending;
	size_t room = buffers->out ? buffers->out_bytes : sizeof(buffers->pending);
	size_t *used = buffers->out ? &buffers->out_used_bytes : &buffers->pending_bytes;

	BIO_clear_retry_flags(bio);
	if (bytes <= 0)
		return 0;
	if (room - *used < (size_t)bytes) {
		buffers->overflow = 1;
		return -1;
	}
	memcpy(to + *used, from, (size_t)bytes);
	*used += (size_t)bytes;
	return bytes;
}

static long buffer_ctrl(BIO *bio, int command, long number, void *pointer)
{
	(void)bio;
	(void)number;
	(void)pointer;
	return command == BIO_CTRL_FLUSH || command == BIO_CTRL_PUSH || command == BIO_CTRL_POP;
}

static BIO_METHOD *method;

static void make_method(void)
{
	BIO_METHOD *made =
		BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "ublk-nbd ring");

	if (made && BIO_meth_set_read(made, buffer_read) &&
	    BIO_meth_set_write(made, buffer_write) && BIO_meth_set_ctrl(made, buffer_ctrl))
		method = made;
	else
		BIO_meth_free(made);
}

BIO *buffer_bio_new(struct tls_buffers *buffers)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	BIO *bio;

	pthread_once(&once, make_method);
	bio = method ? BIO_new(method) : NULL;
	if (!bio)
		return NULL;
	BIO_set_data(bio, buffers);
	BIO_set_init(bio, 1);
	return bio;
}
