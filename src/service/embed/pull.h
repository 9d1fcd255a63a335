/* embed/pull.h -- one file from an HTTP(S) address to the disk, resumable and checked.
 *
 * Bytes go to "PATH.part"; a note beside it ("PATH.part.from") keeps the address, the length and
 * the validator (ETag or Last-Modified) of what was begun. A later call with the same address goes
 * on where the last one stopped, with Range and If-Range, and begins again when the server has
 * other content or knows no ranges. When all bytes are there and the hash is right, the file is
 * synced and renamed to PATH. A wrong hash removes the part: it would never become right.
 *
 * A failed or cancelled pull keeps its part for the next try.
 *
 * Limits   Only http and https (redirects included, at most 8), bytes_max, and time: connect, idle.
 * Memory   One libcurl handle and 64 KiB; nothing grows with the file.
 * Threads  One pull per path at a time, in all processes: a second is ST_BUSY. */
#ifndef EMBED_PULL_H
#define EMBED_PULL_H

#include <stdint.h>

#include "base/status.h"
#include "rt/cancel.h"
#include "rt/digest.h"
#include "rt/file.h"

struct pull_options {
	const char *url;
	const char *path;   /* where the file shall be; its folder is made, a file replaced */
	const char *sha256; /* 64 hex digits, or NULL: not checked (still reported) */
	uint64_t bytes_max; /* a larger file is ST_LIMIT before a byte of it is kept; 0 = 64 GiB */
	uint32_t connect_ms; /* 0 = 15 s */
	uint32_t idle_ms;    /* without a byte; 0 = 60 s */
	/* Called in the caller's thread, at most about ten times a second and once at the end.
	 * total is 0 while unknown. done includes what an earlier call had fetched. */
	void (*progress)(void *context, uint64_t done_bytes, uint64_t total_bytes);
	void *progress_context;
	const struct cancel *cancel; /* NULL: cannot be cancelled; else answered within a second */
};

struct pull_result {
	uint64_t bytes;
	uint64_t resumed_from; /* bytes that an earlier call had fetched; 0 = from the start */
	char sha256[SHA256_HEX_BYTES];
};

/* Errors: ST_INVALID (address, hash text), ST_NOT_FOUND (404, 410), ST_REMOTE (other answers,
 * broken connection, name unknown), ST_TIMEOUT, ST_LIMIT, ST_CORRUPT (wrong hash or length),
 * ST_CANCELLED, ST_IO. *ret_result (NULL allowed) is filled on success. */
MUST_CHECK status pull_file(const struct pull_options *options, struct pull_result *ret_result,
			    struct fault *reterr);

/* The file name that an address ends in, for a path: query and fragment dropped, %XX decoded.
 * ST_INVALID when that gives no safe name. */
MUST_CHECK status pull_name(const char *url, char ret_name[FILE_NAME_BYTES], struct fault *reterr);

#endif
