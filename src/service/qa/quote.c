#include "qa/quote.h"

#include <math.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/size.h"
#include "base/utf8.h"
#include "kb/terms.h"
#include "qa/evidence.h"
#include "qa/sentences.h"
#include "rt/text.h"

enum { LABEL_WIDTH = 36, WORDS_MAX = 96, UNITS_MAX = 256, FOLDED_BYTES_MAX = 1024 * 1024 };

#define COVERED_WEIGHT 0.10F /* against a cosine of 1 */
#define HIT_WEIGHT 0.009F    /* of the logit of the hit's score: half of its rank */
#define LIST_HIT_WEIGHT 0.09F
#define CLOSE_TO_BEST 0.03F

/* The question's terms. */
struct words {
	uint64_t hashes[WORDS_MAX];
	float weights[WORDS_MAX];
	bool found[WORDS_MAX]; /* by the scan at hand */
	size_t count;
	float total;
	struct buf folded;
};

static bool add_word(void *context, struct span term)
{
	struct words *w = context;
	uint64_t hash = hash_bytes(term);
	for (size_t i = 0; i < w->count; i++) {
		if (w->hashes[i] == hash)
			return true;
	}
	w->hashes[w->count++] = hash;
	return w->count < WORDS_MAX;
}

static bool find_word(void *context, struct span term)
{
	struct words *w = context;
	uint64_t hash = hash_bytes(term);
	for (size_t i = 0; i < w->count; i++)
		w->found[i] |= w->hashes[i] == hash;
	return true;
}

/* Mark the words that stand in text, beside those marked already. */
static void mark_words(struct words *w, struct span text)
{
	buf_clear(&w->folded);
	if (text_fold(text, &w->folded))
		(void)terms_each(buf_span(&w->folded), find_word, w);
}

static void forget_marks(struct words *w)
{
	for (size_t i = 0; i < w->count; i++)
		w->found[i] = false;
}

static float marked_share(const struct words *w)
{
	float sum = 0;
	for (size_t i = 0; i < w->count; i++)
		sum += w->found[i] ? w->weights[i] : 0;
	return w->total > 0 ? sum / w->total : 0;
}

static void weigh_words(struct words *w, const struct kb_hits *hits)
{
	size_t read = size_min(hits->count, QUOTE_HITS_WEIGHED);
	float frequency[WORDS_MAX] = {0};
	for (size_t h = 0; h < read; h++) {
		forget_marks(w);
		mark_words(w, hits->hits[h].title);
		mark_words(w, hits->hits[h].heading);
		mark_words(w, hits->hits[h].text);
		for (size_t i = 0; i < w->count; i++)
			frequency[i] += w->found[i] ? 1 : 0;
	}
	for (size_t i = 0; i < w->count; i++) {
		w->weights[i] = logf(1 + ((float)read + 0.5F) / (frequency[i] + 0.5F));
		w->total += w->weights[i];
	}
}

static void weigh_unit(struct words *w, struct quote_unit *unit, struct span title)
{
	forget_marks(w);
	mark_words(w, unit->text);
	unit->alone = marked_share(w);
	mark_words(w, title);
	unit->covered = marked_share(w);
}

static bool is_asked_for(void *context, struct span term)
{
	const struct words *w = context;
	uint64_t hash = hash_bytes(term);
	for (size_t i = 0; i < w->count; i++) {
		if (w->hashes[i] == hash)
			return true;
	}
	return false;
}

static bool ends_with(struct span s, const struct span *marks, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		size_t bytes = marks[i].bytes;
		if (s.bytes > bytes &&
		    span_equal(span_slice(s, s.bytes - bytes, s.bytes), marks[i]))
			return true;
	}
	return false;
}

/* A few words alone on a line, without an end, a number or a colon: a heading or a caption. */
static bool is_label(struct span s)
{
	size_t width = 0;
	if (s.data[0] == '-' || s.data[0] == '*' || s.data[0] == '+')
		return false; /* an item of a list */
	for (size_t at = 0; at < s.bytes;) {
		uint32_t point;
		at += utf8_decode(s, at, &point);
		if (point == ':' || point == 0xFF1A || (point >= '0' && point <= '9'))
			return false;
		width += utf8_is_unspaced_script(point) ? 3 : 1;
	}
	return width < LABEL_WIDTH;
}

/* A question answers nothing, and neither does a label, or a line that only repeats the question.
 */
static bool says_something(struct words *w, struct span sentence)
{
	const struct span asks[] = {SPAN("?"), SPAN("？")};
	const struct span states[] = {SPAN("."), SPAN("!"), SPAN("。"), SPAN("！"), SPAN("”")};
	if (ends_with(sentence, asks, ARRAY_COUNT(asks)))
		return false;
	if (ends_with(sentence, states, ARRAY_COUNT(states)))
		return true;
	if (is_label(sentence))
		return false;
	buf_clear(&w->folded);
	return !text_fold(sentence, &w->folded) ||
	       !terms_each(buf_span(&w->folded), is_asked_for, w);
}

