/* SPDX-License-Identifier: MIT */
/*
 * ublk_server.c - goal: test any ublk driver, ours or the kernel's own, with a server that has nothing
 * to do with NBD: a null target (nothing is done) and a loop target (each request is done on a file).
 * method: verbs, one control command or one server each.
 *
 *   ublk_server features | affinity --id N --queue N
 *   ublk_server add OPTION...              ADD_DEV and SET_PARAMS, no more; prints the device
 *   ublk_server serve [-d] OPTION...       add, fetch, START_DEV, and serve until the commands end
 *   ublk_server recover [-d] --id N OPTION...  START_USER_RECOVERY, fetch, END_USER_RECOVERY, serve
 *   ublk_server start|recover-start|recover-end|stop|try-stop|delete|delete-async|info|params --id N
 *   ublk_server resize --id N --size BYTES | quiesce --id N --timeout-ms N
 *
 * The options are the table in ublk/options.c. With -d it goes to the background when the disk is there.
 * Prints "id=N state=S pid=N queues=N depth=N max_io=N features=LIST owner=U:G". Exit status: 0; 77 a
 * feature that was asked for is not granted (the device is deleted again); 2 called wrongly; else 1, with
 * the driver's errno by name on stderr.
 */
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/guest/ublk/control.h"
#include "tests/guest/ublk/options.h"
#include "tests/guest/ublk/server.h"

static struct options options;
static struct server server = { .options = &options };

static int failed(const char *what, int error)
{
	fprintf(stderr, "ublk_server: %s: %s\n", what, strerrorname_np(-error));
	return 1;
}

static void print_features(uint64_t features)
{
	const char *separator = "";

	for (uint32_t bit = 0; control_feature_name(bit); bit++) {
		if (!(features >> bit & 1))
			continue;
		printf("%s%s", separator, control_feature_name(bit));
		separator = ",";
	}
}

static void print_info(const struct ublksrv_ctrl_dev_info *info)
{
	printf("id=%u state=%s pid=%d queues=%u depth=%u max_io=%u features=", info->dev_id,
	       control_state_name(info->state), info->ublksrv_pid, info->nr_hw_queues,
	       info->queue_depth, info->max_io_buf_bytes);
	print_features(info->flags);
	printf(" owner=%u:%u\n", info->owner_uid, info->owner_gid);
	fflush(stdout);
}

static void crash_if(enum moment moment)
{
	if (options.crash_at == moment)
		kill(getpid(), SIGKILL);
}

/* --- verbs ----------------------------------------------------------------------------------------- */

static int verb_features(void)
{
	uint64_t features = 0;
	int ret = control_features_get(&server.control, &features);

	if (ret < 0)
		return failed("GET_FEATURES", ret);
	print_features(features);
	putchar('\n');
	return 0;
}

static int add(void)
{
	uint64_t missing;
	int ret;

	server.info = (struct ublksrv_ctrl_dev_info){
		.dev_id = options.id,
		.nr_hw_queues = (uint16_t)options.queues,
		.queue_depth = (uint16_t)options.depth,
		.max_io_buf_bytes = options.max_io_bytes,
		.ublksrv_flags = options.tag ? (uint64_t)options.tag << 32 | (uint32_t)getpid() : 0,
		.flags = options.features | (options.legacy ? 0 : UBLK_F_CMD_IOCTL_ENCODE),
	};
	ret = control_device_add(&server.control, &server.info);
	if (ret < 0)
		return failed("ADD_DEV", ret);
	missing = options.features & ~server.info.flags;
	if (missing) {
		fprintf(stderr, "ublk_server: not granted: %#llx\n", (unsigned long long)missing);
		control_device_command(&server.control, UBLK_U_CMD_DEL_DEV, server.info.dev_id, 0);
		return EXIT_SKIP;
	}
	return 0;
}

