/* SPDX-License-Identifier: MIT */
/*
 * strays.h - signals that nobody means for us. By default most of them end a process, and SIGQUIT,
 * SIGUSR1 or SIGPWR sent by mistake would end a mounted disk.
 */
#ifndef GATEWAY_COMMON_STRAYS_H
#define GATEWAY_COMMON_STRAYS_H

/*
 * Ignores each signal that ends a process by default and that nothing here handles: all but SIGKILL,
 * SIGTERM, SIGINT and SIGHUP, which are for the caller to take. What the process itself brings about
 * (SIGSEGV, SIGABRT of abort(3), ...) still ends it: the kernel and libc see to that. Inherited by what
 * is forked; what is executed must set them right.
 */
void strays_ignore(void);

#endif
