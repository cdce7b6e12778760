/* SPDX-License-Identifier: MIT */
/*
 * disk_config.h - everything a disk's daemon is told when it is started. The command line fills
 * it, hands it over as one JSON object on a descriptor, and the daemon leaves the same object in
 * the runtime directory, where `list` and `--idempotent` read it.
 */
#ifndef GATEWAY_COMMON_DISK_CONFIG_H
#define GATEWAY_COMMON_DISK_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "gateway/common/disk_name.h"
#include "proto/uri.h"
#include "tls/tls.h"

#define DISK_OWNER_BYTES_MAX	64
#define DISK_COMMAND_ARGS_MAX	64
#define DISK_CONNECTIONS_MAX	16
#define DISK_QUEUE_DEPTH_MAX	4096
#define DISK_QUEUE_DEPTH	128
#define DISK_TIMEOUT_MS		30000
#define DISK_CONNECT_TIMEOUT_MS 30000
#define DISK_MAX_IO_BYTES	(1u << 20)
#define DISK_DEAD_TIMEOUT_MS	600000
/* As a dead_timeout_ms or quiet_time_ms: it does not end. */
#define DISK_NEVER UINT32_MAX
/* As a quiet_time_ms: DISK_QUIET_CLOSED_MS where the server ended the connection, timeout_ms where it fell
 * silent. */
#define DISK_QUIET_AUTO	     (UINT32_MAX - 1)
#define DISK_QUIET_CLOSED_MS 5000

/* How a block request's bytes reach the daemon; see gateway/ublk/tag_payload.h. */
enum disk_payload {
	DISK_PAYLOAD_AUTO, /* the best the kernel grants */
	DISK_PAYLOAD_MAPPED,
	DISK_PAYLOAD_USER_COPY,
};

/* What becomes of writes that the server acknowledged and did not flush yet, when it may have lost them. */
enum disk_server_cache {
	DISK_CACHE_FAIL,   /* each FLUSH fails, until the user says that it is seen to */
	DISK_CACHE_STABLE, /* the server is trusted to have lost nothing */
};

struct disk_config {
	struct nbd_uri target; /* unused but for export_name when command is set */
	/* Socket activation: argv, NULL-terminated; owned. */
	char *command[DISK_COMMAND_ARGS_MAX + 1];
	struct tls_options tls;		      /* counts where target.tls */
	char owner[DISK_OWNER_BYTES_MAX + 1]; /* "" when none */
	char name[DISK_NAME_BYTES_MAX + 1];   /* disk_name.h; "" when none */
	int32_t device;			      /* ublk device number, -1: the kernel chooses */
	uint32_t connections;		      /* 0: min(4, CPUs) */
	uint32_t queue_depth;		      /* 1..DISK_QUEUE_DEPTH_MAX */
	uint32_t block_size_bytes;	      /* logical block; 0: what the server needs */
	uint32_t max_io_bytes;		      /* largest block request; 2^n, 4 KiB..32 MiB */
	uint32_t timeout_ms;		      /* of one request in flight */
	/* How long requests wait without any connection; 0: they fail at once. A server of the disk's own
	 * (command) has none to wait for. */
	uint32_t dead_timeout_ms;
	uint32_t quiet_time_ms; /* gateway/nbd/holds.h */
	enum disk_server_cache server_cache;
	uint32_t connect_timeout_ms; /* name, dial, TLS and NBD handshake together */
	bool read_only;
	bool no_structured; /* do not negotiate structured replies: for tests and odd servers */
	bool foreground;    /* stderr is a person's or a supervisor's: no journal */
	bool verbose;
	bool configured; /* of a configuration file, which may remove it again */
	enum disk_payload payload;
};

/* What a number may be; options and files are checked against the same table. */
struct disk_limit {
	const char *field; /* as in JSON: "queue_depth" */
	uint32_t minimum, maximum;
	bool power_of_two;
	bool zero_too; /* 0 is allowed besides, and means "choose for me" */
};

/* The limit of the numeric field of that name, other than device; never NULL for one that exists (asserted).
 * block_size_bytes ends at this machine's page size: ublk takes no larger logical block. */
struct disk_limit disk_config_limit(const char *name);
/* Whether value is within it. */
bool disk_limit_allows(const struct disk_limit *limit, uint64_t value);

/* "auto", "mapped", "user-copy". 0, or -EINVAL when name is none of these. */
int disk_payload_parse(const char *name, enum disk_payload *payload);

/* "fail", "stable". 0, or -EINVAL when name is none of these. */
int disk_server_cache_parse(const char *name, enum disk_server_cache *cache);

/* "auto", "on", "off". 0, or -EINVAL when name is none of these. */
int disk_ktls_parse(const char *name, enum tls_ktls *ktls);

/* Defaults as the man page names them. */
void disk_config_init(struct disk_config *config);
/* Frees command. */
void disk_config_clear(struct disk_config *config);

/* A new JSON object with every field (never a secret: files are named, not read), or NULL without
 * memory. */
json_t *disk_config_to_json(const struct disk_config *config);
/* Reads one back, checking type and range of each field. 0, or -EINVAL with a sentence in error. */
int disk_config_from_json(struct disk_config *config, const json_t *object, char *error,
			  size_t error_bytes);

/* Whether the disk that is there is the wanted one (target, export and options; the owner and the name if one is
 * wanted; the number if both name one): what --idempotent asks. */
bool disk_config_same_disk(const struct disk_config *wanted, const struct disk_config *there);
/* The same, field by field: which option of connect ("timeout"; "target" for the target itself) sets the next one
 * that differs. *next begins with 0. NULL: no further one does. An option that sets several may come again. */
const char *disk_config_difference(const struct disk_config *wanted,
				   const struct disk_config *there, size_t *next);

#endif
