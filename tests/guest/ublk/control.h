/* SPDX-License-Identifier: MIT */
/*
 * control.h - the ublk driver's control commands as a test needs them: in both encodings, with and
 * without the char device's path, each with a deadline, and with the driver's own errno as the answer.
 *
 * A handle belongs to one thread. All calls return 0 (or what is stated) or -errno; -ETIME: no
 * answer before the deadline, and the handle is of no use any more.
 */
#ifndef TESTS_GUEST_UBLK_CONTROL_H
#define TESTS_GUEST_UBLK_CONTROL_H

#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>

#include "kernel/ublk_cmd.h"

#define CONTROL_PATH	   "/dev/ublk-control"
#define CONTROL_TIMEOUT_MS 30000
#define CONTROL_PATH_BYTES 32 /* "/dev/ublkcN" and its zero */

struct control {
	int fd;
	struct io_uring ring;
	bool legacy;	/* opcodes as bare numbers, as before 6.4 */
	bool with_path; /* each command carries the char device's path (unprivileged devices) */
	uint32_t timeout_ms;
	uint64_t sequence;
};

/* One command. The buffer is read or written by the driver; data is the command's inline word. */
struct control_call {
	uint32_t op; /* UBLK_U_CMD_*, whichever encoding is sent */
	uint32_t dev_id;
	void *buffer;
	uint16_t length;
	uint64_t data;
};

int control_open(struct control *control);
void control_close(struct control *control);
int control_send(struct control *control, const struct control_call *call);
/* One command as it is, without a path. */
int control_submit(struct control *control, uint32_t op, const struct ublksrv_ctrl_cmd *command);

int control_features_get(struct control *control, uint64_t *features);
/* *info: what is asked for, and then what was granted. */
int control_device_add(struct control *control, struct ublksrv_ctrl_dev_info *info);
int control_device_info(struct control *control, uint32_t id, struct ublksrv_ctrl_dev_info *info);
/* Any command that has no buffer: START_DEV, STOP_DEV, DEL_DEV, UPDATE_SIZE, ... */
int control_device_command(struct control *control, uint32_t op, uint32_t id, uint64_t data);
int control_params_set(struct control *control, uint32_t id, struct ublk_params *params);
int control_params_get(struct control *control, uint32_t id, struct ublk_params *params);

/* "user-copy", ... <-> UBLK_F_*. */
uint64_t control_feature_of(const char *name);	/* 0: no such */
const char *control_feature_name(uint32_t bit); /* NULL: none */
const char *control_state_name(uint16_t state);

#endif
