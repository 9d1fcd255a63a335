#include "kb/text_arm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/size.h"
#include "kb/scan.h"
#include "kb/terms.h"
#include "rt/text.h"

enum {
	TERMS_MAX = 64, /* distinct ones of a question; the first are taken */
	QUESTION_BYTES_MAX = 1024 * 1024,
	COMMON_LEAST = 50,   /* a term in no more rows is never too common */
	COMMON_MOST = 65536, /* one in more always is, however large the KB */
	WINDOW_ROWS = 8192,
	POSTINGS_FIRST = 1024,
};

static const float K1 = 1.2F, B = 0.75F, IDF_LEAST = 1e-6F;

struct posting {
	uint32_t row;
	uint32_t count; /* of the term in the row */
};

struct term {
	struct span text;
	struct posting *postings; /* ascending rows */
	size_t df, at;
	bool common;
	float idf;
};

struct work {
	struct reader *r;
	struct mem_scope *scope;
	struct text_arm *arm;
	struct buf folded;
	struct term terms[TERMS_MAX];
	size_t term_count;
	struct posting *room; /* of the term being read */
	size_t room_count;
	float bm25[WINDOW_ROWS]; /* all zero between windows */
	struct scan_top top;
};

static bool term_take(void *context, struct span term)
{
	struct work *w = context;
	for (size_t i = 0; i < w->term_count; i++) {
		if (span_equal(w->terms[i].text, term))
			return true;
	}
	if (w->term_count == TERMS_MAX)
		return false;
	char *copy = mem_copy_text(w->scope, term);
	if (copy == NULL)
		return false;
	w->terms[w->term_count++].text = (struct span){copy, term.bytes};
	return true;
}

static status terms_take(struct work *w, struct span question, struct fault *reterr)
{
	buf_init(&w->folded, w->scope, QUESTION_BYTES_MAX);
	if (!text_fold(question, &w->folded))
		return buf_check(&w->folded, "the question", reterr);
	if (!terms_each(buf_span(&w->folded), term_take, w) && w->term_count < TERMS_MAX)
		return fault_set(reterr, mem_refusal(), "no memory to search");
	return ST_OK;
}

static size_t common_limit(const struct reader *r)
{
	size_t share = (size_t)(r->state.visible / 20);
	return size_min(size_max(share, COMMON_LEAST), COMMON_MOST);
}

/* Which terms are too common is remembered while the KB keeps about its size: finding out costs as
 * much as a term that counts. */
static uint64_t *common_slot(struct work *w, struct span term, uint64_t *ret_hash)
{
	struct reader *r = w->r;
	uint64_t rows = r->state.visible;
	if (rows > r->common_rows + r->common_rows / 8 ||
	    rows < r->common_rows - r->common_rows / 8) {
		memset(r->common, 0, sizeof r->common);
		r->common_rows = rows;
	}
	*ret_hash = hash_bytes(term) | 1;
	return &r->common[*ret_hash / 2 % COMMON_SLOTS];
}

static status posting_add(struct work *w, size_t count, struct posting p, struct fault *reterr)
{
	if (count == w->room_count) {
		size_t more = w->room_count > 0 ? 2 * w->room_count : POSTINGS_FIRST;
		struct posting *room = mem_resize_array(w->scope, struct posting, w->room, more);
		if (room == NULL)
			return fault_set(reterr, mem_refusal(), "no memory to search");
		w->room = room;
		w->room_count = more;
	}
	w->room[count] = p;
	return ST_OK;
}

/* A term as an FTS5 query: in quotes, and quotes within doubled (terms hold none, but bytes of a
 * damaged text are nobody's promise). */
static struct span term_quoted(struct span term, char room[2 * TERM_BYTES + 2])
{
	size_t used = 0;
	room[used++] = '"';
	for (size_t i = 0; i < term.bytes && used < 2 * TERM_BYTES; i++) {
		if (term.data[i] == '"')
			room[used++] = '"';
		room[used++] = term.data[i];
	}
	room[used++] = '"';
	return (struct span){room, used};
}

/* Read the visible rows of a term, up to `most` of them; one more makes it common. */
static status term_read(struct work *w, struct term *t, size_t most, struct fault *reterr)
{
	struct sqlite3_stmt *stmt;
	char quoted[2 * TERM_BYTES + 2];
	size_t count = 0;
	bool row;
	status st = reader_statement(w->r, READER_MATCH, &stmt, reterr);
	if (st != ST_OK)
		return st;
	db_bind_text(stmt, 1, term_quoted(t->text, quoted));
	while ((st = db_step(&w->r->text.db, stmt, &row, reterr)) == ST_OK && row) {
		uint64_t at = (uint64_t)db_column_int(stmt, 0) - 1;
		if (!reader_sees(w->r, at))
			continue;
		if (count == most) {
			t->common = true;
			break;
		}
		st = posting_add(w, count,
				 (struct posting){(uint32_t)at, (uint32_t)db_column_int(stmt, 1)},
				 reterr);
		if (st != ST_OK)
			break;
		count++;
	}
	db_reset(stmt);
	if (st != ST_OK || count == 0)
		return st;
	t->df = count;
	t->postings = mem_new_array(w->scope, struct posting, count);
	if (t->postings == NULL)
		return fault_set(reterr, mem_refusal(), "no memory to search");
	memcpy(t->postings, w->room, count * sizeof *t->postings);
	return ST_OK;
}

/* Every term; the common ones stay without rows. When nothing else occurs, they are all there is:
 * then their first rows count. */
