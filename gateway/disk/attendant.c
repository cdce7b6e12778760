/* SPDX-License-Identifier: MIT */
#include "gateway/disk/attendant.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/common/disk_stop.h"
#include "gateway/common/log.h"
#include "gateway/common/ublk_control.h"
#include "gateway/disk/partition_table.h"
#include "gateway/disk/process.h"
#include "gateway/disk/state_file.h"
#include "tls/clock.h"

/* A day: what the attendant waits for is ended by being made to fail, not by a clock of its own. */
#define COMMAND_MS	  (24u * 3600 * 1000)
#define NODE_WAIT_MS	  5000
#define NODE_PAUSE_MS	  5
#define END_WAIT_MS	  1000
#define END_PAUSE_MS	  5
#define FIRST_BLOCK_BYTES 4096
#define IO_TIMEOUT_MS	  1000

/* --- the attendant's side: start and probe ------------------------------------------------------- */

static int open_control(struct ublk_control **control)
{
	char sentence[512];
	int ret = ublk_control_open(control, sentence, sizeof(sentence));

	if (ret < 0)
		log_error("%s", sentence);
	return ret;
}

/*
 * Where each tag's request is with the daemon when that dies, drivers up to about 6.14 have no command
 * left to cancel, and notice only when a request times out: after 30 s, by default. With a daemon that
 * lives a privileged device's timeout changes nothing. The write may wait for requests.
 */
static void set_io_timeout(uint32_t dev_id)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/sys/block/ublkb%u/queue/io_timeout", dev_id);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || dprintf(fd, "%d", IO_TIMEOUT_MS) < 0)
		log_info("%s: %s: if this daemon is killed, I/O may hang for 30 s on older kernels",
			 path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

static void start(const struct attendant_request *request, struct attendant_answer *answer)
{
	struct ublk_control *control;

	answer->result = open_control(&control);
	if (answer->result < 0)
		return;
	answer->result =
		ublk_control_start(control, request->dev_id, request->daemon_pid, COMMAND_MS);
	ublk_control_close(control);
	if (answer->result == 0)
		set_io_timeout(request->dev_id);
}

static int probe_fail(const struct attendant_request *request, struct attendant_answer *answer,
		      int error, const char *what)
{
	snprintf(answer->sentence, sizeof(answer->sentence), "%s: %s: %s", request->device_path,
		 what, strerror(error));
	return -error;
}

static int open_node(const struct attendant_request *request, struct attendant_answer *answer)
{
	for (uint32_t waited_ms = 0;; waited_ms += NODE_PAUSE_MS) {
		int fd = open(request->device_path, O_RDONLY | O_DIRECT | O_CLOEXEC);

		if (fd >= 0)
			return fd;
		if ((errno != ENOENT && errno != ENXIO) || waited_ms >= NODE_WAIT_MS)
			return probe_fail(request, answer, errno,
					  errno == ENOENT
						  ? "the node has not appeared; " UBLK_DEV_REMEDY
						  : "cannot be opened");
		clock_pause_ms(NODE_PAUSE_MS);
	}
}

/* A table that cannot be judged, as the bytes do not come, is none: what matters was read before. */
static void judge_table(const struct attendant_request *request, struct attendant_answer *answer,
			int fd, uint8_t *bytes, uint32_t count)
{
	uint32_t rest = PARTITION_TABLE_BYTES_MAX - FIRST_BLOCK_BYTES;
	bool more;

	answer->table_sector_bytes = partition_table_other_sector(
		bytes, count, request->block_bytes, request->size_bytes, &more);
	if (!more || count != FIRST_BLOCK_BYTES ||
	    pread(fd, bytes + count, rest, count) != (ssize_t)rest)
		return;
	answer->table_sector_bytes = partition_table_other_sector(
		bytes, count + rest, request->block_bytes, request->size_bytes, &more);
}

static int read_first_block(const struct attendant_request *request,
			    struct attendant_answer *answer, int fd)
{
	void *block = NULL;
	uint32_t bytes =
		request->size_bytes < FIRST_BLOCK_BYTES ? request->block_bytes : FIRST_BLOCK_BYTES;
	ssize_t n;
	int error;

	if (posix_memalign(&block, FIRST_BLOCK_BYTES, PARTITION_TABLE_BYTES_MAX) != 0)
		return probe_fail(request, answer, ENOMEM, "reading its first block");
	n = pread(fd, block, bytes, 0);
	error = errno;
	if (n == (ssize_t)bytes)
		judge_table(request, answer, fd, block, bytes);
	free(block);
	if (n == (ssize_t)bytes)
		return 0;
	answer->reading = true;
	snprintf(answer->sentence, sizeof(answer->sentence),
		 "%s: its first block cannot be read from the server", request->device_path);
	return n < 0 ? -error : -EIO;
}

static int check_node(const struct attendant_request *request, struct attendant_answer *answer,
		      int fd)
{
	uint64_t size_bytes = 0;
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISBLK(st.st_mode))
		return probe_fail(request, answer, ENOTBLK,
				  "something else is there under its name: remove it");
	if (ioctl(fd, BLKGETSIZE64, &size_bytes) < 0)
		return probe_fail(request, answer, errno, "its size cannot be asked");
	if (size_bytes != request->size_bytes)
		return probe_fail(request, answer, EIO, "the kernel gave it another size");
	return 0;
}

static void probe(const struct attendant_request *request, struct attendant_answer *answer)
{
	int fd = open_node(request, answer);

	answer->result = fd < 0 ? fd : check_node(request, answer, fd);
	if (answer->result == 0)
		answer->result = read_first_block(request, answer, fd);
	if (fd >= 0)
		close(fd);
}

/* --- the attendant's side: stop ------------------------------------------------------------------ */

