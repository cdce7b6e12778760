/* SPDX-License-Identifier: MIT */
/*
 * ublk_fail.c - goal: every allocation of ADD_DEV, START_DEV and of the I/O path may fail: a command then
 * says ENOMEM, nothing is left behind, and the next attempt works; a request loses not a byte. method: the
 * kernel's fail-nth, armed for one task, makes its first allocation fail, then its second, and so on until
 * the operation runs to its end without reaching the one that should fail. Of the I/O path, that is done
 * for the task of the disk's user, for the daemon that waits for a request, into whose untouched memory the
 * data goes, and for the daemon that commits one.
 *
 *   ublk_fail        prints for each operation how many allocations failed and what came of it
 *
 * Exit status: 0; 1 with the reason; 77 this kernel injects no faults.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/guest/ublk/options.h"
#include "tests/guest/ublk/probe.h"

#define FAILURES_MAX   3000
#define WORKER_WAIT_US 10000
#define WORKER_TRIES   200
#define DEPTH	       2

/* Of untouched pages, each an allocation, and too many for a bio on the stack. */
#define REQUEST_BYTES	  32768
#define COMMIT_REFUSED_MS 20  /* a command that the ring refuses is answered by then */
#define REQUEST_LOST_MS	  500 /* a request that was sent is there by then */

/* What the armed allocation did to the operation. */
struct outcome {
	bool reached;
	int result;
};

static int fail_nth = -1; /* of the task that does the work */

/* --- arming ---------------------------------------------------------------------------------------- */

static void arm(unsigned int nth)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%u", nth);

	if (pwrite(fail_nth, text, (size_t)length, 0) != length)
		probe_die("fail-nth: %s", strerror(errno));
}

/* Whether it was reached: the kernel counts down to 0. */
static bool disarm(void)
{
	char text[16] = "";

	if (pread(fail_nth, text, sizeof(text) - 1, 0) <= 0)
		probe_die("fail-nth: %s", strerror(errno));
	arm(0);
	return strtoul(text, NULL, 10) == 0;
}

static void write_knob(const char *path, const char *value)
{
	int file = open(path, O_WRONLY | O_CLOEXEC);

	if (file < 0)
		exit(EXIT_SKIP);
	if (write(file, value, strlen(value)) < 0)
		probe_die("%s: %s", path, strerror(errno));
	close(file);
}

static void prepare_injection(void)
{
	write_knob("/sys/kernel/debug/failslab/ignore-gfp-wait", "N");
	write_knob("/sys/kernel/debug/failslab/verbose", "0");
	write_knob("/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait", "N");
	/* The daemon's own pages are of this kind. */
	write_knob("/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem", "N");
	write_knob("/sys/kernel/debug/fail_page_alloc/min-order", "0");
	write_knob("/sys/kernel/debug/fail_page_alloc/verbose", "0");
}

/* From here on it is this task's allocations that fail. */
static bool aim_at(const char *path)
{
	if (fail_nth >= 0)
		close(fail_nth);
	fail_nth = open(path, O_RDWR | O_CLOEXEC);
	return fail_nth >= 0;
}

static void aim_at_myself(void)
{
	if (!aim_at("/proc/thread-self/fail-nth"))
		probe_die("fail-nth: %s", strerror(errno));
}

/* Control commands run in the ring's worker: a task of this process with a name of its own. */
static bool find_worker(void)
{
	struct dirent *entry;
	DIR *tasks = opendir("/proc/self/task");
	bool found = false;

	while (tasks && !found && (entry = readdir(tasks))) {
		char path[300], name[32] = "";
		int file;

		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", entry->d_name);
		file = open(path, O_RDONLY | O_CLOEXEC);
		if (file < 0)
			continue;
		found = read(file, name, sizeof(name) - 1) > 0 && !strncmp(name, "iou-wrk", 7);
		close(file);
		if (!found)
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%s/fail-nth", entry->d_name);
		found = aim_at(path); /* it may have ended meanwhile */
	}
	if (tasks)
		closedir(tasks);
	return found;
}

/* One worker for all: the next command is done by the one that is found here. */
static void aim_at_worker(struct control *control)
{
	unsigned int workers[2] = { 1, 1 };
	uint64_t features;

	io_uring_register_iowq_max_workers(&control->ring, workers);
	for (int i = 0; i < WORKER_TRIES; i++) {
		control_features_get(control, &features);
		if (find_worker())
			return;
		usleep(WORKER_WAIT_US);
	}
	probe_die("the ring has no worker, or this kernel no fail-nth");
}

/* --- commands: each does one attempt and cleans up, whatever came of it -------------------------------- */

static struct control control;

static struct ublksrv_ctrl_dev_info wanted(void)
{
	return (struct ublksrv_ctrl_dev_info){
		.dev_id = 0,
		.nr_hw_queues = 2,
		.queue_depth = DEPTH,
		.flags = UBLK_F_CMD_IOCTL_ENCODE | UBLK_F_NO_AUTO_PART_SCAN,
	};
}

