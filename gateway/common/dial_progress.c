// SPDX-License-Identifier: MIT
#include "gateway/common/dial_progress.h"

void dial_report(struct dial *dial, enum dial_stage stage, int error, const char *sentence)
{
	dial->result->stage = stage;
	if (dial->options->progress)
		dial->options->progress(dial->options->context, stage, error, sentence);
}

int dial_fail(struct dial *dial, enum dial_stage stage, int error, enum exit_code code)
{
	dial->result->error = error;
	dial->result->exit_code = code;
	dial_report(dial, stage, error, dial->result->sentence);
	return -error;
}
