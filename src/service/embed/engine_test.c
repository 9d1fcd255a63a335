/* The engine over a small random model with a vocabulary of made-up words: windows, prefixes,
 * batches, waiting, cancelling, refusals. Real models: engine_model_test.c. */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/size.h"
#include "embed/engine.h"
#include "embed/random_model_test.h"
#include "embed/tokenizer_build.h"
#include "mem/faults.h"
#include "rt/file.h"

enum {
	FIRST = 1,
	LAST = 2,
	UNKNOWN = 3,
	QUERY = 4,
	COLON = 5,
	WORDS = 6,
	VOCAB = 50,
	DIM = 64,
	WINDOW = 100
};

static const struct engine_options defaults = {
	.precision = EMBED_F32, .batch_workspaces = 1, .query_workspaces = 1, .waiting_max = 4};

struct small_model {
	struct mem_scope *scope;
	struct random_model model;
	struct embedder *e;
	char folder[64], path[96];
};

/* Word i of the vocabulary: "qa", "qb" ... ; i counts from WORDS. */
static void word_of(int id, char out[4])
{
	out[0] = 'q';
	out[1] = (char)('a' + (id - WORDS) / 26);
	out[2] = (char)('a' + (id - WORDS) % 26);
	out[3] = '\0';
}

static struct span section_make(struct mem_scope *scope)
{
	struct vocabulary v;
	struct fault fault;
	struct span section = {0};
	assert_int_equal(vocabulary_init(&v, scope, PACKED_WORDPIECE, VOCAB, &fault), ST_OK);
	v.pieces[QUERY] = SPAN("query");
	v.pieces[COLON] = SPAN(":");
	for (int i = WORDS; i < VOCAB; i++) {
		char word[4];
		word_of(i, word);
		char *copy = mem_copy_text(scope, span_of(word));
		assert_non_null(copy);
		v.pieces[i] = span_of(copy);
	}
	v.first_id = FIRST;
	v.last_id = LAST;
	v.unknown_id = UNKNOWN;
	assert_int_equal(tokenizer_build(scope, &v, &section, &fault), ST_OK);
	return section;
}

static void small_open(struct small_model *b)
{
	struct fault fault = {0};
	*b = (struct small_model){.scope = mem_scope_open(mem_scope_root(), "test", 0),
				  .folder = "/tmp/plimsoll-engine-XXXXXX"};
	assert_non_null(b->scope);
	struct random_shape shape = {.dim = DIM,
				     .heads = 2,
				     .ffn = 96,
				     .layers = 2,
				     .vocab = VOCAB,
				     .positions = WINDOW,
				     .tokenizer = section_make(b->scope),
				     .query_prefix = "query: "};
	random_model_make(b->scope, &shape, PACKED_F32, PACKED_MEAN, &b->model);
	assert_non_null(mkdtemp(b->folder));
	(void)snprintf(b->path, sizeof(b->path), "%s/random.f32.plm", b->folder);
	struct span image = {(const char *)b->model.image, b->model.bytes};
	assert_int_equal(file_replace(b->path, image, &fault), ST_OK);
	if (engine_open(b->scope, b->path, &defaults, &b->e, &fault) != ST_OK)
		fail_msg("%s", fault_text(&fault));
}

static void small_close(struct small_model *b)
{
	struct fault fault;
	embedder_close(b->e);
	assert_int_equal(dir_remove(b->folder, &fault), ST_OK);
	mem_scope_close(b->scope);
}

/* count words, beginning with word `start` of the vocabulary; ret_ids are theirs. */
static struct span text_make(struct mem_scope *scope, int start, size_t count, int32_t *ret_ids)
{
	char *text = mem_new_array(scope, char, 4 * count + 1);
	assert_non_null(text);
	for (size_t i = 0; i < count; i++) {
		ret_ids[i] = WORDS + (start + (int)(i * i % 31)) % (VOCAB - WORDS);
		word_of(ret_ids[i], text + 4 * i);
		text[4 * i + 3] = ' ';
	}
	return (struct span){text, count > 0 ? 4 * count - 1 : 0};
}

static void embed(struct small_model *b, const struct span *texts, size_t count,
		  enum embed_kind kind, float *ret_vectors, size_t *ret_tokens)
{
	struct embed_job job = {.texts = texts, .count = count, .kind = kind};
	struct fault fault = {0};
	if (embedder_embed(b->e, &job, ret_vectors, ret_tokens, &fault) != ST_OK)
		fail_msg("%s", fault_text(&fault));
}

/* Add the vector of [FIRST] prefix ids [LAST], weighed by its length, to sum. */
static void add_window(struct small_model *b, bool query, const int32_t *ids, size_t count,
		       double *sum)
{
	int32_t window[WINDOW];
	double vector[DIM];
	size_t rows = 0;
	window[rows++] = FIRST;
	if (query) {
		window[rows++] = QUERY;
		window[rows++] = COLON;
	}
	memcpy(window + rows, ids, count * sizeof(*ids));
	rows += count;
	window[rows++] = LAST;
	struct mem_scope *scratch = mem_scope_open(b->scope, "scratch", 0);
	random_model_embed(scratch, &b->model, window, rows, PACKED_MEAN, vector);
	mem_scope_close(scratch);
	for (size_t i = 0; i < DIM; i++)
		sum[i] += (double)rows * vector[i];
}

