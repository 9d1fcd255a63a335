#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/size.h"
#include "kb/fusion.h"
#include "kb/reader.h"
#include "kb/text_arm.h"
#include "kb/vector_arm.h"

enum { CANDIDATES_LEAST = 50 }; /* taken from each arm */

struct search {
	struct reader *r;
	const struct kb_query *query;
	struct mem_scope *scope;
	bool use_vector, use_text;
	size_t depth;
	struct vector_arm vector;
	struct text_arm text;
	struct fusion_candidate *list;
	size_t count;
};

static status query_check(const struct reader *r, const struct kb_query *q, struct fault *reterr)
{
	if (q->hits_max < 1 || q->hits_max > KB_HITS_MAX)
		return fault_set(reterr, ST_INVALID, "between 1 and %d hits can be asked for",
				 KB_HITS_MAX);
	if (q->arm == KB_VECTOR && (q->vector == NULL || r->text.build.dim == 0))
		return fault_set(reterr, ST_INVALID,
				 "a search by meaning needs a knowledge base with a model, "
				 "and the question's vector");
	float squares = 0;
	for (uint32_t i = 0; q->vector != NULL && i < r->text.build.dim; i++)
		squares += q->vector[i] * q->vector[i];
	if (!isfinite(squares))
		return fault_set(reterr, ST_INVALID, "the question's vector is not a number");
	return ST_OK;
}

static status room_take(struct search *s, struct fault *reterr)
{
	s->vector.best_max = s->text.best_max = s->depth;
	s->vector.best = mem_new_array(s->scope, struct scan_hit, s->depth);
	s->text.best = mem_new_array(s->scope, struct text_row, s->depth);
	s->text.wanted = mem_new_array(s->scope, struct text_row, s->depth);
	s->list = mem_new_array(s->scope, struct fusion_candidate, 2 * s->depth);
	if (s->vector.best == NULL || s->text.best == NULL || s->text.wanted == NULL ||
	    s->list == NULL)
		return fault_set(reterr, mem_refusal(), "no memory to search");
	return ST_OK;
}

/* The vector arm first, so that the text arm can measure what it found as well. */
static status arms_run(struct search *s, struct fault *reterr)
{
	status st = ST_OK;
	if (s->use_vector)
		st = vector_arm_search(s->r, s->query->vector, s->scope, &s->vector, reterr);
	for (size_t i = 0; i < s->vector.best_count; i++)
		s->text.wanted[i].row = s->vector.best[i].row;
	s->text.wanted_count = s->vector.best_count;
	if (st == ST_OK && s->use_text)
		st = text_arm_search(s->r, s->query->text, s->scope, &s->text, reterr);
	return st;
}

static bool found_by_vector(struct search *s, uint32_t row, struct fusion_candidate **ret)
{
	for (size_t i = 0; i < s->vector.best_count; i++) {
		if (s->vector.best[i].row == row) {
			*ret = &s->list[i];
			return true;
		}
	}
	return false;
}

static void candidates_join(struct search *s)
{
	s->count = s->vector.best_count;
	for (size_t i = 0; i < s->count; i++) {
		const struct text_row *t = &s->text.wanted[i];
		s->list[i] = (struct fusion_candidate){.chunk = (uint64_t)t->row + 1,
						       .cosine = s->vector.best[i].score,
						       .bm25 = t->bm25,
						       .coverage = t->coverage,
						       .from_vector = true};
	}
	for (size_t i = 0; i < s->text.best_count; i++) {
		const struct text_row *t = &s->text.best[i];
		struct fusion_candidate *c;
		if (!found_by_vector(s, t->row, &c)) {
			c = &s->list[s->count++];
			*c = (struct fusion_candidate){.chunk = (uint64_t)t->row + 1,
						       .bm25 = t->bm25,
						       .coverage = t->coverage};
			if (s->use_vector)
				c->cosine = vector_arm_cosine(s->r, s->query->vector, t->row);
		}
		c->from_text = true;
	}
}