static void delete_device(const char *when)
{
	int result = control_device_command(&control, UBLK_U_CMD_DEL_DEV, 0, 0);

	if (result)
		probe_die("%s: DEL_DEV: %s", when, strerror(-result));
}

static struct outcome try_add(unsigned int nth)
{
	struct ublksrv_ctrl_dev_info info = wanted();
	struct outcome outcome;

	aim_at_worker(&control);
	arm(nth);
	outcome.result = control_device_add(&control, &info);
	outcome.reached = disarm();
	if (outcome.result) {
		if (control_device_info(&control, 0, &info) != -ENODEV)
			probe_die("allocation %u: the device is there after all", nth);
		info = wanted();
		probe_expect("ADD_DEV once more", 0, control_device_add(&control, &info));
	}
	delete_device("behind ADD_DEV");
	return outcome;
}

static struct outcome try_start(unsigned int nth)
{
	struct outcome outcome;
	struct probe probe;

	memset(&probe, 0, sizeof(probe));
	probe_add(&probe, UBLK_F_NO_AUTO_PART_SCAN, DEPTH);
	probe_open(&probe, 0);
	probe_fetch_all(&probe);
	aim_at_worker(&probe.control);
	arm(nth);
	outcome.result = control_device_command(&probe.control, UBLK_U_CMD_START_DEV,
						probe.info.dev_id, (uint64_t)getpid());
	outcome.reached = disarm();
	if (outcome.result) {
		probe_expect("state", UBLK_S_DEV_DEAD, probe_state(probe.info.dev_id));
		probe_expect("START_DEV once more", 0,
			     control_device_command(&probe.control, UBLK_U_CMD_START_DEV,
						    probe.info.dev_id, (uint64_t)getpid()));
	}
	probe_end(&probe);
	return outcome;
}

/* --- requests: of a device that is there for all attempts ---------------------------------------------- */

static struct probe disk;
static struct disk_io io;

/* Which of the ring's own steps failed and was done again. */
static unsigned int again;

static void fill(char *data, unsigned int round)
{
	for (size_t i = 0; i < REQUEST_BYTES; i++)
		data[i] = (char)(i / 512 + i + round);
}

static void check_data(const char *what, const char *data, unsigned int round)
{
	char wanted[REQUEST_BYTES];

	fill(wanted, round);
	if (memcmp(data, wanted, REQUEST_BYTES))
		probe_die("%s, allocation %u: other bytes than were written", what, round);
}

/* A COMMIT_AND_FETCH which the ring may refuse for want of memory: then it is sent again. */
static void commit(uint16_t tag, int result, unsigned int nth, bool *reached)
{
	int ret;

	probe_prepare_at(&disk, UBLK_U_IO_COMMIT_AND_FETCH_REQ, tag, result,
			 (uint64_t)(uintptr_t)probe_buffer(&disk, tag));
	arm(nth);
	ret = io_uring_submit(&disk.ring);
	*reached = disarm();
	if (ret == -ENOMEM || ret == -EAGAIN || ret == 0) {
		again++;
		ret = io_uring_submit(&disk.ring);
	}
	probe_expect("io_uring_submit", 1, ret);
	ret = probe_wait(&disk, NULL, COMMIT_REFUSED_MS);
	if (ret == -ETIME)
		return;
	/* Answered at once: it never came to the driver. */
	probe_expect("a commit", -ENOMEM, ret);
	again++;
	probe_send(&disk, UBLK_U_IO_COMMIT_AND_FETCH_REQ, tag, result);
}

static struct outcome try_commit(unsigned int nth)
{
	struct outcome outcome = { 0 };
	uint16_t tag;

	aim_at_myself();
	disk_io_start(&io, &disk, UBLK_IO_OP_READ, REQUEST_BYTES);
	tag = probe_take(&disk, UBLK_IO_OP_READ);
	fill(probe_buffer(&disk, tag), nth);
	commit(tag, REQUEST_BYTES, nth, &outcome.reached);
	probe_expect("a read", REQUEST_BYTES, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	check_data("a read", io.data, nth);
	return outcome;
}

static struct outcome try_delivery(unsigned int nth)
{
	struct outcome outcome = { 0 };
	uint16_t tag;

	aim_at_myself();
	if (madvise(disk.buffers, (size_t)PROBE_DEPTH_MAX * PROBE_BUFFER_BYTES, MADV_DONTNEED))
		probe_die("MADV_DONTNEED: %s", strerror(errno));
	fill(io.data, nth);
	disk_io_start(&io, &disk, UBLK_IO_OP_WRITE, REQUEST_BYTES);
	arm(nth);
	tag = probe_take(&disk, UBLK_IO_OP_WRITE);
	outcome.reached = disarm();
	check_data("a write", probe_buffer(&disk, tag), nth);
	probe_send(&disk, UBLK_U_IO_COMMIT_AND_FETCH_REQ, tag, REQUEST_BYTES);
	probe_expect("a write", REQUEST_BYTES, disk_io_wait(&io, PROBE_TIMEOUT_MS));
	return outcome;
}

/* What the disk's user does, in a thread that arms itself. */
struct use {
	pthread_t thread;
	unsigned int nth;
	struct outcome outcome;
};

static void *use_disk(void *argument)
{
	struct use *use = argument;
	char path[CONTROL_PATH_BYTES];
	ssize_t done;
	int fd;

	snprintf(path, sizeof(path), "/dev/ublkb%u", disk.info.dev_id);
	fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (fd < 0)
		probe_die("%s: %s", path, strerror(errno));
	aim_at_myself();
	arm(use->nth);
	done = pwrite(fd, io.data, REQUEST_BYTES, 0);
	use->outcome.result = done < 0 ? -errno : 0;
	use->outcome.reached = disarm();
	if (done >= 0)
		probe_expect("a write", REQUEST_BYTES, done);
	close(fd);
	return NULL;
}

static struct outcome try_request(unsigned int nth)
{
	struct use use = { .nth = nth };
	uint16_t tag = 0;
	int ret;

