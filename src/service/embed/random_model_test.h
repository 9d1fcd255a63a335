/* embed/random_model_test.h -- for tests: a small model with random weights, as a packed image and
 * as the plain tensors that it was packed from. */
#ifndef EMBED_RANDOM_MODEL_TEST_H
#define EMBED_RANDOM_MODEL_TEST_H

#include "base/span.h"
#include "embed/packed.h"
#include "mem/scope.h"

struct random_shape {
	uint32_t dim, heads, ffn, layers, vocab, positions;
	struct span tokenizer;    /* section; may be empty where no text is read */
	const char *query_prefix; /* NULL: none */
};

/* One layer's tensors, rows are output channels: {q, k, v, out, up, down}, and their biases. */
enum { RANDOM_Q, RANDOM_K, RANDOM_V, RANDOM_OUT, RANDOM_UP, RANDOM_DOWN, RANDOM_MATRICES };

struct random_layer {
	float *weight[RANDOM_MATRICES], *bias[RANDOM_MATRICES];
	float *attention_norm, *output_norm; /* gains, biases */
};

struct random_model {
	struct random_shape shape;
	float *rows, *positions, *embedding_norm;
	struct random_layer *layers;
	unsigned char *image; /* aligned to 64; packed_check() accepts it */
	size_t bytes;
};

/* Everything lies in scope. */
void random_model_make(struct mem_scope *scope, const struct random_shape *shape,
		       enum packed_precision precision, enum packed_pooling pooling,
		       struct random_model *ret_model);

/* The vector of one window in double arithmetic from the plain tensors, shape.dim values. */
void random_model_embed(struct mem_scope *scratch, const struct random_model *model,
			const int32_t *ids, size_t rows, enum packed_pooling pooling,
			double *ret_vector);

#endif
