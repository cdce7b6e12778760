/* SPDX-License-Identifier: MIT */
/*
 * dial_task.h - a dial on a thread of its own, which can be abandoned.
 */
#ifndef GATEWAY_COMMON_DIAL_TASK_H
#define GATEWAY_COMMON_DIAL_TASK_H

#include <stdbool.h>

#include "gateway/common/dial_result.h"

struct dial_task;
/* Starts one; -errno when no thread or descriptor can be had. Copies what options points to. */
int dial_task_start(const struct dial_options *options, struct dial_task **out);
/* Readable (an eventfd) once the result is there. */
int dial_task_fd(const struct dial_task *task);
/* Moves the result out and frees the task; only when the fd is readable. */
void dial_task_take(struct dial_task *task, struct dial_result *result);
/* Gives it up at once: its socket is cut, and the thread ends when it can (a name that is being
 * looked up keeps it), frees and closes everything by itself. */
void dial_task_abandon(struct dial_task *task);
/* Whether the thread of any task runs, abandoned or not: while one does exit(3) is not safe, for it takes
 * down libraries that the thread may be in (OpenSSL). */
bool dial_task_any_runs(void);

/* As dial_run(), through a task, so that it ends at the deadline even if getaddrinfo(3) does not.
 * For programs that may end soon after: the task's thread may be left behind. */
int dial_run_bounded(const struct dial_options *options, struct dial_result *result);

#endif
