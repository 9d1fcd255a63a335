#include "doc/parse.h"

#include "base/assert.h"

status parser_init(enum doc_format format, struct mem_scope *scope, struct chunker *chunker,
		   struct parser *ret_parser, struct fault *reterr)
{
	switch (format) {
	case FORMAT_TEXT:
		return parse_text_init(scope, chunker, ret_parser, reterr);
	case FORMAT_MARKDOWN:
		return parse_markdown_init(scope, chunker, ret_parser, reterr);
	case FORMAT_HTML:
		return parse_html_init(scope, chunker, ret_parser, reterr);
	case FORMAT_CSV:
	case FORMAT_TSV:
		return parse_table_init(scope, chunker, format == FORMAT_TSV, ret_parser, reterr);
	case FORMAT_JSON:
	case FORMAT_JSON_LINES:
		return parse_json_init(scope, chunker, format == FORMAT_JSON_LINES, ret_parser,
				       reterr);
	case FORMAT_NONE:
		break;
	}
	ASSERT(format != FORMAT_NONE);
	return ST_UNSUPPORTED;
}

void parser_run(const struct parser *parser, struct chunker *chunker, parse_pull_fn *pull,
		void *context)
{
	if (parser->drain != NULL) {
		parser->drain(parser->state, pull, context);
		return;
	}
	while (chunker_failed(chunker, NULL) == ST_OK) {
		struct span piece = pull(context);
		if (piece.bytes == 0)
			break;
		parser->feed(parser->state, piece);
	}
	if (chunker_failed(chunker, NULL) == ST_OK)
		parser->end(parser->state);
}
