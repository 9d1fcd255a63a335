/* doc/cut.h -- how long a text is, and where it is best cut.
 *
 * Lengths are weights in thirds of a character: Han, Kana and Hangul carry about three times as
 * much as a Latin letter, so they weigh CUT_WIDE and all else CUT_NARROW. Texts are valid UTF-8.
 *
 * Pure functions over spans; none allocates. */
#ifndef DOC_CUT_H
#define DOC_CUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

enum { CUT_NARROW = 1, CUT_WIDE = 3 };

size_t cut_weight(struct span s);

struct cut_rule {
	size_t least, want, most; /* weights: no earlier, best near, never later */
	bool lines;               /* a line end is the best place: code, lists */
};

/* Where to end the first piece of s, whose weight is more than rule->most: bytes, > 0, never inside
 * a code point. Prefers the end of a paragraph, then of a sentence, then of a line or clause, then
 * of a word, and cuts between graphemes where there is nothing better. Among equals the place
 * nearest to `want` wins. */
size_t cut_find(struct span s, const struct cut_rule *rule);

/* Does s, which is trimmed, end like a sentence (closing quotes and brackets passed over)? */
bool cut_ends_sentence(struct span s);

/* White space off both ends: ASCII white space, U+00A0, U+3000, U+FEFF, U+200B. */
struct span cut_trim(struct span s);

#endif
