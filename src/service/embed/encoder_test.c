/* The whole forward pass of every kernel, precision, head size and pooling against the same model
 * in double arithmetic. The model is random, so errors do not cancel: the floors below are what
 * rounding leaves of the cosine, measured once and given a third of room. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/size.h"
#include "embed/encoder.h"
#include "embed/random_model_test.h"

enum { DIM_MAX = 128, ROWS_MAX = 200 };

static const double cosine_floor[3] = {
	[PACKED_BF16] = 0.9998, [PACKED_INT8] = 0.998, [PACKED_F32] = 0.9999999};

/* Windows of 1, 77, 5 and 100 tokens. */
static const struct encoder_window windows[] = {{0, 1}, {1, 77}, {78, 5}, {83, 100}};
static const struct random_shape small_heads = {
	.dim = 64, .heads = 2, .ffn = 96, .layers = 2, .vocab = 50, .positions = 100};
static const struct random_shape large_heads = {
	.dim = 128, .heads = 2, .ffn = 192, .layers = 2, .vocab = 50, .positions = 100};

struct run {
	struct mem_scope *scope;
	struct random_model model;
	struct encoder encoder;
	struct encoder_work work;
	int32_t ids[ROWS_MAX];
	struct encoder_batch batch;
};

static void run_open(struct run *r, const struct random_shape *shape, const struct kernels *k,
		     enum packed_precision precision, enum packed_pooling pooling)
{
	struct fault fault;
	*r = (struct run){.scope = mem_scope_open(mem_scope_root(), "test", 0)};
	assert_non_null(r->scope);
	random_model_make(r->scope, shape, precision, pooling, &r->model);
	assert_int_equal(packed_check(r->model.image, r->model.bytes, &fault), ST_OK);
	encoder_init(&r->encoder, r->model.image, k);
	size_t bytes = encoder_work_bytes(&r->encoder, ROWS_MAX);
	unsigned char *memory = mem_new_aligned(r->scope, unsigned char, bytes, 64);
	assert_non_null(memory);
	memset(memory, 0xff, bytes); /* NaN: nothing may be read before it is written */
	encoder_work_init(&r->work, &r->encoder, ROWS_MAX, memory);
	for (int i = 0; i < ROWS_MAX; i++)
		r->ids[i] = i * 7 % (int32_t)shape->vocab;
	r->batch = (struct encoder_batch){.ids = r->ids,
					  .windows = windows,
					  .window_count = ARRAY_COUNT(windows),
					  .rows = 183};
}

static void check_vectors(struct run *r, enum packed_precision precision,
			  enum packed_pooling pooling)
{
	struct fault fault;
	assert_int_equal(encoder_run(&r->encoder, &r->work, &r->batch, &fault), ST_OK);
	for (size_t i = 0; i < ARRAY_COUNT(windows); i++) {
		struct mem_scope *scratch = mem_scope_open(r->scope, "scratch", 0);
		float got[DIM_MAX];
		double want[DIM_MAX], cosine = 0, length = 0;
		encoder_pool(&r->encoder, &r->work, &windows[i], got);
		random_model_embed(scratch, &r->model, r->ids + windows[i].first, windows[i].rows,
				   pooling, want);
		for (size_t j = 0; j < r->model.shape.dim; j++) {
			cosine += (double)got[j] * want[j];
			length += (double)got[j] * (double)got[j];
		}
		mem_scope_close(scratch);
		assert_true(fabs(length - 1) < 1e-6);
		if (!(cosine >= cosine_floor[precision]))
			fail_msg("kernel %s, precision %d, window %zu: cosine %.8f",
				 r->encoder.kernels->name, (int)precision, i, cosine);
	}
}

static void each_kernel(const struct random_shape *shape, enum packed_pooling pooling)
{
	struct kernels_kind kinds[KERNELS_KINDS];
	kernels_list(kinds);
	for (size_t i = 0; i < KERNELS_KINDS; i++)
		for (int p = PACKED_BF16; kinds[i].available && p <= PACKED_F32; p++) {
			struct run r;
			enum packed_precision precision = (enum packed_precision)p;
			run_open(&r, shape, &kinds[i].by_precision[p], precision, pooling);
			check_vectors(&r, precision, pooling);
			mem_scope_close(r.scope);
		}
}

