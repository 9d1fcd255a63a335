/* Any bytes: UTF-8 is read without loss of place, folding gives UTF-8, and a JSON string of it
 * parses. */
#include "base/assert.h"
#include "base/size.h"
#include "base/utf8.h"
#include "fuzz.h"
#include "rt/json.h"
#include "rt/text.h"

static void check_places(struct span s)
{
	size_t count = 0;
	for (size_t at = 0; at < s.bytes; count++) {
		uint32_t point;
		size_t bytes = utf8_decode(s, at, &point);
		ASSERT(bytes >= 1 && bytes <= UTF8_BYTES_MAX && bytes <= s.bytes - at);
		ASSERT(utf8_floor(s, at) <= at);
		if (utf8_is_valid(s))
			ASSERT(utf8_floor(s, at + bytes - 1) == at);
		at += bytes;
	}
	ASSERT(utf8_count(s) == count);
	ASSERT(utf8_offset(s, count) == s.bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span s = {(const char *)data, size};
	CLEANUP(mem_scope_closep)
	struct mem_scope *scope = mem_scope_open(mem_scope_root(), "text", 0);
	struct buf folded, quoted;
	struct json_writer w;
	struct json *back = NULL;
	buf_init(&folded, scope, 64 * MIB);
	buf_init(&quoted, scope, 64 * MIB);
	check_places(s);
	ASSERT(text_fold(s, &folded));
	ASSERT(utf8_is_valid(buf_span(&folded)));
	if (memchr(data, 0, size) != NULL)
		return 0; /* U+0000 is written, but refused when read */
	json_writer_init(&w, &quoted);
	json_write_text(&w, s);
	status st = json_parse(buf_span(&quoted), &back, NULL);
	ASSERT(st == ST_OK);
	ASSERT(!utf8_is_valid(s) || span_equal(json_text(back), s));
	json_free(back);
	return 0;
}
