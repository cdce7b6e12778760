/* SPDX-License-Identifier: GPL-2.0 */
/*
 * slot.h - the life of one tag: which of the two sides has what.
 *
 * A slot may hold a command (the daemon's uring_cmd, waiting to be completed) and a request (the
 * block layer's). All fields are written under the queue's lock. The daemon's own commands look at
 * its task, state and pins (READ_ONCE) before they take it, for an early answer, and look again
 * where it counts.
 *
 *             FETCH              a request           the daemon's task runs
 *    EMPTY ───────────▶ PARKED ───────────▶ SENDING ──┬──────────────────▶ OWNED
 *      ▲                │ ▲  ▲                │ │ │   └─▶ ASKED ─GET_DATA─▶ │ │
 *      │◀────cancel─────┘ │  └──unwritable────┘ │ │         │               │ │
 *      │                  └─────────────────────┼─┼─COMMIT──┴───────────────┘ │
 *      │◀──cancel, nobody looks at its pages────┼─┼───────────────────────────┤
 *      │◀─the task─ ORPHANED ◀─────cancel───────┘ │                           │
 *      │◀─last pin─ DOOMED ◀──cancel while pinned─┴───────────────────────────┘
 *
 *    state      command  request  woken by
 *    EMPTY      no       no       FETCH
 *    PARKED     yes      no       a block request; cancel
 *    SENDING    yes      yes      the daemon's task; cancel
 *    ASKED      no       yes      GET_DATA, COMMIT; cancel      (the daemon was asked for a buffer)
 *    OWNED      no       yes      COMMIT; cancel
 *    ORPHANED   yes      no       the task work that is still under way, wherever it runs
 *    DOOMED     maybe    yes      the last unpin: somebody copies to or from the request's pages
 *
 * Not drawn, for want of room: ASKED is cancelled as OWNED is, and SENDING comes to EMPTY where the
 * task work finds the daemon gone.
 *
 * "Unwritable" is the daemon's buffer, for good or because a kill broke the copy off.
 *
 * "Cancel" is the loss of the daemon (cancel.h): it is found by a poll if by nothing else, so no
 * state waits for ever on a daemon that is gone.
 */
#ifndef UBLK_SLOT_H
#define UBLK_SLOT_H

#include <linux/bits.h>
#include <linux/compiler.h>
#include <linux/types.h>

struct io_uring_cmd;
struct request;
struct task_struct;

enum ublk_slot_state {
	UBLK_SLOT_EMPTY,
	UBLK_SLOT_PARKED,
	UBLK_SLOT_SENDING,
	UBLK_SLOT_ASKED,
	UBLK_SLOT_OWNED,
	UBLK_SLOT_ORPHANED,
	UBLK_SLOT_DOOMED,
};

struct ublk_slot {
	u8 state;   /* enum ublk_slot_state; written by ublk_slot_move() alone */
	bool seen;  /* of a DOOMED request: the daemon had it */
	u16 pins;   /* who copies to or from the request's pages just now */
	u64 buffer; /* in the daemon's memory; 0 with USER_COPY */
	struct request *request;
	struct io_uring_cmd *command;
	struct ublk_slot *next;	  /* behind it in its batch (queue.h); NULL: none */
	struct task_struct *task; /* that fetched first, a reference; NULL before */
};

/* The drawing above: the states, a bit each, from which a slot may come to this one. */
static inline u8 ublk_slot_origins(enum ublk_slot_state to)
{
	switch (to) {
	case UBLK_SLOT_EMPTY:
		return BIT(UBLK_SLOT_PARKED) | BIT(UBLK_SLOT_SENDING) | BIT(UBLK_SLOT_ASKED) |
		       BIT(UBLK_SLOT_OWNED) | BIT(UBLK_SLOT_ORPHANED) | BIT(UBLK_SLOT_DOOMED);
	case UBLK_SLOT_PARKED:
		return BIT(UBLK_SLOT_EMPTY) | BIT(UBLK_SLOT_SENDING) | BIT(UBLK_SLOT_ASKED) |
		       BIT(UBLK_SLOT_OWNED);
	case UBLK_SLOT_SENDING:
		return BIT(UBLK_SLOT_PARKED);
	case UBLK_SLOT_ASKED:
	case UBLK_SLOT_ORPHANED:
		return BIT(UBLK_SLOT_SENDING);
	case UBLK_SLOT_OWNED:
		return BIT(UBLK_SLOT_SENDING) | BIT(UBLK_SLOT_ASKED);
	case UBLK_SLOT_DOOMED:
		return BIT(UBLK_SLOT_SENDING) | BIT(UBLK_SLOT_ASKED) | BIT(UBLK_SLOT_OWNED);
	}
	return 0;
}

void ublk_slot_warn(const struct ublk_slot *slot, enum ublk_slot_state to);

/*
 * All moves of a slot are made here; one that is not drawn is the driver's own mistake, and said
 * once. Inline, because most callers know the state: then the table is one constant.
 */
static __always_inline void ublk_slot_move(struct ublk_slot *slot, enum ublk_slot_state to)
{
	if (unlikely(!(ublk_slot_origins(to) & BIT(slot->state))))
		ublk_slot_warn(slot, to);
	WRITE_ONCE(slot->state, to);
}

/* Takes the request off the slot, which comes to this state. */
static __always_inline struct request *ublk_slot_release(struct ublk_slot *slot,
							 enum ublk_slot_state to)
{
	struct request *request = slot->request;

	slot->request = NULL;
	ublk_slot_move(slot, to);
	return request;
}

/* Until ublk_cancel_unpin() (cancel.h) the request stays, whatever becomes of the daemon. */
static inline struct request *ublk_slot_pin(struct ublk_slot *slot)
{
	WRITE_ONCE(slot->pins, slot->pins + 1);
	return slot->request;
}

/* The slot's request is with the daemon, which may read or write its data and commit it. */
static inline bool ublk_slot_committable(const struct ublk_slot *slot)
{
	u8 state = READ_ONCE(slot->state);

	return state == UBLK_SLOT_OWNED || state == UBLK_SLOT_ASKED;
}

#endif
