/* SPDX-License-Identifier: MIT */
/*
 * control_client.h - asks a disk's daemon something over its control socket (runtime_dir.h has the
 * conversation). One call, one connection, one deadline.
 */
#ifndef GATEWAY_CLI_CONTROL_CLIENT_H
#define GATEWAY_CLI_CONTROL_CLIENT_H

#include <jansson.h>
#include <stdint.h>

/* How long a daemon that is well takes at most to answer `status`. */
#define CONTROL_ALIVE_TIMEOUT_MS 10000

/*
 * Sends request (freed in any case; NULL is -ENOMEM) to disk number and waits for the answer, an
 * object that the caller frees. On the same connection whoever is there has said before whose daemon he is:
 * tag is the disk's identity by the kernel (disk_tag()), and nobody else is told or believed anything. 0, or
 *   -ENOENT        there is no socket
 *   -ECONNREFUSED  nobody is behind it any more
 *   -ESTALE        another disk's daemon is behind it
 *   -ETIMEDOUT     no answer within timeout_ms
 *   -ECONNRESET    the daemon hung up without an answer
 *   -EPROTO        what it said is no answer
 *   or what socket(2), connect(2) and send(2) say.
 */
int control_client_call(uint32_t number, uint64_t tag, json_t *request, uint32_t timeout_ms,
			json_t **answer);

/* The status of disk number: a new reference to STATUS in *status; its "pid" is as seen from here,
 * where it can be seen. As above, and -EPROTO when the daemon answers with a failure. */
int control_client_status(uint32_t number, uint64_t tag, uint32_t timeout_ms, json_t **status);

/* Whether error of the above means that no daemon of this disk lives there. */
int control_client_is_dead(int error);

/* Says why a disk's daemon could not be asked; error: negative errno of control_client_call() or disk_tag(). The exit
 * code. */
int control_client_explain(const char *verb, uint32_t number, int error);
/* Says why the daemon refused ("ok" is false in its answer). The exit code. */
int control_client_refused(const char *verb, const json_t *answer);

#endif
