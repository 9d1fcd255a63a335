/* Every kernel that this CPU can run, against sums in double over the same rounded inputs. What is
 * left is the order of f32 additions (the tolerance TIGHT) and, where results are stored as bf16,
 * half a unit of its 8 bits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/size.h"
#include "embed/kernels.h"
#include "embed/pack.h"
#include "mem/scope.h"

#define TIGHT 2e-5
#define BF16_UNIT (1.0 / 256)

extern const struct kernels kernels_avx2vnni_evex[3];

static uint64_t seed;

/* Roughly normal, standard deviation 1. */
static float noise(void)
{
	int64_t sum = 0;
	for (int i = 0; i < 4; i++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		sum += (int64_t)(seed >> 40) - (1 << 23);
	}
	return (float)sum * (1.0f / (1 << 24)) * 1.73f;
}

static float round_bf16(float v)
{
	uint32_t bits = (uint32_t)pack_bf16(v) << 16;
	memcpy(&v, &bits, sizeof(v));
	return v;
}

/* A matrix of rows with room around: the stride is odd, and nothing is aligned to more than 4. */
struct rows {
	struct kernel_rows rows;
	size_t columns, bytes; /* of one value */
};

static struct rows rows_new(struct mem_scope *scope, size_t rows, size_t columns, size_t bytes)
{
	size_t stride = columns * bytes + 12;
	unsigned char *data = mem_new_array(scope, unsigned char, rows *stride + 4);
	assert_non_null(data);
	return (struct rows){{data + 4, stride}, columns, bytes};
}

static double rows_get(const struct rows *r, size_t row, size_t column)
{
	const unsigned char *at = r->rows.data + row * r->rows.stride + column * r->bytes;
	unsigned char wide[4] = {0};
	float v;
	memcpy(wide + 4 - r->bytes, at, r->bytes);
	memcpy(&v, wide, sizeof(v));
	return (double)v;
}

static void rows_set(struct rows *r, size_t row, size_t column, float v)
{
	unsigned char *at = r->rows.data + row * r->rows.stride + column * r->bytes;
	uint16_t narrow = pack_bf16(v);
	if (r->bytes == 2)
		memcpy(at, &narrow, sizeof(narrow));
	else
		memcpy(at, &v, sizeof(v));
}

static void rows_fill(struct rows *r, size_t rows, float scale)
{
	for (size_t i = 0; i < rows; i++)
		for (size_t j = 0; j < r->columns; j++)
			rows_set(r, i, j, noise() * scale);
}

static void check(const char *what, const struct kernels *k, double got, double want,
		  double tolerance)
{
	tolerance += 5e-6 * fabs(want); /* f32 sums of up to 4096 terms */
	if (fabs(got - want) <= tolerance)
		return;
	fail_msg("%s of %s: %.9g, not %.9g +- %g", what, k->name, got, want, tolerance);
}

/* ---- every kernel of this CPU ---- */

typedef void each_fn(struct mem_scope *scope, const struct kernels *k,
		     enum packed_precision precision);

static void each_kernel(each_fn *test)
{
	struct kernels_kind kinds[KERNELS_KINDS + 1] = {0};
	kernels_list(kinds);
	kinds[KERNELS_KINDS].name = "evex";
#if defined(__x86_64__)
	kinds[KERNELS_KINDS].by_precision = kernels_avx2vnni_evex;
	kinds[KERNELS_KINDS].available = kinds[1].available;
#endif
	for (size_t i = 0; i < ARRAY_COUNT(kinds); i++)
		for (int p = PACKED_BF16; kinds[i].available && p <= PACKED_F32; p++) {
			struct mem_scope *scope = mem_scope_open(mem_scope_root(), "test", 0);
			assert_non_null(scope);
			seed = 42;
			test(scope, &kinds[i].by_precision[p], (enum packed_precision)p);
			mem_scope_close(scope);
		}
}

/* ---- matmul ---- */

struct matmul_case {
	struct kernel_matrix matrix;
	struct kernel_quant in;
	struct rows act, quant;
	float *weights; /* [n][k] as the kernel sees them */
	size_t rows;
	bool quantised;
};

static void weights_seen(struct matmul_case *c, const float *source,
			 enum packed_precision precision)
{
	for (size_t n = 0; n < c->matrix.n; n++)
		for (size_t i = 0; i < c->matrix.k; i++) {
			size_t at = n * c->matrix.k + i;
			float v = source[at];
			if (precision == PACKED_BF16)
				v = round_bf16(v);
			if (precision == PACKED_INT8)
				v = rintf(v / c->matrix.scale[n]) * c->matrix.scale[n];
			c->weights[at] = v;
		}
}

