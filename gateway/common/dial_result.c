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

void dial_like(struct dial_options *options, const struct nbd_export *export)
{
	options->no_extended = export->framing != NBD_FRAMING_EXTENDED;
	options->no_structured = export->framing == NBD_FRAMING_SIMPLE;
	options->export_name_only = export->used_export_name;
}
