#include "embed/models.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/size.h"
#include "embed/gguf.h"
#include "embed/packed.h"

static const char *const precisions[] = {"bf16", "int8", "f32"};

const char *model_kind_name(enum model_kind kind)
{
	static const char *const names[] = {"embedder", "generator", "encoder"};
	return names[kind];
}

status model_dirs_init(struct model_dirs *dirs, const char *data_dir, struct fault *reterr)
{
	const char *cache = getenv("PLIMSOLL_CACHE"), *home = getenv("HOME");
	char base[FILE_PATH_BYTES];
	struct model_dirs made = {.own = ""};
	status st = ST_OK;
	if (data_dir != NULL)
		st = path_join(made.own, data_dir, "models", reterr);
	if (st == ST_OK && cache != NULL && cache[0] != '\0')
		st = path_join(made.cache, cache, "models", reterr);
	else if (st == ST_OK && home != NULL && home[0] != '\0') {
		st = path_join(base, home, ".cache/plimsoll", reterr);
		if (st == ST_OK)
			st = path_join(made.cache, base, "models", reterr);
	} else if (st == ST_OK && data_dir == NULL) {
		st = fault_set(
			reterr, ST_INVALID,
			"neither PLIMSOLL_CACHE nor HOME is set, so there is no place for models");
	}
	if (st == ST_OK)
		*dirs = made;
	return st;
}

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), e = strlen(end);
	return n > e && strcmp(text + n - e, end) == 0;
}

static status read_packed(const char *path, struct model_info *info, struct fault *reterr)
{
	struct file_map map;
	struct packed_header h;
	status st = file_map_open(path, &map, reterr);
	if (st != ST_OK)
		return st;
	st = packed_check(map.data, map.bytes, reterr);
	if (st == ST_OK) {
		memcpy(&h, map.data, sizeof(h));
		info->kind = MODEL_EMBEDDER;
		info->bytes = map.bytes;
		info->dim = h.dim;
		info->layers = h.layer_count;
		info->heads = h.head_count;
		info->vocabulary = h.vocab;
		info->tokens_max = h.tokens_max;
		memcpy(info->name, h.name, sizeof(info->name));
		memcpy(info->id, h.id, sizeof(info->id));
		memcpy(info->query_prefix, h.query_prefix, sizeof(info->query_prefix));
		memcpy(info->passage_prefix, h.passage_prefix, sizeof(info->passage_prefix));
		snprintf(info->precision, sizeof(info->precision), "%s", precisions[h.precision]);
		snprintf(info->pooling, sizeof(info->pooling), "%s",
			 h.pooling == PACKED_CLS ? "cls" : "mean");
		snprintf(info->architecture, sizeof(info->architecture), "bert");
	}
	file_map_close(&map);
	return st;
}

/* "llama.context_length" is asked for as ".context_length": the architecture may come later. */
static void take_key(const struct gguf_key *key, struct model_info *info, uint64_t *pooling)
{
	char name[64];
	uint64_t value = gguf_uint(key, 0);
	struct span text = gguf_text(key);
	snprintf(name, sizeof(name), "%.*s", (int)size_min(key->name.bytes, sizeof(name) - 1),
		 key->name.data);
	if (strcmp(name, "general.architecture") == 0)
		snprintf(info->architecture, sizeof(info->architecture), "%.*s",
			 (int)size_min(text.bytes, sizeof(info->architecture) - 1),
			 text.data != NULL ? text.data : "");
	else if (strcmp(name, "general.file_type") == 0)
		snprintf(info->precision, sizeof(info->precision), "%s", gguf_file_type(value));
	else if (strcmp(name, "tokenizer.ggml.tokens") == 0)
		info->vocabulary = (uint32_t)size_min(key->count, UINT32_MAX);
	else if (value > UINT32_MAX)
		return;
	else if (ends_with(name, ".context_length"))
		info->tokens_max = (uint32_t)value;
	else if (ends_with(name, ".embedding_length"))
		info->dim = (uint32_t)value;
	else if (ends_with(name, ".block_count"))
		info->layers = (uint32_t)value;
	else if (ends_with(name, ".attention.head_count"))
		info->heads = (uint32_t)value;
	else if (ends_with(name, ".pooling_type"))
		*pooling = value;
}

