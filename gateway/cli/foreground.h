/* SPDX-License-Identifier: MIT */
/*
 * foreground.h - `connect --foreground`: the command line stays as the daemon's parent, for a
 * terminal, a container or a service of Type=notify.
 */
#ifndef GATEWAY_CLI_FOREGROUND_H
#define GATEWAY_CLI_FOREGROUND_H

#include "gateway/cli/daemon.h"

/*
 * Says READY=1 to whoever supervises us (sd_notify(3)), passes SIGTERM, SIGINT and SIGHUP on to the
 * daemon until that has ended, and returns its exit status. One that was killed gets its device
 * removed, and EXIT_CODE_FAILURE.
 */
int foreground_run(struct daemon *daemon, int interrupt_fd, const char *device);

#endif
