#include "doc/cut.h"

#include <stdio.h>
#include <utf8proc.h>

#include "base/assert.h"
#include "base/utf8.h"

/* From worst to best; 0 is no place at all. */
enum rank { RANK_NONE, RANK_WORD, RANK_CLAUSE, RANK_LINE, RANK_SENTENCE, RANK_PARAGRAPH };

static size_t point_weight(uint32_t point)
{
	return point >= 0x1100 && utf8_is_unspaced_script(point) ? CUT_WIDE : CUT_NARROW;
}

/* The text is valid UTF-8, so lead bytes tell most of it: E5..E9 begin U+5000..U+9FFF, all Han, and
 * EB, EC begin U+B000..U+CFFF, all Hangul. The rest is decoded. */
size_t cut_weight(struct span s)
{
	size_t weight = 0;
	for (size_t at = 0; at < s.bytes;) {
		unsigned char c = (unsigned char)s.data[at];
		if (c < 0x80) {
			at++;
			weight += CUT_NARROW;
		} else if (((c >= 0xE5 && c <= 0xE9) || c == 0xEB || c == 0xEC) &&
			   s.bytes - at >= 3) {
			at += 3;
			weight += CUT_WIDE;
		} else {
			uint32_t point;
			at += utf8_decode(s, at, &point);
			weight += point_weight(point);
		}
	}
	return weight;
}

static bool is_space(uint32_t point)
{
	return point == ' ' || (point >= '\t' && point <= '\r') || point == 0xA0 ||
	       point == 0x3000 || point == 0xFEFF || point == 0x200B;
}

/* 。！？… and their half-width kin end a sentence whatever follows. */
static bool is_full_stop(uint32_t point)
{
	return point == 0x3002 || point == 0xFF01 || point == 0xFF1F || point == 0x2026 ||
	       point == 0xFF61 || point == 0x203C || point == 0x2047;
}

/* These do when white space follows. */
static bool is_ascii_stop(uint32_t point)
{
	return point == '.' || point == '!' || point == '?';
}

static bool is_closer(uint32_t point)
{
	return point == '"' || point == '\'' || point == ')' || point == ']' || point == 0x201D ||
	       point == 0x2019 || point == 0x300D || point == 0x300F || point == 0xFF09 ||
	       point == 0x3011 || point == 0x300B || point == 0x3009;
}

static bool is_clause_end(uint32_t point)
{
	return point == 0xFF1B || point == 0xFF0C || point == 0xFF1A || point == 0x3001;
}

static bool is_ascii_clause_end(uint32_t point)
{
	return point == ',' || point == ';' || point == ':';
}

enum { ABBREVIATION_BYTES = 6 };

/* Words whose full stop ends no sentence. */
static const char ABBREVIATIONS[] = " mr mrs ms dr st jr sr vs etc eg ie no fig prof rev gen col "
				    "lt capt sgt gov sen rep hon inc ltd co corp "
				    "jan feb mar apr jun jul aug sep sept oct nov dec approx ca "
				    "vol pp ed eds dept univ mt ft al cf ";

/* What the walk over a text remembers of the points before the place it looks at. */
struct walk {
	uint32_t last;     /* the point before the place */
	uint32_t mark;     /* the last one that is not white space */
	uint32_t stop;     /* the sentence end before it, closers passed over; 0 = none */
	uint32_t newlines; /* line ends right before it, blanks passed over */
	size_t word;       /* letters at the end of what was passed */
	char letters[ABBREVIATION_BYTES + 1]; /* the first of them, in lower case */
	bool capital;                         /* the first one was */
};

static bool is_letter(uint32_t point)
{
	return (point | 32) >= 'a' && (point | 32) <= 'z';
}

/* "J." and "Dr." */
static bool is_abbreviated(const struct walk *w)
{
	if (w->word == 1 && w->capital)
		return true;
	if (w->word == 0 || w->word > ABBREVIATION_BYTES)
		return false;
	char padded[ABBREVIATION_BYTES + 3];
	(void)snprintf(padded, sizeof(padded), " %.*s ", (int)w->word, w->letters);
	return strstr(ABBREVIATIONS, padded) != NULL;
}

static void word_pass(struct walk *w, uint32_t point)
{
	if (!is_letter(point)) {
		w->word = 0;
		return;
	}
	if (w->word == 0)
		w->capital = point < 'a';
	if (w->word < ABBREVIATION_BYTES)
		w->letters[w->word] = (char)(point | 32);
	w->word++;
}

