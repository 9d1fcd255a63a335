#include "qa/retrieve.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/size.h"
#include "base/utf8.h"
#include "qa/evidence.h"
#include "qa/sentences.h"
#include "rt/clock.h"

enum {
	QUESTION_BYTES_MAX = 32 * 1024,
	HITS_DEFAULT = 10,
	HITS_SPARE = 8, /* some of what is found is no prose and goes */
};

/* What the words add to a score between texts of one script and cannot between two. */
#define FOREIGN_SHIFT 4.6F

static status embed_question(struct service *s, const struct kb_build *build, struct span question,
			     const struct cancel *cancel, float *ret_vector, struct fault *reterr)
{
	struct embedder *embedder;
	status st = service_embedder(s, build->model, &embedder, reterr);
	if (st != ST_OK)
		return st;
	if (embedder->info.dim != build->dim)
		return fault_set(reterr, ST_CORRUPT,
				 "model %s has %u dimensions, its knowledge base %u", build->model,
				 embedder->info.dim, build->dim);
	struct embed_job job = {
		.texts = &question, .count = 1, .kind = EMBED_QUERY, .cancel = cancel};
	return embedder_embed(embedder, &job, ret_vector, NULL, reterr);
}

/* Style sheets, formulas and rows of dots are near to every question that no text is near to.
 * Without a word of the question in it, such a passage is no hit. */
static void drop_noise(struct kb_hits *hits, size_t hits_max)
{
	size_t kept = 0;
	for (size_t i = 0; i < hits->count && kept < hits_max; i++) {
		if (hits->hits[i].text_score > 0 || sentence_is_prose(hits->hits[i].text))
			hits->hits[kept++] = hits->hits[i];
	}
	hits->count = kept;
}

/* All by the same shift, so that the order stays. */
static void shift_scores(struct kb_hits *hits, float shift)
{
	for (size_t i = 0; i < hits->count; i++)
		hits->hits[i].score =
			evidence_probability(evidence_logit(hits->hits[i].score) + shift);
}

static status search(struct service *s, struct kb *kb, struct span question,
		     const struct retrieve_options *options, struct mem_scope *scratch,
		     struct retrieval *ret_retrieval, struct fault *reterr)
{
	struct kb_info info;
	status st = kb_info(kb, &info, reterr);
	if (st != ST_OK)
		return st;
	float *vector = NULL;
	bool has_vectors = info.build.dim > 0;
	size_t hits_max = options->hits_max > 0 ? options->hits_max : HITS_DEFAULT;
	if (has_vectors && options->arm != KB_TEXT) {
		vector = mem_new_array(scratch, float, info.build.dim);
		if (vector == NULL)
			return fault_set(reterr, mem_refusal(),
					 "no memory for the question's vector");
		st = embed_question(s, &info.build, question, options->cancel, vector, reterr);
		if (st != ST_OK)
			return st;
	}
	struct kb_query query = {.text = question,
				 .vector = vector,
				 .hits_max = size_min(hits_max + HITS_SPARE, KB_HITS_MAX),
				 .arm = options->arm};
	struct retrieval r = {.chunks = info.chunks, .vector = vector, .dim = info.build.dim};
	(void)snprintf(r.model, sizeof r.model, "%s", info.build.model);
	st = kb_search(kb, &query, scratch, &r.hits, reterr);
	if (st != ST_OK)
		return st;
	if (options->arm == KB_HYBRID)
		drop_noise(&r.hits, hits_max);
	r.hits.count = size_min(r.hits.count, hits_max);
	r.foreign = r.hits.count > 0 && evidence_is_foreign(question, r.hits.hits[0].text);
	if (r.foreign && vector != NULL)
		shift_scores(&r.hits, FOREIGN_SHIFT);
	r.hits.evidence.confidence = r.hits.count > 0 ? r.hits.hits[0].score : 0;
	r.answerable = r.hits.evidence.confidence >= 0.5F;
	*ret_retrieval = r;
	return ST_OK;
}

status retrieve(struct service *s, const char *kb, struct span question,
		const struct retrieve_options *options, struct mem_scope *scratch,
		struct retrieval *ret_retrieval, struct fault *reterr)
{
	ASSERT(options->hits_max <= KB_HITS_MAX);
	uint64_t start = clock_ns();
	question = span_trim(question);
	if (question.bytes == 0)
		return fault_set(reterr, ST_INVALID, "the question is empty");
	if (question.bytes > QUESTION_BYTES_MAX)
		return fault_set(reterr, ST_LIMIT,
				 "the question has %zu bytes, at most %d are allowed",
				 question.bytes, QUESTION_BYTES_MAX);
	if (!utf8_is_valid(question))
		return fault_set(reterr, ST_INVALID, "the question is not valid UTF-8");
	struct kb *opened;
	status st = service_kb(s, kb, &opened, reterr);
	if (st != ST_OK)
		return st;
	struct retrieval r;
	st = search(s, opened, question, options, scratch, &r, reterr);
	service_kb_release(s, opened);
	if (st != ST_OK)
		return st;
	r.took_ms = (double)(clock_ns() - start) / 1e6;
	*ret_retrieval = r;
	return ST_OK;
}
