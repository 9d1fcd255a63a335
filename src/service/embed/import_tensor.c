#include "base/size.h"
#include "embed/import_model.h"

status tensor_list_init(struct tensor_list *list, struct mem_scope *scope, uint64_t count,
			struct fault *reterr)
{
	if (count == 0 || count > TENSORS_MAX)
		return fault_set(reterr, ST_INVALID, "a model of %llu tensors; 1 to %d can be read",
				 (unsigned long long)count, TENSORS_MAX);
	*list = (struct tensor_list){mem_new_array(scope, struct tensor, count), 0};
	if (list->at == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for the list of tensors");
	return ST_OK;
}

status tensor_place(struct tensor *tensor, struct span data, uint64_t at, struct fault *reterr)
{
	bool blocks = tensor->format == PACKED_ROWS_Q4_0 || tensor->format == PACKED_ROWS_Q8_0;
	uint64_t width = tensor->columns, rows = tensor->rows, values = tensor->values;
	if (width == 0) { /* one long row, whose shape the model's numbers will tell */
		width = values;
		rows = 1;
	}
	if (width == 0 || rows == 0 || width > UINT32_MAX || rows > UINT32_MAX ||
	    (blocks && width % 32 != 0))
		return fault_set(reterr, ST_INVALID, "tensor %s has an impossible shape",
				 tensor->name);
	size_t row = packed_row_bytes(tensor->format, (uint32_t)width), bytes;
	if (!size_mul(row, rows, &bytes) || at > data.bytes || bytes > data.bytes - at)
		return fault_set(reterr, ST_INVALID, "tensor %s lies outside the file",
				 tensor->name);
	tensor->data = (const unsigned char *)data.data + at;
	return ST_OK;
}

const struct tensor *tensor_find(const struct tensor_list *list, const char *name)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->at[i].name, name) == 0)
			return &list->at[i];
	return NULL;
}
