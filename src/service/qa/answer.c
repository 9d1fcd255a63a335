#include "qa/answer.h"

#include <stdio.h>

#include "base/size.h"
#include "base/utf8.h"
#include "kb/passage.h"
#include "qa/evidence.h"
#include "qa/prompt.h"
#include "qa/quote.h"
#include "rt/clock.h"

enum {
	PASSAGES_DEFAULT = 6,
	PASSAGES_SMALL = 2, /* a small model mixes up what more of them say */
	ANSWER_BYTES_MAX = 1024 * 1024,
};
#define SMALL_MODEL_BYTES (512 * MIB)
/* Share of an answer's terms that its source must hold. */
#define SUPPORT_LEAST 0.6F

/* Passages whose odds are so much (as a logarithm) below the best one's only lead a model astray.
 */
#define PASSAGE_ODDS 5.0F

/* One question on its way to an answer. */
struct asking {
	struct service *service;
	const struct answer_request *request;
	struct mem_scope *scratch;
	struct retrieval found;
	struct quote quote;
	struct answer answer;
};

const char *answer_mode_name(enum answer_mode mode)
{
	static const char *const names[] = {"generated", "extractive", "no_evidence"};
	return names[mode];
}

/* ---- evidence ---- */

static float dot(const float *a, const float *b, size_t dim)
{
	float sum = 0;
	for (size_t i = 0; i < dim; i++)
		sum += a[i] * b[i];
	return sum;
}

/* What the encoder reads for each listed sentence: the title tells what it is about. */
static status unit_texts(struct asking *a, struct quote_unit *const *units, size_t count,
			 struct span *ret_texts, struct fault *reterr)
{
	for (size_t i = 0; i < count; i++) {
		struct span title = a->found.hits.hits[units[i]->hit].title;
		struct buf text;
		buf_init(&text, a->scratch, ANSWER_BYTES_MAX);
		(void)passage_add(title, SPAN(""), SPAN(""), units[i]->text, &text);
		status st = buf_check(&text, "a sentence", reterr);
		if (st != ST_OK)
			return st;
		ret_texts[i] = buf_span(&text);
	}
	return ST_OK;
}

static status weigh_units(struct asking *a, struct quote_unit *const *units, size_t count,
			  struct fault *reterr)
{
	const struct retrieval *r = &a->found;
	struct embedder *embedder;
	struct span texts[QUOTE_LISTED_MAX];
	if (r->vector == NULL || count == 0)
		return ST_OK;
	status st = service_embedder(a->service, r->model, &embedder, reterr);
	if (st == ST_OK)
		st = unit_texts(a, units, count, texts, reterr);
	if (st != ST_OK)
		return st;
	float *vectors = mem_new_array(a->scratch, float, count * r->dim);
	if (vectors == NULL)
		return fault_set(reterr, mem_refusal(),
				 "no memory for the vectors of %zu sentences", count);
	struct embed_job job = {.texts = texts,
				.count = count,
				.kind = EMBED_PASSAGE,
				.cancel = a->request->cancel};
	st = embedder_embed(embedder, &job, vectors, NULL, reterr);
	for (size_t i = 0; st == ST_OK && i < count; i++)
		units[i]->cosine = dot(r->vector, vectors + i * r->dim, r->dim);
	mem_free(vectors);
	return st;
}

static float belief(const struct asking *a)
{
	const struct retrieval *r = &a->found;
	const struct quote_unit *best = a->quote.best;
	if (best == NULL)
		return r->hits.evidence.confidence; /* tables and code only: nothing to ask */
	return evidence_belief(&(struct evidence){.hits = &r->hits,
						  .chunks = r->chunks,
						  .has_vectors = r->vector != NULL,
						  .foreign = r->foreign,
						  .unit_cosine = best->cosine,
						  .unit_coverage = best->covered});
}

/* Choose the quotation and decide. */
static status judge(struct asking *a, bool *ret_answerable, struct fault *reterr)
{
	if (a->found.hits.count == 0) {
		*ret_answerable = false;
		return ST_OK;
	}
	struct quote_unit *listed[QUOTE_LISTED_MAX];
	status st = quote_open(a->scratch, a->request->question, &a->found.hits, &a->quote, reterr);
	if (st != ST_OK)
		return st;
	size_t count = quote_shortlist(&a->quote, listed);
	st = weigh_units(a, listed, count, reterr);
	if (st != ST_OK)
		return st;
	quote_pick(&a->quote, ANSWER_QUOTE_CHARS);
	*ret_answerable = belief(a) >= 0.5F;
	return ST_OK;
}

/* ---- answering ---- */

static struct citation cite(const struct asking *a, const struct kb_hit *hit)
{
	return (struct citation){.chunk_id = hit->chunk,
				 .kb = a->request->kb,
				 .doc_id = hit->doc_id,
				 .file = hit->file,
				 .title = hit->title,
				 .text = hit->text,
				 .page = hit->page,
				 .start = hit->start,
				 .end = hit->end,
				 .score = hit->score};
}

