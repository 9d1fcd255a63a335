/* A GGUF of the BERT family: numbers, vocabulary and character map from its keys, tensors in place.
 */
#include <stdio.h>

#include "base/size.h"
#include "embed/gguf.h"
#include "embed/import_model.h"
#include "embed/import_vocabulary.h"

enum { TYPE_CONTROL = 3, TYPE_UNUSED = 5, TYPE_NORMAL = 1, TYPE_USER = 4 };

/* The keys that are needed after all have been seen. */
struct keys {
	struct span tokenizer, name;
	struct gguf_key tokens, scores, types, charsmap;
	uint64_t first, last, bos, eos, unknown;
	bool dummy_prefix, collapse;
	uint64_t pooling;
};

static uint32_t narrow(uint64_t value)
{
	return value <= UINT32_MAX ? (uint32_t)value : 0;
}

static void take_number(const struct gguf_key *key, struct import_model *m)
{
	static const struct {
		const char *name;
		size_t offset;
	} numbers[] = {
		{"bert.block_count", offsetof(struct import_model, layers)},
		{"bert.context_length", offsetof(struct import_model, positions)},
		{"bert.embedding_length", offsetof(struct import_model, dim)},
		{"bert.feed_forward_length", offsetof(struct import_model, ffn)},
		{"bert.attention.head_count", offsetof(struct import_model, heads)},
	};
	for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
		uint32_t value = narrow(gguf_uint(key, 0));
		if (span_equal(key->name, span_of(numbers[i].name)))
			memcpy((char *)m + numbers[i].offset, &value, sizeof(value));
	}
	if (span_equal(key->name, SPAN("bert.attention.layer_norm_epsilon")))
		m->norm_eps = (float)gguf_real(key, 1e-12);
}

static void take_key(const struct gguf_key *key, struct import_model *m, struct keys *k)
{
	struct span name = key->name;
	take_number(key, m);
	if (span_equal(name, SPAN("general.name")))
		k->name = gguf_text(key);
	else if (span_equal(name, SPAN("bert.pooling_type")))
		k->pooling = gguf_uint(key, 0);
	else if (span_equal(name, SPAN("tokenizer.ggml.model")))
		k->tokenizer = gguf_text(key);
	else if (span_equal(name, SPAN("tokenizer.ggml.tokens")))
		k->tokens = *key;
	else if (span_equal(name, SPAN("tokenizer.ggml.scores")))
		k->scores = *key;
	else if (span_equal(name, SPAN("tokenizer.ggml.token_type")))
		k->types = *key;
	else if (span_equal(name, SPAN("tokenizer.ggml.precompiled_charsmap")))
		k->charsmap = *key;
	else if (span_equal(name, SPAN("tokenizer.ggml.bos_token_id")))
		k->bos = gguf_uint(key, UINT64_MAX);
	else if (span_equal(name, SPAN("tokenizer.ggml.cls_token_id")))
		k->first = gguf_uint(key, UINT64_MAX);
	else if (span_equal(name, SPAN("tokenizer.ggml.eos_token_id")))
		k->eos = gguf_uint(key, UINT64_MAX);
	else if (span_equal(name, SPAN("tokenizer.ggml.seperator_token_id")))
		k->last = gguf_uint(key, UINT64_MAX);
	else if (span_equal(name, SPAN("tokenizer.ggml.unknown_token_id")))
		k->unknown = gguf_uint(key, UINT64_MAX);
	else if (span_equal(name, SPAN("tokenizer.ggml.add_space_prefix")))
		k->dummy_prefix = gguf_uint(key, 1) != 0;
	else if (span_equal(name, SPAN("tokenizer.ggml.remove_extra_whitespaces")))
		k->collapse = gguf_uint(key, 1) != 0;
}

static uint32_t item_u32(const struct gguf_key *key, uint64_t index)
{
	uint32_t value;
	memcpy(&value, key->value.data + index * 4, sizeof(value));
	return value;
}

/* GGUF marks the beginning of a word where the published vocabulary marks its inside. */
static struct span bert_piece(struct span text, char **room)
{
	if (span_starts_with(text, SPAN("\xe2\x96\x81")))
		return span_slice(text, 3, text.bytes);
	if (text.bytes >= 2 && text.data[0] == '[' && text.data[text.bytes - 1] == ']')
		return text;
	struct span piece = {*room, text.bytes + 2};
	memcpy(*room, "##", 2);
	memcpy(*room + 2, text.data, text.bytes);
	*room += piece.bytes;
	return piece;
}

