/* SPDX-License-Identifier: MIT */
/*
 * hold_mapped.c - goal: a user of a disk that has no descriptor of it any more. method: maps the disk's first
 * page, closes the disk, and waits for a signal.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int fd = argc == 2 ? open(argv[1], O_RDONLY) : -1;

	if (fd < 0 || mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED) {
		perror("hold_mapped DEVICE");
		return 1;
	}
	close(fd);
	pause();
	return 0;
}
