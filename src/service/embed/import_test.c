/* Import of a small made-up model in every form; the packed files must hold the same. */
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>
#include <cmocka.h>

#include "base/size.h"
#include "embed/import.h"
#include "embed/packed.h"
#include "mem/faults.h"
#include "rt/buf.h"

enum { DIM = 32, FFN = 64, LAYERS = 2, VOCAB = 9, POSITIONS = 96, TENSORS = 5 + 16 * LAYERS };

static const char *const pieces[VOCAB] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]",
					  "hello", "##s",   "world", "!"};

/* Names by form, shape; a layer's names hold %d. */
static const struct shape {
	const char *hf, *gguf;
	int rows, columns;
} shapes[] = {
	{"embeddings.word_embeddings.weight", "token_embd.weight", VOCAB, DIM},
	{"embeddings.position_embeddings.weight", "position_embd.weight", POSITIONS, DIM},
	{"embeddings.token_type_embeddings.weight", "token_types.weight", 2, DIM},
	{"embeddings.LayerNorm.weight", "token_embd_norm.weight", 1, DIM},
	{"embeddings.LayerNorm.bias", "token_embd_norm.bias", 1, DIM},
	{"encoder.layer.%d.attention.self.query.weight", "blk.%d.attn_q.weight", DIM, DIM},
	{"encoder.layer.%d.attention.self.query.bias", "blk.%d.attn_q.bias", 1, DIM},
	{"encoder.layer.%d.attention.self.key.weight", "blk.%d.attn_k.weight", DIM, DIM},
	{"encoder.layer.%d.attention.self.key.bias", "blk.%d.attn_k.bias", 1, DIM},
	{"encoder.layer.%d.attention.self.value.weight", "blk.%d.attn_v.weight", DIM, DIM},
	{"encoder.layer.%d.attention.self.value.bias", "blk.%d.attn_v.bias", 1, DIM},
	{"encoder.layer.%d.attention.output.dense.weight", "blk.%d.attn_output.weight", DIM, DIM},
	{"encoder.layer.%d.attention.output.dense.bias", "blk.%d.attn_output.bias", 1, DIM},
	{"encoder.layer.%d.attention.output.LayerNorm.weight", "blk.%d.attn_output_norm.weight", 1,
	 DIM},
	{"encoder.layer.%d.attention.output.LayerNorm.bias", "blk.%d.attn_output_norm.bias", 1,
	 DIM},
	{"encoder.layer.%d.intermediate.dense.weight", "blk.%d.ffn_up.weight", FFN, DIM},
	{"encoder.layer.%d.intermediate.dense.bias", "blk.%d.ffn_up.bias", 1, FFN},
	{"encoder.layer.%d.output.dense.weight", "blk.%d.ffn_down.weight", DIM, FFN},
	{"encoder.layer.%d.output.dense.bias", "blk.%d.ffn_down.bias", 1, DIM},
	{"encoder.layer.%d.output.LayerNorm.weight", "blk.%d.layer_output_norm.weight", 1, DIM},
	{"encoder.layer.%d.output.LayerNorm.bias", "blk.%d.layer_output_norm.bias", 1, DIM},
};

static const char config[] =
	"{\"model_type\":\"bert\",\"hidden_act\":\"gelu\",\"hidden_size\":32,"
	"\"num_attention_heads\":1,\"intermediate_size\":64,\"num_hidden_layers\":2,"
	"\"vocab_size\":9,\"max_position_embeddings\":96,\"layer_norm_eps\":1e-12}";

struct place {
	struct mem_scope *scope;
	char root[64], source[128], models[128];
};

static int set_up(void **state)
{
	static struct place p;
	p.scope = mem_scope_open(mem_scope_root(), "import_test", 0);
	snprintf(p.root, sizeof(p.root), "/tmp/plimsoll-import-XXXXXX");
	assert_non_null(mkdtemp(p.root));
	snprintf(p.source, sizeof(p.source), "%s/tiny", p.root);
	snprintf(p.models, sizeof(p.models), "%s/models", p.root);
	assert_int_equal(dir_make(p.source, NULL), ST_OK);
	*state = &p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	mem_scope_close(p->scope);
	return dir_remove(p->root, NULL) == ST_OK ? 0 : -1;
}

