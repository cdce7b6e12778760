/* SPDX-License-Identifier: MIT */
/*
 * runtime_dir.h - the files of running disks, and the two conversations a daemon has.
 *
 * /run/ublk-nbd/state (0700), or the "state" of $UBLK_NBD_RUNTIME_DIR:
 *   lock     flock()ed by `connect` while it looks for an equal disk and starts one (--idempotent)
 *   N.json   {"config": disk_config, "identity": TAG, "pid": P, "device": "/dev/ublkbN", "size_bytes": S, ...}, written
 *            (tmp + rename) once the disk is usable, removed on a clean end. What a daemon that was killed leaves.
 *   N.udev   what the udev rule takes, 54-ublk-nbd.rules
 *   N.sock   the control socket (0600, SO_PEERCRED: root or the daemon's own user)
 *
 *   server-TAG/nbd.sock  of a disk's own server (activation.h)
 *   daemon.log, daemon.log.1  the daemons' messages, where there is no journal
 *
 * The runtime directory itself may have been there, with permissions of its own: /tmp will do.
 *
 * Ready conversation (daemon -> command line, on the descriptor given as --ready-fd, JSON lines):
 *   {"progress": "sentence"}                            any number, for --verbose
 *   {"warning": "sentence"}                             any number, always shown
 *   {"ok": true, "status": STATUS}                      the disk is usable
 *   {"ok": false, "exit": EXIT, "error": "sentence"}    it is not; nothing is left behind
 * The reader answers {"ok": true} with one line, "taken", once it has told its user of the disk. If it
 * closes its end before that, the daemon gives up and removes the device.
 *
 * Control conversation (one JSON object a line, at most 64 KiB, answered by one line each):
 *   {"verb": "status"}                       -> {"ok": true, "status": STATUS}
 *   {"verb": "disconnect", "force": false}   -> {"ok": true, "flush": "ok"} when the device is gone; "none": read-only
 *     "unseen": true beside it: not all processes could be looked into for one that had the disk open
 *     in use: a failure with "flush": "Input/output error" beside it when the fsync that it began with failed
 *   {"verb": "resize"}                       -> {"ok": true, "old_size_bytes": A, "size_bytes": B}
 *   {"verb": "set", "timeout_ms": N, "dead_timeout_ms": N} -> {"ok": true}: either, or both
 *   {"verb": "reconnect", "accept_loss": BOOL} -> {"ok": true}: the lost server is dialled now
 *   any failure                              -> {"ok": false, "errno": "EBUSY", "exit": EXIT, "error": "sentence"}
 *
 * STATUS: {"device": "/dev/ublkb0", "number": 0, "identity": "756e...", "pid": 1, "state": "live", "target": "nbd://...",
 *   "export": "", "description": "", "owner": "", "size_bytes": 0, "read_only": false, "logical_block_bytes": 512,
 *   "physical_block_bytes": 4096, "max_io_bytes": 1048576, "queues": 1, "queue_depth": 128, "payload": "user-copy",
 *   "framing": "structured", "features": ["flush", "fua", "trim", "write-zeroes", "df", "multi-conn", ...],
 *   "payload_max_bytes": N, "timeout_ms": N, "connections": [{"queue": 0, "transport": "plain", "peer":
 *   "127.0.0.1:10809", "state": "live|retiring|condemned|dead", "in_flight": 0, "reason": ""}],
 *   "connections_live": 1, "stats": {"reads": N, ..., "read_bytes": N, "copied_bytes": N, "errors": N, "sends": N, "receives": N, ...}}
 *   and "server": {"state": "online|waiting|failing", "since_ms": N, "reason": "", "waiting": N, "oldest_wait_ms": N,
 *   "dead_in_ms": N|null, "next_dial_ms": N|null, "attempts": N, "refused": false, "last_error": "", "flush_fails": false},
 *   "unflushed_writes": N, "holds": {"ranges": N, "bytes": N, "ends_in_ms": N|null}.
 * The command line makes "degraded", "waiting", "failing" or "refused" of "live" where connections are lost
 * (gateway/cli/disk_state.h).
 */
#ifndef GATEWAY_COMMON_RUNTIME_DIR_H
#define GATEWAY_COMMON_RUNTIME_DIR_H

#include <stddef.h>
#include <stdint.h>

/* /run/ublk-nbd, or $UBLK_NBD_RUNTIME_DIR. */
const char *runtime_dir_path(void);

/*
 * Makes the runtime directory and its "state", each only if it is not there; the permissions of one that was
 * there stay as they are. 0, or with a sentence in error: -EINVAL no absolute path; -ENAMETOOLONG; -ENOTDIR it is
 * a link or no directory; -EPERM it is not our user's, or others may write to the one, or look into the other;
 * or what mkdir(2) and open(2) say.
 */
int runtime_dir_prepare(char *error, size_t error_bytes);
/* The same for who only reads: nothing is made, and one that is not there is well. */
int runtime_dir_check(char *error, size_t error_bytes);

/* Writes "<dir>/state/<name>" to out, without the name where that is "". 0; -ENAMETOOLONG; or what
 * runtime_dir_check() says: no path leads into a directory that it refuses. */
int runtime_dir_join(char *out, size_t out_bytes, const char *name);
/* "<dir>/state/<number>.<suffix>"; as above. */
int runtime_dir_file(char *out, size_t out_bytes, uint32_t number, const char *suffix);

/* "<dir>/<name>" and "<dir>/<number>.<suffix>", where version 0.1.0 has its files. As above, and -ENOENT where
 * the directory is not ours, or others may write to it. */
int runtime_dir_old_join(char *out, size_t out_bytes, const char *name);
int runtime_dir_old_file(char *out, size_t out_bytes, uint32_t number, const char *suffix);

#endif