static status terms_read(struct work *w, struct fault *reterr)
{
	size_t limit = common_limit(w->r);
	bool found = false;
	status st = ST_OK;
	for (size_t i = 0; st == ST_OK && i < w->term_count; i++) {
		struct term *t = &w->terms[i];
		uint64_t hash = 0, *slot = common_slot(w, t->text, &hash);
		if (slot != NULL && *slot == hash) {
			t->common = true;
			continue;
		}
		st = term_read(w, t, limit, reterr);
		if (st == ST_OK && t->common) {
			mem_free(t->postings);
			t->postings = NULL;
			t->df = 0;
			if (slot != NULL)
				*slot = hash;
		}
		found |= t->df > 0 && !t->common;
	}
	for (size_t i = 0; st == ST_OK && !found && i < w->term_count; i++) {
		struct term *t = &w->terms[i];
		if (!t->common)
			continue;
		t->common = false;
		st = term_read(w, t, COMMON_MOST, reterr);
		t->common = false;
	}
	return st;
}

static void terms_weigh(struct work *w)
{
	float rows = (float)w->r->state.visible;
	struct text_arm *arm = w->arm;
	for (size_t i = 0; i < w->term_count; i++) {
		struct term *t = &w->terms[i];
		if (t->common) {
			arm->terms_common++;
			continue;
		}
		float df = (float)t->df;
		t->idf = fmaxf(logf((rows - df + 0.5F) / (df + 0.5F)), IDF_LEAST);
		arm->terms++;
		arm->idf_sum += t->idf;
		if (t->df > 0) {
			arm->terms_found++;
			arm->idf_found_sum += t->idf;
		}
	}
}

static float length_norm(const struct reader *r, uint32_t row)
{
	const uint16_t *lengths = (const uint16_t *)(const void *)r->view->lengths.data;
	float mean = (float)r->state.terms / fmaxf((float)r->state.visible, 1);
	return K1 * (1 - B) + K1 * B * (float)lengths[row] / fmaxf(mean, 1);
}

static float term_score(const struct term *t, struct posting p, float norm)
{
	float tf = (float)p.count;
	return t->idf * tf * (K1 + 1) / (tf + norm);
}

/* Add up the rows first .. first+WINDOW_ROWS-1 and offer those with any term to the heap. */
static void window_add(struct work *w, uint64_t first)
{
	bool any = false;
	for (size_t i = 0; i < w->term_count; i++) {
		struct term *t = &w->terms[i];
		for (; t->at < t->df && t->postings[t->at].row < first + WINDOW_ROWS; t->at++) {
			struct posting p = t->postings[t->at];
			w->bm25[p.row - first] += term_score(t, p, length_norm(w->r, p.row));
			any = true;
		}
	}
	for (size_t i = 0; any && i < WINDOW_ROWS; i++) {
		if (w->bm25[i] <= 0)
			continue;
		scan_top_offer(&w->top, (uint32_t)(first + i), w->bm25[i]);
		w->bm25[i] = 0;
	}
}

static const struct posting *posting_find(const struct term *t, uint32_t row)
{
	size_t low = 0, high = t->df;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (t->postings[middle].row < row)
			low = middle + 1;
		else
			high = middle;
	}
	return low < t->df && t->postings[low].row == row ? &t->postings[low] : NULL;
}

/* Both numbers of one row. */
static void row_measure(const struct work *w, struct text_row *ret)
{
	float bm25 = 0, covered = 0, norm = length_norm(w->r, ret->row);
	for (size_t i = 0; i < w->term_count; i++) {
		const struct term *t = &w->terms[i];
		const struct posting *p = posting_find(t, ret->row);
		if (p == NULL)
			continue;
		bm25 += term_score(t, *p, norm);
		covered += t->idf;
	}
	ret->bm25 = bm25;
	ret->coverage = w->arm->idf_sum > 0 ? fminf(covered / w->arm->idf_sum, 1) : 0;
}

static int by_bm25(const void *a, const void *b)
{
	const struct text_row *x = a, *y = b;
	if (x->bm25 != y->bm25)
		return x->bm25 > y->bm25 ? -1 : 1;
	return x->row < y->row ? -1 : x->row > y->row;
}

static status rows_rank(struct work *w, struct fault *reterr)
{
	struct text_arm *arm = w->arm;
	w->top.max = arm->best_max;
	w->top.hits = mem_new_array(w->scope, struct scan_hit, arm->best_max);
	if (w->top.hits == NULL)
		return fault_set(reterr, mem_refusal(), "no memory to search");
	for (uint64_t first = 0; first < w->r->state.rows; first += WINDOW_ROWS)
		window_add(w, first);
	arm->best_count = w->top.count;
	for (size_t i = 0; i < arm->best_count; i++) {
		arm->best[i].row = w->top.hits[i].row;
		row_measure(w, &arm->best[i]);
	}
	for (size_t i = 0; i < arm->wanted_count; i++)
		row_measure(w, &arm->wanted[i]);
	qsort(arm->best, arm->best_count, sizeof *arm->best, by_bm25);
	return ST_OK;
}

status text_arm_search(struct reader *r, struct span question, struct mem_scope *scratch,
		       struct text_arm *arm, struct fault *reterr)
{
	CLEANUP(mem_scope_closep) struct mem_scope *scope = mem_scope_open(scratch, "terms", 0);
	struct work *w = scope != NULL ? mem_new(scope, struct work) : NULL;
	if (w == NULL)
		return fault_set(reterr, mem_refusal(), "no memory to search");
	*w = (struct work){.r = r, .scope = scope, .arm = arm};
	status st = terms_take(w, question, reterr);
	if (st == ST_OK)
		st = terms_read(w, reterr);
	if (st != ST_OK)
		return st;
	terms_weigh(w);
	return rows_rank(w, reterr);
}
