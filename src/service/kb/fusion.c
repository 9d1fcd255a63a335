#include "kb/fusion.h"

#include <math.h>
#include <stdlib.h>

/* Weight of the text arm when it covers the whole question. */
static const float TEXT_WEIGHT = 0.5F;

static int by_score(const void *a, const void *b)
{
	const struct fusion_candidate *x = a, *y = b;
	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return x->chunk < y->chunk ? -1 : x->chunk > y->chunk;
}

static float clamp(float x)
{
	return x < 0 ? 0 : x > 1 ? 1 : x;
}

/* A cosine as 0..1: how far it stands out of this knowledge base's background. */
static float standing(const struct fusion_query *q, float cosine)
{
	float room = 1 - q->cosine_mean;
	return room > 0 ? clamp((cosine - q->cosine_mean) / room) : clamp(cosine);
}

void fusion_rank(const struct fusion_query *query, struct fusion_candidate *list, size_t count,
		 struct kb_evidence *ret_evidence)
{
	struct kb_evidence e = {.cosine_mean = query->cosine_mean,
				.cosine_deviation = query->cosine_deviation};
	float bm25_best = 0;
	for (size_t i = 0; i < count; i++) {
		bm25_best = fmaxf(bm25_best, list[i].bm25);
		e.cosine_best = fmaxf(e.cosine_best, list[i].cosine);
		e.coverage_best = fmaxf(e.coverage_best, list[i].coverage);
	}
	float weight = query->arm == KB_TEXT || !query->has_vector ? 1
		       : query->arm == KB_VECTOR		    ? 0
								    : TEXT_WEIGHT * e.coverage_best;
	for (size_t i = 0; i < count; i++) {
		struct fusion_candidate *c = &list[i];
		float text = bm25_best > 0 ? c->bm25 / bm25_best * e.coverage_best : 0;
		float vector = query->has_vector ? standing(query, c->cosine) : 0;
		c->score = clamp(weight * text + (1 - weight) * vector);
	}
	qsort(list, count, sizeof *list, by_score);
	e.confidence = count > 0 ? list[0].score : 0;
	*ret_evidence = e;
}
