/* kb/text_arm.h -- BM25 over one term at a time.
 *
 * Each term of the question is one FTS5 query whose matches, minus invisible rows, go into a list;
 * that gives its exact document frequency on the way, and a term that turns out too common is
 * dropped without reading the rest. The lists are then added up in windows of rows. So the work is
 * bounded by what can tell rows apart, and rows that the vector arm found get their exact BM25 as
 * well.
 *
 *     idf    ln((N - df + 0.5) / (df + 0.5)), at least 1e-6; N visible rows, df those with the term
 *     bm25   sum of idf * tf * (k1 + 1) / (tf + k1 * (1 - b + b * length / mean length)), k1 1.2, b
 *            .75 (Robertson and Walker, as in FTS5's own bm25()) */
#ifndef KB_TEXT_ARM_H
#define KB_TEXT_ARM_H

#include "kb/reader.h"

struct text_row {
	uint32_t row;
	float bm25, coverage; /* coverage: idf share of all kept terms that the row holds */
};

struct text_arm {
	struct text_row *best; /* best first; room for best_max */
	size_t best_max, best_count;
	struct text_row *wanted; /* rows whose numbers are asked for */
	size_t wanted_count;
	uint32_t terms, terms_found, terms_common; /* as in kb/fusion.h */
	float idf_sum, idf_found_sum;
};

MUST_CHECK status text_arm_search(struct reader *r, struct span question, struct mem_scope *scratch,
				  struct text_arm *arm, struct fault *reterr);

#endif
