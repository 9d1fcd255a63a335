/* kb/fusion.h -- two arms, one score: from cosines and BM25 to 0..1, and to a belief that the
 * knowledge base holds an answer at all.
 *
 * Both arms are absolute, so that one weight serves every question and every knowledge base; ranks
 * and min-max scaling make a chance word match as strong as a full one and ruin questions across
 * languages. The constants were measured on the retrieval sets (docs/internals/quality.md).
 *
 *     text   = BM25 / the most it can reach: 2.2 x the weight of ALL searched terms, so that a term
 *              which occurs nowhere counts against the arm
 *     rank   = cosine + 0.25 text
 *     score  = logistic(55 rank - 20 background - 33.15); the background is the mean cosine of the
 *              question with all rows, shrunk towards 0.70 for knowledge bases of a few rows
 *
 * Pure functions over what search.c measured; they know no disk and no model. Every candidate
 * carries the numbers of both arms, whichever arm brought it in: a row found by its vector has its
 * BM25 as well, a row found by its words has its exact cosine.
 *
 * Threads  No state. */
#ifndef KB_FUSION_H
#define KB_FUSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kb/kb.h"

struct fusion_candidate {
	uint64_t chunk;
	float cosine;     /* exact; 0 when the question has no vector */
	float bm25;       /* >= 0; 0: none of the searched terms is in it */
	float coverage;   /* idf-weighted share of the question's terms that it holds, 0..1 */
	bool from_vector; /* among the best of the vector arm */
	bool from_text;   /* among the best of the text arm */
	float score;      /* set by fusion_rank() */
};

/* What is known about the question and the knowledge base. */
struct fusion_query {
	enum kb_arm arm;
	struct span text; /* unfolded */
	bool has_vector;
	uint64_t chunks;                     /* visible ones */
	float cosine_mean, cosine_deviation; /* of the question against all visible rows */
	uint32_t terms;               /* distinct terms of the question, common ones left out */
	uint32_t terms_found;         /* of these, how many occur at all */
	uint32_t terms_common;        /* left out as too frequent to tell anything */
	float idf_sum, idf_found_sum; /* weight of terms, and of terms_found */
};

/* Score the candidates, put the best first and fill *ret_evidence; confidence is the best one's
 * score, and 0.5 and more means that it probably holds an answer. Ties go to the lower chunk. */
void fusion_rank(const struct fusion_query *query, struct fusion_candidate *list, size_t count,
		 struct kb_evidence *ret_evidence);

/* The background that scores are measured against: of `mean` over `chunks` rows, on e5's scale. */
float fusion_background(float mean, uint64_t chunks);
/* A cosine on e5's scale, where unrelated texts are at 0.7 and more; the same for models like that.
 */
float fusion_cosine(float cosine, float mean);

#endif
