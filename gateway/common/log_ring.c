/* SPDX-License-Identifier: MIT */
#include "gateway/common/log_ring.h"

#include <string.h>
#include <sys/mman.h>

static struct log_cell *cell_of(struct log_ring *ring, uint64_t position)
{
	return &ring->cells[position % LOG_RING_LINES];
}

struct log_ring *log_ring_create(void)
{
	struct log_ring *ring = mmap(NULL, sizeof(*ring), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (ring == MAP_FAILED)
		return NULL;
	for (uint64_t i = 0; i < LOG_RING_LINES; i++)
		atomic_init(&ring->cells[i].sequence, i);
	return ring;
}

/* Takes a position for a line, or none. */
static bool claim(struct log_ring *ring, uint64_t *position)
{
	uint_fast64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

	for (;;) {
		uint64_t sequence =
			atomic_load_explicit(&cell_of(ring, tail)->sequence, memory_order_acquire);

		if (sequence == tail) {
			if (atomic_compare_exchange_weak(&ring->tail, &tail, tail + 1))
				break;
		} else if ((int64_t)(sequence - tail) < 0) {
			return false; /* its line of a round before has not been taken */
		} else {
			tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
		}
	}
	*position = tail;
	return true;
}

bool log_ring_put(struct log_ring *ring, const char *text, size_t bytes)
{
	struct log_cell *cell;
	uint_fast64_t claimed;
	uint64_t position;

	if (!claim(ring, &position))
		return false;
	cell = cell_of(ring, position);
	cell->bytes = (uint16_t)bytes;
	memcpy(cell->text, text, bytes);
	/* Not if the writer has passed it meanwhile: the cell is another line's then. */
	claimed = position;
	return atomic_compare_exchange_strong_explicit(&cell->sequence, &claimed, position + 1,
						       memory_order_release, memory_order_relaxed);
}

static void free_head(struct log_ring *ring, uint64_t head)
{
	atomic_store_explicit(&cell_of(ring, head)->sequence, head + LOG_RING_LINES,
			      memory_order_release);
	atomic_store_explicit(&ring->head, head + 1, memory_order_release);
}

size_t log_ring_look(struct log_ring *ring, char text[LOG_LINE_BYTES_MAX])
{
	uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	struct log_cell *cell = cell_of(ring, head);
	size_t bytes;

	if (atomic_load_explicit(&cell->sequence, memory_order_acquire) != head + 1)
		return 0;
	bytes = cell->bytes <= LOG_LINE_BYTES_MAX ? cell->bytes : LOG_LINE_BYTES_MAX;
	memcpy(text, cell->text, bytes);
	return bytes;
}

void log_ring_drop(struct log_ring *ring)
{
	free_head(ring, atomic_load(&ring->head));
}

bool log_ring_is_empty(struct log_ring *ring)
{
	return atomic_load(&ring->head) == atomic_load(&ring->tail);
}

bool log_ring_is_held_up(struct log_ring *ring)
{
	uint64_t head = atomic_load(&ring->head);

	return head != atomic_load(&ring->tail) &&
	       atomic_load(&cell_of(ring, head)->sequence) == head;
}

void log_ring_pass(struct log_ring *ring)
{
	if (log_ring_is_held_up(ring))
		free_head(ring, atomic_load(&ring->head));
}