static struct matmul_case matmul_new(struct mem_scope *scope, const struct kernels *k,
				     enum packed_precision precision, const uint32_t shape[3])
{
	uint32_t rows = shape[0], n = shape[1], depth = shape[2];
	struct matmul_case c = {.rows = rows, .quantised = precision == PACKED_INT8};
	float *source = mem_new_array(scope, float, (size_t)n *depth);
	float *bias = mem_new_array(scope, float, n);
	unsigned char *blob =
		mem_new_array(scope, unsigned char, pack_matrix_bytes(precision, n, depth));
	c.weights = mem_new_array(scope, float, (size_t)n *depth);
	for (size_t i = 0; i < (size_t)n * depth; i++)
		source[i] = noise() * 0.05f;
	for (size_t i = 0; i < n; i++)
		bias[i] = noise() * 0.1f;
	pack_matrix(precision, n, depth, source, bias, blob);
	struct pack_parts parts = pack_matrix_parts(precision, n);
	c.matrix =
		(struct kernel_matrix){.bias = (const float *)(const void *)blob,
				       .scale = (const float *)(const void *)(blob + parts.scale),
				       .sum = (const float *)(const void *)(blob + parts.sum),
				       .panels = blob + parts.panels,
				       .n = n,
				       .k = depth};
	weights_seen(&c, source, precision);
	c.act = rows_new(scope, rows, depth, k->act_bytes);
	rows_fill(&c.act, rows, 1.0f);
	c.quant = rows_new(scope, rows, depth, k->quant_bytes);
	c.in.rows = c.act.rows;
	if (c.quantised) {
		c.in.rows = c.quant.rows;
		c.in.scale = mem_new_array(scope, float, rows);
		c.in.zero = mem_new_array(scope, float, rows);
		k->quantise(c.act.rows, rows, depth, &c.in);
	}
	return c;
}

static double quant_value(const struct kernels *k, const struct matmul_case *c, size_t row,
			  size_t i)
{
	const unsigned char *at =
		c->quant.rows.data + row * c->quant.rows.stride + i * k->quant_bytes;
	int16_t wide = *at;
	if (k->quant_bytes == 2)
		memcpy(&wide, at, sizeof(wide));
	return ((double)wide - (double)c->in.zero[row]) * (double)c->in.scale[row];
}

static double matmul_want(const struct kernels *k, const struct matmul_case *c, size_t row,
			  size_t n)
{
	double sum = (double)c->matrix.bias[n];
	for (size_t i = 0; i < c->matrix.k; i++) {
		double a = c->quantised ? quant_value(k, c, row, i) : rows_get(&c->act, row, i);
		sum += a * (double)c->weights[n * c->matrix.k + i];
	}
	return sum;
}

static void check_shape(struct mem_scope *scope, const struct kernels *k,
			enum packed_precision precision, const uint32_t shape[3])
{
	struct matmul_case c = matmul_new(scope, k, precision, shape);
	struct rows stored = rows_new(scope, c.rows, c.matrix.n, k->act_bytes), gelu = stored;
	struct rows residual = rows_new(scope, c.rows, c.matrix.n, 4);
	gelu = rows_new(scope, c.rows, c.matrix.n, k->act_bytes);
	for (size_t i = 0; i < c.rows; i++)
		for (size_t j = 0; j < c.matrix.n; j++)
			rows_set(&residual, i, j, 0.5f);
	k->matmul(&c.matrix, &c.in, c.rows, stored.rows, KERNEL_STORE);
	k->matmul(&c.matrix, &c.in, c.rows, gelu.rows, KERNEL_GELU);
	k->matmul(&c.matrix, &c.in, c.rows, residual.rows, KERNEL_RESIDUAL);
	double unit = k->act_bytes == 2 ? BF16_UNIT : 0, fast = precision == PACKED_F32 ? 0 : 5e-5;
	for (size_t i = 0; i < c.rows; i++)
		for (size_t j = 0; j < c.matrix.n; j++) {
			double want = matmul_want(k, &c, i, j),
			       phi = 0.5 * (1 + erf(want / sqrt(2)));
			check("sum", k, rows_get(&stored, i, j), want, TIGHT + unit * fabs(want));
			check("residual", k, rows_get(&residual, i, j), want + 0.5, TIGHT);
			check("gelu", k, rows_get(&gelu, i, j), want * phi,
			      TIGHT + fast * fmax(1, fabs(want) / 4) + unit * fabs(want * phi));
		}
}