static void write_file(const struct place *p, const char *name, struct span data)
{
	char path[FILE_PATH_BYTES];
	assert_int_equal(path_join(path, p->source, name, NULL), ST_OK);
	assert_int_equal(file_replace(path, data, NULL), ST_OK);
}

/* The value of one weight: the same in every form, exact in f16 and bf16. */
static float weight(int tensor, int index)
{
	uint32_t x = (uint32_t)tensor * 7919u + (uint32_t)index * 2654435761u;
	return (float)(int)(x >> 28) / 8.0f - 1.0f;
}

static const struct shape *shape_of(int tensor, bool gguf, char name[96])
{
	int fixed = 5, each = (int)ARRAY_COUNT(shapes) - fixed;
	const struct shape *s = &shapes[tensor < fixed ? tensor : fixed + (tensor - fixed) % each];
	const char *pattern = gguf ? s->gguf : s->hf, *percent = strchr(pattern, '%');
	if (percent == NULL)
		snprintf(name, 96, "%s", pattern);
	else
		snprintf(name, 96, "%.*s%d%s", (int)(percent - pattern), pattern,
			 (tensor - fixed) / each, percent + 2);
	return s;
}

static void add_number(struct buf *b, uint64_t value, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		buf_add_byte(b, (char)(value >> 8 * i & 0xff));
}

static void add_values(struct buf *b, int tensor, int count, bool half)
{
	for (int i = 0; i < count; i++) {
		float value = weight(tensor, i);
		uint32_t bits;
		memcpy(&bits, &value, sizeof(bits));
		if (half)
			add_number(b, bits >> 16, 2); /* bf16 */
		else
			add_number(b, bits, 4);
	}
}

static struct span make_safetensors(struct place *p, bool half)
{
	struct buf head, data, all;
	buf_init(&head, p->scope, MIB);
	buf_init(&data, p->scope, MIB);
	buf_init(&all, p->scope, 2 * MIB);
	buf_add_text(&head, "{\"__metadata__\":{\"format\":\"pt\"}");
	for (int t = 0; t < TENSORS; t++) {
		char name[96];
		const struct shape *s = shape_of(t, false, name);
		size_t from = data.bytes;
		add_values(&data, t, s->rows * s->columns, half);
		buf_printf(&head, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", name,
			   half ? "BF16" : "F32");
		if (s->rows > 1)
			buf_printf(&head, "%d,", s->rows);
		buf_printf(&head, "%d],\"data_offsets\":[%zu,%zu]}", s->columns, from, data.bytes);
	}
	buf_add_text(&head, "}");
	add_number(&all, head.bytes, 8);
	buf_add(&all, buf_span(&head));
	buf_add(&all, buf_span(&data));
	assert_int_equal(all.refused, ST_OK);
	return buf_span(&all);
}

static void make_folder(struct place *p, bool half)
{
	struct buf vocabulary;
	buf_init(&vocabulary, p->scope, KIB);
	for (int i = 0; i < VOCAB; i++)
		buf_printf(&vocabulary, "%s\n", pieces[i]);
	write_file(p, "config.json", span_of(config));
	write_file(p, "vocab.txt", buf_span(&vocabulary));
	write_file(p, "model.safetensors", make_safetensors(p, half));
}

static void add_string(struct buf *b, const char *text)
{
	add_number(b, strlen(text), 8);
	buf_add_text(b, text);
}

static void add_key(struct buf *b, const char *key, uint32_t type, uint64_t value)
{
	add_string(b, key);
	add_number(b, type, 4);
	add_number(b, value, type == 7 ? 1 : 4);
}

