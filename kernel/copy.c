// SPDX-License-Identifier: GPL-2.0
/* copy.c - walks a request's pages. */
#include <linux/blk-mq.h>
#include <linux/highmem.h>
#include <linux/uio.h>

#include "compat.h"
#include "copy.h"

/* Where all memory is mapped, pages that lie together are one part. */
#ifdef CONFIG_KMAP_LOCAL
#define for_each_part rq_for_each_segment
#else
#define for_each_part rq_for_each_bvec
#endif

/*
 * Copies within one part to or from the user's side, and advances that. Returns the bytes copied.
 * What is called leaves out a check, of what object the kernel's bytes belong to, which says
 * nothing about the block layer's pages and costs up to a tenth of a large request.
 */
typedef size_t copy_part_fn(void *data, size_t length_bytes, void *user_side);

static __always_inline size_t ublk_copy_part_to_iter(void *data, size_t length_bytes, void *iter)
{
	return _copy_to_iter(data, length_bytes, iter);
}

static __always_inline size_t ublk_copy_part_from_iter(void *data, size_t length_bytes, void *iter)
{
	return _copy_from_iter(data, length_bytes, iter);
}

/* A single buffer needs no iterator, whose making and use cost more than a small copy. */
static __always_inline size_t ublk_copy_part_to_user(void *data, size_t length_bytes,
						     void *user_side)
{
	void __user **buffer = user_side;
	size_t copied_bytes = length_bytes - compat_copy_to_user(*buffer, data, length_bytes);

	*buffer += copied_bytes;
	return copied_bytes;
}

static __always_inline size_t ublk_copy_part_from_user(void *data, size_t length_bytes,
						       void *user_side)
{
	void __user **buffer = user_side;
	size_t copied_bytes = length_bytes - compat_copy_from_user(data, *buffer, length_bytes);

	*buffer += copied_bytes;
	return copied_bytes;
}

/* Ends at the first part that is not copied whole: what comes behind has no place then. */
static __always_inline size_t ublk_copy_parts(struct request *request, size_t offset_bytes,
					      size_t want_bytes, copy_part_fn *copy_part,
					      void *user_side)
{
	struct req_iterator walk;
	struct bio_vec part;
	size_t done_bytes = 0, length_bytes, copied_bytes;
	char *page;

	for_each_part(part, request, walk) {
		if (offset_bytes >= part.bv_len) {
			offset_bytes -= part.bv_len;
			continue;
		}
		length_bytes = min_t(size_t, part.bv_len - offset_bytes, want_bytes - done_bytes);
		page = kmap_local_page(part.bv_page);
		copied_bytes =
			copy_part(page + part.bv_offset + offset_bytes, length_bytes, user_side);
		kunmap_local(page);
		done_bytes += copied_bytes;
		if (copied_bytes != length_bytes || done_bytes == want_bytes)
			return done_bytes;
		offset_bytes = 0;
	}
	return done_bytes;
}

size_t ublk_copy_iter(struct request *request, size_t offset_bytes, struct iov_iter *iter)
{
	size_t want_bytes = iov_iter_count(iter);

	if (iov_iter_rw(iter) == ITER_DEST)
		return ublk_copy_parts(request, offset_bytes, want_bytes, ublk_copy_part_to_iter,
				       iter);
	return ublk_copy_parts(request, offset_bytes, want_bytes, ublk_copy_part_from_iter, iter);
}

size_t ublk_copy_to_user(struct request *request, u64 buffer, size_t length_bytes)
{
	void __user *user_side = u64_to_user_ptr(buffer);

	return ublk_copy_parts(request, 0, length_bytes, ublk_copy_part_to_user, &user_side);
}

size_t ublk_copy_from_user(struct request *request, u64 buffer, size_t length_bytes)
{
	void __user *user_side = u64_to_user_ptr(buffer);

	return ublk_copy_parts(request, 0, length_bytes, ublk_copy_part_from_user, &user_side);
}