static void check_cosine(const double *sum, const float *vector)
{
	double dot = 0, squares = 0, length = 0;
	for (size_t i = 0; i < DIM; i++) {
		dot += sum[i] * (double)vector[i];
		squares += sum[i] * sum[i];
		length += (double)vector[i] * (double)vector[i];
	}
	if (!(dot / sqrt(squares) > 0.9999999) || !(fabs(length - 1) < 1e-6))
		fail_msg("cosine %.9f, length %.9f", dot / sqrt(squares), length);
}

static void test_engine__puts_prefix_and_special_tokens_around_a_text(void **state)
{
	(void)state;
	struct small_model b;
	int32_t ids[5];
	float vectors[2][DIM];
	double plain[DIM] = {0}, query[DIM] = {0};
	size_t tokens = 0;
	small_open(&b);
	struct span text = text_make(b.scope, 3, 5, ids);
	embed(&b, &text, 1, EMBED_PASSAGE, vectors[0], &tokens);
	assert_int_equal(tokens, 7);
	embed(&b, &text, 1, EMBED_QUERY, vectors[1], &tokens);
	assert_int_equal(tokens, 9);
	add_window(&b, false, ids, 5, plain);
	add_window(&b, true, ids, 5, query);
	check_cosine(plain, vectors[0]);
	check_cosine(query, vectors[1]);
	struct fault fault;
	assert_int_equal(embedder_count_tokens(b.e, text, &tokens, &fault), ST_OK);
	assert_int_equal(tokens, 5);
	assert_string_equal(b.e->info.query_prefix, "query: ");
	small_close(&b);
}

/* 250 words: windows of 98 words, or of 96 behind the prefix, which every window repeats. */
static void test_engine__cuts_a_long_text_into_windows(void **state)
{
	(void)state;
	struct small_model b;
	int32_t ids[250];
	float vectors[2][DIM];
	double plain[DIM] = {0}, query[DIM] = {0};
	small_open(&b);
	struct span text = text_make(b.scope, 0, 250, ids);
	embed(&b, &text, 1, EMBED_PLAIN, vectors[0], NULL);
	embed(&b, &text, 1, EMBED_QUERY, vectors[1], NULL);
	for (size_t at = 0; at < 250; at += 98)
		add_window(&b, false, ids + at, size_min(98, 250 - at), plain);
	for (size_t at = 0; at < 250; at += 96)
		add_window(&b, true, ids + at, size_min(96, 250 - at), query);
	check_cosine(plain, vectors[0]);
	check_cosine(query, vectors[1]);
	small_close(&b);
}

/* Empty texts, texts of a full window, long and unreadable ones: in one call or each alone. */
static void test_engine__a_vector_does_not_depend_on_its_neighbours(void **state)
{
	(void)state;
	enum { TEXTS = 40 };
	struct small_model b;
	static int32_t ids[600];
	static float together[TEXTS][DIM], alone[DIM];
	struct span texts[TEXTS];
	size_t all = 0, one = 0, sum = 0;
	small_open(&b);
	for (int i = 0; i < TEXTS; i++)
		texts[i] = text_make(b.scope, i, (size_t)(i * i * 7 % 211), ids);
	texts[1] = SPAN("\xff\xfe \x80");
	texts[2] = (struct span){0};
	texts[3] = text_make(b.scope, 0, 98, ids);
	texts[4] = text_make(b.scope, 0, 600, ids);
	embed(&b, texts, TEXTS, EMBED_PASSAGE, together[0], &all);
	for (int i = 0; i < TEXTS; i++) {
		embed(&b, &texts[i], 1, EMBED_PASSAGE, alone, &one);
		sum += one;
		for (size_t j = 0; j < DIM; j++)
			assert_true(fabsf(alone[j] - together[i][j]) < 2e-6f);
	}
	assert_int_equal(all, sum);
	embed(&b, texts, 0, EMBED_PASSAGE, alone, &all);
	assert_int_equal(all, 0);
	small_close(&b);
}

/* Passages keep their only workspace for seconds; a query is answered meanwhile. */
struct long_call {
	struct small_model *b;
	struct embed_job job;
	float *vectors;
	atomic_bool done;
	status st;
};

static void *long_call_run(void *context)
{
	struct long_call *c = context;
	struct fault fault;
	c->st = embedder_embed(c->b->e, &c->job, c->vectors, NULL, &fault);
	atomic_store(&c->done, true);
	return NULL;
}

