/* qa/passage.h -- embedding many passages at once, by several threads. */
#ifndef QA_PASSAGE_H
#define QA_PASSAGE_H

#include "embed/embedder.h"

struct passage_job {
	struct embedder *embedder;
	const struct span *texts;
	size_t count;
	uint32_t threads; /* 1.. */
	const struct cancel *cancel;
};

/* Embed texts as passages with several threads; each takes a few consecutive texts at a time.
 * ret_vectors: count x dim floats. The first failure stops the others and is reported. */
MUST_CHECK status passage_embed(const struct passage_job *job, float *ret_vectors,
				struct fault *reterr);

#endif
