/* embed/embedder.h -- text to vectors: the interface that our own engine (embed/engine.h) and llm/
 * (other architectures, remote endpoints) both implement. Callers know only this page.
 *
 * A vector has info.dim floats and length 1; cosine is the dot product. Prefixes ("query: ",
 * "passage: ") are added here, from the model's metadata. A text longer than tokens_max is cut into
 * windows of whole tokens; its vector is the normalised, length-weighted mean of theirs.
 *
 * Threads  embedder_embed() may be called by any number of threads. EMBED_QUERY calls never wait
 *          behind batches of passages; when more than the bounded number of calls wait: ST_BUSY.
 * Memory   Each call works in a sealed workspace made at open: no allocation per call. */
#ifndef EMBED_EMBEDDER_H
#define EMBED_EMBEDDER_H

#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"
#include "rt/cancel.h"

enum { EMBED_DIM_MAX = 4096, EMBED_NAME_BYTES = 64, EMBED_PREFIX_BYTES = 64, EMBED_ID_BYTES = 80 };

enum embed_kind { EMBED_PASSAGE, EMBED_QUERY, EMBED_PLAIN /* no prefix */ };

struct embedder_info {
	char name[EMBED_NAME_BYTES]; /* "multilingual-e5-small" */
	char id[EMBED_ID_BYTES]; /* name and weight hash: vectors are comparable iff ids are equal
				  */
	uint32_t dim;
	uint32_t tokens_max; /* of one window, special tokens included */
	char query_prefix[EMBED_PREFIX_BYTES], passage_prefix[EMBED_PREFIX_BYTES];
};

struct embed_job {
	const struct span *texts; /* UTF-8; bad bytes are read as U+FFFD */
	size_t count;
	enum embed_kind kind;
	const struct cancel *cancel; /* NULL: cannot be cancelled */
};

struct embedder;

struct embedder_ops {
	/* count x dim floats into ret_vectors, row after row; on failure they are
	 * undefined. *ret_tokens (NULL allowed): tokens read. */
	status (*embed)(struct embedder *e, const struct embed_job *job, float *ret_vectors,
			size_t *ret_tokens, struct fault *reterr);
	/* Tokens of one text, without prefix and special tokens. */
	status (*count_tokens)(struct embedder *e, struct span text, size_t *ret_tokens,
			       struct fault *reterr);
	void (*close)(struct embedder *e);
};

/* First member of every implementation. */
struct embedder {
	const struct embedder_ops *ops;
	struct embedder_info info;
};

MUST_CHECK static inline status embedder_embed(struct embedder *e, const struct embed_job *job,
					       float *ret_vectors, size_t *ret_tokens,
					       struct fault *reterr)
{
	return e->ops->embed(e, job, ret_vectors, ret_tokens, reterr);
}

MUST_CHECK static inline status embedder_count_tokens(struct embedder *e, struct span text,
						      size_t *ret_tokens, struct fault *reterr)
{
	return e->ops->count_tokens(e, text, ret_tokens, reterr);
}

static inline void embedder_close(struct embedder *e)
{
	if (e != NULL)
		e->ops->close(e);
}

#endif
