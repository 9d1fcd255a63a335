#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "kb/scan.h"
#include "mem/scope.h"

static uint64_t seed = 1;

static uint32_t dice(void)
{
	return (uint32_t)(hash_mix(seed++) >> 32);
}

static float unit(void)
{
	return (float)dice() / 2147483648.0F - 1.0F;
}

static void test_scan_kernels__agree_bit_by_bit(void **state)
{
	(void)state;
	struct mem_scope *scope = mem_scope_open(mem_scope_root(), "test", 0);
	static const uint32_t dims[] = {1, 63, 64, 65, 384, 768, 4096};
	const struct scan_kernel *list[4];
	size_t kernels = scan_kernel_list(list);
	for (size_t d = 0; d < sizeof dims / sizeof *dims; d++) {
		size_t stride = scan_stride(dims[d]);
		int8_t *rows = mem_new_aligned(scope, int8_t, SCAN_BLOCK * stride, 64);
		int8_t *values = mem_new_aligned(scope, int8_t, stride, 64);
		struct scan_query q = {.values = values, .stride = stride};
		for (size_t i = 0; i < stride; i++) {
			/* the extremes first: nothing may saturate */
			values[i] = (int8_t)(d % 2 == 0 ? 127 : (int)(dice() % 255) - 127);
			q.sum += values[i];
		}
		for (size_t i = 0; i < SCAN_BLOCK * stride; i++)
			rows[i] = (int8_t)(i < 2 * stride ? (i < stride ? 127 : -127)
							  : (int)(dice() % 255) - 127);
		for (size_t count = 1; count <= SCAN_BLOCK; count += 21) {
			int32_t expected[SCAN_BLOCK], got[SCAN_BLOCK];
			list[kernels - 1]->dots(&q, rows, count, expected);
			for (size_t k = 0; k + 1 < kernels; k++) {
				list[k]->dots(&q, rows, count, got);
				assert_memory_equal(got, expected, count * sizeof *got);
			}
		}
	}
	mem_scope_close(scope);
}

static void test_scan_half__rounds_like_the_standard(void **state)
{
	(void)state;
	for (uint32_t h = 0; h < 0x10000; h++) {
		float x = scan_float((uint16_t)h);
		if (isnan(x))
			assert_true(isnan(scan_float(scan_half(x))));
		else
			assert_int_equal(scan_half(x), h);
	}
	assert_int_equal(scan_half(65520.0F), 0x7C00); /* rounds up to infinity */
	assert_int_equal(scan_half(65519.0F), 0x7BFF);
	assert_int_equal(scan_half(1.00048828125F), 0x3C00); /* a tie goes to even */
	assert_int_equal(scan_half(1.00146484375F), 0x3C02);
	assert_int_equal(scan_half(0x1p-25F), 0x0000);
	assert_int_equal(scan_half(0x1.8p-25F), 0x0001);
}

static void test_scan_dot_half__agrees_with_floats(void **state)
{
	(void)state;
	uint16_t row[400];
	float query[400];
	const struct scan_kernel *list[4];
	size_t kernels = scan_kernel_list(list);
	for (size_t dim = 1; dim <= 400; dim += 57) {
		double expected = 0;
		for (size_t i = 0; i < dim; i++) {
			row[i] = scan_half(unit());
			query[i] = unit();
			expected += (double)scan_float(row[i]) * (double)query[i];
		}
		for (size_t k = 0; k < kernels; k++)
			assert_true(fabs((double)list[k]->dot_half(row, query, dim) - expected) <
				    1e-4);
	}
}

struct row_file {
	unsigned char *base;
	float *rows; /* as stored, back in floats */
};

static struct row_file rows_make(struct mem_scope *scope, uint32_t dim, size_t count)
{
	size_t stride = scan_stride(dim);
	struct row_file f = {
		.base = mem_new_aligned(scope, unsigned char,
					(count + SCAN_BLOCK) / SCAN_BLOCK * scan_block_bytes(dim),
					64),
		.rows = mem_new_array(scope, float, count *dim),
	};
	for (size_t r = 0; r < count; r++) {
		unsigned char *block = f.base + r / SCAN_BLOCK * scan_block_bytes(dim);
		int8_t *at = (int8_t *)block + SCAN_BLOCK * sizeof(float) + r % SCAN_BLOCK * stride;
		float x[1024];
		for (uint32_t i = 0; i < dim; i++)
			x[i] = unit();
		float scale = scan_quantise(x, dim, at);
		memcpy(block + r % SCAN_BLOCK * sizeof scale, &scale, sizeof scale);
		for (uint32_t i = 0; i < dim; i++)
			f.rows[r * dim + i] = (float)at[i] * scale;
	}
	return f;
}

static int by_score(const void *a, const void *b)
{
	const struct scan_hit *x = a, *y = b;
	return x->score > y->score ? -1 : x->score < y->score;
}

static void test_scan_rows__finds_the_best_visible_rows(void **state)
{
	(void)state;
	enum { DIM = 96, ROWS = 1000, TOP = 17 };
	struct mem_scope *scope = mem_scope_open(mem_scope_root(), "test", 0);
	struct row_file f = rows_make(scope, DIM, ROWS);
	uint64_t visible[ROWS / 64 + 1];
	for (size_t i = 0; i < ROWS / 64 + 1; i++)
		visible[i] = i == 3 ? 0 : i % 2 == 0 ? UINT64_MAX : (uint64_t)dice() << 32 | dice();
	float question[DIM];
	for (size_t i = 0; i < DIM; i++)
		question[i] = unit();
	int8_t *values = mem_new_aligned(scope, int8_t, scan_stride(DIM), 64);
	struct scan_query q = {.values = values, .stride = scan_stride(DIM)};
	q.scale = scan_quantise(question, DIM, values);
	for (size_t i = 0; i < DIM; i++)
		q.sum += values[i];
	struct scan_hit all[ROWS];
	size_t seen = 0;
	double sum = 0;
	for (uint32_t r = 0; r < ROWS; r++) {
		float dot = 0;
		for (size_t i = 0; i < DIM; i++)
			dot += f.rows[r * DIM + i] * (float)values[i] * q.scale;
		if (visible[r / 64] >> r % 64 & 1)
			all[seen++] = (struct scan_hit){r, dot}, sum += (double)dot;
	}
	qsort(all, seen, sizeof *all, by_score);
	const struct scan_kernel *list[4];
	for (size_t k = scan_kernel_list(list); k-- > 0;) {
		struct scan_hit hits[TOP];
		struct scan_top top = {.hits = hits, .max = TOP};
		scan_rows(list[k], &q, f.base, 0, ROWS, visible, &top);
		assert_int_equal(top.count, TOP);
		assert_int_equal(top.seen, seen);
		assert_true(fabs(top.sum - sum) < 1e-2);
		qsort(hits, TOP, sizeof *hits, by_score);
		for (size_t i = 0; i < TOP; i++) {
			assert_int_equal(hits[i].row, all[i].row);
			assert_true(fabsf(hits[i].score - all[i].score) < 1e-4F);
		}
	}
	mem_scope_close(scope);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scan_kernels__agree_bit_by_bit),
		cmocka_unit_test(test_scan_half__rounds_like_the_standard),
		cmocka_unit_test(test_scan_dot_half__agrees_with_floats),
		cmocka_unit_test(test_scan_rows__finds_the_best_visible_rows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
