/* doc/parse.h -- the parsers: text form in, in pieces; structure out, to a chunker.
 *
 * A parser is fed the text form of a file (html: the file, converted to UTF-8) in pieces that end
 * on code points, then told the end. It keeps no more than a few lines, a row or a record, and
 * never recurses. Errors stick in the chunker.
 *
 * Threads  One. Runs in the sandboxed child; pure functions over bytes. */
#ifndef DOC_PARSE_H
#define DOC_PARSE_H

#include "doc/chunker.h"
#include "doc/format.h"

enum {
	PARSE_RECORD_BYTES = 32 * 1024 * 1024, /* the longest text of one .jsonl record */
	PARSE_NESTING = 256,                   /* of JSON */
};

/* The next piece of the text; empty at the end, and when there was an error (made to stick in the
 * chunker by whoever pulls). */
typedef struct span parse_pull_fn(void *context);

struct parser {
	void *state;
	void (*feed)(void *state, struct span text);
	void (*end)(void *state);
	/* Instead of both, for a parser that will not be fed: take all there is. */
	void (*drain)(void *state, parse_pull_fn *pull, void *context);
};

/* All that pull gives, to the end; the chunker then holds the last passage, or the fault. */
void parser_run(const struct parser *parser, struct chunker *chunker, parse_pull_fn *pull,
		void *context);

/* A parser for this format. Its memory is in scope. */
MUST_CHECK status parser_init(enum doc_format format, struct mem_scope *scope,
			      struct chunker *chunker, struct parser *ret_parser,
			      struct fault *reterr);

/* Behind it, one file each. */
MUST_CHECK status parse_text_init(struct mem_scope *scope, struct chunker *chunker,
				  struct parser *ret_parser, struct fault *reterr);
MUST_CHECK status parse_markdown_init(struct mem_scope *scope, struct chunker *chunker,
				      struct parser *ret_parser, struct fault *reterr);
MUST_CHECK status parse_html_init(struct mem_scope *scope, struct chunker *chunker,
				  struct parser *ret_parser, struct fault *reterr);
MUST_CHECK status parse_table_init(struct mem_scope *scope, struct chunker *chunker, bool tabs,
				   struct parser *ret_parser, struct fault *reterr);
MUST_CHECK status parse_json_init(struct mem_scope *scope, struct chunker *chunker, bool lines,
				  struct parser *ret_parser, struct fault *reterr);

#endif
