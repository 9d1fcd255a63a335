/* The encoder adapter, over a small BERT with invented weights that the test writes itself: what is
 * tested is ours (batches, windows, turns, prefixes), not the worth of the vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ggml.h>
#include <gguf.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "base/size.h"
#include "embed/embedder.h"
#include "llm/llm.h"
#include "llm/test_models.h"
#include "mem/faults.h"
#include "rt/file.h"
#include "rt/json.h"

#define REFERENCE PLIMSOLL_SOURCE_DIR "/tests/data/embed/all-MiniLM-L6-v2.json"

enum { DIM = 32, FFN = 64, CONTEXT = 64, WORDS = 26, SPECIALS = 5, VOCABULARY = WORDS + SPECIALS };

static char path[] = "/tmp/plimsoll-e5-XXXXXX.gguf";
static struct embedder *embedder;

/* Numbers in -0.5..0.5 that depend on name and place only. */
static void add_tensor(struct ggml_context *ggml, struct gguf_context *gguf, const char *name,
		       int64_t columns, int64_t rows)
{
	struct ggml_tensor *t = rows > 0 ? ggml_new_tensor_2d(ggml, GGML_TYPE_F32, columns, rows)
					 : ggml_new_tensor_1d(ggml, GGML_TYPE_F32, columns);
	float *value = ggml_get_data_f32(t);
	bool ones = strstr(name, "norm.weight") != NULL;
	uint64_t x = strlen(name) * 0x9E3779B97F4A7C15u + (unsigned char)name[6];
	for (int64_t i = 0; i < ggml_nelements(t); i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		value[i] = ones ? 1.0F : (float)(x >> 40) / 16777216.0F - 0.5F;
	}
	ggml_set_name(t, name);
	gguf_add_tensor(gguf, t);
}

static void add_vocabulary(struct gguf_context *gguf)
{
	static const char *const special[SPECIALS] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
	static char words[WORDS][8];
	const char *tokens[VOCABULARY];
	int32_t types[VOCABULARY];
	for (int i = 0; i < VOCABULARY; i++) {
		types[i] = i < SPECIALS ? 3 : 1;
		tokens[i] = i < SPECIALS ? special[i] : words[i - SPECIALS];
		if (i >= SPECIALS) /* a word of one letter, after the mark of a word's beginning */
			snprintf(words[i - SPECIALS], 8, "\xE2\x96\x81%c", 'a' + i - SPECIALS);
	}
	gguf_set_val_str(gguf, "tokenizer.ggml.model", "bert");
	gguf_set_val_u32(gguf, "tokenizer.ggml.token_type_count", 2);
	gguf_set_arr_str(gguf, "tokenizer.ggml.tokens", tokens, VOCABULARY);
	gguf_set_arr_data(gguf, "tokenizer.ggml.token_type", GGUF_TYPE_INT32, types, VOCABULARY);
	gguf_set_val_u32(gguf, "tokenizer.ggml.padding_token_id", 0);
	gguf_set_val_u32(gguf, "tokenizer.ggml.unknown_token_id", 1);
	gguf_set_val_u32(gguf, "tokenizer.ggml.cls_token_id", 2);
	gguf_set_val_u32(gguf, "tokenizer.ggml.bos_token_id", 2);
	gguf_set_val_u32(gguf, "tokenizer.ggml.seperator_token_id", 3);
	gguf_set_val_u32(gguf, "tokenizer.ggml.mask_token_id", 4);
}

static void add_weights(struct ggml_context *ggml, struct gguf_context *gguf)
{
	static const struct { const char *name; int columns, rows; } weights[] = {
		{"token_embd.weight", DIM, VOCABULARY},
		{"token_types.weight", DIM, 2},
		{"position_embd.weight", DIM, CONTEXT},
		{"token_embd_norm.weight", DIM, 0},
		{"token_embd_norm.bias", DIM, 0},
		{"blk.0.attn_q.weight", DIM, DIM},
		{"blk.0.attn_q.bias", DIM, 0},
		{"blk.0.attn_k.weight", DIM, DIM},
		{"blk.0.attn_k.bias", DIM, 0},
		{"blk.0.attn_v.weight", DIM, DIM},
		{"blk.0.attn_v.bias", DIM, 0},
		{"blk.0.attn_output.weight", DIM, DIM},
		{"blk.0.attn_output.bias", DIM, 0},
		{"blk.0.attn_output_norm.weight", DIM, 0},
		{"blk.0.attn_output_norm.bias", DIM, 0},
		{"blk.0.ffn_up.weight", DIM, FFN},
		{"blk.0.ffn_up.bias", FFN, 0},
		{"blk.0.ffn_down.weight", FFN, DIM},
		{"blk.0.ffn_down.bias", DIM, 0},
		{"blk.0.layer_output_norm.weight", DIM, 0},
		{"blk.0.layer_output_norm.bias", DIM, 0},
	};
	for (size_t i = 0; i < ARRAY_COUNT(weights); i++)
		add_tensor(ggml, gguf, weights[i].name, weights[i].columns, weights[i].rows);
}