static struct span make_gguf(struct place *p, const char *architecture)
{
	struct buf b, data;
	buf_init(&b, p->scope, 2 * MIB);
	buf_init(&data, p->scope, MIB);
	buf_add_text(&b, "GGUF");
	add_number(&b, 3, 4);
	add_number(&b, TENSORS, 8);
	add_number(&b, 12, 8);
	add_string(&b, "general.architecture");
	add_number(&b, 8, 4);
	add_string(&b, architecture);
	add_key(&b, "bert.block_count", 4, LAYERS);
	add_key(&b, "bert.context_length", 4, POSITIONS);
	add_key(&b, "bert.embedding_length", 4, DIM);
	add_key(&b, "bert.feed_forward_length", 4, FFN);
	add_key(&b, "bert.attention.head_count", 4, 1);
	add_key(&b, "bert.pooling_type", 4, 1);
	add_string(&b, "tokenizer.ggml.model");
	add_number(&b, 8, 4);
	add_string(&b, "bert");
	add_string(&b, "tokenizer.ggml.tokens");
	add_number(&b, 9, 4);
	add_number(&b, 8, 4);
	add_number(&b, VOCAB, 8);
	for (int i = 0; i < VOCAB; i++) {
		char piece[32];
		const char *mark = strncmp(pieces[i], "##", 2) == 0 ? "" : "\xe2\x96\x81";
		snprintf(piece, sizeof(piece), "%s%s", pieces[i][0] == '[' ? "" : mark,
			 mark[0] == '\0' ? pieces[i] + 2 : pieces[i]);
		add_string(&b, piece);
	}
	add_key(&b, "tokenizer.ggml.bos_token_id", 4, 2);
	add_key(&b, "tokenizer.ggml.eos_token_id", 4, 3);
	add_key(&b, "tokenizer.ggml.unknown_token_id", 4, 1);
	for (int t = 0; t < TENSORS; t++) {
		char name[96];
		const struct shape *s = shape_of(t, true, name);
		while (data.bytes % 32 != 0)
			buf_add_byte(&data, 0);
		add_string(&b, name);
		add_number(&b, s->rows > 1 ? 2 : 1, 4);
		add_number(&b, (uint64_t)s->columns, 8);
		if (s->rows > 1)
			add_number(&b, (uint64_t)s->rows, 8);
		add_number(&b, 0, 4);
		add_number(&b, data.bytes, 8);
		add_values(&data, t, s->rows * s->columns, false);
	}
	while (b.bytes % 32 != 0)
		buf_add_byte(&b, 0);
	buf_add(&b, buf_span(&data));
	assert_int_equal(b.refused, ST_OK);
	return buf_span(&b);
}

static status bring(struct place *p, const char *source, const char *name,
		    enum embed_precision precision, struct fault *fault)
{
	struct import_options o = {.precision = precision, .name = name, .replace = true};
	struct model_info info;
	status st = model_import(p->scope, source, p->models, &o, &info, fault);
	assert_int_equal(mem_scope_live(p->scope) > 0, 1);
	return st;
}

static void must_bring(struct place *p, const char *source, const char *name,
		       enum embed_precision precision)
{
	struct fault fault = {0};
	if (bring(p, source, name, precision, &fault) != ST_OK)
		fail_msg("%s", fault_text(&fault));
}

/* All but the header, which holds the names and hashes. */
static void must_equal(const struct place *p, const char *a, const char *b)
{
	char path[FILE_PATH_BYTES];
	struct file_map left, right;
	assert_int_equal(path_join(path, p->models, a, NULL), ST_OK);
	assert_int_equal(file_map_open(path, &left, NULL), ST_OK);
	assert_int_equal(path_join(path, p->models, b, NULL), ST_OK);
	assert_int_equal(file_map_open(path, &right, NULL), ST_OK);
	assert_int_equal(left.bytes, right.bytes);
	assert_memory_equal(left.data + PACKED_HEADER_BYTES, right.data + PACKED_HEADER_BYTES,
			    left.bytes - PACKED_HEADER_BYTES);
	file_map_close(&left);
	file_map_close(&right);
}

static int files_in(const char *folder)
{
	int count = 0;
	DIR *d = opendir(folder);
	if (d == NULL)
		return 0;
	for (struct dirent *e = readdir(d); e != NULL; e = readdir(d))
		count += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(d);
	return count;
}

static void make_zip(const struct place *p, const char *path, const char *inside)
{
	static const char *const names[] = {"config.json", "vocab.txt", "model.safetensors"};
	struct archive *a = archive_write_new();
	assert_int_equal(archive_write_set_format_zip(a), ARCHIVE_OK);
	assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		char from[FILE_PATH_BYTES], to[256];
		struct span text;
		assert_int_equal(path_join(from, p->source, names[i], NULL), ST_OK);
		assert_int_equal(file_read(p->scope, from, MIB, &text, NULL), ST_OK);
		snprintf(to, sizeof(to), "%s%s", inside, names[i]);
		struct archive_entry *e = archive_entry_new();
		archive_entry_set_pathname(e, to);
		archive_entry_set_size(e, (la_int64_t)text.bytes);
		archive_entry_set_filetype(e, AE_IFREG);
		archive_entry_set_perm(e, 0644);
		assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
		assert_int_equal(archive_write_data(a, text.data, text.bytes), text.bytes);
		archive_entry_free(e);
	}
	assert_int_equal(archive_write_close(a), ARCHIVE_OK);
	archive_write_free(a);
}

