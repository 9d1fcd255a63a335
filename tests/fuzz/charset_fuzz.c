/* Any bytes become clean UTF-8, all of them are used, and the pieces they come in make no
 * difference. The first byte says how long the pieces are. */
#include "base/assert.h"
#include "base/size.h"
#include "base/utf8.h"
#include "doc/charset.h"
#include "fuzz.h"
#include "rt/buf.h"

enum { ROOM = 64 };

static void convert(const struct charset *c, const struct charset_tables *tables, struct span s,
		    size_t step, struct buf *out)
{
	for (size_t at = 0, end = 0; at < s.bytes;) {
		end = size_min(size_max(end, at) + step, s.bytes);
		bool last = end == s.bytes;
		for (size_t used = 1; at < end && used > 0; at += used) {
			char room[ROOM];
			size_t bytes = charset_convert(c, tables, span_slice(s, at, end), last,
						       room, ROOM, &used);
			ASSERT(bytes <= ROOM && used <= end - at);
			ASSERT(utf8_is_valid((struct span){room, bytes}));
			(void)buf_add(out, (struct span){room, bytes});
			ASSERT(!last || used > 0);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct charset_tables tables;
	struct charset charset;
	struct buf whole, pieces;
	if (size == 0)
		return 0;
	struct span s = {(const char *)data + 1, size - 1};
	struct span head = span_slice(s, 0, CHARSET_HEAD_BYTES);
	charset_preload(&tables, head);
	CLEANUP(mem_scope_closep)
	struct mem_scope *scope = mem_scope_open(mem_scope_root(), "charset", 0);
	if (charset_detect(&tables, head, head.bytes == s.bytes, data[0] & 1, &charset, NULL) ==
	    ST_OK) {
		s = span_slice(s, charset.mark_bytes, s.bytes);
		buf_init(&whole, scope, 64 * MIB);
		buf_init(&pieces, scope, 64 * MIB);
		convert(&charset, &tables, s, s.bytes + 1, &whole);
		convert(&charset, &tables, s, (size_t)data[0] / 2 + 1, &pieces);
		ASSERT(span_equal(buf_span(&whole), buf_span(&pieces)));
	}
	charset_unload(&tables);
	return 0;
}
