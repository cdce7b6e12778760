/* SPDX-License-Identifier: MIT */
/*
 * udev_wait.h - a connected disk's links are there when its path is printed.
 */
#ifndef GATEWAY_CLI_UDEV_WAIT_H
#define GATEWAY_CLI_UDEV_WAIT_H

#include <stdint.h>

#define UDEV_WAIT_MS 5000

/*
 * Waits until udev has handled the "change" with which the daemon of device ("/dev/ublkb0") said that
 * it is usable: then the links of 54-ublk-nbd.rules are made. Returns at once where udev does not
 * run, soon where it has no such rule. 0: there is nothing more to wait for; -ETIMEDOUT: udev was not
 * done within timeout_ms; -EINTR: a signal came, which is still to be taken (interrupt.h).
 */
int udev_wait_links(const char *device, uint32_t timeout_ms, int interrupt_fd);

#endif
