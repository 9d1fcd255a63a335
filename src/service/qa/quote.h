/* qa/quote.h -- the sentences of the best passages that answer a question, at most so many
 * characters.
 *
 * Pure selection: the caller brings hits and the cosines of the short-listed sentences.
 *
 *     quote_open()       cut the passages of the best hits into units and weigh the question's
 * terms quote_shortlist()  the few units that are worth embedding quote_pick()       choose with
 * their cosines; chosen units in reading order
 *
 * A unit is a whole sentence, or a run of whole clauses of a sentence that is too long to quote.
 * How much a term of the question tells is judged from the hits: those in few of them tell most.
 * The weights are measured, see docs/internals/quality.md.
 *
 * Memory   All in the scope given to quote_open().
 * Threads  One. */
#ifndef QA_QUOTE_H
#define QA_QUOTE_H

#include "kb/kb.h"
#include "rt/buf.h"

enum {
	QUOTE_HITS_READ = 3,     /* passages that are quoted from */
	QUOTE_HITS_WEIGHED = 20, /* passages that the question's terms are weighed by */
	QUOTE_LISTED_MAX = 8,    /* units that are embedded */
	QUOTE_UNIT_CHARS = 190,
};

struct quote_unit {
	struct span text;         /* in its hit's text */
	uint32_t hit;             /* index into the hits */
	bool cut_front, cut_back; /* of a longer sentence */
	bool listed, chosen;
	float alone;   /* share of the question's weight that stands in it */
	float covered; /* the same, with the document's title */
	float cosine;  /* set by the caller for listed ones; 0 without a model */
	float score;
};

struct quote {
	const struct kb_hits *hits;
	struct quote_unit *units; /* hit after hit, each in reading order */
	size_t count;
	struct quote_unit *best; /* set by quote_pick(); NULL: nothing to quote */
};

MUST_CHECK status quote_open(struct mem_scope *scope, struct span question,
			     const struct kb_hits *hits, struct quote *ret_quote,
			     struct fault *reterr);

/* Mark the listed units; *ret_listed points to them, in an order of their own. */
size_t quote_shortlist(struct quote *q, struct quote_unit *ret_listed[QUOTE_LISTED_MAX]);

/* Choose units so that the written quotation, marks and dots included, has at most chars_max
 * characters. */
void quote_pick(struct quote *q, size_t chars_max);

/* Write the chosen units: neighbours joined, gaps as dots, a mark "[n]" behind the last unit of
 * each hit, counted from 1 in order of appearance. False: out refused. */
bool quote_write(const struct quote *q, struct buf *out);

/* Share of the terms of text that stand in source, 0..1; 0 when memory is refused. */
float quote_support(struct mem_scope *scope, struct span text, struct span source);

#endif
