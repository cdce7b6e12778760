/* SPDX-License-Identifier: MIT */
/*
 * exit_code.h - what ublk-nbd's exit status means. Stable: scripts rely on it; listed in the man
 * page. Only ever add.
 */
#ifndef GATEWAY_COMMON_EXIT_CODE_H
#define GATEWAY_COMMON_EXIT_CODE_H

enum exit_code {
	EXIT_CODE_OK = 0,
	EXIT_CODE_FAILURE = 1,	   /* none of those below */
	EXIT_CODE_USAGE = 2,	   /* the command line, a URI or an option's value */
	EXIT_CODE_UNREACHABLE = 3, /* name, address, refused, timed out, connection lost */
	EXIT_CODE_REFUSED = 4,	 /* the server answered and said no, or speaks no NBD we can use */
	EXIT_CODE_SYSTEM = 5,	 /* this machine: no ublk, no io_uring, no permission, limits */
	EXIT_CODE_BUSY = 6,	 /* the device, or its number, is in use, or was not removed */
	EXIT_CODE_NO_DEVICE = 7, /* no such disk */
	EXIT_CODE_DATA = 8, /* removed, but not known to be flushed: written data may be lost */
	EXIT_CODE_TLS = 9,  /* certificate, key, PSK, or TLS not to be had */
	/* Of `status`, for a monitor: the disk is there, and */
	EXIT_CODE_DEGRADED = 10, /* some of its connections are lost */
	EXIT_CODE_AWAY = 11,	 /* its server is: I/O waits, or fails */
	EXIT_CODE_INTERRUPTED = 130,
};

#endif
