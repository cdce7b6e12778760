/* SPDX-License-Identifier: MIT */
/*
 * open_files.h - what to do where there are too many open files. A library says of that only what it made of it
 * (a name that is not known), so it can be asked for.
 */
#ifndef GATEWAY_COMMON_OPEN_FILES_H
#define GATEWAY_COMMON_OPEN_FILES_H

#include <stddef.h>

/* EMFILE or ENFILE where no further file can be opened just now, else 0. */
int open_files_shortage(void);
/* fcntl(F_DUPFD...), which fails by EINVAL where the lowest number asked for is above the limit: that is EMFILE. */
int open_files_dup_error(int error);
/* A sentence that ends by such an errno's words (strerror()) gets what to do. */
void open_files_add_remedy(char *sentence, size_t sentence_bytes);

#endif
