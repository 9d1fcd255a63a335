#include "qa/evidence.h"

#include <math.h>

#include "base/assert.h"
#include "base/size.h"
#include "base/utf8.h"
#include "kb/fusion.h"
#include "rt/text.h"

#define LOGIT_MOST 16.0F

/* Same script: passage, sentence, words, background. */
#define PASSAGE_SLOPE 0.4545F
#define SENTENCE_SLOPE 44.0F
#define WORDS_SLOPE 4.5F
#define BACKGROUND_SLOPE 27.9F
#define BIAS -17.2F

/* Another script: sentence and passage against the background, and how far the passage stands out.
 */
#define FOREIGN_SLOPE 40.0F
#define FOREIGN_BIAS -6.6F
enum { STANDING_OUT_OF = 10 };

float evidence_logit(float p)
{
	float logit = logf(p) - logf(1 - p);
	return fmaxf(-LOGIT_MOST, fminf(logit, LOGIT_MOST));
}

float evidence_probability(float logit)
{
	return 1 / (1 + expf(-logit));
}

static bool is_mostly_wide(struct span s)
{
	size_t wide = 0, narrow = 0;
	for (size_t at = 0; at < s.bytes;) {
		uint32_t point;
		size_t length = utf8_decode(s, at, &point);
		if (utf8_is_unspaced_script(point))
			wide += length;
		else if (text_is_word(point))
			narrow += length;
		at += length;
	}
	return wide >= narrow && wide > 0;
}

bool evidence_is_foreign(struct span question, struct span text)
{
	return is_mostly_wide(question) != is_mostly_wide(text);
}

/* The tenth best cosine, or the least when there are fewer. */
static float tenth_cosine(const struct kb_hits *hits)
{
	float best[STANDING_OUT_OF];
	size_t count = 0;
	for (size_t i = 0; i < hits->count; i++) {
		float cosine = hits->hits[i].vector_score;
		size_t at = count < STANDING_OUT_OF ? count++ : STANDING_OUT_OF - 1;
		if (i >= STANDING_OUT_OF && cosine <= best[at])
			continue;
		for (; at > 0 && best[at - 1] < cosine; at--)
			best[at] = best[at - 1];
		best[at] = cosine;
	}
	return best[count - 1];
}

float evidence_belief(const struct evidence *e)
{
	ASSERT(e->hits->count > 0);
	const struct kb_hit *hit = &e->hits->hits[0];
	float mean = e->hits->evidence.cosine_mean;
	if (!e->has_vectors)
		return hit->score;
	float sentence = fusion_cosine(e->unit_cosine, mean);
	if (!e->foreign)
		return evidence_probability(
			PASSAGE_SLOPE * evidence_logit(hit->score) + SENTENCE_SLOPE * sentence +
			WORDS_SLOPE * e->unit_coverage -
			BACKGROUND_SLOPE * fusion_background(mean, e->chunks) + BIAS);
	float passage = fusion_cosine(hit->vector_score, mean);
	float standing_out = passage - fusion_cosine(tenth_cosine(e->hits), mean);
	float above = 0.5F * passage + sentence - 1.5F * fusion_cosine(mean, mean);
	return evidence_probability(FOREIGN_SLOPE * (above + 2 * standing_out) + FOREIGN_BIAS);
}
