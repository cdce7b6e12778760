/* SPDX-License-Identifier: MIT */
/*
 * server_tag.h - a disk's identity. ADD_DEV takes 64 bits (ublksrv_flags) that the driver keeps and
 * does not look at. Ours are a magic, which says that ublk-nbd made the device, and a random number,
 * which says which daemon did. `connect` draws it; the daemon has it on its command line (--identity=),
 * repeats it in `status` and N.json, and names its own server's directory by it.
 *
 * A process number does not do: each pid namespace has its own, so the daemons of two containers may
 * have the same one, and a number is given to another process later. ublksrv_pid has the same fault;
 * it is there from START_DEV only, and -1 once the daemon is dead.
 *
 * Version 0.1.0 has another magic, of 32 bits, and the daemon's process number in its own namespace.
 */
#ifndef GATEWAY_COMMON_SERVER_TAG_H
#define GATEWAY_COMMON_SERVER_TAG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Its 16 digits, and the NUL. */
#define SERVER_TAG_TEXT_BYTES 17
/* What no device has. */
#define SERVER_TAG_NONE 0

/* A new one, for ADD_DEV. 0, or what getrandom(2) says. */
int server_tag_draw(uint64_t *tag);

/* Whether a device's ublksrv_flags say that a daemon of ours made it, this version's or 0.1.0's. */
bool server_tag_is_ours(uint64_t ublksrv_flags);
/* Whether it was 0.1.0's. */
bool server_tag_is_old(uint64_t tag);

/* 0.1.0's tag of the daemon with this process number, and the way back. */
uint64_t server_tag_of_old(pid_t pid);
pid_t server_tag_old_pid(uint64_t tag);

void server_tag_format(uint64_t tag, char out[SERVER_TAG_TEXT_BYTES]);
/* Reads what server_tag_format() wrote; false: text (NULL included) is none of this version's. */
bool server_tag_parse(const char *text, uint64_t *tag);

#endif
