/* embed/gguf.h -- a bounded reader of GGUF files (versions 2 and 3), in place.
 *
 *     "GGUF", u32 version, u64 tensors, u64 keys
 *     keys:    string key, u32 type, value         string: u64 bytes, bytes
 *     tensors: string name, u32 dimensions, u64 size[dimensions] (the fastest first), u32 type,
 *              u64 offset
 *     padding to general.alignment, data
 *
 * Nothing is allocated; spans point into the file. Threads: pure functions. */
#ifndef EMBED_GGUF_H
#define EMBED_GGUF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

enum gguf_type {
	GGUF_U8,
	GGUF_I8,
	GGUF_U16,
	GGUF_I16,
	GGUF_U32,
	GGUF_I32,
	GGUF_F32,
	GGUF_BOOL,
	GGUF_STRING,
	GGUF_ARRAY,
	GGUF_U64,
	GGUF_I64,
	GGUF_F64,
	GGUF_TYPES
};

enum { GGUF_KEYS_MAX = 4096, GGUF_TENSORS_MAX = 65536, GGUF_DIMENSIONS_MAX = 4 };

struct gguf {
	struct span file;
	size_t at;                        /* of the next key or tensor */
	uint64_t key_count, tensor_count; /* left to be read */
	uint64_t alignment;
};

struct gguf_key {
	struct span name;
	enum gguf_type type; /* of an array: of its items */
	bool is_array;
	uint64_t count;    /* items; 1 of a single value */
	struct span value; /* the items as they lie in the file */
};

struct gguf_tensor {
	struct span name;
	uint32_t type; /* ggml's */
	uint32_t dimensions;
	uint64_t size[GGUF_DIMENSIONS_MAX];
	uint64_t offset; /* from where the data begins */
};

/* Begin to read; the keys come first. ST_INVALID when it is no GGUF or is damaged (in every call).
 */
MUST_CHECK status gguf_open(struct span file, struct gguf *ret_gguf, struct fault *reterr);
/* *ret_more false: there was no further key. */
MUST_CHECK status gguf_next_key(struct gguf *g, struct gguf_key *ret_key, bool *ret_more,
				struct fault *reterr);
/* After all keys. */
MUST_CHECK status gguf_next_tensor(struct gguf *g, struct gguf_tensor *ret_tensor, bool *ret_more,
				   struct fault *reterr);
/* After all tensors: where the data begins. */
MUST_CHECK status gguf_data(const struct gguf *g, struct span *ret_data, struct fault *reterr);

/* Whether all of the tensor lies in the data; of a type that we do not know, its first byte. */
bool gguf_tensor_inside(const struct gguf_tensor *tensor, struct span data);

/* The value of a key; the fallback when it is of another kind. */
uint64_t gguf_uint(const struct gguf_key *key, uint64_t fallback);
double gguf_real(const struct gguf_key *key, double fallback);
struct span gguf_text(const struct gguf_key *key); /* {NULL, 0} */

/* Walk the strings of an array: *at begins at 0. False at the end. */
bool gguf_array_text(const struct gguf_key *key, size_t *at, struct span *ret_text);

/* "F32", "Q4_1" ... of a file's general.file_type; "" when unknown. */
const char *gguf_file_type(uint64_t type);

#endif
