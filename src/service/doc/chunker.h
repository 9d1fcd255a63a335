/* doc/chunker.h -- structure in, passages out.
 *
 * A parser tells the chunker the text form in order: units (paragraph, list item, table row, code
 * block, heading, record) and the gaps of white space between them. Consecutive units of a section
 * form a run. A run that grows beyond twice the target T gives up a passage at its front, cut at
 * the border of units nearest to T, else at the sentence end nearest to T; what is left at the
 * section's end is one passage up to 1.5 T, else two about equal ones. So a passage is .5 T .. 1.5
 * T, except:
 *   - a code block, list item, row or record stays whole up to the ceiling;
 *   - a section shorter than that is a passage of its own, unless it is a crumb (< T/6): then it
 * joins the passage before it, or the section behind it. Crumbs are poison to vector search: the
 * nearest neighbours of everything. For the same reason text without any letter or digit is no
 * passage.
 *   - a heading stays with what follows it.
 *
 *     chunker_heading(c, 2, SPAN("Limits"));                 a new section
 *     chunker_begin(c, UNIT_HEADING); chunker_add(c, SPAN("## Limits\n")); chunker_end(c);
 *     chunker_gap(c, SPAN("\n"));
 *     chunker_begin(c, UNIT_PARAGRAPH); chunker_add(c, ...); chunker_end(c);
 *     chunker_finish(c);                                     the last passage
 *
 * Offsets    Every byte given by add and gap is a byte of the text form, so start and end of a
 * passage are exact. Formats that are rendered anew (rows, records) use chunker_add_from(), which
 *            says for each piece which bytes of the text form it comes from, and chunker_mark().
 * Weights    as in doc/cut.h. The text kept at once is bounded by the ceiling, whatever the units'
 * sizes. Errors     stick: after one, calls do nothing; chunker_failed() tells. A visit that stops
 * is one. Threads    One. */
#ifndef DOC_CHUNKER_H
#define DOC_CHUNKER_H

#include "doc/doc.h"

enum {
	CHUNKER_LEVELS = 8,          /* of headings */
	CHUNKER_HEADING_BYTES = 240, /* of one heading; a longer one is cut */
	CHUNKER_LABEL_BYTES = 1024,  /* id, title, context */
	CHUNKER_CHARS_MAX = 8192,    /* the highest ceiling that may be asked for */
};

enum unit_kind {
	UNIT_PARAGRAPH,  /* cut at sentences */
	UNIT_LINES,      /* code, a nested list, a row: cut at line ends */
	UNIT_HEADING,    /* stays with the unit after it */
	UNIT_TABLE_HEAD, /* so does the header of a table */
	UNIT_RECORD,     /* a passage of its own: a question with its answer */
};

struct chunker_options {
	doc_chunk_fn *on_chunk; /* either this */
	doc_text_fn *on_text;   /* or this: the text form itself, no passages */
	void *context;
	uint32_t chars, chars_max; /* target and ceiling, 1..CHUNKER_CHARS_MAX */
	const uint64_t *file_at;   /* read at each passage, for doc_chunk.file_at */
};

struct chunker;
MUST_CHECK status chunker_open(struct mem_scope *parent, const struct chunker_options *options,
			       struct chunker **ret_chunker, struct fault *reterr);
void chunker_close(struct chunker *c); /* NULL is allowed */

/* End the document at hand and start a new one: offsets begin at 0 again. */
void chunker_document(struct chunker *c, struct span id, struct span title);
void chunker_title(struct chunker *c, struct span title);
bool chunker_has_title(const struct chunker *c);
/* End the run and enter a section of this level (1 = top). Empty text: the section is not part of
 * the path. */
void chunker_heading(struct chunker *c, uint32_t level, struct span text);
/* A table begins: ends a run that holds rows of another one. */
void chunker_table(struct chunker *c);
/* For passages that begin with a unit begun from here on, but a UNIT_TABLE_HEAD: the header row.
 * Empty: the table is over. */
void chunker_context(struct chunker *c, struct span context);
/* For passages that begin inside the open unit, should it have to be cut: what tells its row. */
void chunker_inner_context(struct chunker *c, struct span context);

void chunker_begin(struct chunker *c, enum unit_kind kind);
void chunker_add(struct chunker *c, struct span text);
/* text was rendered from bytes from..to of the text form; from never goes back. */
void chunker_add_from(struct chunker *c, struct span text, uint64_t from, uint64_t to);
/* What was rendered last comes from bytes up to `to`: a closing quote, say. */
void chunker_reach(struct chunker *c, uint64_t to);
void chunker_end(struct chunker *c);
/* Between units: white space and rules. */
void chunker_gap(struct chunker *c, struct span text);
/* The same, but rendered: not in the text form. */
void chunker_mark(struct chunker *c, struct span text);
/* End the run, and emit all there is. */
void chunker_flush(struct chunker *c);

/* Weight of the open unit so far, 0 when none is open; and of the target. */
size_t chunker_unit_weight(const struct chunker *c);
size_t chunker_target_weight(const struct chunker *c);
/* Pass over bytes of the text form that are in no passage: a byte order mark. */
void chunker_skip(struct chunker *c, size_t bytes);
/* The offset in the text form behind all that was given. */
uint64_t chunker_at(const struct chunker *c);
bool chunker_in_unit(const struct chunker *c);

/* Flush and report. */
MUST_CHECK status chunker_finish(struct chunker *c, struct fault *reterr);
MUST_CHECK status chunker_failed(const struct chunker *c, struct fault *reterr);
/* A parser's own error, made to stick. */
void chunker_fail(struct chunker *c, const struct fault *fault);

#endif
