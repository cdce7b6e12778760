/* SPDX-License-Identifier: MIT */
#include "tests/guest/ublk/abi.h"

#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Far more than an answer takes, and what waits for ever is to be asked about often. */
#define ANSWER_MS 700

static const char *errno_name(int64_t value)
{
	return value < 0 && value > -4096 ? strerrorname_np((int)-value) : NULL;
}

void abi_answer(const char *what, int64_t result)
{
	const char *name = errno_name(result);

	if (name)
		printf("%s | %s\n", what, name);
	else
		printf("%s | %lld\n", what, (long long)result);
}

void abi_words(const char *what, const char *format, ...)
{
	va_list arguments;

	printf("%s | ", what);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
}

static int call(const struct control_call *call, uint32_t timeout_ms)
{
	struct control control = { .timeout_ms = timeout_ms };
	int result = control_open(&control);

	if (result < 0)
		probe_die("/dev/ublk-control: %s", strerror(-result));
	result = control_send(&control, call);
	control_close(&control);
	return result;
}

int abi_call(uint32_t op, uint32_t id, void *buffer, uint16_t length)
{
	struct control_call asked = { .op = op, .dev_id = id, .buffer = buffer, .length = length };

	return call(&asked, PROBE_TIMEOUT_MS);
}

int abi_command(uint32_t op, uint32_t id, uint64_t data)
{
	struct control_call asked = { .op = op, .dev_id = id, .data = data };

	return call(&asked, ANSWER_MS * probe_scale());
}

const char *abi_features(uint64_t features)
{
	static char text[400];
	size_t used = 0;

	text[0] = '\0';
	for (uint32_t bit = 0; bit < 64; bit++) {
		const char *name = control_feature_name(bit);

		if (!(features >> bit & 1))
			continue;
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", used ? "," : "",
					 name ? name : "unknown");
		if (used >= sizeof(text))
			probe_die("too many features");
	}
	return text;
}

void abi_add(struct probe *probe, uint64_t features)
{
	probe->info = probe_info_plain();
	probe->info.queue_depth = ABI_DEPTH;
	probe->info.flags |= features | UBLK_F_NO_AUTO_PART_SCAN;
	probe_expect("ADD_DEV", 0, probe_add_with(probe, probe->info));
}

void abi_delete(const struct probe *probe)
{
	probe_expect("DEL_DEV", 0, probe_control(UBLK_U_CMD_DEL_DEV, probe->info.dev_id, 0));
}

void abi_become_stranger(void)
{
	if (setgroups(0, NULL) || setgid(ABI_STRANGER) || setuid(ABI_STRANGER))
		probe_die("cannot become another user");
}

struct ublksrv_ctrl_dev_info abi_info(uint32_t id)
{
	struct ublksrv_ctrl_dev_info info;

	probe_expect("GET_DEV_INFO", 0, probe_info_of(id, &info));
	return info;
}
