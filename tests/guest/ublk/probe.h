/* SPDX-License-Identifier: MIT */
/*
 * probe.h - a ublk daemon driven by hand, for tests of one command, one answer, one death at a time.
 *
 * A probe is one process's view of one device with one queue mapped; its ring belongs to the thread
 * that opened it. Whatever a probe function cannot do ends the process with 1 and a sentence: the
 * test is over then. Where an error is what is being tested, the functions return it.
 */
#ifndef TESTS_GUEST_UBLK_PROBE_H
#define TESTS_GUEST_UBLK_PROBE_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "tests/guest/ublk/control.h"
#include "tls/clock.h"

#define PROBE_BUFFER_BYTES (128u << 10) /* of each tag, and the largest request */
#define PROBE_SIZE_BYTES   (16u << 20)	/* of the disk */
#define PROBE_DEPTH_MAX	   64
#define PROBE_TIMEOUT_MS   20000
#define PROBE_NOTICE_MS	   1000 /* in which the loss of a daemon must be seen, in a plain guest */

/* What a request is about is not said by the device alone. */
#define PROBE_ANY INT32_MAX

struct probe {
	struct control control;
	struct ublksrv_ctrl_dev_info info; /* as granted */
	int char_fd;
	struct io_uring ring;
	const struct ublksrv_io_desc *descs; /* of queue 0 */
	char *buffers;
	/* Knobs of the commands that follow. */
	uint16_t queue;
	uint8_t sqe_flags;
	bool legacy;
	bool scribbles; /* what was submitted is overwritten at once */
};

/* A WRITE_ZEROES that the block layer makes up for by nothing. */
#define DISK_IO_PUNCH (UBLK_IO_OP_WRITE_ZEROES | 1u << 31)

/* A request of the disk's user, in a thread of its own. */
struct disk_io {
	pthread_t thread;
	uint32_t device;
	/* UBLK_IO_OP_*; a WRITE also with UBLK_IO_F_FUA, which is O_DSYNC; or DISK_IO_PUNCH */
	uint32_t op;
	uint64_t offset_bytes;
	uint32_t bytes;
	char *data;	 /* aligned to a page */
	atomic_int done; /* result and end_ms are there */
	int result;	 /* bytes or -errno */
	uint64_t end_ms;
};

/* Tells why and ends the process with 1. */
void probe_die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* Both are errnos (negative) or counts; dies where they differ. */
void probe_expect(const char *what, int64_t wanted, int64_t got);

static inline uint64_t probe_now_ms(void)
{
	return (uint64_t)clock_now_ms();
}

/* How much slower than a plain guest this one is: LAB_SCALE, 1 at least. */
uint32_t probe_scale(void);

/* What followed at `end_ms` from a loss at `lost_ms` came neither before it nor too late. */
void probe_expect_noticed(const char *what, uint64_t lost_ms, uint64_t end_ms);

/* The features that the driver lists. */
uint64_t probe_listed(void);

/* Does the driver list all of this? Says what it lists where not; ours has to, and the end is here. */
bool probe_lists(uint64_t features);

/* Ends the process with 77 where the driver does not list all of this. */
void probe_need(uint64_t features);

/* What most tests ask of ADD_DEV, one queue, and of SET_PARAMS. */
struct ublksrv_ctrl_dev_info probe_info_plain(void);
struct ublk_params probe_params_plain(void);

/* ADD_DEV alone, with this; its result. */
int probe_add_with(struct probe *probe, struct ublksrv_ctrl_dev_info info);

/* ADD_DEV with one queue, and SET_PARAMS: a disk of PROBE_SIZE_BYTES with 512-byte blocks. */
void probe_add(struct probe *probe, uint64_t features, uint16_t depth);

/* Opens the char device alone. */
void probe_open_char(struct probe *probe);

/* Opens the char device, maps the descriptors; `ring_flags` are IORING_SETUP_*. */
void probe_open(struct probe *probe, unsigned int ring_flags);

/* The two above, and a FETCH of each tag, and START_DEV (whose partition scan is answered). */
void probe_run(struct probe *probe, uint64_t features, uint16_t depth);
void probe_fetch_all(struct probe *probe);
void probe_start(struct probe *probe);

/* STOP_DEV while requests are answered, DEL_DEV; nothing is left. */
void probe_end(struct probe *probe);
void probe_close(struct probe *probe);

/* Closes all, and DEL_DEV: of a device whose disk is gone, or was never there. */
void probe_delete(struct probe *probe);

/* The ring's next SQE, or the end. */
struct io_uring_sqe *probe_sqe(struct io_uring *ring);

char *probe_buffer(const struct probe *probe, uint16_t tag);

/* One command with this address, in the ring and not yet submitted. */
void probe_prepare_at(struct probe *probe, uint32_t op, uint16_t tag, int result, uint64_t address);

/* One command with the tag's own buffer (0 with USER_COPY), or with another address. */
void probe_send(struct probe *probe, uint32_t op, uint16_t tag, int result);
void probe_send_at(struct probe *probe, uint32_t op, uint16_t tag, int result, uint64_t address);

/* The next completion: its result; *tag may be NULL. -ETIME: none within the time. */
int probe_wait(struct probe *probe, uint16_t *tag, uint32_t timeout_ms);

/* Sends and waits for its completion, which must come at once. */
int probe_ask(struct probe *probe, uint32_t op, uint16_t tag, int result);
int probe_ask_at(struct probe *probe, uint32_t op, uint16_t tag, int result, uint64_t address);

/* Waits for a request; returns its tag. It must be of this operation (or PROBE_ANY). */
uint16_t probe_take(struct probe *probe, uint32_t op);

/* Answers requests with all their bytes until `timeout_ms` pass without one; returns how many. */
unsigned int probe_serve(struct probe *probe, uint32_t timeout_ms);

void disk_io_start(struct disk_io *io, const struct probe *probe, uint32_t op, uint32_t bytes);
/* A WRITE of so many of this byte, which are there before the request is. */
void disk_io_write(struct disk_io *io, const struct probe *probe, int byte, uint32_t bytes);
/* Its result, or -ETIME. */
int disk_io_wait(struct disk_io *io, uint32_t timeout_ms);

/* Control commands about the probe's device, with a handle of their own: any thread or process. */
int probe_control(uint32_t op, uint32_t id, uint64_t data);
int probe_info_of(uint32_t id, struct ublksrv_ctrl_dev_info *info);
int probe_state(uint32_t id); /* UBLK_S_DEV_*, or -errno */

/* Writes to a file of the disk's queue in sysfs. */
void probe_set_queue(uint32_t id, const char *name, const char *value);

/* Waits until another thread or process sets it; dies, and says what for, after PROBE_TIMEOUT_MS. */
void probe_await(const atomic_int *flag, const char *what);

/* Waits for a condition on the device's state; dies after PROBE_TIMEOUT_MS. */
void probe_await_state(uint32_t id, int state);

/* One test. Returns where all is well. */
struct probe_case {
	const char *name;
	void (*run)(void);
};

extern const struct probe_case cases_commands[], cases_operations[], cases_answers[],
	cases_copies[], cases_control[], cases_unprivileged[], cases_death[], cases_per_io[],
	cases_batches[], cases_races[];

#endif
