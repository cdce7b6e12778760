/* SPDX-License-Identifier: MIT */
#include "gateway/common/link_file.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/common/runtime_dir.h"

static bool take_value(const char *line, const char *key, char *out)
{
	size_t bytes = strlen(key);

	if (strncmp(line, key, bytes) || strlen(line + bytes) > LINK_TEXT_BYTES_MAX)
		return false;
	strcpy(out, line + bytes);
	return true;
}

bool link_file_read(uint32_t number, struct link_file *file)
{
	char path[PATH_MAX], line[LINK_FILE_BYTES_MAX], value[LINK_TEXT_BYTES_MAX + 1];
	FILE *stream = NULL;

	*file = (struct link_file){ .shared = -1 };
	if (!runtime_dir_file(path, sizeof(path), number, "udev"))
		stream = fopen(path, "re");
	if (!stream)
		return false;
	while (fgets(line, sizeof(line), stream)) {
		line[strcspn(line, "\n")] = '\0';
		take_value(line, "UBLK_NBD_TEXT=", file->text);
		take_value(line, "UBLK_NBD_LINK=", file->link);
		if (take_value(line, "UBLK_NBD_SHARED=", value))
			file->shared = (int)strtol(value, NULL, 10);
		file->starting |= !strcmp(line, "UBLK_NBD_STARTING=1");
	}
	fclose(stream);
	return true;
}
