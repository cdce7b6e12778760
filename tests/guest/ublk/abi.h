/* SPDX-License-Identifier: MIT */
/*
 * abi.h - what a ublk driver answers to each control command, as lines of text: "COMMAND, CASE | ANSWER".
 *
 * tests/ublk-abi.list has what the kernel's own driver and ours answer, and tests/system/ublk-abi.sh
 * compares. An answer is an errno's name, a number, or words. Whatever a section cannot do on the way to
 * its question ends the process with a sentence. Each section leaves no device.
 */
#ifndef TESTS_GUEST_UBLK_ABI_H
#define TESTS_GUEST_UBLK_ABI_H

#include "tests/guest/ublk/probe.h"

#define ABI_DEPTH      4
#define ABI_PAGE_BYTES 4096u
#define ABI_STRANGER   1000 /* user and group of somebody without rights */

/* One line: a result (negative: an errno), or words. */
void abi_answer(const char *what, int64_t result);
void abi_words(const char *what, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A control command with this buffer; abi_command() has none, and gives up after a short while. */
int abi_call(uint32_t op, uint32_t id, void *buffer, uint16_t length);
int abi_command(uint32_t op, uint32_t id, uint64_t data);

/* The names of these features, commas between them. */
const char *abi_features(uint64_t features);

/* A device of one queue with what the caller left in probe->info; the id in probe->info.dev_id. */
void abi_add(struct probe *probe, uint64_t features);
void abi_delete(const struct probe *probe);

void abi_become_stranger(void);

/* What the driver says of the device, or dies. */
struct ublksrv_ctrl_dev_info abi_info(uint32_t id);

/* The sections, in this order. */
void abi_adding(void);	   /* ADD_DEV */
void abi_parameters(void); /* SET_PARAMS, GET_PARAMS */
void abi_limits(void);	   /* the disk's limits that follow from them */
void abi_asking(void);	   /* GET_DEV_INFO, GET_QUEUE_AFFINITY, GET_FEATURES, what does not exist */
void abi_life(void);	   /* START_DEV, STOP_DEV, TRY_STOP_DEV, UPDATE_SIZE */
void abi_recovery(void);   /* QUIESCE_DEV, START_USER_RECOVERY, END_USER_RECOVERY */
void abi_rights(void);	   /* unprivileged devices, daemons without rights */

#endif
