/* kb/scan.h -- the exact scan: every visible int8 row against the question, the best kept.
 *
 * Rows lie in blocks of SCAN_BLOCK, so that the scales of a block are one vector load away and the
 * 64 bits that say which rows are visible are one word:
 *
 *     block   float scale[64] | int8 row[64][stride]        stride: dim rounded up to 64, zeros
 *             behind
 *
 * The scan is bound by memory bandwidth, not by arithmetic (bench/scan.c prints how close it gets):
 * hence int8, no copy, and one pass. Kernels for AVX-512 VNNI, AVX2, NEON and plain C give equal
 * dot products, bit by bit; the best one that the CPU has is chosen at run time.
 *
 * Threads  Pure functions over memory that nobody writes. */
#ifndef KB_SCAN_H
#define KB_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SCAN_BLOCK = 64 };

static inline size_t scan_stride(uint32_t dim)
{
	return ((size_t)dim + 63) & ~(size_t)63;
}

static inline size_t scan_block_bytes(uint32_t dim)
{
	return SCAN_BLOCK * (sizeof(float) + scan_stride(dim));
}

/* Bytes of a file with that many rows. */
uint64_t scan_bytes(uint32_t dim, uint64_t rows);

/* The question as the kernels want it. */
struct scan_query {
	const int8_t *values; /* stride of them, aligned to 64, zeros behind dim */
	size_t stride;
	int32_t sum; /* of values */
	float scale; /* value[i] * scale is the question's component i */
};

struct scan_kernel {
	const char *name;
	/* Dot products of `count` (<= SCAN_BLOCK) rows with the question. */
	void (*dots)(const struct scan_query *query, const int8_t *rows, size_t count,
		     int32_t *ret_dots);
	/* Dot product of a half-precision row with a question of floats. */
	float (*dot_half)(const uint16_t *row, const float *query, size_t dim);
};

/* The best for this CPU; never NULL. */
const struct scan_kernel *scan_kernel_best(void);
/* All that this CPU can run, the plain one last. Returns how many. */
size_t scan_kernel_list(const struct scan_kernel *ret_list[4]);

/* value[i] ~ round(x[i] / scale), scale = largest magnitude / 127; `stride` values are written. */
float scan_quantise(const float *x, uint32_t dim, int8_t *ret_values);
uint16_t scan_half(float x); /* IEEE 754 binary16, to nearest even */
float scan_float(uint16_t half);

struct scan_hit {
	uint32_t row;
	float score;
};

/* The best `max` so far as a heap, the worst of them first; and the sums of all scores seen. */
struct scan_top {
	struct scan_hit *hits; /* room for max */
	size_t count, max;
	uint64_t seen;
	double sum, sum_squares;
};

/* Score the rows first..end-1 (both multiples of SCAN_BLOCK, but for the end of the file) whose bit
 * is set in `visible`. base: the mapped file. */
void scan_rows(const struct scan_kernel *kernel, const struct scan_query *query,
	       const unsigned char *base, uint64_t first, uint64_t end, const uint64_t *visible,
	       struct scan_top *top);

void scan_top_offer(struct scan_top *top, uint32_t row, float score);

#endif
