/* qa/evidence.h -- does the knowledge base hold an answer? The decision behind "does not say".
 *
 * The score of the best passage (kb/fusion.h) decides for a search. Before an answer, the best
 * sentence is asked as well: a passage on the right subject often says nothing on the question.
 * Both are logistic fits on questions with and without their text; see docs/internals/quality.md.
 *
 * A question in another script than the passages shares no words with them, so that only the
 * vectors can tell, and they tell less: then the best passage must also stand out from the next
 * ones.
 *
 * Pure functions. */
#ifndef QA_EVIDENCE_H
#define QA_EVIDENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "kb/kb.h"

/* ln(p / (1 - p)), finite for 0 and 1; and back. */
float evidence_logit(float p);
float evidence_probability(float logit);

/* Does exactly one of them consist mostly of Han, Kana or Hangul? */
bool evidence_is_foreign(struct span question, struct span text);

struct evidence {
	const struct kb_hits *hits; /* at least one */
	uint64_t chunks;            /* of the knowledge base */
	bool has_vectors;
	bool foreign;        /* question and best passage */
	float unit_cosine;   /* of the best sentence */
	float unit_coverage; /* share of the question's weight in it, 0..1 */
};

/* Belief that the best sentence answers: 0..1, 0.5 and more is enough to answer. */
float evidence_belief(const struct evidence *e);

#endif
