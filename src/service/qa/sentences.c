#include "qa/sentences.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"
#include "rt/text.h"

enum {
	WRAPPED_WIDTH = 60,
	WIDE = 3
}; /* a line this wide, Han counting three, may be a wrapped one */

/* Sorted, for bsearch: a dot behind one of these is no end. */
static const char abbreviations[][7] = {
	"al",   "approx", "apr", "aug", "ca",  "capt", "cf",  "co",   "col", "corp", "dec",
	"dept", "dr",     "ed",  "eds", "eg",  "etc",  "feb", "fig",  "ft",  "gen",  "gov",
	"hon",  "ie",     "inc", "jan", "jr",  "jul",  "jun", "lt",   "ltd", "mar",  "mr",
	"mrs",  "ms",     "mt",  "no",  "nov", "oct",  "pp",  "prof", "rep", "rev",  "sen",
	"sep",  "sept",   "sgt", "sr",  "st",  "univ", "vol", "vs",
};

static bool is_blank(uint32_t p)
{
	return p == ' ' || p == '\t' || p == '\r' || p == 0xA0 || p == 0x3000;
}

static bool is_space(uint32_t p)
{
	return is_blank(p) || p == '\n' || p == '\f' || p == '\v';
}

static bool is_wide_stop(uint32_t p) /* 。！？｡ */
{
	return p == 0x3002 || p == 0xFF01 || p == 0xFF1F || p == 0xFF61;
}

static bool is_stop(uint32_t p)
{
	return is_wide_stop(p) || p == '.' || p == '!' || p == '?' || p == 0x2026;
}

static bool is_quote(uint32_t p)
{
	return p == '"' || p == '\'';
}

/* 」』”’）)】》〉]］ */
static bool is_closer(uint32_t p)
{
	static const uint32_t closers[] = {0x300D, 0x300F, 0x201D, 0x2019, 0xFF09, ')',
					   0x3011, 0x300B, 0x3009, ']',    0xFF3D};
	for (size_t i = 0; i < ARRAY_COUNT(closers); i++) {
		if (p == closers[i])
			return true;
	}
	return false;
}

static uint32_t point_at(struct span s, size_t at)
{
	uint32_t point = 0;
	if (at < s.bytes)
		(void)utf8_decode(s, at, &point);
	return point;
}

/* A straight quote closes when something is open, or when nothing readable follows it. */
static bool quote_closes(struct span s, size_t from, size_t at)
{
	if (at + 1 >= s.bytes || is_space(point_at(s, at + 1)))
		return true;
	bool open = false;
	for (size_t i = from; i < at; i++)
		open ^= s.data[i] == s.data[at];
	return open;
}

/* Behind the marks that belong to the sentence end before `at`. */
static size_t closers_end(struct span s, size_t from, size_t at)
{
	while (at < s.bytes) {
		uint32_t point;
		size_t length = utf8_decode(s, at, &point);
		bool belongs = is_stop(point) || is_closer(point) ||
			       (is_quote(point) && quote_closes(s, from, at));
		if (!belongs)
			break;
		at += length;
	}
	return at;
}

static int compare_words(const void *key, const void *word)
{
	return strcmp(key, word);
}

/* Is the dot at `at` part of the word before it: "Dr.", "J.", "U.S."? */
static bool dot_abbreviates(struct span s, size_t from, size_t at)
{
	char word[8] = {0};
	size_t first = at;
	while (first > from && isalpha((unsigned char)s.data[first - 1]))
		first--;
	size_t length = at - first;
	if (length == 0 || length >= sizeof word)
		return false;
	if (length == 1)
		return s.data[first] != 'I'; /* an initial, "v. 2"; but "so do I." */
	for (size_t i = 0; i < length; i++)
		word[i] = (char)tolower((unsigned char)s.data[first + i]);
	return bsearch(word, abbreviations, ARRAY_COUNT(abbreviations), sizeof *abbreviations,
		       compare_words) != NULL;
}

/* May a sentence begin with the point? Letters beyond ASCII are not told apart: they may. */
static bool may_begin(uint32_t p)
{
	return (p >= 'A' && p <= 'Z') || (p >= '0' && p <= '9') || is_quote(p) || p == '(' ||
	       p == '[' || p == '*' || p >= 0x80;
}

/* `end` is behind the dot at `dot` and its closers. */
static bool dot_ends(struct span s, size_t from, size_t dot, size_t end)
{
	if (end >= s.bytes)
		return true;
	if (!is_space(point_at(s, end)))
		return false;
	size_t next = end;
	while (next < s.bytes && is_blank(point_at(s, next)))
		next += utf8_decode(s, next, &(uint32_t){0});
	if (next >= s.bytes || s.data[next] == '\n')
		return true;
	return may_begin(point_at(s, next)) && !dot_abbreviates(s, from, dot);
}

static size_t line_width(struct span s, size_t from, size_t to)
{
	size_t width = 0;
	for (size_t at = from; at < to;) {
		uint32_t point;
		at += utf8_decode(s, at, &point);
		width += utf8_is_unspaced_script(point) ? WIDE : 1;
	}
	return width;
}

