/* SPDX-License-Identifier: MIT */
#include "gateway/block/null_backend.h"

static void submit(struct block_backend *backend, struct block_request *request)
{
	struct payload *payload = backend->payload;

	request->error = 0;
	if (request->op == BLOCK_READ)
		request->error =
			payload->ops->zero(payload, request->tag, 0, request->length_bytes);
	block_request_done(backend, request);
}

static void arm(struct block_backend *backend)
{
	(void)backend;
}

static void completed(struct block_backend *backend, const struct io_uring_cqe *cqe)
{
	(void)backend;
	(void)cqe;
}

static void tick(struct block_backend *backend, int64_t due_ms)
{
	(void)backend;
	(void)due_ms;
}

static void advance(struct block_backend *backend, bool asked)
{
	(void)backend;
	(void)asked;
}

static void condemn(struct block_backend *backend, const char *why)
{
	(void)backend;
	(void)why;
}

static bool leave(struct block_backend *backend)
{
	(void)backend;
	return true;
}

static bool never(const struct block_backend *backend)
{
	(void)backend;
	return false;
}

static uint32_t files(const struct block_backend *backend, int *fds)
{
	(void)backend;
	(void)fds;
	return 0;
}

static const struct block_backend_ops null_ops = {
	.submit = submit,
	.arm = arm,
	.completed = completed,
	.returned = completed,
	.holds_memory = never,
	.tick = tick,
	.advance = advance,
	.condemn = condemn,
	.leave = leave,
	.is_busy = never,
	.files = files,
};

void null_backend_open(struct block_backend *backend)
{
	*backend = (struct block_backend){ .ops = &null_ops, .tick_ms = 1000 };
}
