/* qa/passage.h -- what of a chunk is shown to the encoder, and encoding many at once. */
#ifndef QA_PASSAGE_H
#define QA_PASSAGE_H

#include "embed/embedder.h"
#include "kb/kb.h"
#include "rt/buf.h"

/* Add the text that is embedded for a chunk: title, heading path and context in front of the
 * passage, a line each. False: out refused. */
bool passage_text(const struct kb_new_chunk *chunk, struct buf *out);

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