static void add_unit(struct quote *q, struct quote_unit unit)
{
	if (q->count < UNITS_MAX)
		q->units[q->count++] = unit;
}

static void add_sentence(struct quote *q, uint32_t hit, struct span sentence)
{
	if (!sentence_is_prose(sentence))
		return;
	if (utf8_count(sentence) <= QUOTE_UNIT_CHARS) {
		add_unit(q, (struct quote_unit){.text = sentence, .hit = hit});
		return;
	}
	size_t at = 0;
	struct span run;
	while (clause_run_next(sentence, QUOTE_UNIT_CHARS, &at, &run)) {
		const char *end = run.data + run.bytes;
		add_unit(q, (struct quote_unit){.text = run,
						.hit = hit,
						.cut_front = run.data > sentence.data,
						.cut_back = end < sentence.data + sentence.bytes});
	}
}

status quote_open(struct mem_scope *scope, struct span question, const struct kb_hits *hits,
		  struct quote *ret_quote, struct fault *reterr)
{
	struct quote q = {.hits = hits,
			  .units = mem_new_array(scope, struct quote_unit, UNITS_MAX)};
	struct words *w = mem_new(scope, struct words);
	if (q.units == NULL || w == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for a quotation");
	buf_init(&w->folded, scope, FOLDED_BYTES_MAX);
	if (text_fold(question, &w->folded))
		(void)terms_each(buf_span(&w->folded), add_word, w);
	weigh_words(w, hits);
	for (uint32_t h = 0; h < size_min(hits->count, QUOTE_HITS_READ); h++) {
		size_t at = 0, first = q.count;
		struct span sentence;
		bool code = false; /* between two fences: not for quoting */
		while (sentence_next(hits->hits[h].text, &at, &sentence)) {
			if (span_starts_with(sentence, SPAN("```")))
				code = !code;
			else if (!code && says_something(w, sentence))
				add_sentence(&q, h, sentence);
		}
		for (size_t i = first; i < q.count; i++)
			weigh_unit(w, &q.units[i], hits->hits[h].title);
	}
	status st =
		w->folded.refused == ST_LIMIT ? ST_OK : buf_check(&w->folded, "a passage", reterr);
	mem_free(w->folded.data);
	mem_free(w);
	if (st == ST_OK)
		*ret_quote = q;
	return st;
}

float quote_support(struct mem_scope *scope, struct span text, struct span source)
{
	struct words *w = mem_new(scope, struct words);
	if (w == NULL)
		return 0;
	buf_init(&w->folded, scope, FOLDED_BYTES_MAX);
	if (text_fold(text, &w->folded))
		(void)terms_each(buf_span(&w->folded), add_word, w);
	for (size_t i = 0; i < w->count; i++)
		w->total += w->weights[i] = 1;
	mark_words(w, source);
	float share = marked_share(w);
	buf_fini(&w->folded);
	mem_free(w);
	return share;
}

static float hit_logit(const struct quote *q, const struct quote_unit *unit)
{
	return evidence_logit(q->hits->hits[unit->hit].score);
}

size_t quote_shortlist(struct quote *q, struct quote_unit *ret_listed[QUOTE_LISTED_MAX])
{
	size_t listed = 0;
	while (listed < QUOTE_LISTED_MAX) {
		struct quote_unit *best = NULL;
		float most = -INFINITY;
		for (size_t i = 0; i < q->count; i++) {
			struct quote_unit *u = &q->units[i];
			float promise = u->alone + LIST_HIT_WEIGHT * hit_logit(q, u);
			if (!u->listed && promise > most) {
				best = u;
				most = promise;
			}
		}
		if (best == NULL)
			break;
		best->listed = true;
		ret_listed[listed++] = best;
	}
	return listed;
}

static bool overlap(const struct quote_unit *a, const struct quote_unit *b)
{
	return a->text.data < b->text.data + b->text.bytes &&
	       b->text.data < a->text.data + a->text.bytes;
}

/* What the unit adds to the quotation at the most: dots, a space, a mark for a new hit. */
static size_t unit_chars(const struct quote *q, const struct quote_unit *unit)
{
	size_t chars =
		utf8_count(unit->text) + 3 + (unit->cut_front ? 1u : 0) + (unit->cut_back ? 1u : 0);
	for (size_t i = 0; i < q->count; i++) {
		if (q->units[i].chosen && q->units[i].hit == unit->hit)
			return chars;
	}
	return chars + 4;
}

static bool fits(const struct quote *q, const struct quote_unit *unit, size_t room)
{
	for (size_t i = 0; i < q->count; i++) {
		if (q->units[i].chosen && overlap(&q->units[i], unit))
			return false;
	}
	return unit_chars(q, unit) <= room;
}

static size_t choose(struct quote *q, struct quote_unit *unit, size_t room)
{
	room -= unit_chars(q, unit);
	unit->chosen = true;
	return room;
}

/* "The steps are:" is nothing without the next unit. */
static size_t choose_rest(struct quote *q, const struct quote_unit *unit, size_t room)
{
	const struct span colon = SPAN("\xEF\xBC\x9A"); /* ： */
	struct span text = unit->text;
	bool open = text.data[text.bytes - 1] == ':' ||
		    (text.bytes > colon.bytes &&
		     span_equal(span_slice(text, text.bytes - colon.bytes, text.bytes), colon));
	size_t next = (size_t)(unit - q->units) + 1;
	if (open && next < q->count && q->units[next].hit == unit->hit &&
	    fits(q, &q->units[next], room))
		room = choose(q, &q->units[next], room);
	return room;
}

void quote_pick(struct quote *q, size_t chars_max)
{
	size_t room = chars_max;
	for (size_t i = 0; i < q->count; i++) {
		struct quote_unit *u = &q->units[i];
		u->score = u->cosine + COVERED_WEIGHT * u->covered + HIT_WEIGHT * hit_logit(q, u);
	}
	for (;;) {
		struct quote_unit *next = NULL;
		for (size_t i = 0; i < q->count; i++) {
			struct quote_unit *u = &q->units[i];
			bool close = q->best == NULL || u->score >= q->best->score - CLOSE_TO_BEST;
			if (u->listed && !u->chosen && close &&
			    (next == NULL || u->score > next->score) && fits(q, u, room))
				next = u;
		}
		if (next == NULL)
			return;
		if (q->best == NULL)
			q->best = next;
		room = choose_rest(q, next, choose(q, next, room));
	}
}

/* ---- writing ---- */

static bool only_space_between(const struct quote_unit *a, const struct quote_unit *b)
{
	for (const char *p = a->text.data + a->text.bytes; p < b->text.data; p++) {
		if (*p != ' ' && *p != '\n' && *p != '\r' && *p != '\t')
			return false;
	}
	return true;
}

static uint32_t last_point(struct span s)
{
	uint32_t point = 0;
	if (s.bytes > 0)
		(void)utf8_decode(s, utf8_floor(s, s.bytes - 1), &point);
	return point;
}

/* Chinese needs no space behind it: 。 and its kin are wide already. */
static bool is_wide(uint32_t point)
{
	return utf8_is_unspaced_script(point) || (point >= 0x3000 && point < 0x3040) ||
	       point >= 0xFF00;
}

/* A list marker or quotation sign in front of a line is not part of what it says. */
static struct span without_marker(struct span s)
{
	size_t at = 0;
	while (at < s.bytes &&
	       (s.data[at] == '-' || s.data[at] == '*' || s.data[at] == '+' || s.data[at] == '>'))
		at++;
	return at > 0 && at < s.bytes && s.data[at] == ' ' ? span_slice(s, at + 1, s.bytes) : s;
}

/* "…, " before dots is one sign too many. */
static struct span without_comma(struct span s)
{
	const struct span marks[] = {SPAN(","),  SPAN(";"),  SPAN(":"), SPAN("，"),
				     SPAN("；"), SPAN("："), SPAN("、")};
	if (ends_with(s, marks, ARRAY_COUNT(marks)))
		s.bytes = utf8_floor(s, s.bytes - 1);
	return s;
}

/* The unit on one line. */
static bool write_unit(const struct quote_unit *u, struct buf *out)
{
	const struct span dots = SPAN("\xE2\x80\xA6"); /* … */
	struct span text = without_marker(u->cut_back ? without_comma(u->text) : u->text);
	bool ok = !u->cut_front || buf_add(out, dots);
	for (size_t at = 0; ok && at < text.bytes; at++) {
		if (text.data[at] == '*' && at + 1 < text.bytes && text.data[at + 1] == '*') {
			at++; /* bold */
			continue;
		}
		if (text.data[at] != '\n') {
			ok = text.data[at] == '\r' || buf_add_byte(out, text.data[at]);
			continue;
		}
		uint32_t before = last_point(buf_span(out));
		ok = before == ' ' || is_wide(before) || buf_add_byte(out, ' ');
	}
	return ok && (!u->cut_back || buf_add(out, dots));
}

static bool write_joint(const struct quote_unit *before, const struct quote_unit *unit,
			struct buf *out)
{
	bool wide = is_wide(last_point(before->text));
	if (before->hit == unit->hit && only_space_between(before, unit))
		return wide || buf_add_byte(out, ' ');
	if (before->hit != unit->hit || before->cut_back || unit->cut_front)
		return buf_add_byte(out, ' ');
	return buf_add_text(out, wide ? "\xE2\x80\xA6" : " \xE2\x80\xA6 ");
}

bool quote_write(const struct quote *q, struct buf *out)
{
	const struct quote_unit *before = NULL;
	int mark = 0;
	for (size_t i = 0; i < q->count; i++) {
		const struct quote_unit *u = &q->units[i];
		if (!u->chosen)
			continue;
		if (before != NULL && before->hit != u->hit && !buf_printf(out, " [%d]", ++mark))
			return false;
		if (before != NULL && !write_joint(before, u, out))
			return false;
		if (!write_unit(u, out))
			return false;
		before = u;
	}
	return before == NULL || buf_printf(out, " [%d]", ++mark);
}