static int verb_add(void)
{
	int ret = add();

	if (ret)
		return ret;
	ret = control_params_set(&server.control, server.info.dev_id, &options.params);
	if (ret < 0) {
		control_device_command(&server.control, UBLK_U_CMD_DEL_DEV, server.info.dev_id, 0);
		return failed("SET_PARAMS", ret);
	}
	print_info(&server.info);
	return 0;
}

/* From here on it is another process: before any thread is made. The first waits for the word. */
static int go_to_background(void)
{
	int word[2];
	char status = 1;

	if (!options.daemonize)
		return -1;
	if (pipe(word))
		return -1;
	if (fork()) {
		close(word[1]);
		if (read(word[0], &status, 1) != 1)
			status = 1;
		_exit(status);
	}
	close(word[0]);
	setsid();
	return word[1];
}

static void tell(int word, char status)
{
	if (word < 0)
		return;
	if (write(word, &status, 1) != 1)
		_exit(1);
	close(word);
	if (!freopen("/dev/null", "w", stdout))
		_exit(1);
}

static int serve_with(uint32_t start_op, const char *name)
{
	struct ublksrv_ctrl_dev_info info;
	int ret = server_open(&server);

	if (ret)
		return 1;
	crash_if(MOMENT_FETCHED);
	ret = control_device_command(&server.control, start_op, server.info.dev_id,
				     (uint64_t)getpid());
	if (ret < 0)
		return failed(name, ret);
	crash_if(MOMENT_STARTED);
	/* Not into server.info, which the threads are using by now. */
	control_device_info(&server.control, server.info.dev_id, &info);
	print_info(&info);
	return 0;
}

static int add_to_serve(void)
{
	int ret = add();

	if (ret)
		return ret;
	crash_if(MOMENT_ADDED);
	/* An unprivileged device's owner may speak of it only once the node is his. */
	for (int i = 0; i < 500; i++) {
		ret = control_params_set(&server.control, server.info.dev_id, &options.params);
		if (!options.with_path || (ret != -EACCES && ret != -ENOENT))
			break;
		usleep(10000);
	}
	return ret < 0 ? failed("SET_PARAMS", ret) : 0;
}

static int verb_serve(void)
{
	int word = go_to_background();
	int ret = control_open(&server.control);

	if (ret < 0)
		return failed("/dev/ublk-control", ret);
	ret = add_to_serve();
	if (!ret) {
		ret = serve_with(UBLK_U_CMD_START_DEV, "START_DEV");
		if (ret)
			control_device_command(&server.control, UBLK_U_CMD_DEL_DEV_ASYNC,
					       server.info.dev_id, 0);
	}
	tell(word, (char)ret);
	if (!ret)
		server_run(&server);
	return ret;
}

/* The device may be about to notice that its daemon is gone: EBUSY for at most 5 s. */
static int verb_recover(void)
{
	int word = go_to_background();
	int ret = control_open(&server.control);

	if (ret < 0)
		return failed("/dev/ublk-control", ret);
	for (int i = 0; i < 500; i++) {
		ret = control_device_command(&server.control, UBLK_U_CMD_START_USER_RECOVERY,
					     options.id, 0);
		if (ret != -EBUSY)
			break;
		usleep(10000);
	}
	if (ret >= 0)
		ret = control_device_info(&server.control, options.id, &server.info);
	if (ret < 0)
		ret = failed("START_USER_RECOVERY", ret);
	else
		ret = serve_with(UBLK_U_CMD_END_USER_RECOVERY, "END_USER_RECOVERY");
	tell(word, (char)ret);
	if (!ret)
		server_run(&server);
	return ret;
}

static int verb_info(void)
{
	int ret = control_device_info(&server.control, options.id, &server.info);

	if (ret < 0)
		return failed("GET_DEV_INFO", ret);
	print_info(&server.info);
	return 0;
}