static bool column_copy(struct sqlite3_stmt *stmt, int column, struct mem_scope *scratch,
			struct span *ret)
{
	struct span from = db_column_text(stmt, column);
	char *copy = mem_copy_text(scratch, from);
	*ret = (struct span){copy, from.bytes};
	return copy != NULL;
}

/* A chunk's texts and places into scratch; the scores are the caller's. */
static status hit_load(struct reader *r, uint64_t chunk, struct mem_scope *scratch,
		       struct kb_hit *ret_hit, int64_t *ret_document, struct fault *reterr)
{
	struct sqlite3_stmt *stmt;
	bool row;
	struct kb_hit h = {.chunk = chunk};
	status st = reader_statement(r, READER_CHUNK, &stmt, reterr);
	if (st != ST_OK)
		return st;
	db_bind_int(stmt, 1, (int64_t)chunk);
	st = db_step(&r->text.db, stmt, &row, reterr);
	if (st == ST_OK && !row)
		st = fault_set(reterr, ST_CORRUPT,
			       "chunk %llu is missing: rebuild the knowledge base",
			       (unsigned long long)chunk);
	if (st != ST_OK)
		return st;
	struct span *const texts[] = {&h.doc_id,  &h.file,    &h.title,
				      &h.heading, &h.context, &h.text};
	for (int i = 0; i < (int)ARRAY_COUNT(texts) && st == ST_OK; i++) {
		if (!column_copy(stmt, i, scratch, texts[i]))
			st = fault_set(reterr, mem_refusal(), "no memory for what was found");
	}
	h.page = (uint32_t)db_column_int(stmt, 6);
	h.start = (uint64_t)db_column_int(stmt, 7);
	h.end = (uint64_t)db_column_int(stmt, 8);
	h.position = (uint32_t)db_column_int(stmt, 9);
	if (ret_document != NULL)
		*ret_document = db_column_int(stmt, 10);
	db_reset(stmt);
	if (st == ST_OK)
		*ret_hit = h;
	return st;
}

static status hits_load(struct search *s, struct mem_scope *scratch, struct kb_hits *ret_hits,
			struct fault *reterr)
{
	size_t count = size_min(s->count, s->query->hits_max);
	struct kb_hit *hits = mem_new_array(scratch, struct kb_hit, count + 1);
	status st = hits != NULL ? ST_OK
				 : fault_set(reterr, mem_refusal(), "no memory for what was found");
	for (size_t i = 0; st == ST_OK && i < count; i++) {
		const struct fusion_candidate *c = &s->list[i];
		st = hit_load(s->r, c->chunk, scratch, &hits[i], NULL, reterr);
		hits[i].score = c->score;
		hits[i].vector_score = c->cosine;
		hits[i].text_score = c->coverage;
	}
	if (st == ST_OK) {
		ret_hits->hits = hits;
		ret_hits->count = count;
	}
	return st;
}

static status search_run(struct search *s, struct mem_scope *scratch, struct kb_hits *ret_hits,
			 struct fault *reterr)
{
	struct kb_hits found = {.generation = s->r->number};
	status st = room_take(s, reterr);
	if (st == ST_OK)
		st = arms_run(s, reterr);
	if (st != ST_OK)
		return st;
	candidates_join(s);
	struct fusion_query q = {.arm = s->query->arm,
				 .text = s->query->text,
				 .has_vector = s->use_vector,
				 .chunks = s->r->state.visible,
				 .cosine_mean = s->vector.mean,
				 .cosine_deviation = s->vector.deviation,
				 .terms = s->text.terms,
				 .terms_found = s->text.terms_found,
				 .terms_common = s->text.terms_common,
				 .idf_sum = s->text.idf_sum,
				 .idf_found_sum = s->text.idf_found_sum};
	fusion_rank(&q, s->list, s->count, &found.evidence);
	st = hits_load(s, scratch, &found, reterr);
	if (st == ST_OK)
		*ret_hits = found;
	return st;
}

