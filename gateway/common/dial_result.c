// SPDX-License-Identifier: MIT
#include "gateway/common/dial_result.h"

#include <stdlib.h>

void dial_result_clear(struct dial_result *result)
{
	transport_close(result->transport);
	free(result->export);
	dial_list_free(result->list);
	result->transport = NULL;
	result->export = NULL;
	result->list = NULL;
}
