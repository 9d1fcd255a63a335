#include "doc/collect_test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <utf8proc.h>

#include "base/size.h"
#include "base/utf8.h"
#include "doc/cut.h"
#include "doc/parse.h"

void collect_open(struct collected *c)
{
	*c = (struct collected){.scope = mem_scope_open(mem_scope_root(), "collect", 0)};
	assert_non_null(c->scope);
	c->chunks = mem_new_array(c->scope, struct doc_chunk, COLLECT_CHUNKS_MAX);
	assert_non_null(c->chunks);
	buf_init(&c->form, c->scope, 64 * MIB);
}

void collect_close(struct collected *c)
{
	mem_scope_close(c->scope);
}

static struct span copy(struct collected *c, struct span s)
{
	char *text = mem_copy_text(c->scope, s);
	assert_non_null(text);
	return (struct span){text, s.bytes};
}

status collect_chunk(void *context, const struct doc_chunk *chunk, struct fault *reterr)
{
	struct collected *c = context;
	assert_true(c->count < COLLECT_CHUNKS_MAX);
	struct doc_chunk *mine = &c->chunks[c->count++];
	*mine = *chunk;
	mine->doc_id = copy(c, chunk->doc_id);
	mine->title = copy(c, chunk->title);
	mine->heading = copy(c, chunk->heading);
	mine->context = copy(c, chunk->context);
	mine->text = copy(c, chunk->text);
	if (c->stop_after > 0 && c->count == c->stop_after)
		return fault_set(reterr, ST_BUSY, "stop");
	return ST_OK;
}

status collect_text(void *context, struct span piece, struct fault *reterr)
{
	struct collected *c = context;
	assert_true(utf8_is_valid(piece));
	buf_add(&c->form, piece);
	return buf_check(&c->form, "the text form", reterr);
}

struct pieces {
	struct span text;
	size_t step;
};

static struct span pull(void *context)
{
	struct pieces *p = context;
	size_t bytes = p->text.bytes <= p->step ? p->text.bytes : utf8_floor(p->text, p->step);
	if (bytes == 0 && p->text.bytes > 0) {
		uint32_t point;
		bytes = utf8_decode(p->text, 0, &point);
	}
	struct span piece = span_slice(p->text, 0, bytes);
	p->text = span_slice(p->text, bytes, p->text.bytes);
	return piece;
}

static status run(struct collected *c, enum doc_format format, struct pieces *p,
		  struct chunker_options *options, struct fault *reterr)
{
	static const uint64_t file_at = 0;
	struct mem_scope *scope = mem_scope_open(mem_scope_root(), "parse", 0);
	struct chunker *chunker = NULL;
	struct parser parser;
	options->context = c;
	options->file_at = &file_at;
	assert_int_equal(chunker_open(scope, options, &chunker, reterr), ST_OK);
	assert_int_equal(parser_init(format, scope, chunker, &parser, reterr), ST_OK);
	parser_run(&parser, chunker, pull, p);
	status st = chunker_finish(chunker, reterr);
	mem_scope_close(scope);
	return st;
}

status collect_parse(struct collected *c, enum doc_format format, struct span text, size_t step,
		     uint32_t chars, struct fault *reterr)
{
	struct pieces p = {text, step};
	struct chunker_options options = {
		.on_chunk = collect_chunk, .chars = chars, .chars_max = 2 * chars};
	return run(c, format, &p, &options, reterr);
}

status collect_form(struct collected *c, enum doc_format format, struct span text, size_t step,
		    struct fault *reterr)
{
	struct pieces p = {text, step};
	struct chunker_options options = {.on_text = collect_text, .chars = 1, .chars_max = 1};
	return run(c, format, &p, &options, reterr);
}

static bool has_word(struct span text)
{
	for (size_t at = 0; at < text.bytes;) {
		uint32_t point;
		at += utf8_decode(text, at, &point);
		utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)point);
		if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NO)
			return true;
	}
	return false;
}

void collect_check_verbatim(const struct collected *c, struct span form, uint32_t chars_max)
{
	uint64_t at = 0;
	for (size_t i = 0; i < c->count; i++) {
		const struct doc_chunk *chunk = &c->chunks[i];
		assert_true(chunk->start >= at);
		assert_true(chunk->end <= form.bytes);
		assert_true(span_equal(span_slice(form, chunk->start, chunk->end), chunk->text));
		assert_true(utf8_is_valid(chunk->text));
		assert_true(cut_weight(chunk->text) <= (size_t)chars_max * CUT_WIDE);
		assert_false(has_word(span_slice(form, at, chunk->start)));
		at = chunk->end;
	}
	assert_false(has_word(span_slice(form, at, form.bytes)));
}

bool collect_holds(const struct collected *c, const char *text)
{
	for (size_t i = 0; i < c->count; i++) {
		if (memmem(c->chunks[i].text.data, c->chunks[i].text.bytes, text, strlen(text)) !=
		    NULL)
			return true;
	}
	return false;
}
