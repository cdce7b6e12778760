/* SPDX-License-Identifier: MIT */
/*
 * attendant.h - a process beside the daemon that does what may have to wait for the daemon's own
 * disk: START_DEV (which may read the partition table), the first read, the fsync and STOP_DEV; and
 * what may have to wait for another filesystem: the disk's files, once it is live.
 *
 * Why a process: a thread of the daemon that waits uninterruptibly for the disk keeps the char
 * device open when the daemon is killed, and only the char device's release makes the driver fail
 * what it waits for. The attendant is forked before the char device is opened and holds nothing of
 * it, so the daemon can always die, and then the attendant's wait ends with an error.
 *
 * One request is under way at a time. It ends when the daemon's end of the socket is closed. Should
 * somebody have killed it, a thread can stand in for it: better than a disk that nobody can stop.
 */
#ifndef GATEWAY_DISK_ATTENDANT_H
#define GATEWAY_DISK_ATTENDANT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct attendant {
	pid_t pid; /* 0: there is none, or a thread stands in for it */
	int fd;	   /* readable once an answer is there, or it has ended; -1: there is none */
	bool busy; /* a request was sent, its answer not yet taken */
};

enum attendant_verb {
	ATTENDANT_START, /* START_DEV */
	ATTENDANT_PROBE, /* the node is there, opens, has its size; its first block is read */
	ATTENDANT_STOP,	 /* unless forced: is it in use? fsync, if flush; STOP_DEV (disk_stop.h) */
	ATTENDANT_NOTE_SIZE,  /* state_file_set_size() */
	ATTENDANT_NOTE_TIMES, /* state_file_set_times() */
	ATTENDANT_FORGET,     /* state_files_remove() */
};

struct attendant_request {
	enum attendant_verb verb;
	uint32_t dev_id;
	char device_path[32];
	pid_t daemon_pid;     /* START */
	uint64_t size_bytes;  /* PROBE: what it has to be; NOTE_SIZE: what it is now */
	uint32_t block_bytes; /* PROBE */
	uint32_t timeout_ms, dead_timeout_ms; /* NOTE_TIMES */
	bool force;			      /* STOP */
	bool ask_in_use;		      /* START, STOP: TRY_STOP_DEV was granted */
	bool flush;			      /* STOP: the disk can be written */
};

struct attendant_answer {
	int result;	 /* 0 or negative errno; STOP: -EBUSY when in use, and nothing was done */
	int flush_errno; /* STOP: positive errno of the fsync; 0 */
	uint32_t table_sector_bytes; /* PROBE: partition_table_other_sector() */
	bool reading;		     /* PROBE: it was the read: the server, or the way to it */
	bool others;	    /* STOP: processes that cannot be seen may use it (disk_stop.h) */
	char sentence[300]; /* what failed, or ""; of PROBE's read without the errno's meaning */
};

/* Forks it. Main thread, before any other thread is there and before the char device is opened;
 * close_fds (count of them) are closed on its side. 0 or -errno. */
int attendant_open(struct attendant *attendant, const int *close_fds, uint32_t count);
/* Sends a request; not while busy. 0 or -errno. */
int attendant_ask(struct attendant *attendant, const struct attendant_request *request);
/* Takes the answer when fd is readable; an attendant that has ended gives -ECHILD. */
void attendant_take(struct attendant *attendant, struct attendant_answer *answer);
/* Asks, and waits for the answer for timeout_ms at most. 0; -ETIMEDOUT: it hangs, and is left behind, so that there
 * is none any more; -EPIPE: there is none; else as attendant_ask(). */
int attendant_call(struct attendant *attendant, const struct attendant_request *request,
		   struct attendant_answer *answer, uint32_t timeout_ms);
/* It has ended: a thread of ours takes its place, which must not be made to wait for long (see above).
 * 0 or -errno. */
int attendant_stand_in(struct attendant *attendant);
/* Kills it if it has not answered: what it waits for will not come, and while it waits in the kernel it
 * keeps the device's number. A daemon's end does the same. */
void attendant_cut(struct attendant *attendant);
/* Lets it end (cut, if it is busy), and waits a moment for that: one that hangs in the kernel is left to
 * init. */
void attendant_close(struct attendant *attendant);

#endif
