/* SPDX-License-Identifier: MIT */
#include "gateway/common/open_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int open_files_shortage(void)
{
	int fd = open("/", O_PATH | O_CLOEXEC);
	int error = fd < 0 ? errno : 0;

	if (fd >= 0)
		close(fd);
	return error == EMFILE || error == ENFILE ? error : 0;
}

int open_files_dup_error(int error)
{
	return error == EINVAL ? EMFILE : error;
}

static bool ends_with(const char *sentence, const char *words)
{
	size_t bytes = strlen(sentence), words_bytes = strlen(words);

	return bytes >= words_bytes && !strcmp(sentence + bytes - words_bytes, words);
}

void open_files_add_remedy(char *sentence, size_t sentence_bytes)
{
	size_t used = strlen(sentence);
	const char *remedy = NULL;

	if (ends_with(sentence, strerror(EMFILE)))
		remedy = ": raise RLIMIT_NOFILE (ulimit -n)";
	else if (ends_with(sentence, strerror(ENFILE)))
		remedy = ": raise the sysctl fs.file-max, or end what holds so many";
	if (remedy && used + strlen(remedy) < sentence_bytes)
		snprintf(sentence + used, sentence_bytes - used, "%s", remedy);
}