static void walk_pass(struct walk *w, uint32_t point)
{
	if (is_full_stop(point) || is_ascii_stop(point)) {
		w->stop = point == '.' && is_abbreviated(w) ? 0 : point;
	} else if (!is_closer(point) && !is_space(point)) {
		w->stop = 0;
	}
	if (point == '\n') {
		w->newlines++;
	} else if (!is_space(point)) {
		w->newlines = 0;
		w->mark = point;
	}
	word_pass(w, point);
	w->last = point;
}

/* Does the stop that w has passed end a sentence, when `next` is what follows? */
static bool ends_before(const struct walk *w, uint32_t next)
{
	if (is_full_stop(w->stop))
		return true;
	if (!is_space(w->last))
		return w->stop != '.' && utf8_is_unspaced_script(next);
	return w->stop != '.' || next < 'a' || next > 'z';
}

/* How good is the place between what w has passed and the point next? */
static enum rank walk_rank(const struct walk *w, uint32_t next, bool lines)
{
	if (w->newlines > 0 && is_space(w->last) && !is_space(next)) {
		if (w->newlines > 1 || lines)
			return RANK_PARAGRAPH;
		return w->stop != 0 ? RANK_SENTENCE : RANK_LINE;
	}
	if (w->newlines > 0 && lines)
		return RANK_NONE; /* inside the white space between lines */
	if (w->stop != 0 && !is_closer(next) && !is_full_stop(next) && !is_ascii_stop(next) &&
	    !is_space(next) && ends_before(w, next))
		return RANK_SENTENCE;
	if (is_space(next))
		return RANK_NONE;
	if (is_clause_end(w->last) && !is_closer(next))
		return RANK_CLAUSE;
	if (!is_space(w->last))
		return RANK_NONE;
	return is_ascii_clause_end(w->mark) ? RANK_CLAUSE : RANK_WORD;
}

static size_t distance(size_t a, size_t b)
{
	return a > b ? a - b : b - a;
}

/* No white space, no punctuation: the last border between graphemes at or before `want`, and where
 * one grapheme is longer than that, the last code point that fits. */
static size_t cut_anywhere(struct span s, const struct cut_rule *rule)
{
	size_t weight = 0, best = 0, fits = 0;
	utf8proc_int32_t state = 0;
	uint32_t last = 0;
	for (size_t at = 0; at < s.bytes;) {
		uint32_t point;
		size_t next = at + utf8_decode(s, at, &point);
		bool border =
			at > 0 && utf8proc_grapheme_break_stateful((utf8proc_int32_t)last,
								   (utf8proc_int32_t)point, &state);
		if (border && (weight <= rule->want || best == 0))
			best = at;
		weight += point_weight(point);
		if (weight > rule->most)
			break;
		fits = next;
		last = point;
		at = next;
	}
	return best > 0 ? best : fits > 0 ? fits : s.bytes;
}

size_t cut_find(struct span s, const struct cut_rule *rule)
{
	ASSERT(s.bytes > 0);
	ASSERT(rule->least <= rule->want && rule->want <= rule->most);
	struct walk w = {0};
	enum rank best_rank = RANK_NONE;
	size_t weight = 0, best = 0, best_distance = 0;
	for (size_t at = 0; at < s.bytes;) {
		uint32_t point;
		size_t bytes = utf8_decode(s, at, &point);
		if (at > 0 && weight >= rule->least) {
			enum rank rank = walk_rank(&w, point, rule->lines);
			size_t away = distance(weight, rule->want);
			if (rank > best_rank ||
			    (rank == best_rank && rank > 0 && away < best_distance)) {
				best_rank = rank;
				best = at;
				best_distance = away;
			}
		}
		walk_pass(&w, point);
		weight += point_weight(point);
		if (weight > rule->most)
			break;
		at += bytes;
	}
	return best_rank > RANK_NONE ? best : cut_anywhere(s, rule);
}

bool cut_ends_sentence(struct span s)
{
	while (s.bytes > 0) {
		size_t at = utf8_floor(s, s.bytes - 1);
		uint32_t point;
		(void)utf8_decode(s, at, &point);
		if (!is_closer(point))
			return is_full_stop(point) || is_ascii_stop(point) || point == 0xFF1A ||
			       point == 0xFF1B || point == ':' || point == ';';
		s.bytes = at;
	}
	return false;
}

struct span cut_trim(struct span s)
{
	uint32_t point;
	while (s.bytes > 0) {
		size_t bytes = utf8_decode(s, 0, &point);
		if (!is_space(point))
			break;
		s = span_slice(s, bytes, s.bytes);
	}
	while (s.bytes > 0) {
		size_t at = utf8_floor(s, s.bytes - 1);
		(void)utf8_decode(s, at, &point);
		if (!is_space(point))
			break;
		s.bytes = at;
	}
	return s;
}
