/* rt/digest.h -- SHA-256 (over libcrypto) and base64, for what is stored or sent. */
#ifndef RT_DIGEST_H
#define RT_DIGEST_H

#include <stdint.h>

#include "base/span.h"
#include "base/status.h"
#include "rt/buf.h"

enum { SHA256_BYTES = 32, SHA256_HEX_BYTES = 65 }; /* hex with terminator */

struct sha256 {
	unsigned char bytes[SHA256_BYTES];
};

MUST_CHECK status sha256_of(struct span data, struct sha256 *ret, struct fault *reterr);
/* Reads the file in steps of 64 KiB; *ret_bytes (NULL allowed) is how long it was. */
MUST_CHECK status sha256_of_file(const char *path, struct sha256 *ret, uint64_t *ret_bytes,
				 struct fault *reterr);
void sha256_hex(const struct sha256 *digest, char out[SHA256_HEX_BYTES]);

/* Incremental: init, update..., final; abandon with fini. */
struct sha256_stream {
	void *context;
};
MUST_CHECK status sha256_init(struct sha256_stream *s, struct fault *reterr);
MUST_CHECK status sha256_update(struct sha256_stream *s, struct span data, struct fault *reterr);
MUST_CHECK status sha256_final(struct sha256_stream *s, struct sha256 *ret, struct fault *reterr);
void sha256_fini(struct sha256_stream *s);

/* RFC 4648 with padding. */
bool base64_add(struct buf *out, struct span data);

#endif
