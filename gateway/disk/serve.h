/* SPDX-License-Identifier: MIT */
/*
 * serve.h - a live disk's main thread, and who of its clients waits for what.
 */
#ifndef GATEWAY_DISK_SERVE_H
#define GATEWAY_DISK_SERVE_H

#include "gateway/common/dial_task.h"
#include "gateway/disk/control_server.h"
#include "gateway/disk/disk.h"
#include "gateway/disk/reconnect.h"

struct serve {
	struct disk *disk;
	int64_t now_ms;	   /* CLOCK_MONOTONIC, once each turn */
	int64_t signal_ms; /* of the last SIGTERM or SIGINT that counted; 0 none */
	int64_t refused_ms; /* a stop was refused because the disk is in use, and that said; 0 never */
	int64_t stop_began_ms;
	control_client_id stop_clients[CONTROL_CLIENTS_MAX]; /* are told when the device is gone */
	uint32_t stop_clients_count;
	bool stop_forced;
	bool stop_signalled; /* a signal asked for it, too: whoever sent it reads the log */
	bool stop_insisted;  /* two signals did, soon: a disk in use is stopped by force */
	bool stop_hurried;   /* the server gets little time: forced, or by a thread (attendant.h) */
	bool stop_unseen;    /* processes not seen may have had the disk open (disk_stop.h) */
	bool failure_seen;   /* of a queue: said, and the stop begun */
	uint32_t stop_overdue;	  /* times that the deadline of this stop passed */
	int64_t stop_deadline_ms; /* then what still waits for the server fails */
	uint64_t stop_receives;	  /* of all queues when that was set: progress moves it on */
	int64_t stop_forgiven_ms; /* the longest absence that moved it since the last progress */
	uint64_t stop_forgiven_receives; /* of all queues then */
	struct dial_task *resize_task;	 /* asks the server for the export's size, or connects */
	control_client_id resize_client;
	uint64_t resize_bytes; /* the export's, once it is known to have grown; else 0 */
	struct transport *resize_transports[DISK_CONNECTIONS_MAX];
	uint32_t resize_transports_count;
	uint64_t resize_troubles; /* trouble_count() when they were handed over */
	bool resize_handed_over;  /* to the queues, which have not all taken them yet */
	struct reconnect reconnect;
	bool server_gone; /* the server we started has ended */
	int swaps_fd;	  /* /proc/swaps, which tells when it changes; -1 */
};

/* Listens on the control socket. false: disk->sentence says why. */
bool serve_open(struct serve *serve, struct disk *disk);
/* Until the device is stopped, and the queues have flushed and left: clients are heard until then. */
void serve_run(struct serve *serve);
/* Tells who waited how it ended. After disk_remove(). */
void serve_close(struct serve *serve);

/* --- stopping.c --------------------------------------------------------------------------------- */

/* Begins a stop, or has one that is under way end by force. client, beside those
 * who wait already, is told how it ends; 0: nobody. */
void stopping_begin(struct serve *serve, bool force, control_client_id client);
/* SIGTERM or SIGINT came: begins a stop, or forces one. */
void stopping_signal(struct serve *serve);
/* Nobody knows of the disk: whoever asked for it has gone, or takes it back. It is stopped within seconds,
 * by force if somebody has begun to use it. */
void stopping_untaken(struct serve *serve);
/* The attendant has ended although nobody asked it for anything. */
void stopping_attendant_ended(struct serve *serve);
/* The attendant has answered. */
void stopping_answered(struct serve *serve);
/* The daemon did not run for so long (a signal stopped it, or the machine was): deadlines of a stop move. */
void stopping_forgive(struct serve *serve, int64_t absence_ms);
/* Keeps the stop's deadline; each turn. */
void stopping_look(struct serve *serve);
/* The device is stopped and the queues have flushed and left, or had their time for that. */
bool stopping_is_over(const struct serve *serve);
/* Nothing is left of the disk: tells who waits. */
void stopping_over(struct serve *serve);

/* --- resize.c ----------------------------------------------------------------------------------- */

/* Dials the server a second time; the answer goes to client. */
void resize_begin(struct serve *serve, control_client_id client);
/* The dial has ended. */
void resize_finish(struct serve *serve);
/* Whether the queues have taken what was handed over; each turn. */
void resize_look(struct serve *serve);
void resize_abandon(struct serve *serve);

#endif
