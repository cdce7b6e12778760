/* SPDX-License-Identifier: MIT */
/*
 * server_tag.h - whose device is it? ADD_DEV takes 64 bits (ublksrv_flags) that the driver keeps and
 * does not look at; ours say "ublk-nbd" and the daemon's pid. The driver's own ublksrv_pid does not do:
 * it is there from START_DEV only and is -1 once the daemon is dead.
 */
#ifndef GATEWAY_COMMON_SERVER_TAG_H
#define GATEWAY_COMMON_SERVER_TAG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SERVER_TAG_MAGIC 0x6e626475ull /* "udbn" */

/* What a daemon gives ADD_DEV. */
static inline uint64_t server_tag_make(pid_t pid)
{
	return SERVER_TAG_MAGIC << 32 | (uint32_t)pid;
}

/* Whether a device's ublksrv_flags say that a daemon of ours made it. */
static inline bool server_tag_is_ours(uint64_t ublksrv_flags)
{
	return ublksrv_flags >> 32 == SERVER_TAG_MAGIC;
}

/* The daemon that made it; only when server_tag_is_ours(). */
static inline pid_t server_tag_pid(uint64_t ublksrv_flags)
{
	return (pid_t)(uint32_t)ublksrv_flags;
}

#endif
