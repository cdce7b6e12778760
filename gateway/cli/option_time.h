/* SPDX-License-Identifier: MIT */
/*
 * option_time.h - times that may be a word as well: "never", "auto".
 */
#ifndef GATEWAY_CLI_OPTION_TIME_H
#define GATEWAY_CLI_OPTION_TIME_H

#include "gateway/cli/options.h"

/* Each parses text, as option_duration_ms() does, up to 30 days; false: it has complained. */
bool option_dead_timeout(const struct options *options, const char *text, uint32_t *ms);
bool option_quiet_time(const struct options *options, const char *text, uint32_t *ms);
bool option_retry_for(const struct options *options, const char *text, uint32_t *ms);

#endif
