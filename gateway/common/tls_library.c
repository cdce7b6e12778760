/* SPDX-License-Identifier: MIT */
#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "gateway/common/program.h"
#include "gateway/common/tls_library.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const struct tls_module *loaded;

/* dlopen's reason, without the path. */
static const char *reason(const char *path)
{
	const char *text = dlerror();
	size_t bytes = strlen(path);

	if (!text)
		return "it is not ours";
	return strncmp(text, path, bytes) || strncmp(text + bytes, ": ", 2) ? text
									    : text + bytes + 2;
}

static const struct tls_module *load(char *sentence)
{
	char path[PATH_MAX];
	int error = program_find(TLS_MODULE_NAME, path, sizeof(path));
	/* Its threads' data and OpenSSL's handlers outlive any use: it stays. */
	void *handle = error ? NULL : dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	const struct tls_module *module = handle ? dlsym(handle, TLS_MODULE_SYMBOL) : NULL;

	if (!module) {
		snprintf(sentence, TLS_SENTENCE_BYTES,
			 "TLS needs %.200s, which cannot be loaded: %.200s; install it (make "
			 "install), "
			 "and OpenSSL",
			 path, error ? strerror(-error) : reason(path));
		return NULL;
	}
	if (strcmp(module->version, VERSION)) {
		snprintf(sentence, TLS_SENTENCE_BYTES,
			 "TLS needs %.200s, which is of version %.20s, not " VERSION
			 ": install ublk-nbd whole (make install)",
			 path, module->version);
		return NULL;
	}
	module->wipe_freed();
	return module;
}

const struct tls_module *tls_library_load(char *sentence)
{
	const struct tls_module *module;

	pthread_mutex_lock(&lock);
	if (!loaded)
		loaded = load(sentence);
	module = loaded;
	pthread_mutex_unlock(&lock);
	return module;
}