static status read_pieces(struct mem_scope *scope, const struct keys *k, struct vocabulary *v,
			  struct fault *reterr)
{
	char *room = mem_new_array(scope, char, k->tokens.value.bytes + 2);
	size_t at = 0;
	struct span text;
	if (room == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for the vocabulary");
	for (uint32_t id = 0; id < v->count && gguf_array_text(&k->tokens, &at, &text); id++) {
		uint32_t type = k->types.count > id ? item_u32(&k->types, id) : TYPE_NORMAL;
		v->pieces[id] = v->kind == PACKED_WORDPIECE ? bert_piece(text, &room) : text;
		if (v->kind == PACKED_UNIGRAM) {
			uint32_t bits = item_u32(&k->scores, id);
			memcpy(&v->scores[id], &bits, sizeof(bits));
			if (type == TYPE_USER)
				return fault_set(reterr, ST_UNSUPPORTED, "piece %u is user-defined",
						 id);
			if (type != TYPE_NORMAL)
				v->pieces[id].bytes = 0;
		}
	}
	return ST_OK;
}

static status read_vocabulary(struct mem_scope *scope, const struct keys *k, struct vocabulary *v,
			      struct fault *reterr)
{
	bool bert = span_equal(k->tokenizer, SPAN("bert")),
	     t5 = span_equal(k->tokenizer, SPAN("t5"));
	if (!bert && !t5)
		return fault_set(reterr, ST_UNSUPPORTED,
				 "the tokenizer '%.*s' is not WordPiece or unigram",
				 SPAN_ARG(span_slice(k->tokenizer, 0, 40)));
	if (k->tokens.type != GGUF_STRING || (k->types.count > 0 && k->types.type != GGUF_I32) ||
	    (t5 && (k->scores.type != GGUF_F32 || k->scores.count != k->tokens.count)))
		return fault_set(reterr, ST_INVALID,
				 "the vocabulary of the GGUF file is not complete");
	status st = vocabulary_init(v, scope, bert ? PACKED_WORDPIECE : PACKED_UNIGRAM,
				    k->tokens.count, reterr);
	if (st == ST_OK)
		st = read_pieces(scope, k, v, reterr);
	if (st != ST_OK)
		return st;
	v->first_id = (int64_t)(k->first != UINT64_MAX ? k->first : k->bos);
	v->last_id = (int64_t)(k->last != UINT64_MAX ? k->last : k->eos);
	v->unknown_id = (int64_t)k->unknown;
	v->dummy_prefix = k->dummy_prefix;
	v->collapse = k->collapse;
	/* The file does not say; only a vocabulary with case has a piece "A". */
	v->lower = v->strip_accents = bert && vocabulary_find(v, SPAN("A")) < 0;
	import_vocabulary_finish(v);
	if (t5 && k->charsmap.count > 0 && k->charsmap.is_array && k->charsmap.value.bytes > 0) {
		v->map = mem_new(scope, struct tokenizer_map);
		if (v->map == NULL)
			return fault_set(reterr, mem_refusal(), "no memory for the character map");
		tokenizer_map_init(v->map, scope);
		st = tokenizer_map_read(v->map, k->charsmap.value, reterr);
	}
	return st;
}

/* The format of ggml's type; PACKED_ROWS_Q8_0 + 1 when we do not read it. */
static uint32_t format_of(uint32_t type)
{
	switch (type) {
	case 0:
		return PACKED_ROWS_F32;
	case 1:
		return PACKED_ROWS_F16;
	case 2:
		return PACKED_ROWS_Q4_0;
	case 8:
		return PACKED_ROWS_Q8_0;
	case 30:
		return PACKED_ROWS_BF16;
	default:
		return PACKED_ROWS_Q8_0 + 1;
	}
}

static status read_tensors(struct mem_scope *scope, struct gguf *g, struct tensor_list *list,
			   struct fault *reterr)
{
	struct gguf all = *g;
	struct gguf_tensor from;
	struct span data;
	bool more;
	status st = tensor_list_init(list, scope, g->tensor_count, reterr);
	while (st == ST_OK && (st = gguf_next_tensor(&all, &from, &more, reterr)) == ST_OK && more)
		;
	if (st == ST_OK)
		st = gguf_data(&all, &data, reterr);
	while (st == ST_OK && (st = gguf_next_tensor(g, &from, &more, reterr)) == ST_OK && more) {
		struct tensor *t = &list->at[list->count++];
		if (from.name.bytes >= sizeof(t->name) || from.dimensions > 2 ||
		    from.size[0] > UINT32_MAX || from.size[1] > UINT32_MAX)
			return fault_set(reterr, ST_INVALID,
					 "tensor %zu of the GGUF file has an impossible "
					 "name or shape",
					 list->count);
		memcpy(t->name, from.name.data, from.name.bytes);
		t->format = format_of(from.type);
		if (t->format > PACKED_ROWS_Q8_0)
			return fault_set(reterr, ST_UNSUPPORTED,
					 "tensor %s has ggml's type %u; F32, F16, BF16, Q4_0 and "
					 "Q8_0 can be "
					 "packed",
					 t->name, from.type);
		t->columns = from.size[0];
		t->rows = from.dimensions == 2 ? from.size[1] : 1;
		t->values = t->rows * t->columns;
		st = tensor_place(t, data, from.offset, reterr);
	}
	return st;
}

status import_gguf_read(struct mem_scope *scope, const struct file_map *map,
			struct import_model *model, struct fault *reterr)
{
	struct gguf g;
	struct gguf_key key;
	struct keys k = {.first = UINT64_MAX,
			 .last = UINT64_MAX,
			 .bos = UINT64_MAX,
			 .eos = UINT64_MAX,
			 .unknown = UINT64_MAX,
			 .dummy_prefix = true,
			 .collapse = true};
	bool more = true;
	model->names = TENSOR_NAMES_GGUF;
	model->norm_eps = 1e-12f;
	status st = gguf_open((struct span){(const char *)map->data, map->bytes}, &g, reterr);
	while (st == ST_OK && (st = gguf_next_key(&g, &key, &more, reterr)) == ST_OK && more)
		take_key(&key, model, &k);
	if (st == ST_OK)
		st = read_vocabulary(scope, &k, &model->vocabulary, reterr);
	if (st == ST_OK)
		st = read_tensors(scope, &g, &model->tensors, reterr);
	if (st != ST_OK)
		return st;
	if (k.pooling != 1 && k.pooling != 2)
		return fault_set(reterr, ST_UNSUPPORTED,
				 "the model pools neither the mean nor the first "
				 "token");
	model->pooling = k.pooling == 1 ? PACKED_MEAN : PACKED_CLS;
	model->tokens_max = model->positions;
	const struct tensor *rows = tensor_find(&model->tensors, "token_embd.weight");
	model->vocab = rows != NULL ? (uint32_t)rows->rows : 0;
	if (k.name.bytes > 0)
		import_name_set(model->name, k.name);
	return ST_OK;
}
