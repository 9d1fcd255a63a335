#include "kb/fusion.h"

#include <math.h>
#include <stdlib.h>

/* The most that BM25 gives one term of weight 1: k1 + 1. */
#define TERM_MOST 2.2F
#define TEXT_WEIGHT 0.25F

/* The score's logistic, fitted on questions with and without an answer in the knowledge base. */
#define RANK_SLOPE 55.0F
#define BACKGROUND_SLOPE 20.0F
#define HYBRID_BIAS -33.15F
/* With one arm alone, what the other usually adds is missing. */
#define VECTOR_BIAS -31.15F
#define TEXT_SLOPE 24.0F
#define TEXT_BIAS -3.4F

/* The background of a knowledge base too small to have one, and the rows it counts for. */
#define PRIOR_BACKGROUND 0.70F
#define PRIOR_ROWS 20.0F

/* The constants are e5's, whose cosines fill the top quarter. A model whose unrelated texts are
 * nearer to 0 is stretched onto that quarter first. */
#define SPREAD_MEAN 0.55F
#define CONE_MEAN 0.75F

static int by_rank(const void *a, const void *b)
{
	const struct fusion_candidate *x = a, *y = b;
	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return x->chunk < y->chunk ? -1 : x->chunk > y->chunk;
}

static float logistic(float x)
{
	return 1 / (1 + expf(-x));
}

static float text_share(const struct fusion_query *q, float bm25)
{
	return q->idf_sum > 0 ? fminf(bm25 / (TERM_MOST * q->idf_sum), 1) : 0;
}

float fusion_cosine(float cosine, float mean)
{
	return mean >= SPREAD_MEAN ? cosine : 1 - (1 - cosine) * (1 - CONE_MEAN) / (1 - mean);
}

float fusion_background(float mean, uint64_t chunks)
{
	float rows = (float)chunks;
	float own = mean >= SPREAD_MEAN ? mean : CONE_MEAN;
	return (rows * own + PRIOR_ROWS * PRIOR_BACKGROUND) / (rows + PRIOR_ROWS);
}

static bool uses_text(const struct fusion_query *q)
{
	return !q->has_vector || q->arm != KB_VECTOR;
}

static bool uses_vector(const struct fusion_query *q)
{
	return q->has_vector && q->arm != KB_TEXT;
}

static float rank_of(const struct fusion_query *q, const struct fusion_candidate *c)
{
	if (!uses_vector(q))
		return text_share(q, c->bm25);
	float cosine = fusion_cosine(c->cosine, q->cosine_mean);
	return cosine + (uses_text(q) ? TEXT_WEIGHT * text_share(q, c->bm25) : 0);
}

static float score_of(const struct fusion_query *q, float rank)
{
	if (!uses_vector(q))
		return logistic(TEXT_SLOPE * rank + TEXT_BIAS);
	float bias = uses_text(q) ? HYBRID_BIAS : VECTOR_BIAS;
	float background = fusion_background(q->cosine_mean, q->chunks);
	return logistic(RANK_SLOPE * rank - BACKGROUND_SLOPE * background + bias);
}

void fusion_rank(const struct fusion_query *query, struct fusion_candidate *list, size_t count,
		 struct kb_evidence *ret_evidence)
{
	struct kb_evidence e = {.cosine_mean = query->cosine_mean,
				.cosine_deviation = query->cosine_deviation};
	for (size_t i = 0; i < count; i++) {
		e.cosine_best = fmaxf(e.cosine_best, list[i].cosine);
		e.coverage_best = fmaxf(e.coverage_best, list[i].coverage);
		list[i].score = rank_of(query, &list[i]);
	}
	/* By rank, not by score: the logistic of a strong match rounds to 1. */
	qsort(list, count, sizeof *list, by_rank);
	for (size_t i = 0; i < count; i++)
		list[i].score = score_of(query, list[i].score);
	e.confidence = count > 0 ? list[0].score : 0;
	*ret_evidence = e;
}
