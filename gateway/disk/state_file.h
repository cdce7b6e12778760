/* SPDX-License-Identifier: MIT */
/*
 * state_file.h - what a disk leaves in the runtime directory for others to read: N.udev for the udev rule, N.json
 * for list and --idempotent, N.sock, its control socket.
 *
 * The directory may be on a filesystem that hangs. Once a disk is live, its attendant writes and removes these files
 * (attendant.h), never the main thread.
 */
#ifndef GATEWAY_DISK_STATE_FILE_H
#define GATEWAY_DISK_STATE_FILE_H

#include <stdint.h>

/* Writes N.<suffix>, whole, under another name first. 0 or -errno. */
int state_file_write(uint32_t number, const char *suffix, const char *text);

/* Puts another size into N.json. 0 or -errno. */
int state_file_set_size(uint32_t number, uint64_t size_bytes);

/* Puts other times into the configuration in N.json. 0 or -errno. */
int state_file_set_times(uint32_t number, uint32_t timeout_ms, uint32_t dead_timeout_ms);

/* Removes all of them. */
void state_files_remove(uint32_t number);

#endif