static bool write_model(void)
{
	struct ggml_init_params params = {.mem_size = 4 * MIB};
	struct ggml_context *ggml = ggml_init(params);
	struct gguf_context *gguf = gguf_init_empty();
	gguf_set_val_str(gguf, "general.architecture", "bert");
	gguf_set_val_str(gguf, "general.name", "invented");
	gguf_set_val_u32(gguf, "bert.context_length", CONTEXT);
	gguf_set_val_u32(gguf, "bert.embedding_length", DIM);
	gguf_set_val_u32(gguf, "bert.feed_forward_length", FFN);
	gguf_set_val_u32(gguf, "bert.block_count", 1);
	gguf_set_val_u32(gguf, "bert.attention.head_count", 2);
	gguf_set_val_f32(gguf, "bert.attention.layer_norm_epsilon", 1e-12F);
	gguf_set_val_bool(gguf, "bert.attention.causal", false);
	gguf_set_val_u32(gguf, "bert.pooling_type", 1);
	add_vocabulary(gguf);
	add_weights(ggml, gguf);
	bool ok = gguf_write_to_file(gguf, path, false);
	gguf_free(gguf);
	ggml_free(ggml);
	return ok;
}

static int setup(void **state)
{
	(void)state;
	struct fault fault;
	int fd = mkstemps(path, 5);
	if (fd < 0 || close(fd) != 0 || !write_model())
		return -1;
	status st = llm_encoder_open(mem_scope_root(), path, &embedder, &fault);
	if (st != ST_OK)
		fprintf(stderr, "%s\n", fault_text(&fault));
	return st == ST_OK ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	embedder_close(embedder);
	unlink(path);
	return mem_account_stat(mem_account_root()).live == 0 ? 0 : -1;
}

static void embed(struct span text, enum embed_kind kind, float *vector)
{
	struct embed_job job = {.texts = &text, .count = 1, .kind = kind};
	assert_int_equal(embedder_embed(embedder, &job, vector, NULL, NULL), ST_OK);
}

static double cosine(const float *a, const float *b)
{
	double sum = 0;
	for (int d = 0; d < DIM; d++)
		sum += (double)a[d] * (double)b[d];
	return sum;
}

static void test_encoder__says_what_it_is(void **state)
{
	(void)state;
	struct llm_file_info info;
	assert_int_equal(llm_file_inspect(path, &info, NULL), ST_OK);
	assert_true(info.is_encoder);
	assert_string_equal(info.name, "invented");
	assert_int_equal(embedder->info.dim, DIM);
	assert_int_equal(embedder->info.tokens_max, CONTEXT);
	assert_string_equal(embedder->info.query_prefix, "query: "); /* the file's name says e5- */
	assert_non_null(strstr(embedder->info.id, embedder->info.name));
	struct llm_local_options options = {.path = path, .sequences = 1};
	struct generator *g = NULL;
	struct fault fault;
	assert_int_equal(llm_local_open(mem_scope_root(), &options, &g, &fault), ST_UNSUPPORTED);
	assert_non_null(strstr(fault.text, "is an encoder"));
}

static void test_encoder__many_at_once_as_alone(void **state)
{
	(void)state;
	enum { COUNT = 70 }; /* more than the windows and the tokens of one batch */
	char text[COUNT][2 * COUNT];
	struct span texts[COUNT];
	float together[COUNT * DIM], alone[DIM];
	size_t tokens = 0, read;
	for (size_t i = 0; i < COUNT; i++) {
		size_t words = i % 60;
		for (size_t w = 0; w < words; w++) {
			text[i][2 * w] = (char)('a' + (i * 7 + w * w) % 26);
			text[i][2 * w + 1] = ' ';
		}
		texts[i] = (struct span){text[i], 2 * words};
		tokens += words;
	}
	struct embed_job job = {.texts = texts, .count = COUNT, .kind = EMBED_PLAIN};
	assert_int_equal(embedder_embed(embedder, &job, together, &read, NULL), ST_OK);
	assert_int_equal(read, tokens);
	for (size_t i = 0; i < COUNT; i++) {
		embed(texts[i], EMBED_PLAIN, alone);
		assert_true(fabs(cosine(alone, alone) - 1) < 1e-5);
		assert_true(cosine(alone, together + i * DIM) > 0.99999);
	}
	assert_true(cosine(together + DIM, together + 2 * DIM) < 0.999);
}

