/* SPDX-License-Identifier: MIT */
/*
 * carry.h - no queue waits while the disk has a connection: one that has none lends its requests (loan.h) to one that
 * has. Queue thread only.
 */
#ifndef GATEWAY_NBD_CARRY_H
#define GATEWAY_NBD_CARRY_H

#include "gateway/nbd/client_state.h"

/* The lender: gives a part that is IDLE and on no connection to another queue. false: there is none that could take
 * it, or too many are out. */
bool carry_lend(struct nbd_client *client, struct wire_request *part);
/* The lender: takes back what was given back. A part that was answered is closed; one that was lost waits. */
void carry_take_back(struct nbd_client *client);
/* The carrier: the split of a loan, to be dispatched; NULL: it was given back, for want of a place. */
struct split *carry_begin(struct nbd_client *client, struct loan *loan);
/* The carrier ends: what others left is given back, and nothing more is taken. Whether nothing is under way for
 * them. */
bool carry_end(struct nbd_client *client);

#endif
