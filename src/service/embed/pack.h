/* embed/pack.h -- from rows of floats to the layout that the kernels read.
 *
 * The blob of one matrix of n output channels (rows of the source) by k inputs:
 *
 *     f32 bias[n]
 *     int8 only: f32 scale[n], f32 sum[n]     weight = s8 * scale; sum = of the row's s8
 *     panels [n/32][k/g][32][g]               g = 1 (f32), 2 (bf16), 4 (s8)
 *
 * A panel holds 32 output channels; g inputs of one channel lie together because one dot-product
 * instruction takes them together. Kernels without such an instruction widen the same bytes.
 *
 * Pure functions: no allocation, any thread. */
#ifndef EMBED_PACK_H
#define EMBED_PACK_H

#include <stddef.h>
#include <stdint.h>

#include "embed/packed.h"

/* Bytes of the blob: a multiple of PACKED_ALIGN. n and k are multiples of PACKED_PANEL. */
size_t pack_matrix_bytes(enum packed_precision precision, uint32_t n, uint32_t k);

/* Pack rows[n][k] and bias[n] into out, pack_matrix_bytes() long and aligned to 4. */
void pack_matrix(enum packed_precision precision, uint32_t n, uint32_t k, const float *rows,
		 const float *bias, void *out);

/* What Q's rows and bias are multiplied with before packing: log2(e) / sqrt(head size), so that the
 * softmax over Q K' is a power of two. */
float pack_query_scale(uint32_t head_size);

/* Where the parts of a blob begin, in bytes. */
struct pack_parts {
	size_t scale, sum, panels;
};
struct pack_parts pack_matrix_parts(enum packed_precision precision, uint32_t n);

/* Round to nearest even. */
uint16_t pack_bf16(float value);

#endif