static status read_gguf(const char *path, struct model_info *info, struct fault *reterr)
{
	struct file_map map;
	struct gguf g;
	struct gguf_key key;
	uint64_t pooling = 0;
	bool more = true;
	status st = file_map_open(path, &map, reterr);
	if (st != ST_OK)
		return st;
	info->bytes = map.bytes;
	st = gguf_open((struct span){(const char *)map.data, map.bytes}, &g, reterr);
	while (st == ST_OK && (st = gguf_next_key(&g, &key, &more, reterr)) == ST_OK && more)
		take_key(&key, info, &pooling);
	file_map_close(&map);
	if (st != ST_OK)
		return fault_set(reterr, ST_CORRUPT, "'%s' is a damaged GGUF file", path);
	/* 1 mean, 2 first, 3 last token: only encoders pool. */
	bool encoder = pooling > 0 || strstr(info->architecture, "bert") != NULL;
	info->kind = encoder ? MODEL_ENCODER : MODEL_GENERATOR;
	if (encoder)
		snprintf(info->pooling, sizeof(info->pooling), "%s",
			 pooling == 2   ? "cls"
			 : pooling == 3 ? "last"
					: "mean");
	struct span base = path_base(path);
	size_t n = size_min(base.bytes, sizeof(info->name) - 1 + strlen(".gguf"));
	if (ends_with(path, ".gguf"))
		n = size_min(base.bytes - strlen(".gguf"), sizeof(info->name) - 1);
	n = size_min(n, sizeof(info->name) - 1);
	memcpy(info->name, base.data, n);
	info->name[n] = '\0';
	return ST_OK;
}

status model_info_read(const char *path, struct model_info *ret_info, struct fault *reterr)
{
	struct model_info info = {.kind = MODEL_EMBEDDER};
	char magic[8] = "";
	CLEANUP(fd_closep) int fd = -1;
	size_t bytes;
	int n = snprintf(info.path, sizeof(info.path), "%s", path);
	if (n < 0 || (size_t)n >= sizeof(info.path))
		return fault_set(reterr, ST_INVALID, "the path of a model is too long");
	status st = fd_open(path, 0 /* read only */, 0, &fd, reterr);
	if (st == ST_OK)
		st = fd_read(fd, magic, sizeof(magic), &bytes, reterr);
	if (st != ST_OK)
		return st;
	if (bytes == sizeof(magic) && memcmp(magic, PACKED_MAGIC, sizeof(magic)) == 0)
		st = read_packed(path, &info, reterr);
	else if (bytes >= 4 && memcmp(magic, "GGUF", 4) == 0)
		st = read_gguf(path, &info, reterr);
	else
		st = fault_set(reterr, ST_UNSUPPORTED, "'%s' is neither a packed model nor a GGUF",
			       path);
	if (st == ST_OK)
		*ret_info = info;
	return st;
}

struct listing {
	const char *folder;
	struct model_info *list;
	size_t max, count;
	size_t hiding; /* entries before this one hide those of the same file name */
};

static status list_entry(void *context, const char *relative, bool is_folder, struct fault *reterr)
{
	struct listing *l = context;
	struct fault ignored;
	char path[FILE_PATH_BYTES];
	if (is_folder || relative[0] == '.' || l->count == l->max ||
	    (!ends_with(relative, ".plm") && !ends_with(relative, ".gguf")))
		return ST_OK;
	for (size_t i = 0; i < l->hiding; i++)
		if (span_equal(path_base(l->list[i].path), span_of(relative)))
			return ST_OK;
	status st = path_join(path, l->folder, relative, reterr);
	if (st == ST_OK && model_info_read(path, &l->list[l->count], &ignored) == ST_OK)
		l->count++;
	return st;
}

status model_list(const struct model_dirs *dirs, struct model_info *ret_list, size_t max,
		  size_t *ret_count, struct fault *reterr)
{
	const char *folders[] = {dirs->own, dirs->cache};
	struct listing l = {.list = ret_list, .max = max};
	for (size_t i = 0; i < ARRAY_COUNT(folders); i++) {
		l.folder = folders[i];
		l.hiding = l.count;
		if (folders[i][0] == '\0' || !file_exists(folders[i]))
			continue;
		status st = dir_walk(folders[i], false, list_entry, &l, reterr);
		if (st != ST_OK)
			return st;
	}
	*ret_count = l.count;
	return ST_OK;
}

/* One look through both folders for the model that answers best; nothing is kept but the best. */
struct search {
	const struct model_dirs *dirs;
	const char *folder;
	struct span name;      /* wanted; {NULL, 0}: any embedder */
	const char *precision; /* "" : as model_resolve() says */
	struct model_info best;
	int rank; /* of best; 0: none yet */
	bool damaged;
	struct fault why; /* of a file of that very name which cannot be read */
};

