/* What is parsed and written parses again, and is then written the same. */
#include "base/assert.h"
#include "base/size.h"
#include "base/utf8.h"
#include "fuzz.h"
#include "rt/json.h"

static struct span write_again(struct mem_scope *scope, const struct json *root)
{
	struct buf *out = mem_new(scope, struct buf);
	struct json_writer w;
	ASSERT(out != NULL);
	buf_init(out, scope, 64 * MIB);
	json_writer_init(&w, out);
	json_write_node(&w, root);
	ASSERT(out->refused == ST_OK);
	return buf_span(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(mem_scope_closep)
	struct mem_scope *scope = mem_scope_open(mem_scope_root(), "json", 0);
	struct json *root = NULL, *again = NULL;
	struct fault fault = {0};
	status st = json_parse((struct span){(const char *)data, size}, &root, &fault);
	ASSERT(st == ST_OK || (root == NULL && fault.text[0] != '\0'));
	if (st != ST_OK)
		return 0;
	struct span first = write_again(scope, root);
	ASSERT(utf8_is_valid(first));
	st = json_parse(first, &again, &fault);
	ASSERT(st == ST_OK);
	ASSERT(span_equal(first, write_again(scope, again)));
	json_free(root);
	json_free(again);
	return 0;
}
