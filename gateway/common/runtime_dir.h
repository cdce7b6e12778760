/* SPDX-License-Identifier: MIT */
/*
 * runtime_dir.h - the files of running disks, and the two conversations a daemon has.
 *
 * /run/ublk-nbd (0700), or $UBLK_NBD_RUNTIME_DIR:
 *   lock     flock()ed by `connect` while it looks for an equal disk and starts one (--idempotent)
 *   N.json   {"config": disk_config, "identity": TAG, "pid": P, "device": "/dev/ublkbN", "size_bytes": S, ...}, written
 *            (tmp + rename) once the disk is usable, removed on a clean end. What a daemon that was killed leaves.
 *   N.sock   the control socket (0600, SO_PEERCRED: root or the daemon's own user)
 *
 * Ready conversation (daemon -> command line, on the descriptor given as --ready-fd, JSON lines):
 *   {"progress": "sentence"}                            any number, for --verbose
 *   {"warning": "sentence"}                             any number, always shown
 *   {"ok": true, "status": STATUS}                      the disk is usable
 *   {"ok": false, "exit": EXIT, "error": "sentence"}    it is not; nothing is left behind
 * If the reader closes its end before "ok", the daemon gives up and removes the device.
 *
 * Control conversation (one JSON object a line, at most 64 KiB, answered by one line each):
 *   {"verb": "status"}                       -> {"ok": true, "status": STATUS}
 *   {"verb": "disconnect", "force": false}   -> {"ok": true, "flush": "ok"} when the device is gone; "none": read-only
 *     in use: a failure with "flush": "Input/output error" beside it when the fsync that it began with failed
 *   {"verb": "resize"}                       -> {"ok": true, "old_size_bytes": A, "size_bytes": B}
 *   any failure                              -> {"ok": false, "errno": "EBUSY", "exit": EXIT, "error": "sentence"}
 *
 * STATUS: {"device": "/dev/ublkb0", "number": 0, "identity": "756e...", "pid": 1, "state": "live", "target": "nbd://...",
 *   "export": "", "description": "", "owner": "", "size_bytes": 0, "read_only": false, "logical_block_bytes": 512,
 *   "physical_block_bytes": 4096, "max_io_bytes": 1048576, "queues": 1, "queue_depth": 128, "payload": "user-copy",
 *   "framing": "structured", "features": ["flush", "fua", "trim", "write-zeroes", "df", "multi-conn", ...],
 *   "payload_max_bytes": N, "timeout_ms": N, "connections": [{"queue": 0, "transport": "plain", "peer":
 *   "127.0.0.1:10809", "state": "live|condemned", "in_flight": 0}], "stats": {"reads": N, ...,
 *   "read_bytes": N, "copied_bytes": N, "errors": N, "sends": N, "receives": N, ...}}
 */
#ifndef GATEWAY_COMMON_RUNTIME_DIR_H
#define GATEWAY_COMMON_RUNTIME_DIR_H

#include <stddef.h>
#include <stdint.h>

/* The directory; created 0700 if it is not there, and made 0700 if it is not. 0; -EPERM when it
 * belongs to another user, -EINVAL when UBLK_NBD_RUNTIME_DIR is no absolute path, or what mkdir(2)
 * and open(2) say. */
int runtime_dir_prepare(void);
const char *runtime_dir_path(void);
/* Writes "<dir>/<number>.<suffix>" to out; 0 or -ENAMETOOLONG. */
int runtime_dir_file(char *out, size_t out_bytes, uint32_t number, const char *suffix);

#endif
