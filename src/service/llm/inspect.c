/* What a GGUF file says about itself, read without its weights. */
#include <fcntl.h>
#include <ggml.h>
#include <stdio.h>

#include "base/size.h"
#include "llm/border.h"
#include "llm/model.h"
#include "rt/file.h"

enum { KEY_BYTES = 96, KV_VALUE_BYTES = 2 /* f16 */ };

/* Reader of one file's metadata; keys that begin with '.' stand below the architecture's name. */
struct reader {
	const struct gguf_context *gguf;
	const char *architecture;
};

static int64_t find(const struct reader *r, const char *key)
{
	char whole[KEY_BYTES];
	if (key[0] != '.')
		return gguf_find_key(r->gguf, key);
	snprintf(whole, sizeof(whole), "%s%s", r->architecture, key);
	return gguf_find_key(r->gguf, whole);
}

static const char *read_text(const struct reader *r, const char *key)
{
	int64_t id = find(r, key);
	return id >= 0 && gguf_get_kv_type(r->gguf, id) == GGUF_TYPE_STRING
		       ? gguf_get_val_str(r->gguf, id)
		       : NULL;
}

static bool read_u32(const struct reader *r, const char *key, uint32_t *ret)
{
	int64_t id = find(r, key);
	if (id < 0 || gguf_get_kv_type(r->gguf, id) != GGUF_TYPE_UINT32)
		return false;
	*ret = gguf_get_val_u32(r->gguf, id);
	return true;
}

static bool read_bool(const struct reader *r, const char *key, bool fallback)
{
	int64_t id = find(r, key);
	if (id < 0 || gguf_get_kv_type(r->gguf, id) != GGUF_TYPE_BOOL)
		return fallback;
	return gguf_get_val_bool(r->gguf, id);
}

/* Heads that keep keys and values, all layers together: one number for every layer, or an array. */
static uint64_t heads_kv(const struct reader *r, uint32_t layers, uint32_t heads)
{
	uint32_t each = heads;
	int64_t id = find(r, ".attention.head_count_kv");
	if (id < 0 || gguf_get_kv_type(r->gguf, id) != GGUF_TYPE_ARRAY) {
		(void)read_u32(r, ".attention.head_count_kv", &each);
		return (uint64_t)layers * each;
	}
	enum gguf_type type = gguf_get_arr_type(r->gguf, id);
	if (type != GGUF_TYPE_UINT32 && type != GGUF_TYPE_INT32)
		return (uint64_t)layers * each;
	const uint32_t *per_layer = gguf_get_arr_data(r->gguf, id);
	uint64_t sum = 0;
	for (size_t i = 0; i < gguf_get_arr_n(r->gguf, id); i++)
		sum += per_layer[i];
	return sum;
}

static uint64_t kv_bytes_per_token(const struct reader *r)
{
	uint32_t layers = 0, heads = 1, width = 0;
	(void)read_u32(r, ".block_count", &layers);
	(void)read_u32(r, ".attention.head_count", &heads);
	(void)read_u32(r, ".embedding_length", &width);
	uint32_t key = heads > 0 ? width / heads : 0, value = key;
	(void)read_u32(r, ".attention.key_length", &key);
	(void)read_u32(r, ".attention.value_length", &value);
	return heads_kv(r, layers, heads) * ((uint64_t)key + value) * KV_VALUE_BYTES;
}

/* Encoders say so: attention that looks both ways, a way of pooling, or a T5 encoder. */
static bool is_encoder(const struct reader *r)
{
	return !read_bool(r, ".attention.causal", true) || find(r, ".pooling_type") >= 0 ||
	       strstr(r->architecture, "bert") != NULL || strcmp(r->architecture, "t5encoder") == 0;
}

static void describe(const struct reader *r, const char *path, struct llm_file_info *info)
{
	const char *name = read_text(r, "general.name");
	struct span base = path_base(path);
	if (name != NULL && name[0] != '\0')
		snprintf(info->name, sizeof(info->name), "%s", name);
	else
		snprintf(info->name, sizeof(info->name), "%.*s", SPAN_ARG(base));
	snprintf(info->architecture, sizeof(info->architecture), "%s", r->architecture);
	(void)read_u32(r, ".context_length", &info->context_train);
	info->is_encoder = is_encoder(r);
	info->kv_bytes_per_token = kv_bytes_per_token(r);
	info->has_chat_template = find(r, "tokenizer.chat_template") >= 0;
	for (int64_t t = 0; t < gguf_get_n_tensors(r->gguf); t++) {
		const int64_t *ne = gguf_get_tensor_ne(r->gguf, t);
		uint64_t values = 1;
		for (int d = 0; d < GGML_MAX_DIMS; d++)
			values *= (uint64_t)ne[d];
		info->parameters += values;
	}
}

/* Tell a missing file, a folder and something else than GGUF apart before libllama looks at it. */
static status check_magic(const char *path, uint64_t *ret_bytes, struct fault *reterr)
{
	CLEANUP(fd_closep) int fd = -1;
	char magic[4];
	size_t got;
	status st = fd_open(path, O_RDONLY, 0, &fd, reterr);
	if (st == ST_OK)
		st = fd_size(fd, ret_bytes, reterr);
	if (st == ST_OK)
		st = fd_read(fd, magic, sizeof(magic), &got, reterr);
	if (st != ST_OK)
		return st;
	if (got < sizeof(magic) || memcmp(magic, "GGUF", sizeof(magic)) != 0)
		return fault_set(reterr, ST_UNSUPPORTED, "'%s' is not a GGUF file", path);
	return ST_OK;
}

status llm_file_inspect(const char *gguf_path, struct llm_file_info *ret_info, struct fault *reterr)
{
	struct llm_file_info info = {0};
	status st = llm_start(reterr);
	if (st == ST_OK)
		st = check_magic(gguf_path, &info.bytes, reterr);
	if (st != ST_OK)
		return st;
	struct gguf_context *gguf = border_gguf_open(gguf_path);
	if (gguf == NULL)
		return fault_set(reterr, ST_CORRUPT, "'%s' is damaged: %s", gguf_path,
				 llm_complaint());
	struct reader r = {.gguf = gguf, .architecture = ""};
	r.architecture = read_text(&r, "general.architecture");
	size_t last = 0;
	int64_t tensors = gguf_get_n_tensors(gguf);
	for (int64_t t = 0; t < tensors; t++)
		last = size_max(last,
				gguf_get_tensor_offset(gguf, t) + gguf_get_tensor_size(gguf, t));
	if (r.architecture == NULL)
		st = fault_set(reterr, ST_CORRUPT, "'%s' names no architecture", gguf_path);
	else if (last + gguf_get_data_offset(gguf) > info.bytes)
		st = fault_set(reterr, ST_CORRUPT,
			       "'%s' is cut off: it has %llu bytes, its tensors end "
			       "at %llu",
			       gguf_path, (unsigned long long)info.bytes,
			       (unsigned long long)(last + gguf_get_data_offset(gguf)));
	else
		describe(&r, gguf_path, &info);
	gguf_free(gguf);
	if (st == ST_OK)
		*ret_info = info;
	return st;
}
