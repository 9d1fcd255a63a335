/* doc/lines.h -- a stream of text cut into lines, each handed out together with the one after it.
 *
 * A line ends at LF, CR LF or CR. One that is longer than LINES_BYTES comes in pieces cut at code
 * points, so that memory is constant. The look at the next line is what setext headings, tables and
 * plain-text titles need. */
#ifndef DOC_LINES_H
#define DOC_LINES_H

#include <stdbool.h>

#include "base/span.h"
#include "base/status.h"
#include "mem/scope.h"

enum { LINES_BYTES = 16 * 1024 };

struct line {
	struct span text;  /* without its end */
	struct span whole; /* with it */
	bool begins, ends; /* both true unless the line comes in pieces */
	bool blank;        /* nothing but white space */
};

/* next: NULL for the last line. Both live until the call returns. */
typedef void line_fn(void *context, const struct line *line, const struct line *next);

struct line_store {
	char *data;
	size_t bytes;
	struct line line;
};

struct lines {
	line_fn *visit;
	void *context;
	struct line_store stores[2]; /* the line held back, and the one that fills */
	int filling;
	bool held, begun, carriage; /* carriage: the filling line ended in CR, an LF may follow */
};

MUST_CHECK status lines_init(struct lines *l, struct mem_scope *scope, line_fn *visit,
			     void *context, struct fault *reterr);
/* Forget what is there and start anew with the same storage. */
void lines_reset(struct lines *l);
/* text ends on a code point. */
void lines_feed(struct lines *l, struct span text);
/* Hand out what is left. */
void lines_end(struct lines *l);

#endif