static void test_import__gives_the_same_from_every_form(void **state)
{
	struct place *p = *state;
	char path[FILE_PATH_BYTES];
	struct model_info info;
	make_folder(p, false);
	must_bring(p, p->source, "a", EMBED_BF16);
	must_bring(p, p->source, NULL, EMBED_BF16); /* by the folder's name */
	must_equal(p, "a.bf16.plm", "tiny.bf16.plm");
	assert_int_equal(path_join(path, p->root, "b.gguf", NULL), ST_OK);
	assert_int_equal(file_replace(path, make_gguf(p, "bert"), NULL), ST_OK);
	must_bring(p, path, NULL, EMBED_BF16);
	must_equal(p, "a.bf16.plm", "b.bf16.plm");
	assert_int_equal(path_join(path, p->root, "c.zip", NULL), ST_OK);
	make_zip(p, path, "pkg/../weird/");
	must_bring(p, path, NULL, EMBED_BF16);
	must_equal(p, "a.bf16.plm", "c.bf16.plm");
	must_bring(p, p->source, "full", EMBED_F32);
	make_folder(p, true);
	must_bring(p, p->source, "half", EMBED_INT8);
	assert_int_equal(path_join(path, p->models, "a.bf16.plm", NULL), ST_OK);
	assert_int_equal(model_info_read(path, &info, NULL), ST_OK);
	assert_int_equal(info.kind, MODEL_EMBEDDER);
	assert_int_equal(info.dim, DIM);
	assert_int_equal(info.tokens_max, POSITIONS);
	assert_string_equal(info.name, "a");
	assert_int_equal(strlen(info.id), strlen("a-123456789012"));
	assert_int_equal(files_in(p->models), 6);
}

static void test_import__copies_other_architectures(void **state)
{
	struct place *p = *state;
	char path[FILE_PATH_BYTES];
	struct model_info info;
	struct span file = make_gguf(p, "llama");
	assert_int_equal(path_join(path, p->root, "Big.Model.gguf", NULL), ST_OK);
	assert_int_equal(file_replace(path, file, NULL), ST_OK);
	struct import_options o = {.precision = EMBED_BF16};
	assert_int_equal(model_import(p->scope, path, p->models, &o, &info, NULL), ST_OK);
	assert_string_equal(info.name, "Big.Model");
	assert_string_equal(info.architecture, "llama");
	assert_int_equal(info.bytes, file.bytes);
	assert_int_equal(model_import(p->scope, path, p->models, &o, &info, NULL), ST_EXISTS);
	assert_int_equal(files_in(p->models), 1);
}

/* Cut at every place, and a byte changed at many: an error that says why or a file that is whole,
 * never a crash, and nothing left behind. */
static void damage(struct place *p, struct span file, const char *path, bool folder)
{
	char *copy = mem_copy_text(p->scope, file);
	uint32_t seed = 1;
	/* of an archive what follows the last member, its directory, is not needed */
	const char *directory = memmem(file.data, file.bytes, "PK\1\2", 4);
	size_t needed = directory != NULL ? (size_t)(directory - file.data) : file.bytes;
	for (size_t i = 0; i < 260; i++) {
		struct fault fault = {0};
		size_t bytes = file.bytes;
		memcpy(copy, file.data, file.bytes);
		seed = seed * 1664525u + 1013904223u;
		size_t at = i % 2 == 0 ? seed % file.bytes : seed % size_min(4096, file.bytes);
		if (i < 130)
			bytes = at;
		else
			copy[at] = (char)(copy[at] ^ (1 << seed % 7) ^ (int)(seed >> 24 & 0x80));
		assert_int_equal(file_replace(path, (struct span){copy, bytes}, NULL), ST_OK);
		status st = bring(p, folder ? p->source : path, "damaged", EMBED_BF16, &fault);
		if (i < 130 && bytes < needed)
			assert_int_not_equal(st, ST_OK);
		if (st != ST_OK) {
			assert_int_not_equal(fault.code, ST_OK);
			assert_true(fault.text[0] != '\0');
			assert_int_equal(files_in(p->models), 0);
		} else {
			assert_int_equal(files_in(p->models), 1);
			assert_int_equal(dir_remove(p->models, NULL), ST_OK);
		}
	}
	mem_free(copy);
}