static status new_citations(struct asking *a, size_t count, struct fault *reterr)
{
	a->answer.citations = mem_new_array(a->scratch, struct citation, size_max(count, 1));
	if (a->answer.citations == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for %zu citations", count);
	return ST_OK;
}

static void announce(const struct asking *a)
{
	if (a->request->on_citations != NULL)
		a->request->on_citations(a->request->context, a->answer.citations,
					 a->answer.citation_count);
}

/* An answer that is there at once. */
static status tell(struct asking *a, struct span text, enum answer_mode mode, struct fault *reterr)
{
	a->answer.text = text;
	a->answer.mode = mode;
	a->answer.finish = "stop";
	announce(a);
	if (a->request->emit != NULL && !a->request->emit(a->request->context, text))
		return fault_set(reterr, ST_CANCELLED, "the reader of the answer is gone");
	return ST_OK;
}

/* From the first to the last quoted byte, where the passage is stored byte for byte; where it was
 * rendered (a row, a record), the whole of it. */
static void narrow(struct citation *c, const struct quote_unit *first,
		   const struct quote_unit *last)
{
	if (c->end - c->start != c->text.bytes)
		return;
	size_t from = (size_t)(first->text.data - c->text.data);
	size_t to = (size_t)(last->text.data + last->text.bytes - c->text.data);
	c->text = span_slice(c->text, from, to);
	c->end = c->start + to;
	c->start += from;
}

static void cite_quotation(struct asking *a)
{
	const struct quote *q = &a->quote;
	for (size_t i = 0; i < q->count;) {
		const struct quote_unit *first = NULL, *last = NULL;
		uint32_t hit = q->units[i].hit;
		for (; i < q->count && q->units[i].hit == hit; i++) {
			if (!q->units[i].chosen)
				continue;
			first = first != NULL ? first : &q->units[i];
			last = &q->units[i];
		}
		if (first == NULL)
			continue;
		struct citation c = cite(a, &a->found.hits.hits[hit]);
		narrow(&c, first, last);
		a->answer.citations[a->answer.citation_count++] = c;
	}
}

/* The best passage has no sentence to quote: a table, a list of values. Its first lines, whole. */
static status show_passage(struct asking *a, struct buf *text, struct fault *reterr)
{
	const struct kb_hit *hit = &a->found.hits.hits[0];
	struct span shown = hit->text;
	size_t room = utf8_offset(shown, ANSWER_QUOTE_CHARS - 8);
	if (room < shown.bytes) {
		shown.bytes = room;
		size_t line = room;
		while (line > 0 && shown.data[line - 1] != '\n')
			line--;
		if (line > 0)
			shown.bytes = line;
	}
	a->answer.citations[0] = cite(a, hit);
	a->answer.citation_count = 1;
	(void)buf_add(text, span_trim(shown));
	(void)buf_add_text(text, " [1]");
	return buf_check(text, "the quotation", reterr);
}

static status quote_answer(struct asking *a, struct fault *reterr)
{
	struct buf text;
	buf_init(&text, a->scratch, ANSWER_BYTES_MAX);
	status st = new_citations(a, QUOTE_HITS_READ, reterr);
	if (st != ST_OK)
		return st;
	if (a->quote.best == NULL) {
		st = show_passage(a, &text, reterr);
	} else {
		cite_quotation(a);
		(void)quote_write(&a->quote, &text);
		st = buf_check(&text, "the quotation", reterr);
	}
	return st == ST_OK ? tell(a, buf_span(&text), ANSWER_EXTRACTIVE, reterr) : st;
}

/* ---- generating ---- */

/* Best first, but a passage that adjoins an earlier one of its document stands beside it, in the
 * document's order, so that the model reads them as one. */
static size_t place_of(const struct kb_hit *const *order, size_t count, const struct kb_hit *hit)
{
	for (size_t i = 0; i < count; i++) {
		if (!span_equal(order[i]->doc_id, hit->doc_id) ||
		    !span_equal(order[i]->file, hit->file))
			continue;
		if (hit->position + 1 == order[i]->position)
			return i;
		if (order[i]->position + 1 == hit->position)
			return i + 1;
	}
	return count;
}

static status cite_passages(struct asking *a, const struct generator *g, struct fault *reterr)
{
	bool small = !g->info.remote && g->info.weight_bytes < SMALL_MODEL_BYTES;
	const struct kb_hit *order[ANSWER_CITATIONS_MAX], *hits = a->found.hits.hits;
	size_t wanted = a->request->hits_max > 0 ? a->request->hits_max : PASSAGES_DEFAULT;
	if (small)
		wanted = size_min(wanted, PASSAGES_SMALL);
	size_t count = size_min(size_min(wanted, ANSWER_CITATIONS_MAX), a->found.hits.count);
	float least = evidence_logit(hits[0].score) - PASSAGE_ODDS;
	while (count > 1 && evidence_logit(hits[count - 1].score) < least)
		count--;
	for (size_t i = 0; i < count; i++) {
		size_t place = place_of(order, i, &hits[i]);
		for (size_t j = i; j > place; j--)
			order[j] = order[j - 1];
		order[place] = &hits[i];
	}
	status st = new_citations(a, count, reterr);
	for (size_t i = 0; st == ST_OK && i < count; i++)
		a->answer.citations[i] = cite(a, order[i]);
	a->answer.citation_count = count;
	return st;
}

static bool take_piece(void *context, struct span piece)
{
	return marks_take(context, piece);
}

/* A model that set no mark gets one, if what it says stands in a passage. */
static bool add_missing_mark(struct marks *m, const struct asking *a)
{
	size_t best = 0;
	float most = 0;
	for (size_t i = 0; i < m->passages && !m->used; i++) {
		float share =
			quote_support(a->scratch, buf_span(m->text), a->answer.citations[i].text);
		if (share > most) {
			best = i;
			most = share;
		}
	}
	if (most < SUPPORT_LEAST)
		return true;
	char mark[16];
	int bytes = snprintf(mark, sizeof mark, " [%zu]", best + 1);
	return marks_take(m, (struct span){mark, (size_t)bytes});
}

static status generate(struct asking *a, struct generator *g, struct fault *reterr)
{
	const struct answer_request *request = a->request;
	struct prompt prompt;
	status st = prompt_make(g, request, a->answer.citations, a->answer.citation_count,
				a->scratch, &prompt, reterr);
	if (st != ST_OK)
		return st;
	a->answer.citation_count = prompt.passages;
	a->answer.mode = ANSWER_GENERATED;
	announce(a);
	struct buf text;
	buf_init(&text, a->scratch, ANSWER_BYTES_MAX);
	struct marks marks = {.passages = prompt.passages,
			      .text = &text,
			      .emit = request->emit,
			      .context = request->context};
	struct llm_request ask = {.top_p = 1, .repeat_penalty = 1.1F};
	if (request->sampling != NULL)
		ask = *request->sampling;
	ask.messages = prompt.messages;
	ask.message_count = prompt.message_count;
	ask.tokens_max = prompt.reply_tokens;
	ask.cancel = request->cancel;
	ask.emit = take_piece;
	ask.emit_context = &marks;
	struct llm_result result;
	st = g->ops->run(g, &ask, a->scratch, &result, reterr);
	if (st != ST_OK)
		return st;
	if (!marks_end(&marks) || !add_missing_mark(&marks, a)) {
		st = buf_check(&text, "the answer", reterr);
		return st != ST_OK ? st
				   : fault_set(reterr, ST_CANCELLED,
					       "the reader of the answer is gone");
	}
	a->answer.text = buf_span(&text);
	a->answer.finish = result.finish;
	a->answer.prompt_tokens = result.prompt_tokens;
	a->answer.completion_tokens = result.completion_tokens;
	return ST_OK;
}

static status find_generator(struct asking *a, struct generator **ret_generator,
			     struct fault *reterr)
{
	struct fault fault;
	*ret_generator = NULL;
	bool fits = a->request->must_generate ||
		    service_generator_fits(a->service, a->request->question);
	if (a->request->no_generate || !fits)
		return ST_OK;
	status st = service_generator(a->service, ret_generator, &fault);
	if (st == ST_NOT_FOUND)
		return ST_OK;
	if (st != ST_OK && reterr != NULL)
		*reterr = fault;
	return st;
}

static status answer_found(struct asking *a, struct fault *reterr)
{
	struct generator *generator;
	bool answerable;
	status st = judge(a, &answerable, reterr);
	if (st == ST_OK)
		st = find_generator(a, &generator, reterr);
	if (st != ST_OK)
		return st;
	if (!answerable && (generator == NULL || !a->request->allow_no_evidence))
		return tell(a, prompt_no_evidence(a->request->question), ANSWER_NO_EVIDENCE,
			    reterr);
	if (generator == NULL)
		return quote_answer(a, reterr);
	st = answerable ? cite_passages(a, generator, reterr) : ST_OK;
	return st == ST_OK ? generate(a, generator, reterr) : st;
}

status answer(struct service *s, const struct answer_request *request, struct mem_scope *scratch,
	      struct answer *ret_answer, struct fault *reterr)
{
	uint64_t start = clock_ns();
	struct asking *a = mem_new(scratch, struct asking);
	if (a == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for an answer");
	*a = (struct asking){.service = s, .request = request, .scratch = scratch};
	struct retrieve_options options = {.hits_max = QUOTE_HITS_WEIGHED,
					   .cancel = request->cancel};
	status st =
		retrieve(s, request->kb, request->question, &options, scratch, &a->found, reterr);
	if (st == ST_OK)
		st = answer_found(a, reterr);
	if (st != ST_OK)
		return st;
	a->answer.took_ms = (double)(clock_ns() - start) / 1e6;
	*ret_answer = a->answer;
	return ST_OK;
}
