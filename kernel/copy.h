/* SPDX-License-Identifier: GPL-2.0 */
/* copy.h - bytes between a request's pages and a daemon's memory. May fault and sleep. */
#ifndef UBLK_COPY_H
#define UBLK_COPY_H

#include <linux/types.h>

struct iov_iter;
struct request;

/*
 * Copies from `offset_bytes` of the request on, as much as the iterator asks for and the request
 * has; the iterator's direction says which way. Returns the bytes copied, fewer where the user's
 * memory ends.
 */
size_t ublk_copy_iter(struct request *request, size_t offset_bytes, struct iov_iter *iter);

/*
 * Copies `length_bytes` from the request's start to (or from) the current task's `buffer`. Returns
 * the bytes copied, as above; behind a copy from the user that ends early, the request's page may
 * be zeroed.
 */
size_t ublk_copy_to_user(struct request *request, u64 buffer, size_t length_bytes);
size_t ublk_copy_from_user(struct request *request, u64 buffer, size_t length_bytes);

#endif
