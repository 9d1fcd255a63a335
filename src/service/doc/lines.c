#include "doc/lines.h"

#include "base/size.h"
#include "base/utf8.h"
#include "doc/cut.h"

status lines_init(struct lines *l, struct mem_scope *scope, line_fn *visit, void *context,
		  struct fault *reterr)
{
	*l = (struct lines){.visit = visit, .context = context};
	for (int i = 0; i < 2; i++) {
		l->stores[i].data = mem_new_array(scope, char, LINES_BYTES + 2);
		if (l->stores[i].data == NULL)
			return fault_set(reterr, mem_refusal(), "no memory to read lines");
	}
	lines_reset(l);
	return ST_OK;
}

void lines_reset(struct lines *l)
{
	l->filling = 0;
	l->held = l->carriage = false;
	l->begun = true;
	l->stores[0].bytes = l->stores[1].bytes = 0;
}

/* The filling store holds a line, or a piece of one: hand out the one before and hold this. */
static void store_done(struct lines *l, size_t text_bytes, bool ends)
{
	struct line_store *now = &l->stores[l->filling];
	struct line_store *other = &l->stores[1 - l->filling];
	now->line = (struct line){
		.text = {now->data, text_bytes},
		.whole = {now->data, now->bytes},
		.begins = l->begun,
		.ends = ends,
	};
	now->line.blank = cut_trim(now->line.text).bytes == 0;
	if (l->held)
		l->visit(l->context, &other->line, &now->line);
	l->held = true;
	l->begun = ends;
	l->filling = 1 - l->filling;
	other->bytes = 0;
}

static void store_add(struct lines *l, struct span text)
{
	struct line_store *now = &l->stores[l->filling];
	memcpy(now->data + now->bytes, text.data, text.bytes);
	now->bytes += text.bytes;
}

/* Text without a line end. */
static void line_add(struct lines *l, struct span text)
{
	while (text.bytes > 0) {
		size_t room = LINES_BYTES - l->stores[l->filling].bytes;
		size_t bytes = text.bytes <= room ? text.bytes : utf8_floor(text, room);
		if (bytes > 0)
			store_add(l, span_slice(text, 0, bytes));
		text = span_slice(text, bytes, text.bytes);
		if (text.bytes > 0)
			store_done(l, l->stores[l->filling].bytes, false);
	}
}

static void line_end(struct lines *l, struct span end)
{
	size_t text_bytes = l->stores[l->filling].bytes;
	store_add(l, end);
	store_done(l, text_bytes, true);
}

/* The offset of the first LF or CR in s at or after `at`, s.bytes when there is none. *inout_feed
 * is that of the first LF, kept between calls: text with CR only would be searched again and again.
 */
static size_t end_find(struct span s, size_t at, size_t *inout_feed)
{
	if (*inout_feed < at) {
		const char *feed = memchr(s.data + at, '\n', s.bytes - at);
		*inout_feed = feed != NULL ? (size_t)(feed - s.data) : s.bytes;
	}
	const char *carriage = memchr(s.data + at, '\r', *inout_feed - at);
	return carriage != NULL ? (size_t)(carriage - s.data) : *inout_feed;
}

void lines_feed(struct lines *l, struct span text)
{
	size_t at = 0;
	if (l->carriage && text.bytes > 0) {
		bool both = text.data[0] == '\n';
		line_end(l, both ? SPAN("\r\n") : SPAN("\r"));
		at = both ? 1 : 0;
		l->carriage = false;
	}
	const char *first = memchr(text.data, '\n', text.bytes);
	size_t feed = first != NULL ? (size_t)(first - text.data) : text.bytes;
	while (at < text.bytes) {
		size_t end = end_find(text, at, &feed);
		line_add(l, span_slice(text, at, end));
		if (end == text.bytes)
			return;
		if (text.data[end] == '\n') {
			line_end(l, SPAN("\n"));
			at = end + 1;
		} else if (end + 1 == text.bytes) {
			l->carriage = true;
			return;
		} else {
			bool both = text.data[end + 1] == '\n';
			line_end(l, both ? SPAN("\r\n") : SPAN("\r"));
			at = end + (both ? 2 : 1);
		}
	}
}

void lines_end(struct lines *l)
{
	if (l->carriage)
		line_end(l, SPAN("\r"));
	else if (l->stores[l->filling].bytes > 0)
		store_done(l, l->stores[l->filling].bytes, true);
	if (l->held)
		l->visit(l->context, &l->stores[1 - l->filling].line, NULL);
	lines_reset(l);
}
