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
 * Within pages of the block layer's: the checks of copy_to_iter(), of what object the bytes belong to,
 * say nothing here and cost up to a tenth of a large request.
 */
static size_t copy_part(const struct bio_vec *part, size_t skip_bytes, struct iov_iter *iter)
{
	size_t length_bytes = part->bv_len - skip_bytes;
	char *page = kmap_local_page(part->bv_page);
	char *data = page + part->bv_offset + skip_bytes;
	size_t copied_bytes;

	if (iov_iter_rw(iter) == ITER_DEST)
		copied_bytes = _copy_to_iter(data, length_bytes, iter);
	else
		copied_bytes = _copy_from_iter(data, length_bytes, iter);
	kunmap_local(page);
	return copied_bytes;
}

size_t ublk_copy_iter(struct request *request, size_t offset_bytes, struct iov_iter *iter)
{
	struct req_iterator walk;
	struct bio_vec part;
	size_t done_bytes = 0, want_bytes, copied_bytes;

	for_each_part(part, request, walk) {
		if (offset_bytes >= part.bv_len) {
			offset_bytes -= part.bv_len;
			continue;
		}
		want_bytes = min_t(size_t, part.bv_len - offset_bytes, iov_iter_count(iter));
		if (!want_bytes)
			break;
		copied_bytes = copy_part(&part, offset_bytes, iter);
		done_bytes += copied_bytes;
		if (copied_bytes != want_bytes)
			break;
		offset_bytes = 0;
	}
	return done_bytes;
}

static size_t copy_user(struct request *request, int direction, u64 buffer, size_t length_bytes)
{
	struct iov_iter iter;

	if (compat_import_user(direction, u64_to_user_ptr(buffer), length_bytes, &iter))
		return 0;
	return ublk_copy_iter(request, 0, &iter);
}

size_t ublk_copy_to_user(struct request *request, u64 buffer, size_t length_bytes)
{
	return copy_user(request, ITER_DEST, buffer, length_bytes);
}

size_t ublk_copy_from_user(struct request *request, u64 buffer, size_t length_bytes)
{
	return copy_user(request, ITER_SOURCE, buffer, length_bytes);
}
