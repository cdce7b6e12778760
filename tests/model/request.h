/* SPDX-License-Identifier: MIT */
/*
 * request.h - the block requests that the model submits: what the driver could send for such an export.
 */
#ifndef TESTS_MODEL_REQUEST_H
#define TESTS_MODEL_REQUEST_H

#include "gateway/block/block_request.h"
#include "tests/model/chance.h"
#include "tests/model/plan.h"

/* Fills in all but the tag. */
void request_choose(struct block_request *request, const struct plan *plan, struct dice *dice);

#endif
