/* The readers of model files. The first byte chooses: what they accept lies inside the input, and
 * a tokenizer made of any bytes gives ids of its vocabulary and reads to the end. */
#include "base/assert.h"
#include "base/size.h"
#include "embed/gguf.h"
#include "embed/import_model.h"
#include "embed/import_scan.h"
#include "embed/tokenizer.h"
#include "fuzz.h"

enum { TEXT_BYTES_MAX = 256 };

static void must_lie_inside(const struct tensor_list *list, struct span input)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct tensor *t = &list->at[i];
		const char *data = (const char *)t->data;
		size_t row = packed_row_bytes(t->format, (uint32_t)t->columns);
		ASSERT(data >= input.data);
		ASSERT(data + row * t->rows <= input.data + input.bytes);
	}
}

static void read_weights(struct mem_scope *scope, char kind, struct span input)
{
	struct file_map map = {(const unsigned char *)input.data, input.bytes};
	struct import_model *model = mem_new(scope, struct import_model);
	struct fault fault = {0};
	ASSERT(model != NULL);
	status st = kind == 's' ? safetensors_read(scope, &map, &model->tensors, &fault)
				: import_gguf_read(scope, &map, model, &fault);
	if (st == ST_OK)
		must_lie_inside(&model->tensors, input);
	else
		ASSERT(fault.text[0] != '\0');
}

static void read_map(struct mem_scope *scope, struct span input)
{
	struct tokenizer_map map;
	struct fault fault = {0};
	tokenizer_map_init(&map, scope);
	if (tokenizer_map_read(&map, input, &fault) != ST_OK)
		ASSERT(fault.text[0] != '\0');
}

static void read_section(struct mem_scope *scope, struct span input)
{
	size_t bytes = input.bytes / 4 * 4;
	struct span text = span_slice(input, bytes - size_min(bytes, TEXT_BYTES_MAX), bytes);
	uint32_t *section = mem_new_array(scope, uint32_t, bytes / 4 + 1);
	char *scratch = mem_new_aligned(scope, char, TOKENIZER_SCRATCH_BYTES, 16);
	struct tokenizer t;
	struct tokenizer_cursor cursor;
	int32_t ids[16];
	size_t n;
	ASSERT(section != NULL && scratch != NULL);
	memcpy(section, input.data, bytes);
	if (tokenizer_init((struct span){(char *)section, bytes}, &t, NULL) != ST_OK)
		return;
	tokenizer_begin(&cursor, SPAN("query: "), text);
	while ((n = tokenizer_encode(&t, &cursor, scratch, ids, ARRAY_COUNT(ids))) > 0)
		for (size_t i = 0; i < n; i++)
			ASSERT(ids[i] >= 0 && (uint32_t)ids[i] < t.vocabulary);
	ASSERT(cursor.done);
}

static void read_json(struct mem_scope *scope, struct span input)
{
	struct scan s = {.text = input};
	for (bool more = scan_open(&s, '{'); more; more = scan_next(&s, '}')) {
		struct span key = scan_string(&s, scope);
		ASSERT(s.bad || key.bytes <= input.bytes);
		scan_colon(&s);
		if (scan_peek(&s) == '[')
			(void)scan_skip(&s);
		else
			(void)scan_number(&s);
		ASSERT(s.at <= input.bytes);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(mem_scope_closep)
	struct mem_scope *scope = mem_scope_open(mem_scope_root(), "model", 256 * MIB);
	if (size < 1)
		return 0;
	struct span input = {(const char *)data + 1, size - 1};
	switch (data[0]) {
	case 'g':
	case 's':
		read_weights(scope, (char)data[0], input);
		break;
	case 'm':
		read_map(scope, input);
		break;
	case 't':
		read_section(scope, input);
		break;
	default:
		read_json(scope, input);
		break;
	}
	return 0;
}
