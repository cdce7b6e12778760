/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "gateway/cli/forecast.h"
#include "proto/wire.h"

static const char *forecast_cache(uint16_t flags)
{
	bool flush = flags & NBD_FLAG_SEND_FLUSH, fua = flags & NBD_FLAG_SEND_FUA;

	if (flush)
		return fua ? "flushed on demand; single writes can be forced (FUA)"
			   : "flushed on demand";
	return fua ? "none that can be flushed: every write is forced (FUA)"
		   : "not known: the server takes neither flush nor FUA, so a write counts as "
		     "done when it is answered";
}

void forecast_make(struct forecast *forecast, const struct nbd_export *export, uint32_t cpus)
{
	struct disk_config config;

	memset(forecast, 0, sizeof(*forecast));
	disk_config_init(&config);
	forecast->possible = params_derive(&forecast->disk, export, &config, cpus,
					   forecast->why_not, sizeof(forecast->why_not)) == 0;
	disk_config_clear(&config);
	forecast->cache = forecast_cache(export->flags);
}
