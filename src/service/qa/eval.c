#include "qa/eval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"
#include "qa/answer.h"
#include "rt/json.h"

enum {
	FILE_BYTES_MAX = 256 * 1024 * 1024,
	RANKS = 10,
	HITS_READ = 60, /* chunks that the first ten documents are looked for in */
};

struct eval {
	struct service *service;
	const char *kb;
	const struct eval_options *options;
	struct mem_scope *scope; /* of one question, reset between them */
	double *took_ms;
	struct eval_result sum; /* means are sums until the end */
};

/* ---- documents ---- */

/* The ranks of documents: each counts once, with its best chunk. */
static size_t rank_documents(const struct kb_hits *hits, struct span ret_documents[RANKS])
{
	size_t count = 0;
	for (size_t i = 0; i < hits->count && count < RANKS; i++) {
		bool seen = false;
		for (size_t j = 0; j < count; j++)
			seen |= span_equal(ret_documents[j], hits->hits[i].doc_id);
		if (!seen)
			ret_documents[count++] = hits->hits[i].doc_id;
	}
	return count;
}

static bool is_relevant(const struct json *relevant, struct span document)
{
	for (size_t i = 0; i < json_count(relevant); i++) {
		if (span_equal(json_text(json_at(relevant, i)), document))
			return true;
	}
	return false;
}

static double gain(size_t rank) /* from 0 */
{
	return 1 / log2((double)rank + 2);
}

static void score_ranking(struct eval *e, const struct kb_hits *hits, const struct json *relevant)
{
	struct span documents[RANKS];
	size_t ranks = rank_documents(hits, documents), wanted = json_count(relevant), found = 0;
	double dcg = 0, ideal = 0, first = 0, at_1 = 0, at_5 = 0;
	for (size_t r = 0; r < ranks; r++) {
		if (is_relevant(relevant, documents[r])) {
			found++;
			dcg += gain(r);
			first = first > 0 ? first : 1 / ((double)r + 1);
		}
		if (r == 0)
			at_1 = (double)found;
		if (r < 5)
			at_5 = (double)found;
	}
	if (wanted == 0)
		return;
	for (size_t r = 0; r < size_min(wanted, RANKS); r++)
		ideal += gain(r);
	e->sum.recall_1 += at_1;
	e->sum.recall_5 += at_5 / (double)size_min(wanted, 5);
	e->sum.recall_10 += (double)found / (double)size_min(wanted, RANKS);
	e->sum.mrr_10 += first;
	e->sum.ndcg_10 += dcg / ideal;
}

/* ---- answers ---- */

static bool holds(struct span text, struct span part)
{
	return part.bytes > 0 && memmem(text.data, text.bytes, part.data, part.bytes) != NULL;
}

static status score_answer(struct eval *e, struct span question, const struct json *answers,
			   struct fault *reterr)
{
	struct answer_request request = {.kb = e->kb,
					 .question = question,
					 .no_generate = true,
					 .cancel = e->options->cancel};
	struct answer a;
	status st = answer(e->service, &request, e->scope, &a, reterr);
	if (st != ST_OK)
		return st;
	if (a.mode == ANSWER_NO_EVIDENCE) {
		e->sum.refused++;
		return ST_OK;
	}
	bool contained = false;
	for (size_t i = 0; i < json_count(answers); i++)
		contained |= holds(a.text, json_text(json_at(answers, i)));
	e->sum.answer_contained += contained;
	e->sum.quote_chars_mean += (double)utf8_count(a.text);
	return ST_OK;
}

/* ---- questions ---- */