static void test_engine__a_query_does_not_wait_for_passages(void **state)
{
	(void)state;
	enum { TEXTS = 200000 };
	struct small_model b;
	static int32_t ids[90];
	struct cancel cancel = {false};
	struct long_call call = {.b = &b, .st = ST_IO};
	float vector[DIM];
	pthread_t thread;
	small_open(&b);
	struct span *texts = mem_new_array(b.scope, struct span, TEXTS),
		    text = text_make(b.scope, 0, 90, ids);
	call.vectors = mem_new_array(b.scope, float, (size_t)TEXTS *DIM);
	assert_non_null(call.vectors);
	for (size_t i = 0; i < TEXTS; i++)
		texts[i] = text;
	call.job = (struct embed_job){texts, TEXTS, EMBED_PASSAGE, &cancel};
	assert_int_equal(pthread_create(&thread, NULL, long_call_run, &call), 0);
	embed(&b, &text, 1, EMBED_QUERY, vector, NULL);
	assert_false(atomic_load(&call.done));
	cancel_set(&cancel);
	pthread_join(thread, NULL);
	assert_int_equal(call.st, ST_CANCELLED);
	small_close(&b);
}

/* Every allocation from here on would fail, and none is asked for. */
static void test_engine__allocates_nothing_for_a_call(void **state)
{
	(void)state;
	struct small_model b;
	static int32_t ids[300];
	float vectors[2][DIM];
	size_t tokens;
	struct fault fault;
	small_open(&b);
	struct span texts[2] = {text_make(b.scope, 0, 300, ids), SPAN("qaa")};
	mem_fault_arm(MEM_FAULT_ALLOC, 1, true);
	embed(&b, texts, 2, EMBED_PASSAGE, vectors[0], &tokens);
	embed(&b, texts, 2, EMBED_QUERY, vectors[0], &tokens);
	assert_int_equal(embedder_count_tokens(b.e, texts[0], &tokens, &fault), ST_OK);
	assert_int_equal(mem_fault_fired(MEM_FAULT_ALLOC), 0);
	mem_fault_disarm(MEM_FAULT_ALLOC);
	small_close(&b);
}

/* Each allocation and each I/O of opening fails in turn: a status, and nothing kept. */
static void test_engine__open_gives_everything_back_on_failure(void **state)
{
	(void)state;
	struct small_model b;
	struct fault fault;
	struct embedder *e = NULL;
	small_open(&b);
	size_t before = mem_scope_live(b.scope);
	for (int kind = 0; kind < MEM_FAULT_KINDS; kind++)
		for (uint64_t nth = 1;; nth++) {
			mem_fault_arm((enum mem_fault_kind)kind, nth, nth % 2 == 0);
			status st = engine_open(b.scope, b.path, &defaults, &e, &fault);
			bool fired = mem_fault_fired((enum mem_fault_kind)kind) > 0;
			mem_fault_disarm((enum mem_fault_kind)kind);
			if (!fired) {
				assert_int_equal(st, ST_OK);
				embedder_close(e);
				break;
			}
			assert_int_not_equal(st, ST_OK);
			assert_int_equal(mem_scope_live(b.scope), before);
		}
	small_close(&b);
}

static status open_with(struct small_model *b, const char *path,
			const struct engine_options *options)
{
	struct fault fault;
	struct embedder *e = NULL;
	status st = engine_open(b->scope, path, options, &e, &fault);
	assert_true(st != ST_OK && e == NULL);
	return st;
}

static void test_engine__refuses_what_it_cannot_run(void **state)
{
	(void)state;
	struct small_model b;
	struct fault fault;
	small_open(&b);
	struct engine_options options = defaults;
	assert_int_equal(open_with(&b, "/nowhere/model.plm", &options), ST_NOT_FOUND);
	options.precision = EMBED_INT8;
	assert_int_equal(open_with(&b, b.path, &options), ST_UNSUPPORTED);
	options = defaults;
	options.kernel = "mmx";
	assert_int_equal(open_with(&b, b.path, &options), ST_UNSUPPORTED);
	options = defaults;
	options.query_workspaces = 0;
	assert_int_equal(open_with(&b, b.path, &options), ST_INVALID);
	struct span half = {(const char *)b.model.image, b.model.bytes / 2};
	assert_int_equal(file_replace(b.path, half, &fault), ST_OK);
	assert_int_equal(open_with(&b, b.path, &defaults), ST_CORRUPT);
	assert_int_equal(file_replace(b.path, SPAN("no model"), &fault), ST_OK);
	assert_int_equal(open_with(&b, b.path, &defaults), ST_CORRUPT);
	small_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_engine__puts_prefix_and_special_tokens_around_a_text),
		cmocka_unit_test(test_engine__cuts_a_long_text_into_windows),
		cmocka_unit_test(test_engine__a_vector_does_not_depend_on_its_neighbours),
		cmocka_unit_test(test_engine__a_query_does_not_wait_for_passages),
		cmocka_unit_test(test_engine__allocates_nothing_for_a_call),
		cmocka_unit_test(test_engine__open_gives_everything_back_on_failure),
		cmocka_unit_test(test_engine__refuses_what_it_cannot_run),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