static void test_encoder__equals_the_model_in_double(void **state)
{
	(void)state;
	each_kernel(&small_heads, PACKED_MEAN);
	each_kernel(&large_heads, PACKED_CLS);
}

/* A text's vector must not depend on what else is in the batch. */
static void test_encoder__keeps_windows_apart(void **state)
{
	(void)state;
	struct run r;
	struct fault fault;
	const struct kernels *k = NULL;
	float together[DIM_MAX], alone[DIM_MAX];
	assert_int_equal(kernels_choose(NULL, PACKED_F32, &k, &fault), ST_OK);
	run_open(&r, &small_heads, k, PACKED_F32, PACKED_MEAN);
	assert_int_equal(encoder_run(&r.encoder, &r.work, &r.batch, &fault), ST_OK);
	encoder_pool(&r.encoder, &r.work, &windows[1], together);
	struct encoder_window only = {0, windows[1].rows};
	r.batch = (struct encoder_batch){
		.ids = r.ids + 1, .windows = &only, .window_count = 1, .rows = only.rows};
	assert_int_equal(encoder_run(&r.encoder, &r.work, &r.batch, &fault), ST_OK);
	encoder_pool(&r.encoder, &r.work, &only, alone);
	for (size_t i = 0; i < small_heads.dim; i++)
		assert_true(fabsf(together[i] - alone[i]) < 1e-6f);
	mem_scope_close(r.scope);
}

static void test_encoder__stops_when_cancelled_and_refuses_foreign_ids(void **state)
{
	(void)state;
	struct run r;
	struct fault fault;
	struct cancel cancel = {false};
	const struct kernels *k = NULL;
	assert_int_equal(kernels_choose("plain", PACKED_INT8, &k, &fault), ST_OK);
	run_open(&r, &small_heads, k, PACKED_INT8, PACKED_MEAN);
	r.batch.cancel = &cancel;
	assert_int_equal(encoder_run(&r.encoder, &r.work, &r.batch, &fault), ST_OK);
	cancel_set(&cancel);
	assert_int_equal(encoder_run(&r.encoder, &r.work, &r.batch, &fault), ST_CANCELLED);
	r.ids[80] = -1;
	assert_int_equal(encoder_run(&r.encoder, &r.work, &r.batch, &fault), ST_CORRUPT);
	mem_scope_close(r.scope);
}

/* Every number of the header, made wrong in turn, is found before anything is read through it. */
static void test_packed_check__refuses_damage(void **state)
{
	(void)state;
	struct run r;
	struct fault fault;
	const struct kernels *k = &kernels_plain[PACKED_BF16];
	run_open(&r, &small_heads, k, PACKED_BF16, PACKED_MEAN);
	unsigned char *image = r.model.image;
	for (size_t at = 0; at < offsetof(struct packed_header, name); at += 4) {
		uint32_t kept, wrong = 0xfffffff1;
		memcpy(&kept, image + at, 4);
		memcpy(image + at, &wrong, 4);
		status st = packed_check(image, r.model.bytes, &fault);
		if (st == ST_OK)
			fail_msg("byte %zu of the header may be anything", at);
		memcpy(image + at, &kept, 4);
	}
	for (size_t bytes = 0; bytes < r.model.bytes; bytes += 61)
		assert_int_not_equal(packed_check(image, bytes, &fault), ST_OK);
	assert_int_equal(packed_check(image, r.model.bytes, &fault), ST_OK);
	mem_scope_close(r.scope);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_encoder__equals_the_model_in_double),
		cmocka_unit_test(test_encoder__keeps_windows_apart),
		cmocka_unit_test(test_encoder__stops_when_cancelled_and_refuses_foreign_ids),
		cmocka_unit_test(test_packed_check__refuses_damage),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