static void test_import__refuses_damaged_files(void **state)
{
	struct place *p = *state;
	char path[FILE_PATH_BYTES];
	make_folder(p, true);
	assert_int_equal(path_join(path, p->source, "model.safetensors", NULL), ST_OK);
	damage(p, make_safetensors(p, true), path, true);
	assert_int_equal(path_join(path, p->root, "x.gguf", NULL), ST_OK);
	damage(p, make_gguf(p, "bert"), path, false);
	damage(p, make_gguf(p, "other"), path, false);
	assert_int_equal(path_join(path, p->root, "x.zip", NULL), ST_OK);
	struct span zip;
	make_folder(p, true);
	make_zip(p, path, "");
	assert_int_equal(file_read(p->scope, path, MIB, &zip, NULL), ST_OK);
	damage(p, zip, path, false);
}

static void test_import__says_what_does_not_fit(void **state)
{
	struct place *p = *state;
	static const struct {
		const char *file, *text, *says;
		status st;
	} cases[] = {
		{"config.json", "{\"model_type\":\"mpnet\"}", "mpnet", ST_UNSUPPORTED},
		{"config.json", "{", "1", ST_INVALID},
		{"1_Pooling/config.json", "{\"pooling_mode_max_tokens\":true}", "pools",
		 ST_UNSUPPORTED},
		{"modules.json", "[{\"type\":\"sentence_transformers.models.Dense\"}]", "Dense",
		 ST_UNSUPPORTED},
		{"vocab.txt", "a\nb\n", "special", ST_INVALID},
		{"tokenizer.json", "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":77}}}",
		 "malformed", ST_INVALID},
		{"model.safetensors", "junk", "header", ST_INVALID},
	};
	char pooling[FILE_PATH_BYTES];
	assert_int_equal(path_join(pooling, p->source, "1_Pooling", NULL), ST_OK);
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct fault fault = {0};
		assert_int_equal(dir_remove(p->source, NULL), ST_OK);
		assert_int_equal(dir_make(pooling, NULL), ST_OK);
		make_folder(p, true);
		write_file(p, cases[i].file, span_of(cases[i].text));
		assert_int_equal(bring(p, p->source, NULL, EMBED_BF16, &fault), cases[i].st);
		if (strstr(fault.text, cases[i].says) == NULL)
			fail_msg("'%s' does not say '%s'", fault.text, cases[i].says);
		assert_int_equal(files_in(p->models), 0);
	}
	struct fault fault = {0};
	assert_int_equal(bring(p, "/nowhere/at/all", NULL, EMBED_BF16, &fault), ST_NOT_FOUND);
	assert_int_equal(bring(p, p->source, "../x", EMBED_BF16, &fault), ST_INVALID);
	assert_int_equal(bring(p, p->source, "", EMBED_BF16, &fault), ST_INVALID);
}

/* Each allocation and each I/O fails in turn: an error, no file, no memory kept. */
static void test_import__survives_each_failure(void **state)
{
	struct place *p = *state;
	static const enum mem_fault_kind kinds[] = {MEM_FAULT_ALLOC, MEM_FAULT_IO};
	make_folder(p, true);
	for (size_t k = 0; k < ARRAY_COUNT(kinds); k++) {
		size_t live = mem_scope_live(p->scope);
		for (uint64_t n = 1;; n += n < 40 ? 1 : 7) {
			struct fault fault = {0};
			mem_fault_arm(kinds[k], n, false);
			status st = bring(p, p->source, "faulty", EMBED_BF16, &fault);
			bool fired = mem_fault_fired(kinds[k]) > 0;
			mem_fault_disarm(kinds[k]);
			assert_int_equal(mem_scope_live(p->scope), live);
			assert_int_equal(dir_remove(p->models, NULL), ST_OK);
			if (!fired) {
				assert_int_equal(st, ST_OK);
				break;
			}
		}
	}
}

