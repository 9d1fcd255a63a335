/* llm/vectors.h -- what both embedders of llm/ do to texts and vectors. Pure functions. */
#ifndef LLM_VECTORS_H
#define LLM_VECTORS_H

#include "base/span.h"
#include "embed/embedder.h"

/* The prefixes that the family of this name was trained with, where we know them; else none. */
void vectors_set_prefixes(struct embedder_info *info);

struct span vectors_prefix(const struct embedder_info *info, enum embed_kind kind);

/* Scale to length 1; a vector of zeros stays as it is. */
void vectors_normalise(float *vector, uint32_t dim);

#endif
