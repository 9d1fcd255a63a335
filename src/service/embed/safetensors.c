/* The safetensors format: u64 length of a JSON header, the header, the data. The header is an
 * object
 * {"name": {"dtype": "F32", "shape": [rows, columns], "data_offsets": [begin, end]}}. */
#include <stdio.h>

#include "base/size.h"
#include "embed/import_model.h"
#include "rt/json.h"

#define HEADER_BYTES_MAX (16 * MIB)

/* Shape and type of one entry; false when no model that we read has such a tensor. */
static bool describe(const struct json *entry, struct tensor *t)
{
	struct span type = json_text(json_get(entry, "dtype"));
	const struct json *shape = json_get(entry, "shape");
	int64_t sizes[2] = {1, 1};
	size_t count = json_count(shape);
	if (span_equal(type, SPAN("F32")))
		t->format = PACKED_ROWS_F32;
	else if (span_equal(type, SPAN("F16")))
		t->format = PACKED_ROWS_F16;
	else if (span_equal(type, SPAN("BF16")))
		t->format = PACKED_ROWS_BF16;
	else
		return false; /* position ids are integers */
	if (json_kind(shape) != JSON_ARRAY || count < 1 || count > 2)
		return false;
	for (size_t i = 0; i < count; i++)
		sizes[2 - count + i] = json_int(json_at(shape, i), -1);
	if (sizes[0] < 1 || sizes[1] < 1 || sizes[0] > UINT32_MAX || sizes[1] > UINT32_MAX)
		return false;
	t->rows = (uint64_t)sizes[0];
	t->columns = (uint64_t)sizes[1];
	t->values = t->rows * t->columns;
	return true;
}

static status read_entries(struct mem_scope *scope, const struct json *root, struct span data,
			   struct tensor_list *list, struct fault *reterr)
{
	status st = tensor_list_init(list, scope, json_count(root), reterr);
	for (void *it = json_first(root); it != NULL && st == ST_OK; it = json_next(root, it)) {
		struct tensor *t = &list->at[list->count];
		const struct json *entry = json_value(it), *range = json_get(entry, "data_offsets");
		int64_t begin = json_int(json_at(range, 0), -1),
			end = json_int(json_at(range, 1), -1);
		if (strcmp(json_key(it), "__metadata__") == 0 || !describe(entry, t))
			continue;
		int n = snprintf(t->name, sizeof(t->name), "%s", json_key(it));
		if (n < 0 || (size_t)n >= sizeof(t->name))
			continue; /* none of ours */
		uint64_t width = t->format == PACKED_ROWS_F32 ? 4 : 2;
		if (begin < 0 || end < begin || (uint64_t)(end - begin) / width != t->values)
			return fault_set(reterr, ST_INVALID,
					 "tensor %s has a shape and a size that differ", t->name);
		st = tensor_place(t, data, (uint64_t)begin, reterr);
		list->count++;
	}
	return st;
}

status safetensors_read(struct mem_scope *scope, const struct file_map *map,
			struct tensor_list *ret_list, struct fault *reterr)
{
	struct span file = {(const char *)map->data, map->bytes};
	uint64_t header = 0;
	for (size_t i = 0; i < 8 && i < file.bytes; i++)
		header |= (uint64_t)map->data[i] << 8 * i;
	if (file.bytes < 8 || header > file.bytes - 8 || header > HEADER_BYTES_MAX)
		return fault_set(reterr, ST_INVALID, "the header of model.safetensors has no end");
	struct json *root;
	status st = json_parse(span_slice(file, 8, 8 + header), &root, reterr);
	if (st != ST_OK)
		return st;
	if (json_kind(root) != JSON_OBJECT)
		st = fault_set(reterr, ST_INVALID, "the header of model.safetensors is no object");
	else
		st = read_entries(scope, root, span_slice(file, 8 + header, file.bytes), ret_list,
				  reterr);
	json_free(root);
	return st;
}
