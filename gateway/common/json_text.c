/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>

#include "gateway/common/json_text.h"
#include "proto/text.h"

json_t *json_text(const char *bytes, size_t count)
{
	char *text = malloc(3 * count + 1);
	json_t *string = NULL;

	if (text)
		string = json_string(nbd_text_repair(text, bytes, count));
	free(text);
	return string;
}

json_t *json_text_hex(const char *bytes, size_t count)
{
	char *text = malloc(2 * count + 1);
	json_t *string = NULL;

	if (!text)
		return NULL;
	text[0] = '\0';
	for (size_t i = 0; i < count; i++)
		sprintf(text + 2 * i, "%02x", (unsigned char)bytes[i]);
	string = json_string(text);
	free(text);
	return string;
}
