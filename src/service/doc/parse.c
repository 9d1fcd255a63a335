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
		return parse_json_init(scope, chunker, format == FORMAT_JSON_LINES, ret_parser, reterr);
	case FORMAT_NONE:
		break;
	}
	ASSERT(format != FORMAT_NONE);
	return ST_UNSUPPORTED;
}
