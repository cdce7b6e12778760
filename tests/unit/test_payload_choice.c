/* SPDX-License-Identifier: MIT */
/*
 * Goal: what the driver granted decides how payloads move: user copy where it has that, mapped buffers
 * where an older driver dropped the wish, and an error only where user copy was insisted on.
 * Method: the choice of start.c, which is private, over each wish and each answer of the driver.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "gateway/disk/start.c" /* NOLINT(bugprone-suspicious-include): its private function */

static const struct {
	enum disk_payload wish;
	uint64_t granted; /* flags, as ADD_DEV returns them */
	bool works;
	enum disk_payload payload;
} cases[] = {
	{ DISK_PAYLOAD_AUTO, UBLK_F_USER_COPY, true, DISK_PAYLOAD_USER_COPY },
	{ DISK_PAYLOAD_AUTO, 0, true, DISK_PAYLOAD_MAPPED },
	{ DISK_PAYLOAD_AUTO, UBLK_F_UPDATE_SIZE | UBLK_F_CMD_IOCTL_ENCODE, true,
	  DISK_PAYLOAD_MAPPED },
	{ DISK_PAYLOAD_USER_COPY, UBLK_F_USER_COPY, true, DISK_PAYLOAD_USER_COPY },
	{ DISK_PAYLOAD_USER_COPY, 0, false, DISK_PAYLOAD_AUTO },
	{ DISK_PAYLOAD_MAPPED, 0, true, DISK_PAYLOAD_MAPPED },
};

static void what_is_granted_decides(void **state)
{
	static struct disk disk;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		memset(&disk, 0, sizeof(disk));
		disk.config.payload = cases[i].wish;
		disk.info.flags = cases[i].granted;
		assert_int_equal(choose_payload(&disk), cases[i].works);
		if (cases[i].works) {
			assert_int_equal(disk.shared.mapped,
					 cases[i].payload == DISK_PAYLOAD_MAPPED);
			continue;
		}
		assert_int_equal(disk.exit_code, EXIT_CODE_SYSTEM);
		assert_non_null(strstr(disk.sentence, "--payload mapped"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_granted_decides),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
