/* SPDX-License-Identifier: GPL-2.0 */
/* control.h - /dev/ublk-control: what makes, changes and ends devices. */
#ifndef UBLK_CONTROL_H
#define UBLK_CONTROL_H

int ublk_control_init(void);
void ublk_control_exit(void);

#endif