/* Is the line end at `at` only a wrap: a wide line before it that ends like the middle of a
 * sentence, and a letter or an opening mark right behind it? */
static bool line_is_wrapped(struct span s, size_t at)
{
	size_t first = at;
	while (first > 0 && s.data[first - 1] != '\n')
		first--;
	if (first == at || s.data[first] == '|' || s.data[first] == '#')
		return false;
	uint32_t last = point_at(s, utf8_floor(s, at - 1));
	if (last == '\r' && at - 1 > first)
		last = point_at(s, utf8_floor(s, at - 2));
	bool open_end = (text_is_word(last) || last == ',' || last == 0xFF0C || last == 0x3001) &&
			!is_stop(last);
	uint32_t next = point_at(s, at + 1);
	bool goes_on = text_is_word(next) || next == '`' || next == '(' || is_quote(next);
	return open_end && goes_on && !isdigit((unsigned char)s.data[at + 1]) &&
	       line_width(s, first, at) >= WRAPPED_WIDTH;
}

static size_t sentence_end(struct span s, size_t from)
{
	for (size_t at = from; at < s.bytes;) {
		uint32_t point;
		size_t next = at + utf8_decode(s, at, &point);
		if (point == '\n' && !line_is_wrapped(s, at))
			return next;
		if (is_stop(point)) {
			size_t end = closers_end(s, from, next);
			uint32_t after = point_at(s, end);
			if (is_wide_stop(point) || end >= s.bytes)
				return end;
			bool ends = point == '.'
					    ? dot_ends(s, from, at, end)
					    : is_space(after) || utf8_is_unspaced_script(after);
			if (ends)
				return end;
			next = end;
		}
		at = next;
	}
	return s.bytes;
}

static struct span trim(struct span s)
{
	uint32_t point;
	while (s.bytes > 0 && is_space(point_at(s, 0)))
		s = span_slice(s, utf8_decode(s, 0, &point), s.bytes);
	while (s.bytes > 0) {
		size_t last = utf8_floor(s, s.bytes - 1);
		if (!is_space(point_at(s, last)))
			break;
		s.bytes = last;
	}
	return s;
}

bool sentence_next(struct span text, size_t *at, struct span *ret_sentence)
{
	while (*at < text.bytes) {
		size_t from = *at;
		*at = sentence_end(text, from);
		struct span sentence = trim(span_slice(text, from, *at));
		if (sentence.bytes > 0) {
			*ret_sentence = sentence;
			return true;
		}
	}
	return false;
}

/* Where the clause that begins at `at` ends. */
static size_t clause_end(struct span s, size_t at)
{
	while (at < s.bytes) {
		uint32_t point;
		at += utf8_decode(s, at, &point);
		uint32_t next = point_at(s, at);
		if (point == 0xFF0C || point == 0xFF1B || point == 0x3001 || point == 0xFF1A)
			return at;
		if ((point == ',' || point == ';' || point == ':') && is_space(next))
			return at;
		if (next == 0x2014 || next == 0x2013)
			return at;
	}
	return at;
}

/* The last space in the second half of at..to, or `to`. */
static size_t word_cut(struct span s, size_t at, size_t to)
{
	for (size_t i = to; i > at + (to - at) / 2; i--) {
		if (s.data[i - 1] == ' ')
			return i;
	}
	return to;
}

bool clause_run_next(struct span sentence, size_t chars_max, size_t *at, struct span *ret_run)
{
	size_t from = *at, to = from, second = 0;
	if (from >= sentence.bytes)
		return false;
	size_t most = from + utf8_offset(span_slice(sentence, from, sentence.bytes), chars_max);
	while (to < sentence.bytes) {
		size_t end = clause_end(sentence, to);
		if (end > most)
			break;
		to = end;
		if (second == 0)
			second = end;
	}
	if (to == from)
		second = to = word_cut(sentence, from, most);
	*ret_run = trim(span_slice(sentence, from, to));
	*at = to == sentence.bytes ? to : second;
	return true;
}

/* Is the byte at `at` a sign that code is full of and prose is not, with no space around it? */
static bool is_code_sign(struct span s, size_t at)
{
	if (at == 0 || at + 1 >= s.bytes || strchr("{}<>=_\\/;:#|@*+&^", s.data[at]) == NULL)
		return false;
	unsigned char before = (unsigned char)s.data[at - 1], after = (unsigned char)s.data[at + 1];
	return s.data[at] != '\0' && !isspace(before) && after < 0x80 && !isspace(after) &&
	       !(isdigit(before) && isdigit(after));
}

bool sentence_is_prose(struct span s)
{
	size_t letters = 0, others = 0, code = 0, pipes = 0;
	for (size_t at = 0; at < s.bytes;) {
		uint32_t point;
		size_t length = utf8_decode(s, at, &point);
		if (text_is_word(point))
			letters++;
		else if (!is_space(point))
			others++;
		code += is_code_sign(s, at);
		pipes += point == '|';
		at += length;
	}
	bool heading = s.bytes > 0 && s.data[0] == '#';
	return letters >= 2 && others * 3 <= letters + others && code * 20 <= letters + others &&
	       pipes < 2 && !heading;
}