static void test_encoder__long_texts_become_weighted_windows(void **state)
{
	(void)state;
	enum { LONG = 100, FIRST = CONTEXT - 2 };
	char text[2 * LONG];
	float whole[DIM], first[DIM], second[DIM], want[DIM];
	for (size_t i = 0; i < LONG; i++) {
		text[2 * i] = (char)('a' + i % 26);
		text[2 * i + 1] = ' ';
	}
	embed((struct span){text, 2 * LONG}, EMBED_PLAIN, whole);
	embed((struct span){text, 2 * FIRST}, EMBED_PLAIN, first);
	embed((struct span){text + 2 * FIRST, 2 * (LONG - FIRST)}, EMBED_PLAIN, second);
	for (int d = 0; d < DIM; d++)
		want[d] = FIRST * first[d] + (LONG - FIRST) * second[d];
	assert_true(cosine(whole, want) / sqrt(cosine(want, want)) > 0.99999);
}

static void test_encoder__prefixes_make_a_difference(void **state)
{
	(void)state;
	float query[DIM], passage[DIM], plain[DIM];
	embed(SPAN("a b c"), EMBED_QUERY, query);
	embed(SPAN("a b c"), EMBED_PASSAGE, passage);
	embed(SPAN("a b c"), EMBED_PLAIN, plain);
	assert_true(cosine(query, plain) < 0.9999);
	assert_true(cosine(passage, plain) < 0.9999);
}

static void test_encoder__bad_bytes_and_nothing_at_all(void **state)
{
	(void)state;
	float bad[DIM], mended[DIM], empty[DIM];
	size_t tokens;
	embed(SPAN("a \xFF\xC3 b"), EMBED_PLAIN, bad);
	embed(SPAN("a \uFFFD\uFFFD b"), EMBED_PLAIN, mended);
	embed(SPAN(""), EMBED_PLAIN, empty);
	assert_true(cosine(bad, mended) > 0.99999);
	assert_true(fabs(cosine(empty, empty) - 1) < 1e-5);
	assert_int_equal(embedder_count_tokens(embedder, SPAN("a b c"), &tokens, NULL), ST_OK);
	assert_int_equal(tokens, 3);
}

static void *embed_many(void *context)
{
	float vector[DIM], again[DIM];
	enum embed_kind kind = *(enum embed_kind *)context;
	embed(SPAN("a b c d"), kind, vector);
	for (int i = 0; i < 50; i++) {
		embed(SPAN("a b c d"), kind, again);
		assert_true(cosine(vector, again) > 0.99999);
	}
	return NULL;
}

static void test_encoder__many_threads(void **state)
{
	(void)state;
	enum { THREADS = 6 };
	enum embed_kind kinds[] = {EMBED_QUERY, EMBED_PASSAGE};
	pthread_t thread[THREADS];
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, embed_many, &kinds[i % 2]), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
}

static void test_encoder__cancel_leaves_nothing_behind(void **state)
{
	(void)state;
	struct cancel cancel = {true};
	struct span text = SPAN("a b c");
	float vector[DIM];
	size_t live = mem_account_stat(mem_account_root()).live;
	struct embed_job job = {.texts = &text, .count = 1, .cancel = &cancel};
	assert_int_equal(embedder_embed(embedder, &job, vector, NULL, NULL), ST_CANCELLED);
	assert_int_equal(mem_account_stat(mem_account_root()).live, live);
	embed(text, EMBED_PLAIN, vector);
}

static void test_encoder__every_failed_allocation_is_a_status(void **state)
{
	(void)state;
	struct span text = SPAN("a b c");
	size_t live = mem_account_stat(mem_account_root()).live;
	for (uint64_t n = 1;; n++) {
		struct embedder *e = NULL;
		float vector[DIM];
		mem_fault_arm(MEM_FAULT_ALLOC, n, false);
		status st = llm_encoder_open(mem_scope_root(), path, &e, NULL);
		struct embed_job job = {.texts = &text, .count = 1, .kind = EMBED_QUERY};
		if (st == ST_OK)
			st = embedder_embed(e, &job, vector, NULL, NULL);
		bool fired = mem_fault_fired(MEM_FAULT_ALLOC) > 0;
		mem_fault_disarm(MEM_FAULT_ALLOC);
		embedder_close(e);
		assert_true(st == ST_OK || (fired && st == ST_OOM));
		assert_int_equal(mem_account_stat(mem_account_root()).live, live);
		if (!fired)
			break;
	}
}

