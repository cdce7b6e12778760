/* SPDX-License-Identifier: MIT */
#include "tls/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/crypto.h>

static int read_all(int fd, char *text, size_t *length, size_t bytes_max)
{
	*length = 0;
	while (*length < bytes_max) {
		ssize_t n = read(fd, text + *length, bytes_max - *length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		*length += (size_t)n;
	}
	text[*length] = '\0';
	return 0;
}

int tls_file_read(const char *path, size_t bytes_max, char **text, size_t *length)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), ret = 0;
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		ret = -errno;
	else if (!S_ISREG(st.st_mode))
		ret = -EINVAL;
	else if ((uint64_t)st.st_size > bytes_max)
		ret = -EFBIG;
	else if (!(*text = malloc((size_t)st.st_size + 1)))
		ret = -ENOMEM;
	if (ret == 0) {
		ret = read_all(fd, *text, length, (size_t)st.st_size);
		if (ret < 0)
			tls_file_wipe(*text, *length);
	}
	close(fd);
	return ret;
}

void tls_file_wipe(char *text, size_t length)
{
	OPENSSL_cleanse(text, length);
	free(text);
}
