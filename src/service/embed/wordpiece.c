/* WordPiece as in BERT: clean, put space around ideographs, decompose and drop accents, lower-case,
 * split at white space and punctuation, then cut each word into the longest pieces from the left.
 * A word is at most word_chars_max characters long, else unknown as a whole: it is all the memory
 * that is needed. The behaviour is that of the "BertNormalizer" and "BertPreTokenizer" that the
 * models are published with. */
#include <utf8proc.h>

#include "embed/tokenizer_inside.h"

enum { WORD_CHARS_MAX = 128, PARTS_MAX = 8 };

/* One word, or one character that stands alone. */
struct word {
	char text[WORD_CHARS_MAX * UTF8_BYTES_MAX];
	size_t bytes, chars;
	bool too_long;
};

static bool is_dropped(uint32_t point)
{
	if (point == '\t' || point == '\n' || point == '\r')
		return false;
	if (point == 0 || point == UTF8_REPLACEMENT)
		return true;
	return utf8proc_category((utf8proc_int32_t)point) >= UTF8PROC_CATEGORY_CC; /* CC CF CS CO */
}

/* After is_dropped(): the property White_Space without the control characters. */
static bool is_space(uint32_t point)
{
	if (point == ' ' || point == '\t' || point == '\n' || point == '\r')
		return true;
	if (point < 0x80)
		return false;
	utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)point);
	return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
	       category == UTF8PROC_CATEGORY_ZP;
}

static bool is_punctuation(uint32_t point)
{
	if (point < 0x80)
		return (point >= 33 && point <= 47) || (point >= 58 && point <= 64) ||
		       (point >= 91 && point <= 96) || (point >= 123 && point <= 126);
	utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)point);
	return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

/* The blocks that BERT puts spaces around. The last but third begins at 2B920, not at 2B820: so the
 * models' tokenizers have it. */
static bool is_ideograph(uint32_t point)
{
	return (point >= 0x4e00 && point <= 0x9fff) || (point >= 0x3400 && point <= 0x4dbf) ||
	       (point >= 0x20000 && point <= 0x2a6df) || (point >= 0x2a700 && point <= 0x2b73f) ||
	       (point >= 0x2b740 && point <= 0x2b81f) || (point >= 0x2b920 && point <= 0x2ceaf) ||
	       (point >= 0xf900 && point <= 0xfaff) || (point >= 0x2f800 && point <= 0x2fa1f);
}

/* What the model sees of one character: none (an accent), or some. */
static size_t normalise(const struct tokenizer *t, uint32_t point, uint32_t out[PARTS_MAX])
{
	utf8proc_int32_t parts[PARTS_MAX];
	utf8proc_ssize_t n = 1;
	parts[0] = (utf8proc_int32_t)point;
	if (point >= 0x80 && t->flags & TOKENIZER_STRIP) {
		int boundary = 0;
		n = utf8proc_decompose_char((utf8proc_int32_t)point, parts, PARTS_MAX,
					    UTF8PROC_DECOMPOSE | UTF8PROC_STABLE, &boundary);
		if (n < 0 || n > PARTS_MAX) { /* canonical forms have at most four */
			parts[0] = (utf8proc_int32_t)point;
			n = 1;
		}
	}
	size_t kept = 0;
	for (utf8proc_ssize_t i = 0; i < n; i++) {
		if (t->flags & TOKENIZER_STRIP &&
		    utf8proc_category(parts[i]) == UTF8PROC_CATEGORY_MN)
			continue;
		out[kept++] = (uint32_t)(t->flags & TOKENIZER_LOWER ? utf8proc_tolower(parts[i])
								    : parts[i]);
		if (t->flags & TOKENIZER_LOWER && parts[i] == 0x130 && kept < PARTS_MAX)
			out[kept++] = 0x307; /* the one letter whose lower case is two */
	}
	return kept;
}

static void word_add(const struct tokenizer *t, struct word *w, const uint32_t *points,
		     size_t count)
{
	for (size_t i = 0; i < count; i++) {
		w->too_long |= w->chars == t->word_chars_max || w->chars == WORD_CHARS_MAX;
		if (w->too_long)
			return;
		w->bytes += utf8_encode(points[i], w->text + w->bytes);
		w->chars++;
	}
}

/* The next word from *at on; *at moves to its first byte. Returns where it ends, 0 when there is
 * none. */
static size_t next_word(const struct tokenizer *t, const struct tokenizer_cursor *c, size_t *at,
			struct word *w)
{
	size_t total = cursor_bytes(c);
	w->bytes = w->chars = 0;
	w->too_long = false;
	for (size_t i = *at, length; i < total; i += length) {
		uint32_t point, points[PARTS_MAX];
		length = cursor_point(c, i, &point);
		if (is_dropped(point))
			continue;
		bool space = is_space(point), alone = is_ideograph(point);
		size_t count = space ? 0 : normalise(t, point, points);
		if (count == 0 && !space)
			continue;
		if (!space)
			alone = alone || is_punctuation(points[0]);
		if (w->chars > 0 && (space || alone))
			return i;
		if (space)
			continue;
		if (w->chars == 0)
			*at = i;
		word_add(t, w, points, count);
		if (alone)
			return i + length;
	}
	return w->chars > 0 ? total : 0;
}

/* Cut a word into pieces; one unknown when that is not possible to its end. */
static size_t cut(const struct tokenizer *t, const struct word *w, int32_t ids[WORD_CHARS_MAX])
{
	struct trie pieces = tokenizer_pieces(t);
	size_t count = 0;
	for (size_t at = 0; at < w->bytes && !w->too_long;) {
		struct trie_walk walk = {.state = at == 0 ? 0 : t->continuation};
		size_t end = 0;
		uint32_t best = UINT32_MAX;
		for (size_t i = at; i < w->bytes; i++) {
			if (!trie_step(&pieces, &walk, (unsigned char)w->text[i]))
				break;
			if (walk.has_value) {
				best = walk.value;
				end = i + 1;
			}
		}
		if (best >= t->vocabulary) {
			count = 0;
			break;
		}
		ids[count++] = (int32_t)best;
		at = end;
	}
	if (count == 0)
		ids[count++] = t->unknown_id;
	return count;
}

size_t wordpiece_encode(const struct tokenizer *t, struct tokenizer_cursor *c, int32_t *ret_ids,
			size_t max)
{
	size_t made = 0;
	while (made < max) {
		struct word word;
		int32_t ids[WORD_CHARS_MAX * UTF8_BYTES_MAX];
		size_t end = next_word(t, c, &c->at, &word);
		if (end == 0) {
			c->done = true;
			break;
		}
		size_t count = cut(t, &word, ids);
		while (c->skip < count && made < max)
			ret_ids[made++] = ids[c->skip++];
		if (c->skip == count) {
			c->at = end;
			c->skip = 0;
		}
	}
	return made;
}