static void matmul_of(struct mem_scope *scope, const struct kernels *k,
		      enum packed_precision precision)
{
	static const uint32_t shapes[][3] = {
		/* rows, output channels, inputs: every number of rows that a tile can have, the
		 * shapes of MiniLM, e5, bge and BERT base and large, and more rows than one tile */
		{1, 32, 32},   {2, 64, 384},  {3, 96, 512},  {4, 32, 768},  {5, 64, 1024},
		{6, 32, 1536}, {7, 96, 384},  {8, 32, 2048}, {9, 64, 3072}, {10, 32, 4096},
		{11, 32, 64},  {12, 160, 96}, {13, 32, 384}, {25, 64, 384}, {37, 32, 320},
	};
	for (size_t i = 0; i < ARRAY_COUNT(shapes); i++) {
		mem_scope_reset(scope);
		check_shape(scope, k, precision, shapes[i]);
	}
}

static void test_matmul__equals_the_sum_of_products(void **state)
{
	(void)state;
	each_kernel(matmul_of);
}

/* Rows of one sign, constant rows and rows of zeros keep to half a step of their scale. */
static void quantise_of(struct mem_scope *scope, const struct kernels *k,
			enum packed_precision precision)
{
	enum { ROWS = 5, K = 96 };
	if (precision != PACKED_INT8)
		return;
	struct matmul_case c = matmul_new(scope, k, precision, (const uint32_t[]){ROWS, 32, K});
	for (size_t i = 0; i < K; i++) {
		rows_set(&c.act, 1, i, 0);
		rows_set(&c.act, 2, i, 3.0f);
		rows_set(&c.act, 3, i, -0.25f);
		rows_set(&c.act, 4, i, i == 7 ? 60.0f : fabsf(noise()));
	}
	k->quantise(c.act.rows, ROWS, K, &c.in);
	for (size_t row = 0; row < ROWS; row++)
		for (size_t i = 0; i < K; i++)
			check("quantised value", k, quant_value(k, &c, row, i),
			      rows_get(&c.act, row, i), (double)c.in.scale[row] * 1.01);
	assert_true(c.in.scale[4] < 0.24f);
}

static void test_quantise__keeps_within_one_step(void **state)
{
	(void)state;
	each_kernel(quantise_of);
}

/* ---- layer norm ---- */

static void norm_of(struct mem_scope *scope, const struct kernels *k,
		    enum packed_precision precision)
{
	enum { ROWS = 3, DIM = 416 };
	(void)precision;
	float *norm = mem_new_array(scope, float, 2 * DIM);
	struct rows x = rows_new(scope, ROWS, DIM, 4),
		    act = rows_new(scope, ROWS, DIM, k->act_bytes);
	double want[ROWS][DIM];
	for (size_t i = 0; i < 2 * DIM; i++)
		norm[i] = noise();
	rows_fill(&x, ROWS, 3.0f);
	for (size_t i = 0; i < ROWS; i++) {
		double mean = 0, squares = 0;
		for (size_t j = 0; j < DIM; j++)
			mean += rows_get(&x, i, j) / DIM;
		for (size_t j = 0; j < DIM; j++)
			squares += pow(rows_get(&x, i, j) - mean, 2) / DIM;
		for (size_t j = 0; j < DIM; j++)
			want[i][j] = (rows_get(&x, i, j) - mean) / sqrt(squares + 1e-5) *
					     (double)norm[j] +
				     (double)norm[DIM + j];
	}
	k->norm(norm, 1e-5f, DIM, x.rows, act.rows, ROWS);
	for (size_t i = 0; i < ROWS; i++)
		for (size_t j = 0; j < DIM; j++) {
			double unit = k->act_bytes == 2 ? BF16_UNIT : 0;
			check("norm", k, rows_get(&x, i, j), want[i][j], TIGHT);
			check("norm's copy", k, rows_get(&act, i, j), want[i][j],
			      TIGHT + unit * fabs(want[i][j]));
		}
}

static void test_norm__has_mean_0_and_variance_1_before_its_gains(void **state)
{
	(void)state;
	each_kernel(norm_of);
}

