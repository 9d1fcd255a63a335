#include "kb/terms.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"
#include "rt/text.h"

/* Sorted, for bsearch. */
static const char stop_words[][6] = {
	"a",     "an",   "and",   "are",   "as",   "at",   "be",   "been",  "but",  "by",   "did",
	"do",    "does", "for",   "from",  "had",  "has",  "have", "he",    "her",  "his",  "how",
	"i",     "in",   "is",    "it",    "its",  "of",   "on",   "or",    "she",  "that", "the",
	"their", "them", "there", "they",  "this", "to",   "was",  "were",  "what", "when", "where",
	"which", "who",  "whom",  "whose", "why",  "will", "with", "would", "you",  "your",
};

static int compare_words(const void *key, const void *word)
{
	return strcmp(key, word);
}

static bool is_stop_word(struct span word)
{
	char text[6] = {0};
	if (word.bytes >= sizeof text)
		return false;
	memcpy(text, word.data, word.bytes);
	return bsearch(text, stop_words, ARRAY_COUNT(stop_words), sizeof *stop_words,
		       compare_words) != NULL;
}

/* "stories" story, "boxes" box, "cats" cat; "glass" and "gas" stay. */
static struct span singular(struct span word, char room[TERM_BYTES])
{
	size_t n = word.bytes;
	const char *w = word.data;
	if (n <= 3 || w[n - 1] != 's' || w[n - 2] == 's')
		return word;
	if (n > 4 && w[n - 2] == 'e' && w[n - 3] == 'i') {
		memcpy(room, w, n - 3);
		room[n - 3] = 'y';
		return (struct span){room, n - 2};
	}
	bool hissing = w[n - 3] == 's' || w[n - 3] == 'x' || w[n - 3] == 'z' || w[n - 3] == 'h';
	if (n > 4 && w[n - 2] == 'e' && hissing)
		return span_slice(word, 0, n - 2);
	return span_slice(word, 0, n - 1);
}

static bool visit_word(struct span word, terms_fn *visit, void *context)
{
	char room[TERM_BYTES];
	if (word.bytes > TERM_BYTES)
		word.bytes = utf8_floor(word, TERM_BYTES);
	if (is_stop_word(word))
		return true;
	return visit(context, singular(word, room));
}

/* The pairs of a run that begins at `at`, and its last character; *at moves behind the run. */
static bool visit_run(struct span s, size_t *at, terms_fn *visit, void *context)
{
	uint32_t point;
	size_t first = *at, second = first + utf8_decode(s, first, &point);
	while (second < s.bytes) {
		size_t length = utf8_decode(s, second, &point);
		if (!utf8_is_unspaced_script(point))
			break;
		if (!visit(context, span_slice(s, first, second + length)))
			return false;
		first = second;
		second += length;
	}
	*at = second;
	return visit(context, span_slice(s, first, second));
}

static size_t word_end(struct span s, size_t at)
{
	while (at < s.bytes) {
		uint32_t point;
		size_t length = utf8_decode(s, at, &point);
		if (!text_is_word(point) || utf8_is_unspaced_script(point))
			break;
		at += length;
	}
	return at;
}

bool terms_each(struct span folded, terms_fn *visit, void *context)
{
	for (size_t at = 0; at < folded.bytes;) {
		uint32_t point;
		size_t length = utf8_decode(folded, at, &point);
		if (utf8_is_unspaced_script(point)) {
			if (!visit_run(folded, &at, visit, context))
				return false;
		} else if (text_is_word(point)) {
			size_t end = word_end(folded, at);
			if (!visit_word(span_slice(folded, at, end), visit, context))
				return false;
			at = end;
		} else {
			at += length;
		}
	}
	return true;
}