static void stop_early(void *context, uint64_t done, uint64_t total)
{
	(void)done, (void)total;
	cancel_set(context);
}

static void test_import__can_be_cancelled(void **state)
{
	struct place *p = *state;
	struct cancel cancel = {false};
	struct import_options o = {.precision = EMBED_BF16,
				   .name = "gone",
				   .progress = stop_early,
				   .progress_context = &cancel,
				   .cancel = &cancel};
	make_folder(p, true);
	assert_int_equal(model_import(p->scope, p->source, p->models, &o, NULL, NULL),
			 ST_CANCELLED);
	assert_int_equal(files_in(p->models), 0);
}

static void test_models__are_found_by_what_people_type(void **state)
{
	struct place *p = *state;
	struct model_dirs dirs = {.own = ""};
	struct model_info info, list[8];
	struct fault fault = {0};
	size_t count;
	char path[FILE_PATH_BYTES];
	make_folder(p, true);
	snprintf(dirs.cache, sizeof(dirs.cache), "%s", p->models);
	snprintf(dirs.own, sizeof(dirs.own), "%s/own", p->root);
	assert_int_equal(model_default_embedder(&dirs, &info, &fault), ST_NOT_FOUND);
	must_bring(p, p->source, "zz", EMBED_INT8);
	assert_int_equal(model_default_embedder(&dirs, &info, &fault), ST_OK);
	assert_string_equal(info.name, "zz");
	must_bring(p, p->source, "all-MiniLM-L6-v2", EMBED_BF16);
	must_bring(p, p->source, "all-MiniLM-L6-v2", EMBED_INT8);
	assert_int_equal(model_default_embedder(&dirs, &info, &fault), ST_OK);
	assert_string_equal(info.precision, "bf16");
	assert_int_equal(model_resolve(&dirs, "all-MiniLM-L6-v2:int8", &info, &fault), ST_OK);
	assert_string_equal(info.precision, "int8");
	char id[EMBED_ID_BYTES];
	memcpy(id, info.id, sizeof(id));
	assert_int_equal(model_resolve(&dirs, id, &info, &fault), ST_OK);
	assert_string_equal(info.id, id);
	assert_int_equal(model_resolve(&dirs, "zz.int8.plm", &info, &fault), ST_OK);
	assert_int_equal(model_resolve(&dirs, "nothing", &info, &fault), ST_NOT_FOUND);
	assert_int_equal(model_resolve(&dirs, "", &info, &fault), ST_INVALID);
	assert_int_equal(model_default_generator(&dirs, &info, &fault), ST_NOT_FOUND);
	assert_int_equal(path_join(path, p->models, "broken.gguf", NULL), ST_OK);
	assert_int_equal(file_replace(path, SPAN("GGUFxxxx"), NULL), ST_OK);
	assert_int_equal(model_resolve(&dirs, "broken", &info, &fault), ST_CORRUPT);
	assert_int_equal(model_list(&dirs, list, ARRAY_COUNT(list), &count, &fault), ST_OK);
	assert_int_equal(count, 3);
	/* one of the same file name in the data directory hides the other */
	assert_int_equal(dir_make(dirs.own, NULL), ST_OK);
	char from[FILE_PATH_BYTES];
	assert_int_equal(path_join(from, p->models, "all-MiniLM-L6-v2.bf16.plm", NULL), ST_OK);
	assert_int_equal(path_join(path, dirs.own, "zz.int8.plm", NULL), ST_OK);
	assert_int_equal(file_rename(from, path, NULL), ST_OK);
	assert_int_equal(model_list(&dirs, list, ARRAY_COUNT(list), &count, &fault), ST_OK);
	assert_int_equal(count, 2);
	assert_string_equal(list[0].path, path);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_import__gives_the_same_from_every_form),
		TEST(test_import__copies_other_architectures),
		TEST(test_import__refuses_damaged_files),
		TEST(test_import__says_what_does_not_fit),
		TEST(test_import__survives_each_failure),
		TEST(test_import__can_be_cancelled),
		TEST(test_models__are_found_by_what_people_type),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