/* ---- attention ---- */

/* Softmax(Q K') V for one row and one head; ret_out: size values. */
static void attention_want(const struct rows *qkv, const struct kernel_attention *job, size_t row,
			   size_t head, double *ret_out)
{
	size_t size = job->head_size, at = head * size;
	double score[256], top = -1e9, total = 0;
	for (size_t j = 0; j < job->rows; j++) {
		score[j] = 0;
		for (size_t i = 0; i < size; i++)
			score[j] +=
				rows_get(qkv, row, at + i) * rows_get(qkv, j, job->dim + at + i);
		top = fmax(top, score[j]);
	}
	memset(ret_out, 0, size * sizeof(*ret_out));
	for (size_t j = 0; j < job->rows; j++) {
		double p = exp2(score[j] - top);
		total += p;
		for (size_t i = 0; i < size; i++)
			ret_out[i] += p * rows_get(qkv, j, 2 * job->dim + at + i);
	}
	for (size_t i = 0; i < size; i++)
		ret_out[i] /= total;
}

static void check_attention(struct mem_scope *scope, const struct kernels *k,
			    enum packed_precision precision, uint32_t rows, uint32_t head_size)
{
	enum { HEADS = 2 };
	uint32_t dim = HEADS * head_size;
	struct rows qkv = rows_new(scope, rows, 3 * (size_t)dim, k->act_bytes);
	struct rows out = rows_new(scope, rows, dim, k->act_bytes);
	struct kernel_attention job = {
		.qkv = qkv.rows, .out = out.rows, .rows = rows, .dim = dim, .head_size = head_size};
	size_t bytes = kernels_attention_bytes(k, rows, head_size);
	job.scratch = mem_new_array(scope, unsigned char, bytes);
	memset(job.scratch, 0xff, bytes); /* NaN: what is not written must not be read */
	rows_fill(&qkv, rows, 0.7f);
	k->attention(&job);
	double tolerance = precision == PACKED_F32 ? TIGHT
			   : k->act_bytes == 2     ? 3 * BF16_UNIT
						   : 5e-4;
	for (size_t i = 0; i < rows; i++)
		for (size_t head = 0; head < HEADS; head++) {
			double want[64];
			attention_want(&qkv, &job, i, head, want);
			for (size_t j = 0; j < head_size; j++)
				check("attention", k, rows_get(&out, i, head * head_size + j),
				      want[j], tolerance);
		}
}

static void attention_of(struct mem_scope *scope, const struct kernels *k,
			 enum packed_precision precision)
{
	static const uint32_t rows[] = {1, 2, 7, 31, 32, 33, 64, 97, 130};
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		mem_scope_reset(scope);
		check_attention(scope, k, precision, rows[i], 32);
		check_attention(scope, k, precision, rows[i], 64);
	}
}

static void test_attention__weighs_values_by_softmax(void **state)
{
	(void)state;
	each_kernel(attention_of);
}

/* ---- choice ---- */

static void test_choose__takes_the_best_or_the_named(void **state)
{
	(void)state;
	struct kernels_kind kinds[KERNELS_KINDS];
	const struct kernels *best = NULL, *plain = NULL, *none = NULL;
	struct fault fault;
	kernels_list(kinds);
	size_t first = 0;
	while (!kinds[first].available)
		first++;
	assert_int_equal(kernels_choose(NULL, PACKED_INT8, &best, &fault), ST_OK);
	assert_ptr_equal(best, &kinds[first].by_precision[PACKED_INT8]);
	assert_int_equal(kernels_choose("plain", PACKED_F32, &plain, &fault), ST_OK);
	assert_ptr_equal(plain, &kernels_plain[PACKED_F32]);
	assert_int_equal(kernels_choose("mmx", PACKED_F32, &none, &fault), ST_UNSUPPORTED);
	for (size_t i = 0; i < KERNELS_KINDS; i++)
		if (!kinds[i].available)
			assert_int_equal(kernels_choose(kinds[i].name, PACKED_BF16, &none, &fault),
					 ST_UNSUPPORTED);
	assert_null(none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_matmul__equals_the_sum_of_products),
		cmocka_unit_test(test_quantise__keeps_within_one_step),
		cmocka_unit_test(test_norm__has_mean_0_and_variance_1_before_its_gains),
		cmocka_unit_test(test_attention__weighs_values_by_softmax),
		cmocka_unit_test(test_choose__takes_the_best_or_the_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