	fill(io.data, nth);
	if (pthread_create(&use.thread, NULL, use_disk, &use))
		probe_die("no thread");
	/* A request that failed never comes here. */
	ret = probe_wait(&disk, &tag, REQUEST_LOST_MS);
	if (ret == UBLK_IO_RES_OK) {
		check_data("a write", probe_buffer(&disk, tag), nth);
		probe_send(&disk, UBLK_U_IO_COMMIT_AND_FETCH_REQ, tag, REQUEST_BYTES);
	} else {
		probe_expect("no request", -ETIME, ret);
	}
	if (pthread_join(use.thread, NULL))
		probe_die("a thread is lost");
	if (!use.outcome.result && ret)
		probe_die("allocation %u: a write succeeded that nobody has seen", nth);
	return use.outcome;
}

static void requests_begin(void)
{
	probe_run(&disk, UBLK_F_NO_AUTO_PART_SCAN, DEPTH);
	/* The first one gets its memory; what the disk's first opening wants to know is answered too. */
	disk_io_start(&io, &disk, UBLK_IO_OP_READ, REQUEST_BYTES);
	probe_serve(&disk, REQUEST_LOST_MS);
	probe_expect("the first read", REQUEST_BYTES, disk_io_wait(&io, PROBE_TIMEOUT_MS));
}

/* --- all allocations of one operation -------------------------------------------------------------- */

/* `failed_min`, `refused_min`: so many allocations have to fail, and so many times the operation, or nothing
 * was tested. A kernel may need no memory at all for a small request.
 * `has_name`: that of a disk's name ends with EINVAL instead of ENOMEM: device_add_disk() does not look
 * whether the name could be copied, and device_add() then finds a device without one. */
struct operation {
	const char *name;
	struct outcome (*attempt)(unsigned int nth);
	unsigned int failed_min, refused_min;
	bool has_name;
};

/* The name's place among the allocations moves by those pages that slabs need in one attempt and not in the
 * next: EINVAL may come this near to the first one. */
#define NAME_MOVES 6

static void each_allocation(const struct operation *operation)
{
	unsigned int nth, refused = 0, borne = 0, nameless = 0, name_nth = 0;
	struct outcome outcome = { .reached = true };

	again = 0;
	for (nth = 1; nth <= FAILURES_MAX; nth++) {
		outcome = operation->attempt(nth);
		if (!outcome.reached)
			break;
		if (outcome.result == -EINVAL && operation->has_name) {
			name_nth = nameless++ ? name_nth : nth;
			if (nth - name_nth > NAME_MOVES)
				probe_die("%s: allocations %u and %u: EINVAL", operation->name,
					  name_nth, nth);
		} else if (outcome.result && outcome.result != -ENOMEM) {
			probe_die("%s: allocation %u: %s", operation->name, nth,
				  strerrorname_np(-outcome.result));
		}
		refused += outcome.result != 0;
		borne += outcome.result == 0;
	}
	if (outcome.reached)
		probe_die("%s: there is no end of allocations", operation->name);
	if (outcome.result)
		probe_die("%s: fails without a fault", operation->name);
	/* No fault, no test. */
	if (nth - 1 < operation->failed_min || refused < operation->refused_min)
		probe_die("%s: %u allocations failed, %u of them seen", operation->name, nth - 1,
			  refused);
	printf("# %s: %u allocations failed: %u times ENOMEM, %u times no name, %u times it did "
	       "without (%u times at a second attempt)\n",
	       operation->name, nth - 1, refused - nameless, nameless, borne, again);
	fflush(stdout);
}

static const struct operation operations[] = {
	{ "ADD_DEV", try_add, 1, 1, false },
	{ "START_DEV", try_start, 1, 1, true },
};

static const struct operation requests[] = {
	{ "a write, for its sender", try_request, 0, 0, false },
	{ "a write, on its way to the daemon", try_delivery, 1, 0, false },
	{ "a read, for the daemon that commits it", try_commit, 0, 0, false },
};

int main(void)
{
	prepare_injection();
	if (control_open(&control) < 0)
		probe_die("/dev/ublk-control: %s", strerror(errno));
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
		each_allocation(&operations[i]);
	requests_begin();
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		each_allocation(&requests[i]);
	probe_end(&disk);
	return 0;
}
