#include "kb/scan.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/assert.h"
#include "kb/scan_kernels.h"

uint64_t scan_bytes(uint32_t dim, uint64_t rows)
{
	uint64_t rest = rows % SCAN_BLOCK;
	uint64_t bytes = rows / SCAN_BLOCK * scan_block_bytes(dim);
	return rest == 0 ? bytes : bytes + SCAN_BLOCK * sizeof(float) + rest * scan_stride(dim);
}

float scan_quantise(const float *x, uint32_t dim, int8_t *ret_values)
{
	float most = 0;
	for (uint32_t i = 0; i < dim; i++)
		most = fmaxf(most, fabsf(x[i]));
	float scale = most / 127;
	float per = most > 0 ? 127 / most : 0;
	for (uint32_t i = 0; i < dim; i++)
		ret_values[i] = (int8_t)lrintf(x[i] * per);
	memset(ret_values + dim, 0, scan_stride(dim) - dim);
	return scale;
}

uint16_t scan_half(float x)
{
	uint32_t bits;
	memcpy(&bits, &x, sizeof bits);
	uint32_t sign = bits >> 16 & 0x8000, rest = bits & 0x7FFFFFFF;
	if (rest >= 0x47800000) /* too large, infinite or no number */
		return (uint16_t)(sign | (rest > 0x7F800000 ? 0x7E00 : 0x7C00));
	if (rest < 0x38800000) { /* below the least normal half: let the adder round */
		float magnitude, magic = 0.5F;
		memcpy(&magnitude, &rest, sizeof magnitude);
		magnitude += magic;
		memcpy(&rest, &magnitude, sizeof rest);
		return (uint16_t)(sign | (rest - 0x3F000000));
	}
	rest += 0xC8000FFF + (rest >> 13 & 1); /* rebias by 15 - 127, round to nearest even */
	return (uint16_t)(sign | rest >> 13);
}

float scan_float(uint16_t half)
{
	uint32_t sign = (uint32_t)(half & 0x8000) << 16, rest = half & 0x7FFF, bits;
	float x;
	if (rest >= 0x7C00) {
		bits = sign | 0x7F800000 | (rest & 0x3FF) << 13;
	} else if (rest >= 0x400) {
		bits = sign | ((rest << 13) + 0x38000000);
	} else {
		x = (float)rest * 0x1p-24F;
		memcpy(&bits, &x, sizeof bits);
		bits |= sign;
	}
	memcpy(&x, &bits, sizeof x);
	return x;
}

static void dots_plain(const struct scan_query *query, const int8_t *rows, size_t count,
		       int32_t *ret_dots)
{
	for (size_t r = 0; r < count; r++) {
		int32_t dot = 0;
		for (size_t i = 0; i < query->stride; i++)
			dot += (int32_t)rows[r * query->stride + i] * query->values[i];
		ret_dots[r] = dot;
	}
}

static float dot_half_plain(const uint16_t *row, const float *query, size_t dim)
{
	float dot = 0;
	for (size_t i = 0; i < dim; i++)
		dot += scan_float(row[i]) * query[i];
	return dot;
}

static const struct scan_kernel plain = {"plain", dots_plain, dot_half_plain};

size_t scan_kernel_list(const struct scan_kernel *ret_list[4])
{
	size_t count = scan_kernels_here(ret_list);
	ASSERT(count < 4);
	ret_list[count++] = &plain;
	return count;
}

/* Asked for every row that is rescored, and CPUID costs microseconds in a virtual machine: once. */
const struct scan_kernel *scan_kernel_best(void)
{
	static const struct scan_kernel *_Atomic best;
	const struct scan_kernel *known = atomic_load_explicit(&best, memory_order_relaxed);
	if (known != NULL)
		return known;
	const struct scan_kernel *list[4];
	(void)scan_kernel_list(list);
	atomic_store_explicit(&best, list[0], memory_order_relaxed);
	return list[0];
}