static int verb_params(void)
{
	struct ublk_params params;
	int ret = control_params_get(&server.control, options.id, &params);

	if (ret < 0)
		return failed("GET_PARAMS", ret);
	printf("types=%#x attrs=%#x logical=%u physical=%u io_min=%u io_opt=%u max_sectors=%u "
	       "chunk=%u sectors=%llu\n",
	       params.types, params.basic.attrs, 1u << params.basic.logical_bs_shift,
	       1u << params.basic.physical_bs_shift, 1u << params.basic.io_min_shift,
	       1u << params.basic.io_opt_shift, params.basic.max_sectors,
	       params.basic.chunk_sectors, (unsigned long long)params.basic.dev_sectors);
	printf("discard=%u zeroes=%u dma=%#x segments=%u segment=%u boundary=%#llx char=%u:%u "
	       "disk=%u:%u\n",
	       params.discard.max_discard_sectors, params.discard.max_write_zeroes_sectors,
	       params.dma.alignment, params.seg.max_segments, params.seg.max_segment_size,
	       (unsigned long long)params.seg.seg_boundary_mask, params.devt.char_major,
	       params.devt.char_minor, params.devt.disk_major, params.devt.disk_minor);
	return 0;
}

/* The CPUs of one queue, by number. */
static int verb_affinity(void)
{
	uint64_t mask[16] = { 0 };
	struct control_call call = {
		.op = UBLK_U_CMD_GET_QUEUE_AFFINITY,
		.dev_id = options.id,
		.buffer = mask,
		.length = sizeof(mask),
		.data = options.queue,
	};
	int ret = control_send(&server.control, &call);

	if (ret < 0)
		return failed("GET_QUEUE_AFFINITY", ret);
	for (uint32_t cpu = 0; cpu < sizeof(mask) * 8; cpu++)
		if (mask[cpu / 64] >> cpu % 64 & 1)
			printf("%u ", cpu);
	putchar('\n');
	return 0;
}

static int verb_plain(void)
{
	const struct {
		const char *verb;
		uint32_t op;
		uint64_t data;
	} verbs[] = {
		{ "start", UBLK_U_CMD_START_DEV, (uint64_t)getpid() },
		{ "recover-start", UBLK_U_CMD_START_USER_RECOVERY, 0 },
		{ "recover-end", UBLK_U_CMD_END_USER_RECOVERY, (uint64_t)getpid() },
		{ "stop", UBLK_U_CMD_STOP_DEV, 0 },
		{ "try-stop", UBLK_U_CMD_TRY_STOP_DEV, 0 },
		{ "delete", UBLK_U_CMD_DEL_DEV, 0 },
		{ "delete-async", UBLK_U_CMD_DEL_DEV_ASYNC, 0 },
		{ "resize", UBLK_U_CMD_UPDATE_SIZE, options.size_bytes / 512 },
		{ "quiesce", UBLK_U_CMD_QUIESCE_DEV, options.timeout_ms },
	};

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		int ret;

		if (strcmp(verbs[i].verb, options.verb) != 0)
			continue;
		ret = control_device_command(&server.control, verbs[i].op, options.id,
					     verbs[i].data);
		return ret < 0 ? failed(options.verb, ret) : 0;
	}
	fprintf(stderr, "ublk_server: no such verb: %s\n", options.verb);
	return 2;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *verb;
		int (*run)(void);
	} verbs[] = { { "features", verb_features },
		      { "add", verb_add },
		      { "info", verb_info },
		      { "params", verb_params },
		      { "affinity", verb_affinity } };
	int ret;

	options_read(&options, argc, argv);
	server.control.legacy = options.legacy;
	server.control.with_path = options.with_path;
	if (options.uid && (setgroups(0, NULL) || setgid(options.uid) || setuid(options.uid)))
		return failed("--uid", -errno);
	if (!strcmp(options.verb, "serve"))
		return verb_serve();
	if (!strcmp(options.verb, "recover"))
		return verb_recover();
	ret = control_open(&server.control);
	if (ret < 0)
		return failed("/dev/ublk-control", ret);
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (!strcmp(verbs[i].verb, options.verb))
			return verbs[i].run();
	return verb_plain();
}
