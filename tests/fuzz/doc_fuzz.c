/* Any text through every parser: passages are clean, in order, bounded, and where they say they
 * are. The first byte chooses the format, the second how long the pieces are. */
#include "base/assert.h"
#include "base/size.h"
#include "base/utf8.h"
#include "doc/parse.h"
#include "fuzz.h"
#include "rt/buf.h"

enum { TARGET = 40, CEILING = 80 };

struct watch {
	enum doc_format format;
	struct span text; /* all that is fed */
	size_t at, step;  /* what is fed already, and how much at once */
	uint64_t start;
	size_t count;
};

static status watch_chunk(void *context, const struct doc_chunk *chunk, struct fault *reterr)
{
	struct watch *w = context;
	(void)reterr;
	ASSERT(utf8_is_valid(chunk->text) && utf8_is_valid(chunk->heading));
	ASSERT(utf8_is_valid(chunk->title) && utf8_is_valid(chunk->context));
	ASSERT(chunk->text.bytes > 0);
	ASSERT(chunk->text.bytes <= (size_t)3 * CEILING * UTF8_BYTES_MAX);
	ASSERT(chunk->start <= chunk->end);
	if (w->format != FORMAT_JSON && w->format != FORMAT_JSON_LINES) {
		ASSERT(chunk->start >= w->start);
		w->start = chunk->start;
	}
	if (w->format == FORMAT_TEXT || w->format == FORMAT_MARKDOWN)
		ASSERT(span_equal(chunk->text, span_slice(w->text, chunk->start, chunk->end)));
	w->count++;
	return ST_OK;
}

/* What the source would make of it: UTF-8 without control characters. */
static struct span clean(struct mem_scope *scope, struct span s)
{
	char *out = mem_new_array(scope, char, s.bytes + 1);
	size_t bytes = 0;
	ASSERT(out != NULL);
	for (size_t at = 0; at < s.bytes;) {
		uint32_t point;
		size_t length = utf8_decode(s, at, &point);
		bool control = point < ' ' && point != '\n' && point != '\t' && point != '\r';
		if (point != UTF8_REPLACEMENT && !control && point != 0x7f) {
			memcpy(out + bytes, s.data + at, length);
			bytes += length;
		}
		at += length;
	}
	return (struct span){out, bytes};
}

static struct span next_piece(void *context)
{
	struct watch *w = context;
	size_t from = w->at, end = size_min(from + w->step, w->text.bytes);
	end = size_max(utf8_floor(w->text, end), utf8_floor(w->text, from + UTF8_BYTES_MAX));
	w->at = end > from ? end : w->text.bytes;
	return span_slice(w->text, from, w->at);
}

static void parse(struct mem_scope *scope, struct watch *w)
{
	const uint64_t file_at = 0;
	struct chunker_options options = {.on_chunk = watch_chunk,
					  .context = w,
					  .chars = TARGET,
					  .chars_max = CEILING,
					  .file_at = &file_at};
	struct chunker *chunker;
	struct parser parser;
	struct fault fault = {0};
	ASSERT(chunker_open(scope, &options, &chunker, &fault) == ST_OK);
	chunker_document(chunker, SPAN("id"), SPAN(""));
	ASSERT(parser_init(w->format, scope, chunker, &parser, &fault) == ST_OK);
	parser_run(&parser, chunker, next_piece, w);
	status st = chunker_finish(chunker, &fault);
	ASSERT(st == ST_OK || fault.text[0] != '\0');
	chunker_close(chunker);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum doc_format formats[] = {FORMAT_TEXT,      FORMAT_MARKDOWN, FORMAT_HTML,
						  FORMAT_CSV,       FORMAT_TSV,      FORMAT_JSON,
						  FORMAT_JSON_LINES};
	if (size < 2)
		return 0;
	CLEANUP(mem_scope_closep)
	struct mem_scope *scope = mem_scope_open(mem_scope_root(), "doc", 0);
	struct watch w = {.format = formats[data[0] % ARRAY_COUNT(formats)]};
	w.text = clean(scope, (struct span){(const char *)data + 2, size - 2});
	w.step = (size_t)data[1] + 1;
	parse(scope, &w);
	return 0;
}