static void sink(struct scan_hit *heap, size_t count, size_t at)
{
	struct scan_hit moved = heap[at];
	for (size_t child; (child = 2 * at + 1) < count; at = child) {
		if (child + 1 < count && heap[child + 1].score < heap[child].score)
			child++;
		if (heap[child].score >= moved.score)
			break;
		heap[at] = heap[child];
	}
	heap[at] = moved;
}

void scan_top_offer(struct scan_top *top, uint32_t row, float score)
{
	if (top->count == top->max) {
		if (top->max == 0 || score <= top->hits[0].score)
			return;
		top->hits[0] = (struct scan_hit){row, score};
		sink(top->hits, top->count, 0);
		return;
	}
	size_t at = top->count++;
	while (at > 0 && top->hits[(at - 1) / 2].score > score) {
		top->hits[at] = top->hits[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	top->hits[at] = (struct scan_hit){row, score};
}

/* Once the heap is full hardly a row gets past the floor, so the common case is the first loop
 * alone, which the compiler turns into vector code. */
static void block_scores(const int32_t *dots, const float *scales, float scale, float floor,
			 float *ret_scores, uint8_t *ret_over)
{
	for (size_t i = 0; i < SCAN_BLOCK; i++) {
		ret_scores[i] = (float)dots[i] * scales[i] * scale;
		ret_over[i] = ret_scores[i] > floor;
	}
}

static void block_offer(struct scan_top *top, uint64_t first, uint64_t live, const int32_t *dots,
			const float *scales, float scale)
{
	float scores[SCAN_BLOCK];
	uint8_t over[SCAN_BLOCK];
	float floor = top->count == top->max && top->max > 0 ? top->hits[0].score : -INFINITY;
	block_scores(dots, scales, scale, floor, scores, over);
	float sum = 0, squares = 0;
	if (live == UINT64_MAX) {
		for (size_t i = 0; i < SCAN_BLOCK; i++) {
			sum += scores[i];
			squares += scores[i] * scores[i];
		}
	} else {
		for (uint64_t left = live; left != 0; left &= left - 1) {
			float score = scores[__builtin_ctzll(left)];
			sum += score;
			squares += score * score;
		}
	}
	top->seen += (uint64_t)__builtin_popcountll(live);
	top->sum += (double)sum;
	top->sum_squares += (double)squares;
	for (size_t w = 0; w < SCAN_BLOCK / 8; w++) {
		uint64_t any;
		memcpy(&any, over + 8 * w, sizeof any);
		if (any == 0)
			continue;
		for (size_t i = 8 * w; i < 8 * w + 8; i++) {
			if (over[i] && (live >> i & 1))
				scan_top_offer(top, (uint32_t)(first + i), scores[i]);
		}
	}
}

void scan_rows(const struct scan_kernel *kernel, const struct scan_query *query,
	       const unsigned char *base, uint64_t first, uint64_t end, const uint64_t *visible,
	       struct scan_top *top)
{
	ASSERT(first % SCAN_BLOCK == 0);
	size_t block_bytes = SCAN_BLOCK * (sizeof(float) + query->stride);
	for (uint64_t row = first; row < end; row += SCAN_BLOCK) {
		uint64_t live = visible[row / SCAN_BLOCK];
		size_t count = end - row < SCAN_BLOCK ? (size_t)(end - row) : SCAN_BLOCK;
		if (count < SCAN_BLOCK)
			live &= ((uint64_t)1 << count) - 1;
		if (live == 0)
			continue;
		const unsigned char *block = base + row / SCAN_BLOCK * block_bytes;
		const float *scales = (const float *)(const void *)block;
		const int8_t *rows = (const int8_t *)block + SCAN_BLOCK * sizeof(float);
		int32_t dots[SCAN_BLOCK] = {0};
		kernel->dots(query, rows, count, dots);
		block_offer(top, row, live, dots, scales, query->scale);
	}
}
