/* embed/import_scan.h -- a walk over JSON text without a tree, for tokenizer.json: the vocabulary
 * of XLM-R is 17 MB of text, and a tree of it would take 100 MB.
 *
 *     struct scan s = {text};
 *     for (bool more = scan_open(&s, '{'); more; more = scan_next(&s, '}')) {
 *             struct span key = scan_string(&s, scope);
 *             scan_colon(&s);
 *             ... scan_string(), scan_number(), scan_skip(), scan_open() ...
 *     }
 *     if (s.bad) ...
 *
 * Anything malformed sets bad; from then on every call does nothing and loops end. */
#ifndef EMBED_IMPORT_SCAN_H
#define EMBED_IMPORT_SCAN_H

#include <stdbool.h>

#include "base/span.h"
#include "mem/scope.h"

struct scan {
	struct span text;
	size_t at;
	bool bad;
};

/* Enter an object or array ('{' or '['). False: it is empty, and has been left. */
bool scan_open(struct scan *s, char open);
/* After a member. False: it was the last, and the object or array ('}' or ']') has been left. */
bool scan_next(struct scan *s, char close);
void scan_colon(struct scan *s);
/* The first character of the value that comes. */
char scan_peek(struct scan *s);
/* A string: a part of the text, or, if it has escapes, a copy in scope. */
struct span scan_string(struct scan *s, struct mem_scope *scope);
double scan_number(struct scan *s);
/* Pass over one value of any kind; its text. */
struct span scan_skip(struct scan *s);

#endif
