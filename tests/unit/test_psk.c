/* SPDX-License-Identifier: MIT */
/*
 * Goal: a PSK file gives the key of the identity that was asked for, or an error; never another's.
 * Method: a table of texts; then one text at each of its lengths, in memory of just that size.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tls/psk.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
	const char *text, *identity;
	int ret;
	size_t key_bytes;
	uint8_t first, last; /* of the key */
} cases[] = {
	{ "alice:0102ff\n", "alice", 0, 3, 0x01, 0xff },
	{ "alice:0102ff", "alice", 0, 3, 0x01, 0xff },
	{ "alice:0102fF\r\n", "alice", 0, 3, 0x01, 0xff },
	{ "bob:aa\nalice:bb\n", "alice", 0, 1, 0xbb, 0xbb },
	{ "alice:aa\nalice:bb\n", "alice", 0, 1, 0xaa, 0xaa }, /* the first counts */
	{ "\n\n# a comment\nalice:bb\n", "alice", 0, 1, 0xbb, 0xbb },
	{ "broken line\nalice:bb\n", "alice", 0, 1, 0xbb, 0xbb },
	{ "bob:zz\nalice:bb\n", "alice", 0, 1, 0xbb, 0xbb }, /* another's line does not matter */
	{ "with space:bb\n", "with space", 0, 1, 0xbb, 0xbb },
	{ "a:b:cc\n", "a:b", 0, 1, 0xcc, 0xcc },
	{ "", "alice", -ENOENT, 0, 0, 0 },
	{ "\n", "alice", -ENOENT, 0, 0, 0 },
	{ "bob:aa\n", "alice", -ENOENT, 0, 0, 0 },
	{ "alice2:aa\n", "alice", -ENOENT, 0, 0, 0 },
	{ "alic:aa\n", "alice", -ENOENT, 0, 0, 0 },
	{ "xalice:aa\n", "alice", -ENOENT, 0, 0, 0 },
	{ " alice:aa\n", "alice", -ENOENT, 0, 0, 0 },
	{ "Alice:aa\n", "alice", -ENOENT, 0, 0, 0 },
	{ "alice", "alice", -ENOENT, 0, 0, 0 },
	{ "alice aa\n", "alice", -ENOENT, 0, 0, 0 },
	{ "bob:616c696365:aa\n", "alice", -ENOENT, 0, 0, 0 },
	{ "alice:\n", "alice", -EINVAL, 0, 0, 0 },
	{ "alice:a\n", "alice", -EINVAL, 0, 0, 0 },
	{ "alice:aab\n", "alice", -EINVAL, 0, 0, 0 },
	{ "alice:ag\n", "alice", -EINVAL, 0, 0, 0 },
	{ "alice: aa\n", "alice", -EINVAL, 0, 0, 0 },
	{ "alice:aa \n", "alice", -EINVAL, 0, 0, 0 },
	{ "alice:aa:bb\n", "alice", -EINVAL, 0, 0, 0 },
	{ "alice:0x12\n", "alice", -EINVAL, 0, 0, 0 },
	{ "alice:zz\nalice:aa\n", "alice", -EINVAL, 0, 0, 0 }, /* no second chance */
};

static void texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint8_t key[PSK_KEY_BYTES_MAX] = { 0 };
		size_t key_bytes = 0;
		int ret = psk_find(cases[i].text, strlen(cases[i].text), cases[i].identity, key,
				   &key_bytes);

		if (ret != cases[i].ret ||
		    (ret == 0 && (key_bytes != cases[i].key_bytes || key[0] != cases[i].first ||
				  key[key_bytes - 1] != cases[i].last)))
			fail_msg("\"%s\": %d, %zu bytes", cases[i].text, ret, key_bytes);
	}
}

static void keys_of_every_length(void **state)
{
	char text[2 * PSK_KEY_BYTES_MAX + 16];

	(void)state;
	for (size_t bytes = 1; bytes <= PSK_KEY_BYTES_MAX + 1; bytes++) {
		uint8_t key[PSK_KEY_BYTES_MAX + 1];
		size_t key_bytes = 0, length = 2 + 2 * bytes;
		int ret;

		memset(key, 0x77, sizeof(key));
		memcpy(text, "a:", 2);
		memset(text + 2, 'c', 2 * bytes);
		ret = psk_find(text, length, "a", key, &key_bytes);
		assert_int_equal(ret, bytes <= PSK_KEY_BYTES_MAX ? 0 : -EINVAL);
		assert_int_equal(key_bytes, ret ? 0 : bytes);
		assert_int_equal(key[PSK_KEY_BYTES_MAX], 0x77);
	}
}

/* No byte behind the text is looked at: with a sanitizer this would end the test. */
static void a_text_cut_anywhere(void **state)
{
	static const char text[] = "bob:00\r\nalice:aabb\ncarol:cc\n";

	(void)state;
	for (size_t length = 0; length < sizeof(text); length++) {
		char *copy = malloc(length ? length : 1);
		uint8_t key[PSK_KEY_BYTES_MAX];
		size_t key_bytes = 0;
		int ret;

		memcpy(copy, text, length);
		ret = psk_find(copy, length, "alice", key, &key_bytes);
		if (length < 14)
			assert_int_equal(ret, -ENOENT);
		else if (length >= 18)
			assert_int_equal(ret, 0);
		else
			assert_int_equal(ret, length == 16 ? 0 : -EINVAL);
		free(copy);
	}
}

static void a_file_that_cannot_be_read(void **state)
{
	char sentence[TLS_SENTENCE_BYTES] = "";
	uint8_t key[PSK_KEY_BYTES_MAX];
	size_t key_bytes;

	(void)state;
	assert_int_equal(psk_read("/nowhere/psk", "alice", key, &key_bytes, sentence), -ENOENT);
	assert_non_null(strstr(sentence, "/nowhere/psk"));
	assert_int_equal(psk_read("/", "alice", key, &key_bytes, sentence), -EINVAL);
	assert_int_equal(psk_read("/dev/null", "alice", key, &key_bytes, sentence), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts),
		cmocka_unit_test(keys_of_every_length),
		cmocka_unit_test(a_text_cut_anywhere),
		cmocka_unit_test(a_file_that_cannot_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
