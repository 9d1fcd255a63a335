#include "embed/gguf.h"

#include "base/size.h"

enum { VERSION_MIN = 2, VERSION_MAX = 3, ALIGNMENT_DEFAULT = 32, HEAD_BYTES = 24 };

static status damaged(struct fault *reterr)
{
	return fault_set(reterr, ST_INVALID, "the GGUF file is cut off or damaged");
}

static bool take(struct gguf *g, uint64_t bytes, struct span *ret)
{
	if (bytes > g->file.bytes - g->at)
		return false;
	*ret = span_slice(g->file, g->at, g->at + bytes);
	g->at += bytes;
	return true;
}

static uint64_t little(struct span bytes)
{
	uint64_t value = 0;
	for (size_t i = 0; i < bytes.bytes; i++)
		value |= (uint64_t)(unsigned char)bytes.data[i] << 8 * i;
	return value;
}

static bool take_number(struct gguf *g, uint64_t bytes, uint64_t *ret)
{
	struct span raw;
	if (!take(g, bytes, &raw))
		return false;
	*ret = little(raw);
	return true;
}

static bool take_text(struct gguf *g, struct span *ret)
{
	uint64_t bytes;
	return take_number(g, 8, &bytes) && take(g, bytes, ret);
}

/* Bytes of one value; 0 for strings and arrays. */
static uint64_t width_of(uint64_t type)
{
	static const unsigned char widths[GGUF_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
	return type < GGUF_TYPES ? widths[type] : 0;
}

status gguf_open(struct span file, struct gguf *ret_gguf, struct fault *reterr)
{
	struct gguf g = {.file = file, .at = 4, .alignment = ALIGNMENT_DEFAULT};
	uint64_t version;
	if (file.bytes < HEAD_BYTES || !span_starts_with(file, SPAN("GGUF")))
		return fault_set(reterr, ST_INVALID, "not a GGUF file");
	if (!take_number(&g, 4, &version) || !take_number(&g, 8, &g.tensor_count) ||
	    !take_number(&g, 8, &g.key_count))
		return damaged(reterr);
	if (version < VERSION_MIN || version > VERSION_MAX)
		return fault_set(reterr, ST_UNSUPPORTED, "version %llu of GGUF is not known",
				 (unsigned long long)version);
	if (g.tensor_count > GGUF_TENSORS_MAX || g.key_count > GGUF_KEYS_MAX)
		return damaged(reterr);
	*ret_gguf = g;
	return ST_OK;
}

/* The items of a value from g->at on. */
static bool take_items(struct gguf *g, struct gguf_key *key)
{
	size_t from = g->at;
	uint64_t width = width_of(key->type);
	struct span ignored;
	if (key->type == GGUF_STRING) {
		for (uint64_t i = 0; i < key->count; i++)
			if (!take_text(g, &ignored))
				return false;
	} else if (width == 0 || key->count > g->file.bytes ||
		   !take(g, width * key->count, &ignored)) {
		return false;
	}
	key->value = span_slice(g->file, from, g->at);
	return true;
}

status gguf_next_key(struct gguf *g, struct gguf_key *ret_key, bool *ret_more, struct fault *reterr)
{
	struct gguf_key key = {.count = 1};
	uint64_t type;
	*ret_more = g->key_count > 0;
	if (g->key_count == 0)
		return ST_OK;
	if (!take_text(g, &key.name) || !take_number(g, 4, &type))
		return damaged(reterr);
	key.is_array = type == GGUF_ARRAY;
	if (key.is_array && (!take_number(g, 4, &type) || !take_number(g, 8, &key.count)))
		return damaged(reterr);
	if (type >= GGUF_TYPES || type == GGUF_ARRAY)
		return damaged(reterr);
	key.type = (enum gguf_type)type;
	if (!take_items(g, &key))
		return damaged(reterr);
	if (span_equal(key.name, SPAN("general.alignment")))
		g->alignment = gguf_uint(&key, 0);
	if (g->alignment == 0 || g->alignment > 65536 || (g->alignment & (g->alignment - 1)) != 0)
		return damaged(reterr);
	g->key_count--;
	*ret_key = key;
	return ST_OK;
}

status gguf_next_tensor(struct gguf *g, struct gguf_tensor *ret_tensor, bool *ret_more,
			struct fault *reterr)
{
	struct gguf_tensor t = {.type = 0};
	uint64_t dimensions, type;
	*ret_more = g->tensor_count > 0;
	if (g->tensor_count == 0)
		return ST_OK;
	if (!take_text(g, &t.name) || !take_number(g, 4, &dimensions) || dimensions == 0 ||
	    dimensions > GGUF_DIMENSIONS_MAX)
		return damaged(reterr);
	t.dimensions = (uint32_t)dimensions;
	for (uint32_t i = 0; i < t.dimensions; i++)
		if (!take_number(g, 8, &t.size[i]))
			return damaged(reterr);
	if (!take_number(g, 4, &type) || !take_number(g, 8, &t.offset))
		return damaged(reterr);
	t.type = (uint32_t)type;
	g->tensor_count--;
	*ret_tensor = t;
	return ST_OK;
}

status gguf_data(const struct gguf *g, struct span *ret_data, struct fault *reterr)
{
	uint64_t begin = (g->at + g->alignment - 1) / g->alignment * g->alignment;
	if (begin > g->file.bytes)
		return damaged(reterr);
	*ret_data = span_slice(g->file, begin, g->file.bytes);
	return ST_OK;
}

/* ggml's types: values in a block, bytes of a block; 0: not known. */
static const struct {
	uint16_t values, bytes;
} blocks[] = {
	{1, 4},    {1, 2},    {32, 18},  {32, 20},   {0, 0},     {0, 0},     {32, 22},   {32, 24},
	{32, 34},  {32, 36},  {256, 84}, {256, 110}, {256, 144}, {256, 176}, {256, 210}, {256, 292},
	{256, 66}, {256, 74}, {256, 98}, {256, 50},  {32, 18},   {256, 110}, {256, 82},  {256, 136},
	{1, 1},    {1, 2},    {1, 4},    {1, 8},     {1, 8},     {256, 56},  {1, 2},     {0, 0},
	{0, 0},    {0, 0},    {256, 54}, {256, 66},  {0, 0},     {0, 0},     {0, 0},     {32, 17},
};

bool gguf_tensor_inside(const struct gguf_tensor *tensor, struct span data)
{
	uint64_t values = 1, bytes = 1;
	for (uint32_t i = 0; i < tensor->dimensions; i++)
		if (__builtin_mul_overflow(values, tensor->size[i], &values))
			return false;
	if (tensor->type < ARRAY_COUNT(blocks) && blocks[tensor->type].values > 0 &&
	    __builtin_mul_overflow(values / blocks[tensor->type].values,
				   (uint64_t)blocks[tensor->type].bytes, &bytes))
		return false;
	return tensor->offset <= data.bytes && bytes <= data.bytes - tensor->offset;
}

uint64_t gguf_uint(const struct gguf_key *key, uint64_t fallback)
{
	uint64_t width = width_of(key->type);
	if (key->is_array || width == 0 || key->value.bytes > sizeof(uint64_t))
		return fallback;
	uint64_t value = little(key->value);
	switch (key->type) {
	case GGUF_U8:
	case GGUF_U16:
	case GGUF_U32:
	case GGUF_U64:
	case GGUF_BOOL:
		return value;
	case GGUF_I8:
	case GGUF_I16:
	case GGUF_I32:
	case GGUF_I64: /* negative: not what was asked for */
		return value >> (width * 8 - 1) == 0 ? value : fallback;
	case GGUF_F32:
	case GGUF_F64:
	case GGUF_STRING:
	case GGUF_ARRAY:
	case GGUF_TYPES:
		break;
	}
	return fallback;
}

double gguf_real(const struct gguf_key *key, double fallback)
{
	float narrow;
	double wide;
	if (key->is_array)
		return fallback;
	if (key->type == GGUF_F32) {
		memcpy(&narrow, key->value.data, sizeof(narrow));
		return (double)narrow;
	}
	if (key->type != GGUF_F64)
		return fallback;
	memcpy(&wide, key->value.data, sizeof(wide));
	return wide;
}

struct span gguf_text(const struct gguf_key *key)
{
	if (key->is_array || key->type != GGUF_STRING)
		return (struct span){NULL, 0};
	return span_slice(key->value, 8, key->value.bytes);
}

bool gguf_array_text(const struct gguf_key *key, size_t *at, struct span *ret_text)
{
	struct gguf g = {.file = key->value, .at = *at};
	if (!key->is_array || key->type != GGUF_STRING || *at >= key->value.bytes ||
	    !take_text(&g, ret_text))
		return false;
	*at = g.at;
	return true;
}

const char *gguf_file_type(uint64_t type)
{
	static const char *const names[] = {
		"F32",    "F16",    "Q4_0",    "Q4_1",   "",       "",        "",
		"Q8_0",   "Q5_0",   "Q5_1",    "Q2_K",   "Q3_K_S", "Q3_K_M",  "Q3_K_L",
		"Q4_K_S", "Q4_K_M", "Q5_K_S",  "Q5_K_M", "Q6_K",   "IQ2_XXS", "IQ2_XS",
		"Q2_K_S", "IQ3_XS", "IQ3_XXS", "IQ1_S",  "IQ4_NL", "IQ3_S",   "IQ3_M",
		"IQ2_S",  "IQ2_M",  "IQ4_XS",  "IQ1_M",  "BF16",
	};
	return type < ARRAY_COUNT(names) ? names[type] : "";
}
