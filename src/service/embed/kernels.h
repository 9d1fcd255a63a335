/* embed/kernels.h -- the arithmetic of the encoder, one table of functions for each kind of CPU.
 *
 * Between matmuls the rows ("activations") are bf16 where the CPU multiplies bf16, else f32; the
 * residual stream is always f32. int8 matmuls take rows quantised to 0..255 with a scale and a zero
 * point for each token, so that every kernel computes the same integers.
 *
 * The same code (kernels_impl.inc over a page of vector operations) is compiled once for each kind,
 * in a file of its own with its own -m flags; nothing of it runs before CPUID says that it may.
 *
 * Alignment  No pointer needs more alignment than its type.
 * Threads    Pure functions over their arguments. */
#ifndef EMBED_KERNELS_H
#define EMBED_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "embed/packed.h"

enum { KERNELS_TILE_ROWS_MAX = 12 };

enum kernel_finish {
	KERNEL_STORE,    /* activations: A W + bias */
	KERNEL_GELU,     /* activations: erf GELU of that */
	KERNEL_RESIDUAL, /* f32 rows: added to what is there */
};

struct kernel_matrix {                   /* a blob of embed/pack.h */
	const float *bias, *scale, *sum; /* scale and sum: int8 only */
	const unsigned char *panels;
	uint32_t n, k;
};

struct kernel_rows {
	unsigned char *data;
	size_t stride; /* bytes from row to row */
};

struct kernel_quant { /* rows for an int8 matmul */
	struct kernel_rows rows;
	float *scale; /* value = (q - zero) * scale, for each row */
	float *zero;
};

struct kernel_attention {
	struct kernel_rows qkv;        /* of one text: [Q | K | V], dim each */
	struct kernel_rows out;        /* dim */
	uint32_t rows, dim, head_size; /* 32 or 64 */
	unsigned char *scratch;        /* kernels_attention_bytes() */
};

struct kernels {
	const char *name;
	uint32_t act_bytes; /* 2: bf16, 4: f32 */
	uint32_t
		quant_bytes; /* of one quantised value: 1 (u8), or 2 (s16) for kernels that widen */
	/* Rows of in (activations, or quantised when the matrix is int8) times the matrix. scale
	 * and zero are read for int8 only. */
	void (*matmul)(const struct kernel_matrix *w, const struct kernel_quant *in, size_t rows,
		       struct kernel_rows out, enum kernel_finish finish);
	void (*quantise)(struct kernel_rows act, size_t rows, size_t k, struct kernel_quant *out);
	/* The same from rows of the residual stream, which are not rounded to bf16 yet. */
	void (*quantise_residual)(struct kernel_rows x, size_t rows, size_t k,
				  struct kernel_quant *out);
	/* Layer norm of the f32 rows x in place, and a copy as activations. norm: gains, then
	 * biases. */
	void (*norm)(const float *norm, float eps, size_t dim, struct kernel_rows x,
		     struct kernel_rows act, size_t rows);
	/* Softmax(Q K') V of every head; Q was scaled for a softmax over powers of two. */
	void (*attention)(const struct kernel_attention *job);
};

/* Scratch of one attention call over texts of at most rows tokens. */
size_t kernels_attention_bytes(const struct kernels *k, uint32_t rows, uint32_t head_size);

/* The best kernel of this CPU for weights of that precision, or the one named ("avx512bf16",
 * "avx512vnni", "avx512", "avx2vnni", "avx2", "neon", "plain"): ST_UNSUPPORTED if this CPU lacks it
 * or the name is unknown. */
MUST_CHECK status kernels_choose(const char *name, enum packed_precision precision,
				 const struct kernels **ret_kernels, struct fault *reterr);

/* Names in the order in which they are preferred. */
struct kernels_kind {
	const char *name;
	const struct kernels
		*by_precision; /* 3, by enum packed_precision; NULL: not compiled here */
	bool available;        /* compiled in, and this CPU can */
};
enum { KERNELS_KINDS = 7 };
void kernels_list(struct kernels_kind ret_kinds[KERNELS_KINDS]);

/* One table of three for each kind compiled in. */
extern const struct kernels kernels_avx512bf16[3], kernels_avx512vnni[3], kernels_avx512[3],
	kernels_avx2vnni[3], kernels_avx2[3], kernels_neon[3], kernels_plain[3];

#endif