static void stop(const struct attendant_request *request, struct attendant_answer *answer)
{
	const struct disk_stop_request what = {
		.number = request->dev_id,
		.force = request->force,
		.ask_in_use = request->ask_in_use,
		.flush = request->flush,
	};
	struct disk_stop_answer stopped = { 0 };

	disk_stop_run(&what, &stopped);
	answer->result = stopped.result;
	answer->flush_errno = stopped.flush_errno;
	answer->others = stopped.others;
	memcpy(answer->sentence, stopped.sentence, sizeof(answer->sentence));
}

static void carry_out(const struct attendant_request *request, struct attendant_answer *answer)
{
	switch (request->verb) {
	case ATTENDANT_START:
		start(request, answer);
		break;
	case ATTENDANT_PROBE:
		probe(request, answer);
		break;
	case ATTENDANT_STOP:
		stop(request, answer);
		break;
	case ATTENDANT_NOTE_SIZE:
		answer->result = state_file_set_size(request->dev_id, request->size_bytes);
		break;
	case ATTENDANT_NOTE_TIMES:
		answer->result = state_file_set_times(request->dev_id, request->timeout_ms,
						      request->dead_timeout_ms);
		break;
	case ATTENDANT_FORGET:
		state_files_remove(request->dev_id);
		break;
	}
}

static void attend(int fd)
{
	struct attendant_request request;

	while (recv(fd, &request, sizeof(request), 0) == (ssize_t)sizeof(request)) {
		struct attendant_answer answer = { 0 };

		/* The driver tells who has the disk open: nobody has to look into processes. */
		if (request.ask_in_use)
			process_confine(NULL);
		carry_out(&request, &answer);
		if (send(fd, &answer, sizeof(answer), MSG_NOSIGNAL) < 0)
			break; /* the daemon is gone */
	}
}

/* --- the daemon's side --------------------------------------------------------------------------- */

int attendant_open(struct attendant *attendant, const int *close_fds, uint32_t count)
{
	int pair[2];
	pid_t parent;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	parent = getpid();
	attendant->pid = fork();
	if (attendant->pid < 0) {
		int ret = -errno;

		attendant->pid = 0;
		close(pair[0]);
		close(pair[1]);
		return ret;
	}
	if (attendant->pid == 0) {
		close(pair[0]);
		for (uint32_t i = 0; i < count; i++)
			if (close_fds[i] >= 0)
				close(close_fds[i]);
		prctl(PR_SET_NAME, "ublk-nbd-aside", 0, 0, 0);
		process_lock(false);
		process_confine_attendant();
		/* In START_DEV it would wait, and keep the device's number, for a daemon that is no more. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == parent)
			attend(pair[1]);
		_exit(0);
	}
	close(pair[1]);
	attendant->fd = pair[0];
	attendant->busy = false;
	return 0;
}

static void *stand_in_main(void *argument)
{
	int *fd = argument;

	attend(*fd);
	close(*fd);
	free(fd);
	return NULL;
}

int attendant_stand_in(struct attendant *attendant)
{
	int pair[2], ret, *theirs = malloc(sizeof(*theirs));
	pthread_t thread;

	if (!theirs)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		ret = -errno;
		free(theirs);
		return ret;
	}
	*theirs = pair[1];
	ret = process_thread_start(&thread, stand_in_main, theirs);
	if (ret < 0) {
		close(pair[0]);
		close(pair[1]);
		free(theirs);
		return ret;
	}
	pthread_detach(thread);
	attendant_close(attendant);
	attendant->fd = pair[0];
	attendant->busy = false;
	return 0;
}

int attendant_ask(struct attendant *attendant, const struct attendant_request *request)
{
	if (attendant->fd < 0 || attendant->busy)
		return -EBUSY;
	if (send(attendant->fd, request, sizeof(*request), MSG_NOSIGNAL) < 0)
		return -errno;
	attendant->busy = true;
	return 0;
}

void attendant_take(struct attendant *attendant, struct attendant_answer *answer)
{
	ssize_t n = recv(attendant->fd, answer, sizeof(*answer), 0);

	attendant->busy = false;
	if (n == (ssize_t)sizeof(*answer))
		return;
	memset(answer, 0, sizeof(*answer));
	answer->result = -ECHILD;
	snprintf(answer->sentence, sizeof(answer->sentence),
		 "the daemon's attendant process was killed");
}

int attendant_call(struct attendant *attendant, const struct attendant_request *request,
		   struct attendant_answer *answer, uint32_t timeout_ms)
{
	struct pollfd answered = { .fd = attendant->fd, .events = POLLIN };
	int ret = attendant->fd < 0 ? -EPIPE : attendant_ask(attendant, request);

	if (ret < 0)
		return ret;
	if (poll(&answered, 1, (int)timeout_ms) <= 0) {
		attendant_close(attendant);
		return -ETIMEDOUT;
	}
	attendant_take(attendant, answer);
	return answer->result == -ECHILD ? -EPIPE : 0;
}

void attendant_cut(struct attendant *attendant)
{
	if (attendant->busy && attendant->pid > 0)
		kill(attendant->pid, SIGKILL);
}

void attendant_close(struct attendant *attendant)
{
	attendant_cut(attendant);
	if (attendant->fd >= 0)
		close(attendant->fd);
	attendant->fd = -1;
	for (uint32_t waited_ms = 0; attendant->pid > 0 && waited_ms < END_WAIT_MS;
	     waited_ms += END_PAUSE_MS) {
		if (waitpid(attendant->pid, NULL, WNOHANG) != 0)
			attendant->pid = 0;
		else
			clock_pause_ms(END_PAUSE_MS);
	}
	attendant->pid = 0;
}
