/* SPDX-License-Identifier: MIT */
#include "gateway/nbd/loan.h"

#include <stddef.h>

void loan_box_open(struct loan_box *box)
{
	pthread_mutex_init(&box->lock, NULL);
}

static void append(struct loan **first, struct loan **last, struct loan *loan)
{
	loan->next = NULL;
	if (*first)
		(*last)->next = loan;
	else
		*first = loan;
	*last = loan;
}

bool loan_leave(struct loan_box *box, struct loan *loan)
{
	bool open;

	pthread_mutex_lock(&box->lock);
	open = !box->closed;
	if (open)
		append(&box->to_carry, &box->to_carry_last, loan);
	pthread_mutex_unlock(&box->lock);
	if (open)
		atomic_store(&box->filled, true);
	return open;
}

void loan_give_back(struct loan_box *box, struct loan *loan)
{
	pthread_mutex_lock(&box->lock);
	append(&box->given_back, &box->given_back_last, loan);
	pthread_mutex_unlock(&box->lock);
	atomic_store(&box->filled, true);
}

static struct loan *take(struct loan_box *box, struct loan **first)
{
	struct loan *all;

	pthread_mutex_lock(&box->lock);
	all = *first;
	*first = NULL;
	pthread_mutex_unlock(&box->lock);
	return all;
}

struct loan *loan_take_to_carry(struct loan_box *box)
{
	return take(box, &box->to_carry);
}

struct loan *loan_take_given_back(struct loan_box *box)
{
	return take(box, &box->given_back);
}

struct loan *loan_box_close(struct loan_box *box)
{
	pthread_mutex_lock(&box->lock);
	box->closed = true;
	pthread_mutex_unlock(&box->lock);
	return take(box, &box->to_carry);
}
