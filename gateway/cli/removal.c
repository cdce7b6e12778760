/* SPDX-License-Identifier: MIT */
#include "gateway/cli/removal.h"

#include <errno.h>
#include <sys/mman.h>

#include "gateway/cli/aside.h"
#include "gateway/common/ublk_control.h"

static bool is_read_only(uint32_t number)
{
	struct ublk_control *control;
	struct ublk_params params = { 0 };
	char error[400];
	bool known;

	if (ublk_control_open(&control, error, sizeof(error)))
		return false;
	known = !ublk_control_get_params(control, number, &params);
	ublk_control_close(control);
	return known && params.basic.attrs & UBLK_ATTR_READ_ONLY;
}

struct stop_job {
	const struct disk_stop_request *request;
	struct disk_stop_answer *answer; /* shared */
};

static void stop_run(const void *argument)
{
	const struct stop_job *job = argument;

	disk_stop_run(job->request, job->answer);
}

void removal_run(const struct ublksrv_ctrl_dev_info *info, int64_t deadline_ms,
		 struct removal *removal)
{
	struct disk_stop_request request = {
		.number = info->dev_id,
		.ask_in_use = info->flags & UBLK_F_SAFE_STOP_DEV,
		.flush = !is_read_only(info->dev_id),
	};
	struct disk_stop_answer *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
					       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct stop_job job = { &request, shared };

	*removal = (struct removal){ .answer.result = -ECHILD };
	if (shared == MAP_FAILED)
		return;
	shared->result = -ECHILD;
	switch (aside_run(stop_run, &job, deadline_ms)) {
	case 0:
		removal->answer = *shared;
		break;
	case -ETIMEDOUT:
		removal->answer = *shared;
		removal->answer.result = -ETIMEDOUT;
		break;
	default: /* it was not started */
		break;
	}
	removal->lossless = !request.flush || removal->answer.flushed || removal->answer.unwritten;
	munmap(shared, sizeof(*shared));
}
