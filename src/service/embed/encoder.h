/* embed/encoder.h -- the forward pass of a BERT encoder over one batch of token ids.
 *
 * A batch is the rows of several windows laid end to end, without padding; attention and positions
 * keep to their own window. For each layer: one matmul for Q, K and V, attention for each window,
 * then three matmuls that finish their tiles with the residual or the GELU while those are in L1.
 *
 * Memory   A workspace is one block whose size encoder_work_bytes() tells; a run allocates nothing.
 * Threads  An encoder is read-only and shared; a workspace belongs to one run at a time. */
#ifndef EMBED_ENCODER_H
#define EMBED_ENCODER_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "embed/kernels.h"
#include "embed/packed.h"
#include "rt/cancel.h"

struct encoder {
	const unsigned char *data; /* the mapped file, checked by packed_check() */
	const struct packed_header *header;
	const struct kernels *kernels;
};

struct encoder_work { /* carved out of one block; see encoder.c */
	size_t rows_max;
	struct kernel_rows x;            /* f32 residual stream */
	struct kernel_rows act;          /* copy of it, input of qkv and up; not for int8 */
	struct kernel_rows qkv, context; /* live while up is not, */
	struct kernel_rows up;           /* so they share their bytes */
	struct kernel_quant quant;       /* int8 only */
	unsigned char *attention;
};

struct encoder_window {
	uint32_t first, rows; /* rows: 1..header->tokens_max */
};

struct encoder_batch {
	const int32_t *ids; /* of all windows */
	const struct encoder_window *windows;
	size_t window_count;
	size_t rows;                 /* 1..rows_max */
	const struct cancel *cancel; /* NULL: cannot be cancelled */
};

/* data is the mapped file after packed_check(); it must outlive the encoder. */
void encoder_init(struct encoder *encoder, const unsigned char *data,
		  const struct kernels *kernels);

/* Tokens a batch should have for speed: more only costs memory and misses in L2. */
size_t encoder_batch_rows(const struct encoder *encoder);

/* memory: encoder_work_bytes() long, aligned to 64. */
size_t encoder_work_bytes(const struct encoder *encoder, size_t rows_max);
void encoder_work_init(struct encoder_work *work, const struct encoder *encoder, size_t rows_max,
		       unsigned char *memory);

/* Run all layers; the result stays in the workspace for encoder_pool(). ST_CANCELLED is returned
 * within one layer of one batch; ST_CORRUPT when an id has no row. */
MUST_CHECK status encoder_run(const struct encoder *encoder, struct encoder_work *work,
			      const struct encoder_batch *batch, struct fault *reterr);

/* The window's vector, of length 1, header->dim floats. */
void encoder_pool(const struct encoder *encoder, const struct encoder_work *work,
		  const struct encoder_window *window, float *ret_vector);

/* Scale to length 1; a zero vector stays. */
void encoder_normalise(float *vector, size_t dim);

#endif
