/* SPDX-License-Identifier: MIT */
/*
 * udev_rule.h - the rule by which udev gives a disk its link, gateway/54-ublk-nbd.rules.
 */
#ifndef GATEWAY_COMMON_UDEV_RULE_H
#define GATEWAY_COMMON_UDEV_RULE_H

#include <stdbool.h>

/* udevd runs and can be asked. */
bool udev_runs(void);
/* The rule is in one of the folders that udev(7) names. */
bool udev_has_rule(void);

#endif