static int rank_of(const struct search *s, const struct model_info *info, const char *file)
{
	static const char *const order[] = {"int8", "f32", "bf16"};
	bool any = s->name.data == NULL;
	if (any && info->kind != MODEL_EMBEDDER)
		return 0;
	if (!any && (span_equal(span_of(file), s->name) || span_equal(span_of(info->id), s->name)))
		return 10;
	if (!any && !span_equal(span_of(info->name), s->name))
		return 0;
	if (s->precision[0] != '\0')
		return strcmp(info->precision, s->precision) == 0 ? 5 : 0;
	for (size_t i = 0; info->kind == MODEL_EMBEDDER && i < ARRAY_COUNT(order); i++)
		if (strcmp(info->precision, order[i]) == 0)
			return (int)i + 2;
	return 1;
}

static status search_entry(void *context, const char *relative, bool is_folder,
			   struct fault *reterr)
{
	struct search *s = context;
	struct model_info info;
	struct fault why;
	char path[FILE_PATH_BYTES];
	if (is_folder || relative[0] == '.' ||
	    (!ends_with(relative, ".plm") && !ends_with(relative, ".gguf")))
		return ST_OK;
	status st = path_join(path, s->folder, relative, reterr);
	if (st != ST_OK)
		return st;
	if (model_info_read(path, &info, &why) != ST_OK) {
		if (s->name.data != NULL && span_starts_with(span_of(relative), s->name)) {
			s->damaged = true;
			s->why = why;
		}
		return ST_OK;
	}
	int rank = rank_of(s, &info, relative);
	if (rank > s->rank) {
		s->rank = rank;
		s->best = info;
	}
	return ST_OK;
}

static status search_all(struct search *s, struct fault *reterr)
{
	const char *folders[] = {s->dirs->own, s->dirs->cache};
	for (size_t i = 0; i < ARRAY_COUNT(folders); i++) {
		s->folder = folders[i];
		if (folders[i][0] == '\0' || !file_exists(folders[i]))
			continue;
		status st = dir_walk(folders[i], false, search_entry, s, reterr);
		if (st != ST_OK)
			return st;
	}
	return ST_OK;
}

status model_resolve(const struct model_dirs *dirs, const char *wanted, struct model_info *ret_info,
		     struct fault *reterr)
{
	struct search s = {.dirs = dirs, .name = span_of(wanted), .precision = ""};
	if (wanted[0] == '\0')
		return fault_set(reterr, ST_INVALID, "no model is named");
	if (strchr(wanted, '/') != NULL)
		return model_info_read(wanted, ret_info, reterr);
	const char *colon = strrchr(wanted, ':');
	for (size_t i = 0; colon != NULL && i < ARRAY_COUNT(precisions); i++) {
		if (strcmp(colon + 1, precisions[i]) != 0)
			continue;
		s.name.bytes = (size_t)(colon - wanted);
		s.precision = precisions[i];
	}
	status st = search_all(&s, reterr);
	if (st != ST_OK)
		return st;
	if (s.rank == 0 && s.damaged)
		return fault_set(reterr, s.why.code, "%s", fault_text(&s.why));
	if (s.rank == 0)
		return fault_set(
			reterr, ST_NOT_FOUND,
			"there is no model '%s': see `plimsoll model list`, or bring it with "
			"`plimsoll model import` or `pull`",
			wanted);
	*ret_info = s.best;
	return ST_OK;
}

status model_default_embedder(const struct model_dirs *dirs, struct model_info *ret_info,
			      struct fault *reterr)
{
	static const char *const preferred[] = {"multilingual-e5-small", "all-MiniLM-L6-v2"};
	for (size_t i = 0; i <= ARRAY_COUNT(preferred); i++) {
		struct search s = {.dirs = dirs, .precision = ""};
		if (i < ARRAY_COUNT(preferred))
			s.name = span_of(preferred[i]);
		status st = search_all(&s, reterr);
		if (st != ST_OK)
			return st;
		if (s.rank > 0 && s.best.kind == MODEL_EMBEDDER) {
			*ret_info = s.best;
			return ST_OK;
		}
	}
	return fault_set(
		reterr, ST_NOT_FOUND,
		"there is no embedding model: fetch the default ones with `make models`, or bring "
		"one with `plimsoll model import`");
}

status model_default_generator(const struct model_dirs *dirs, struct model_info *ret_info,
			       struct fault *reterr)
{
	return model_resolve(dirs, "SmolLM2-135M-Instruct", ret_info, reterr);
}
