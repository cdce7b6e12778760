/* SPDX-License-Identifier: MIT */
/* sparse.h - what newer kernels' headers use and Debian 12's sparse does not know. */
#define __typeof_unqual__   __typeof__
#define __builtin_strlen(s) (sizeof(s) - 1)
