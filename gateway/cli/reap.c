/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/cli/disks.h"
#include "gateway/cli/reap.h"
#include "gateway/common/server_tag.h"
#include "gateway/common/ublk_control.h"

#define REAP_TIMEOUT_MS 10000

static int explain(uint32_t number, const char *doing, int error, char *out, size_t out_bytes)
{
	if (error == -ETIMEDOUT)
		snprintf(out, out_bytes,
			 "%s /dev/ublkb%u takes too long: something in the kernel still uses it; "
			 "unmount what is on it and try again",
			 doing, number);
	else
		snprintf(out, out_bytes, "%s /dev/ublkb%u: %s", doing, number, strerror(-error));
	return error;
}

/* The device that is meant: its number alone may be another's by now. */
struct victim {
	uint32_t number;
	uint64_t tag;
	uint32_t timeout_ms;
};

/* 0: the kernel has the device that we mean. -ENODEV: it has none of this number. */
static int look_again(struct ublk_control *control, const struct victim *victim, char *error,
		      size_t error_bytes)
{
	struct ublksrv_ctrl_dev_info info;
	int result = ublk_control_get_info(control, victim->number, &info);

	if (result == -ENODEV)
		return result;
	if (result)
		return explain(victim->number, "asking the kernel about", result, error,
			       error_bytes);
	if (info.ublksrv_flags == victim->tag)
		return 0;
	snprintf(error, error_bytes,
		 "/dev/ublkb%u is another disk by now, which is left alone: 'ublk-nbd list' shows "
		 "it",
		 victim->number);
	return -ESTALE;
}

/* The files go while the number is still taken: once it is free, another disk may have it, and its
 * files. */
static int reap_with(struct ublk_control *control, const struct victim *victim, char *error,
		     size_t error_bytes)
{
	int result = look_again(control, victim, error, error_bytes);

	if (result == -ENODEV) {
		disk_forget(victim->number);
		return result;
	}
	if (result)
		return result;
	result = ublk_control_stop(control, victim->number, victim->timeout_ms);
	if (result < 0 && result != -ENODEV)
		return explain(victim->number, "stopping", result, error, error_bytes);
	/* Somebody else may have deleted it meanwhile, and the number may be taken again. */
	result = look_again(control, victim, error, error_bytes);
	if (result && result != -ENODEV && result != -ESTALE)
		return result;
	if (!result) {
		disk_forget(victim->number);
		result = ublk_control_delete(control, victim->number, victim->timeout_ms);
	}
	if (result < 0 && result != -ENODEV && result != -ESTALE)
		return explain(victim->number, "deleting", result, error, error_bytes);
	if (server_tag_is_ours(victim->tag))
		disk_forget_server(victim->tag);
	return result < 0 ? -ENODEV : 0;
}

int reap_device(uint32_t number, uint64_t tag, uint32_t timeout_ms, char *error, size_t error_bytes)
{
	struct victim victim = { number, tag, timeout_ms };
	struct ublk_control *control;
	int result = ublk_control_open(&control, error, error_bytes);

	/* Without a driver there is no device either. */
	if (result == -ENOENT) {
		disk_forget(number);
		return -ENODEV;
	}
	if (result)
		return result;
	result = reap_with(control, &victim, error, error_bytes);
	ublk_control_close(control);
	return result;
}

int reap_of_tag(uint64_t tag, char *error, size_t error_bytes)
{
	struct ublk_control *control;
	uint32_t *numbers = NULL;
	size_t count = 0;
	int result = ublk_control_open(&control, error, error_bytes);

	if (result)
		return result == -ENOENT ? 0 : result;
	result = disks_list_kernel(&numbers, &count);
	for (size_t i = 0; i < count; i++) {
		struct victim victim = { numbers[i], tag, REAP_TIMEOUT_MS };
		struct ublksrv_ctrl_dev_info info;

		if (ublk_control_get_info(control, numbers[i], &info) || info.ublksrv_flags != tag)
			continue;
		result = reap_with(control, &victim, error, error_bytes);
		if (result == -ENODEV)
			result = 0;
	}
	free(numbers);
	ublk_control_close(control);
	disk_forget_server(tag);
	return result;
}

int reap_look(uint32_t number, struct ublksrv_ctrl_dev_info *info)
{
	struct ublk_control *control;
	char error[400];
	int result = ublk_control_open(&control, error, sizeof(error));

	if (result)
		return result == -ENOENT ? -ENODEV : result;
	result = ublk_control_get_info(control, number, info);
	ublk_control_close(control);
	return result;
}
