/* SPDX-License-Identifier: MIT */
/*
 * uring_compat.h - what liburing 2.3 (Debian 12) does not declare, with the first kernel that has
 * it. Include instead of <liburing.h>. Each is probed for, or its refusal handled, at run time.
 */
#ifndef GATEWAY_COMMON_URING_COMPAT_H
#define GATEWAY_COMMON_URING_COMPAT_H

#include <liburing.h>

#ifndef IORING_SETUP_SINGLE_ISSUER
#define IORING_SETUP_SINGLE_ISSUER (1U << 12) /* 6.0 */
#endif
#ifndef IORING_SETUP_DEFER_TASKRUN
#define IORING_SETUP_DEFER_TASKRUN (1U << 13) /* 6.1 */
#endif
#ifndef IORING_TIMEOUT_MULTISHOT
#define IORING_TIMEOUT_MULTISHOT (1U << 6) /* 6.4 */
#endif

#endif
