/* SPDX-License-Identifier: MIT */
/*
 * disk.h - the daemon's one object: a disk, from its configuration to its removal.
 *
 *   DIALING -> ADDED -> STARTING -> SETTLING -> LIVE -> STOPPING -> GONE
 *                 \________\___________\______________/
 *
 *   DIALING   start.c: the server process if there is one, name, dial, handshake, on helper threads
 *   ADDED     start.c: ADD_DEV and SET_PARAMS done; queues made, their threads fetch
 *   STARTING  start.c: START_DEV is with the kernel, which reads the partition table through us
 *   SETTLING  usable.c: node, open, size, first block (attendant.c), udev
 *   LIVE      serve.h: control socket and signals; the queues do the work
 *   STOPPING  stop.c: in use? fsync, STOP_DEV (attendant.c); then flush, DISC, DEL_DEV
 *   GONE      nothing is left in the kernel or in the runtime directory
 *
 * Each wait of the states before LIVE ends early when SIGTERM or SIGINT comes, or when whoever
 * started us closes the ready conversation. All of it runs on the main thread, which is no
 * queue's and may block for a moment without hurting I/O.
 */
#ifndef GATEWAY_DISK_DISK_H
#define GATEWAY_DISK_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/common/activation.h"
#include "gateway/common/dial_result.h"
#include "gateway/common/disk_config.h"
#include "gateway/common/exit_code.h"
#include "gateway/common/ublk_control.h"
#include "gateway/disk/attendant.h"
#include "gateway/common/params.h"
#include "gateway/disk/queue.h"
#include "gateway/nbd/client.h"

enum disk_state {
	DISK_DIALING,
	DISK_ADDED,
	DISK_STARTING,
	DISK_SETTLING,
	DISK_LIVE,
	DISK_STOPPING,
	DISK_GONE,
};

struct control_server;

struct disk {
	struct disk_config config;
	uint64_t tag; /* its identity: server_tag.h */
	enum disk_state state;
	int signal_fd;	     /* SIGTERM, SIGINT, SIGHUP */
	int ready_fd;	     /* the ready conversation; -1 once it is over */
	bool stop_requested; /* by a signal, or the ready conversation was closed */

	struct attendant attendant;   /* waits for our own disk, where that must be done */
	struct activation activation; /* pid 0: no server of our own */
	struct nbd_export *export;
	struct dial_address peer; /* that answered first: all connections go to it */
	char peer_text[160];
	struct transport *transports[DISK_CONNECTIONS_MAX]; /* until queues take them over */
	uint32_t transports_count;

	struct disk_geometry geometry;
	struct ublk_control *control;
	struct ublksrv_ctrl_dev_info info; /* as granted; dev_id is the number */
	char device_path[32];		   /* "/dev/ublkb0"; "" before ADDED */
	int char_fd;
	int link_fd; /* eventfd of client_shared.link */
	struct queue_shared shared;
	struct nbd_client_shared client_shared;
	struct queue *queues;
	struct nbd_client *clients; /* each queue's backend */
	uint32_t queues_count;	    /* made; each is started but in the middle of start.c */
	/* Closed, and never freed: a ring may still write there; or NULL. */
	struct queue *queues_held;
	struct nbd_client *clients_held;

	struct control_server *control_server;
	bool stopper_running;		   /* STOPPING, until the attendant has answered */
	bool stopped;			   /* the driver has aborted every command, or will have */
	int flush_errno;		   /* positive: flushing on the way out failed */
	char flush_why[TROUBLE_BYTES_MAX]; /* in words, with flush_errno */
	uint64_t stop_troubles; /* trouble_count() when the stop began: what is newer is its own */
	bool is_swap;		/* as far as was last seen (swap.h) */

	enum exit_code exit_code; /* of a failure, with its sentence */
	char sentence[700];
};

/* --- start.c: up to LIVE. false: exit_code and sentence say why; disk_remove() is still due. --- */
bool disk_start(struct disk *disk);

/* Whether a server of our own has ended, or does within a moment; how goes into sentence. */
bool disk_server_has_ended(struct disk *disk, char *sentence, size_t sentence_bytes);
/* A queue ended with this positive errno: as disk_fail(), with the queue's own words. */
bool disk_queue_failed(struct disk *disk, uint32_t id, int error);

/* --- wait.c ------------------------------------------------------------------------------------ */

/* Sets exit_code and sentence; returns false, so that callers can return it. */
bool disk_fail(struct disk *disk, enum exit_code exit_code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Reads what is there of signals and of the ready conversation's end: sets stop_requested. */
void disk_read_signals(struct disk *disk);

/* Waits until fd is readable. false: a stop was requested, or deadline_ms (CLOCK_MONOTONIC, -1
 * none) has passed; stop_requested tells them apart. */
bool disk_wait(struct disk *disk, int fd, int64_t deadline_ms);

/* Has the attendant do something (dev_id and path are filled in) and waits for the answer, saying so
 * now and then. Interrupted, what it waits for is made to fail, and it comes back: no deadline of
 * its own is needed, as each read has --timeout. false: interrupted, or a queue failed. */
bool disk_attend(struct disk *disk, struct attendant_request *request,
		 struct attendant_answer *answer, const char *what);

/* --- stop.c ------------------------------------------------------------------------------------ */

/* Has the attendant stop the device: not forced, it first asks whether the disk is in use. Where it has
 * ended a thread does it, without the fsync: *hurried, what waits for the server must soon be made
 * to fail. 0 or -errno. Over when attendant.fd is readable. */
int stopper_start(struct disk *disk, bool force, bool *hurried);
/* Takes how it ended. 0: the device is stopped (disk->flush_errno tells of its flush). -EBUSY: in
 * use, nothing was done. -ECHILD: the attendant was killed. Else a negative errno, with a sentence in
 * *answer, or "". */
int stopper_finish(struct disk *disk, struct attendant_answer *answer);

/* Everything that is left, in any state but STOPPING with its thread running: queues, device,
 * files, server. Bounded. */
void disk_remove(struct disk *disk);

/* --- usable.c ---------------------------------------------------------------------------------- */

/* Waits until the disk can be used, as far as a user can tell. Same ending as
 * disk_start(). */
bool disk_wait_usable(struct disk *disk);
/* After disk_announce(): waits until udev, where it runs with our rule, has made the disk's link and
 * is idle; a few seconds at most, and not at all once a stop is requested. */
void disk_wait_link(struct disk *disk);

/* --- files.c: the disk's files in the runtime directory (state_file.h) --------------------------- */

/* Writes N.json, before the disk is live. 0 or -errno. */
int disk_write_state_file(const struct disk *disk);
/* Has the attendant put the size into N.json; waits for it a moment. */
void disk_note_size(struct disk *disk);
/* The same of --timeout and --dead-timeout. */
void disk_note_times(struct disk *disk);
/* Has them removed, once the char device is closed. false: they were not in time, as the directory hangs. */
bool disk_remove_files(struct disk *disk);
/* Has udev look at a disk again, now that its N.udev is another. */
void disk_announce(uint32_t number);

#endif