status kb_search(struct kb *kb, const struct kb_query *query, struct mem_scope *scratch,
		 struct kb_hits *ret_hits, struct fault *reterr)
{
	struct reader *r;
	status st = reader_enter(kb, &r, reterr);
	if (st != ST_OK)
		return st;
	st = query_check(r, query, reterr);
	if (st == ST_OK) {
		bool vector = query->vector != NULL && r->text.build.dim > 0;
		struct search s = {.r = r,
				   .query = query,
				   .scope = mem_scope_open(scratch, "search", 0),
				   .use_vector = vector && query->arm != KB_TEXT,
				   .use_text = query->arm != KB_VECTOR,
				   .depth = size_max(query->hits_max, CANDIDATES_LEAST)};
		st = s.scope != NULL ? search_run(&s, scratch, ret_hits, reterr)
				     : fault_set(reterr, mem_refusal(), "no memory to search");
		mem_scope_close(s.scope);
	}
	reader_leave(kb, r);
	return st;
}

/* The ids first, as loading each uses another statement. */
static status around_list(struct reader *r, int64_t document, const uint32_t range[2],
			  uint64_t *ids, size_t *ret_count, struct fault *reterr)
{
	struct sqlite3_stmt *stmt;
	size_t count = 0, most = range[1] - range[0] + 1;
	bool row;
	status st = reader_statement(r, READER_AROUND, &stmt, reterr);
	if (st != ST_OK)
		return st;
	db_bind_int(stmt, 1, document);
	db_bind_int(stmt, 2, range[0]);
	db_bind_int(stmt, 3, range[1]);
	while ((st = db_step(&r->text.db, stmt, &row, reterr)) == ST_OK && row) {
		ASSERT(count < most); /* the index of places is unique */
		ids[count++] = (uint64_t)db_column_int(stmt, 0);
	}
	*ret_count = count;
	return st;
}

static status around_load(struct reader *r, uint64_t chunk, const uint32_t reach[2],
			  struct mem_scope *scratch, struct kb_hits *ret_hits, struct fault *reterr)
{
	struct kb_hit middle;
	int64_t document;
	size_t count = 0;
	status st = hit_load(r, chunk, scratch, &middle, &document, reterr);
	if (st != ST_OK)
		return st;
	uint32_t range[2] = {middle.position > reach[0] ? middle.position - reach[0] : 0,
			     middle.position + reach[1]};
	size_t most = range[1] - range[0] + 1;
	uint64_t *ids = mem_new_array(scratch, uint64_t, most);
	struct kb_hit *hits = mem_new_array(scratch, struct kb_hit, most);
	if (ids == NULL || hits == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for what was found");
	st = around_list(r, document, range, ids, &count, reterr);
	for (size_t i = 0; st == ST_OK && i < count; i++) {
		if (ids[i] == chunk)
			hits[i] = middle;
		else
			st = hit_load(r, ids[i], scratch, &hits[i], NULL, reterr);
	}
	if (st == ST_OK)
		*ret_hits = (struct kb_hits){.hits = hits, .count = count, .generation = r->number};
	return st;
}

status kb_neighbours(struct kb *kb, uint64_t chunk, uint32_t before, uint32_t after,
		     struct mem_scope *scratch, struct kb_hits *ret_hits, struct fault *reterr)
{
	struct reader *r;
	uint32_t reach[2] = {before, after};
	if (before > KB_HITS_MAX || after > KB_HITS_MAX)
		return fault_set(reterr, ST_INVALID, "at most %d neighbours can be asked for",
				 KB_HITS_MAX);
	status st = reader_enter(kb, &r, reterr);
	if (st != ST_OK)
		return st;
	if (chunk == 0 || !reader_sees(r, chunk - 1))
		st = fault_set(reterr, ST_NOT_FOUND, "there is no chunk %llu",
			       (unsigned long long)chunk);
	else
		st = around_load(r, chunk, reach, scratch, ret_hits, reterr);
	reader_leave(kb, r);
	return st;
}