/* libllama checks with an assertion that no two tokens are alike: it must not end the process. */
static void test_encoder__a_vocabulary_with_twins_is_refused(void **state)
{
	(void)state;
	struct embedder *e = NULL;
	struct file_map map;
	struct fault fault;
	assert_int_equal(file_map_open(path, &map, NULL), ST_OK);
	/* The token "b": eight bytes of length, the mark, the letter. */
	const char token[] = "\4\0\0\0\0\0\0\0\xE2\x96\x81" "b";
	const char *hit = memmem(map.data, map.bytes, token, sizeof(token) - 1);
	assert_non_null(hit);
	uint64_t at = (uint64_t)((const unsigned char *)hit - map.data) + sizeof(token) - 2;
	file_map_close(&map);
	CLEANUP(fd_closep) int fd = open(path, O_RDWR);
	assert_int_equal(fd_write_at(fd, at, SPAN("a"), NULL), ST_OK);
	assert_int_equal(llm_encoder_open(mem_scope_root(), path, &e, &fault), ST_CORRUPT);
	assert_non_null(strstr(fault.text, "id_to_token"));
	assert_int_equal(fd_write_at(fd, at, SPAN("b"), NULL), ST_OK);
	assert_int_equal(llm_encoder_open(mem_scope_root(), path, &e, &fault), ST_OK);
	embedder_close(e);
}

static void test_encoder__a_generator_is_refused(void **state)
{
	(void)state;
	char generator[4096];
	struct embedder *e = NULL;
	if (!test_model_find("smollm2-135m-instruct", generator, sizeof(generator))) {
		print_message("skipped: no SmolLM2 in the model cache\n");
		skip();
	}
	assert_int_equal(llm_encoder_open(mem_scope_root(), generator, &e, NULL), ST_UNSUPPORTED);
}

/* The worth of real vectors: a GGUF of MiniLM, when the cache has one, against the reference
 * vectors that embed/ is tested with. libllama computes GELU by its tanh form, the file may hold
 * weights in f16. */
static void test_encoder__minilm_is_what_it_should_be(void **state)
{
	(void)state;
	char gguf[4096];
	struct embedder *e = NULL;
	struct json *root = NULL;
	struct span text;
	if (!test_model_find("all-MiniLM-L6-v2", gguf, sizeof(gguf))) {
		print_message("skipped: no GGUF of all-MiniLM-L6-v2 in the model cache\n");
		skip();
	}
	struct mem_scope *scope = mem_scope_open(mem_scope_root(), "reference", 0);
	assert_int_equal(file_read(scope, REFERENCE, 4 * MIB, &text, NULL), ST_OK);
	assert_int_equal(json_parse(text, &root, NULL), ST_OK);
	assert_int_equal(llm_encoder_open(scope, gguf, &e, NULL), ST_OK);
	const struct json *items = json_get(root, "items");
	assert_true(json_count(items) > 5);
	for (size_t i = 0; i < json_count(items); i++) {
		const struct json *item = json_at(items, i);
		const struct json *want = json_get(item, "reference");
		struct span words = json_text(json_get(item, "text"));
		float vector[384];
		double sum = 0, square = 0;
		struct embed_job job = {.texts = &words, .count = 1, .kind = EMBED_PLAIN};
		assert_int_equal(embedder_embed(e, &job, vector, NULL, NULL), ST_OK);
		for (size_t d = 0; d < 384; d++) {
			double x = json_real(json_at(want, d), 0);
			sum += x * (double)vector[d];
			square += x * x;
		}
		assert_true(sum / sqrt(square) > 0.9999);
	}
	embedder_close(e);
	json_free(root);
	mem_scope_close(scope);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_encoder__says_what_it_is),
		cmocka_unit_test(test_encoder__many_at_once_as_alone),
		cmocka_unit_test(test_encoder__long_texts_become_weighted_windows),
		cmocka_unit_test(test_encoder__prefixes_make_a_difference),
		cmocka_unit_test(test_encoder__bad_bytes_and_nothing_at_all),
		cmocka_unit_test(test_encoder__many_threads),
		cmocka_unit_test(test_encoder__cancel_leaves_nothing_behind),
		cmocka_unit_test(test_encoder__every_failed_allocation_is_a_status),
		cmocka_unit_test(test_encoder__a_vocabulary_with_twins_is_refused),
		cmocka_unit_test(test_encoder__a_generator_is_refused),
		cmocka_unit_test(test_encoder__minilm_is_what_it_should_be),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
