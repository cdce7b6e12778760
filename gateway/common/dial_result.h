/* SPDX-License-Identifier: MIT */
/*
 * dial_result.h - what a dial is asked for, and what it came to.
 */
#ifndef GATEWAY_COMMON_DIAL_RESULT_H
#define GATEWAY_COMMON_DIAL_RESULT_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/common/dial_list.h"
#include "gateway/common/exit_code.h"
#include "gateway/common/resolve.h"
#include "proto/handshake.h"
#include "proto/uri.h"
#include "tls/tls.h"
#include "tls/transport.h"

enum dial_stage { DIAL_RESOLVE, DIAL_CONNECT, DIAL_TLS, DIAL_HANDSHAKE, DIAL_DONE };

struct dial_options {
	const struct nbd_uri *target;  /* borrowed for the whole dial; a task copies it */
	const struct tls_options *tls; /* likewise; not NULL where target->tls */
	enum nbd_handshake_goal goal;
	bool no_structured; /* do not ask for structured replies, nor for extended headers */
	bool no_extended;
	bool export_name_only; /* goal GO: nor for anything but the export, the old way */
	uint32_t timeout_ms;   /* for all stages together */
	const struct dial_address *addresses; /* when count > 0: use these, resolve nothing */
	uint32_t addresses_count;
	/* Each step as it succeeds or fails, for doctor and --verbose; NULL when nobody listens.
	 * Called in the thread that dials; a task's is never called once dial_task_abandon() has
	 * returned, which waits for one that is running: it must be quick. */
	void (*progress)(void *context, enum dial_stage stage, int error, const char *sentence);
	void *context;
};

struct dial_result {
	struct transport *transport; /* owned by whoever takes the result; NULL unless error is 0 */
	struct nbd_export *export;   /* malloc()ed, owned likewise; goals GO and INFO */
	struct dial_list *list;	     /* likewise; goal LIST */
	struct dial_address peer;    /* the address that answered */
	char peer_text[DIAL_PEER_TEXT_BYTES]; /* as dial_address_text() has it */
	bool secured;			      /* by TLS, as tls describes it */
	struct tls_description tls;
	uint16_t server_flags; /* goal IDLE: NBD_FLAG_* of the greeting, which was answered */
	enum dial_stage stage; /* DIAL_DONE, or where it ended */
	int error;	       /* positive errno, 0 on success */
	enum exit_code exit_code;
	char sentence[700]; /* on failure: what failed, with whom, what to do */
};

/* For a further connection of one disk: asks for no more than what export was negotiated with. */
void dial_like(struct dial_options *options, const struct nbd_export *export);

/* Closes the transport and frees the export and the list. */
void dial_result_clear(struct dial_result *result);

#endif
