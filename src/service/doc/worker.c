#include "doc/worker.h"

#include <libxml/parser.h>
#include <stdio.h>
#include <unistd.h>

#include "doc/parse.h"
#include "doc/sandbox.h"
#include "doc/source.h"
#include "doc/wire.h"

struct worker {
	enum doc_format format;
	bool text; /* stream the text form instead of passages */
	uint32_t chars, chars_max;
	struct mem_scope *scope;
	struct wire_writer out;
	struct source *source;
	struct chunker *chunker;
};

static bool number(const char *text, uint64_t max, uint64_t *ret)
{
	uint64_t value = 0;
	for (const char *c = text; *c != '\0'; c++) {
		if (*c < '0' || *c > '9' || value > (max - (uint64_t)(*c - '0')) / 10)
			return false;
		value = value * 10 + (uint64_t)(*c - '0');
	}
	*ret = value;
	return text[0] != '\0';
}

static status send_chunk(void *context, const struct doc_chunk *chunk, struct fault *reterr)
{
	return wire_write_chunk(context, chunk, reterr);
}

static status send_text(void *context, struct span piece, struct fault *reterr)
{
	return wire_write_text(context, piece, reterr);
}

/* The text form of these formats is the source itself. */
static bool is_verbatim(enum doc_format format)
{
	return format != FORMAT_HTML;
}

static status text_stream(struct worker *w, struct fault *reterr)
{
	status st = ST_OK;
	if (source_mark_bytes(w->source) > 0)
		st = wire_write_text(&w->out, SPAN("\xEF\xBB\xBF"), reterr);
	while (st == ST_OK) {
		struct span piece;
		st = source_next(w->source, &piece, reterr);
		if (st == ST_OK && piece.bytes == 0)
			return ST_OK;
		if (st == ST_OK)
			st = wire_write_text(&w->out, piece, reterr);
	}
	return st;
}

static struct span pull_piece(void *context)
{
	struct worker *w = context;
	struct span piece = {0};
	struct fault fault;
	/* The parent sees passages, and the progress in them, as soon as the input behind them is
	 * asked for. */
	status st = w->out.bytes > 0 ? wire_flush(&w->out, &fault) : ST_OK;
	if (st == ST_OK)
		st = source_next(w->source, &piece, &fault);
	if (st != ST_OK)
		chunker_fail(w->chunker, &fault);
	return piece;
}

static status parse(struct worker *w, struct fault *reterr)
{
	struct chunker_options options = {
		.on_chunk = w->text ? NULL : send_chunk,
		.on_text = w->text ? send_text : NULL,
		.context = &w->out,
		.chars = w->chars,
		.chars_max = w->chars_max,
		.file_at = source_file_at(w->source),
	};
	status st = chunker_open(w->scope, &options, &w->chunker, reterr);
	if (st != ST_OK)
		return st;
	if (is_verbatim(w->format))
		chunker_skip(w->chunker, source_mark_bytes(w->source));
	struct parser parser;
	st = parser_init(w->format, w->scope, w->chunker, &parser, reterr);
	if (st != ST_OK)
		return st;
	parser_run(&parser, w->chunker, pull_piece, w);
	return chunker_finish(w->chunker, reterr);
}

static status worker_run(struct worker *w, uint64_t memory_max, uint64_t cpu_seconds,
			 struct fault *reterr)
{
	status st = sandbox_limit(memory_max, (uint32_t)cpu_seconds, reterr);
	if (st == ST_OK)
		st = source_open(w->scope, STDIN_FILENO, &w->source, reterr);
	if (st == ST_OK)
		st = sandbox_enter(reterr);
	/* From here on the content is looked at. */
	if (st == ST_OK)
		st = source_detect(w->source, w->format, reterr);
	if (st == ST_OK)
		st = w->text && is_verbatim(w->format) ? text_stream(w, reterr) : parse(w, reterr);
	return st;
}

int doc_worker_main(int argc, char **argv)
{
	uint64_t format, chars, chars_max, memory, cpu;
	if (argc != WORKER_ARGS || !number(argv[WORKER_ARG_FORMAT], FORMAT_JSON_LINES, &format) ||
	    !number(argv[WORKER_ARG_CHARS], CHUNKER_CHARS_MAX, &chars) ||
	    !number(argv[WORKER_ARG_CHARS_MAX], CHUNKER_CHARS_MAX, &chars_max) ||
	    !number(argv[WORKER_ARG_MEMORY], INT64_MAX / 2, &memory) ||
	    !number(argv[WORKER_ARG_CPU], INT32_MAX, &cpu) || format == FORMAT_NONE || chars == 0 ||
	    chars_max < chars)
		return 2;
#ifndef PLIMSOLL_SANITIZED
	(void)close(STDERR_FILENO); /* a hostile file has nothing to say on our terminal */
#endif
	struct worker w = {
		.format = (enum doc_format)format,
		.text = strcmp(argv[WORKER_ARG_MODE], WORKER_MODE_TEXT) == 0,
		.chars = (uint32_t)chars,
		.chars_max = (uint32_t)chars_max,
		.scope = mem_scope_root(),
	};
	struct fault fault = {0};
	if (wire_writer_init(&w.out, w.scope, STDOUT_FILENO, &fault) != ST_OK)
		return 1;
	xmlInitParser();
	status st = worker_run(&w, memory, cpu, &fault);
	if (st == ST_OOM || st == ST_BUDGET)
		fault.code = ST_LIMIT;
	st = st == ST_OK ? wire_write_end(&w.out, &fault) : wire_write_fault(&w.out, &fault, NULL);
	/* No clean-up: the kernel takes all back, and exit handlers have no business in a sandbox.
	 */
	_exit(st == ST_OK ? 0 : 1);
}