static status ask_line(struct eval *e, struct span line, size_t number, struct fault *reterr)
{
	CLEANUP(json_freep) struct json *query = NULL;
	struct fault why;
	status st = json_parse(line, &query, &why);
	if (st != ST_OK)
		return fault_set(reterr, st, "question %zu: %s", number, fault_text(&why));
	struct span text = json_text(json_get(query, "text"));
	const struct json *relevant = json_get(query, "relevant");
	if (text.bytes == 0)
		return fault_set(reterr, ST_INVALID, "question %zu has no \"text\"", number);
	if (json_count(relevant) == 0 && !e->options->absent)
		return fault_set(reterr, ST_INVALID, "question %zu has no \"relevant\" documents",
				 number);
	struct retrieve_options options = {
		.hits_max = HITS_READ, .arm = e->options->arm, .cancel = e->options->cancel};
	struct retrieval r;
	st = retrieve(e->service, e->kb, text, &options, e->scope, &r, reterr);
	if (st != ST_OK)
		return st;
	e->took_ms[e->sum.queries] = r.took_ms;
	score_ranking(e, &r.hits, relevant);
	if (e->options->answers || e->options->absent)
		st = score_answer(e, text, json_get(query, "answers"), reterr);
	e->sum.queries++;
	return st;
}

static size_t count_lines(struct span text)
{
	size_t lines = 1;
	for (size_t i = 0; i < text.bytes; i++)
		lines += text.data[i] == '\n';
	return lines;
}

static status ask_all(struct eval *e, struct span text, size_t most, struct fault *reterr)
{
	size_t number = 0;
	for (size_t at = 0; at < text.bytes && e->sum.queries < most;) {
		const char *end = memchr(text.data + at, '\n', text.bytes - at);
		size_t next = end != NULL ? (size_t)(end - text.data) + 1 : text.bytes;
		struct span line = span_trim(span_slice(text, at, next));
		at = next;
		number++;
		if (line.bytes == 0)
			continue;
		if (cancel_is_set(e->options->cancel))
			return fault_set(reterr, ST_CANCELLED, "stopped after %zu questions",
					 e->sum.queries);
		status st = ask_line(e, line, number, reterr);
		if (st != ST_OK)
			return st;
		mem_scope_reset(e->scope);
		if (e->options->progress != NULL)
			e->options->progress(e->options->context, e->sum.queries, most);
	}
	return ST_OK;
}

/* ---- the result ---- */

static int compare_times(const void *a, const void *b)
{
	const double *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

/* The smallest time that at least this share of the questions kept to. */
static double percentile(const double *sorted, size_t count, double share)
{
	size_t at = (size_t)ceil(share * (double)count);
	return sorted[at > 0 ? at - 1 : 0];
}

static struct eval_result mean(const struct eval *e)
{
	struct eval_result r = e->sum;
	double n = (double)r.queries, answered = n - r.refused;
	r.recall_1 /= n;
	r.recall_5 /= n;
	r.recall_10 /= n;
	r.mrr_10 /= n;
	r.ndcg_10 /= n;
	r.refused /= n;
	r.answer_contained /= n;
	r.quote_chars_mean = answered > 0 ? r.quote_chars_mean / answered : 0;
	qsort(e->took_ms, r.queries, sizeof *e->took_ms, compare_times);
	r.p50_ms = percentile(e->took_ms, r.queries, 0.50);
	r.p95_ms = percentile(e->took_ms, r.queries, 0.95);
	return r;
}

static status run(struct eval *e, struct mem_scope *scope, const char *path,
		  struct eval_result *ret_result, struct fault *reterr)
{
	struct span text;
	status st = file_read(scope, path, FILE_BYTES_MAX, &text, reterr);
	if (st != ST_OK)
		return st;
	size_t most = count_lines(text);
	if (e->options->queries_max > 0)
		most = size_min(most, e->options->queries_max);
	e->took_ms = mem_new_array(scope, double, most);
	e->scope = mem_scope_open(scope, "question", 0);
	if (e->took_ms == NULL || e->scope == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for an evaluation");
	st = ask_all(e, text, most, reterr);
	if (st != ST_OK)
		return st;
	if (e->sum.queries == 0)
		return fault_set(reterr, ST_INVALID, "'%s' holds no question", path);
	*ret_result = mean(e);
	return ST_OK;
}

status eval_run(struct service *s, const char *kb, const char *queries_path,
		const struct eval_options *options, struct eval_result *ret_result,
		struct fault *reterr)
{
	struct mem_scope *scope = mem_scope_open(service_scope(s), "eval", 0);
	if (scope == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for an evaluation");
	struct eval e = {.service = s, .kb = kb, .options = options};
	status st = run(&e, scope, queries_path, ret_result, reterr);
	mem_scope_close(scope);
	return st;
}
