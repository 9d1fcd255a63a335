/* rt/text.h -- folding text for matching: NFKC, case fold, traditional -> simplified Chinese.
 *
 * The index and the query go through the same fold, the original is what people see. NFKC and case
 * folding are utf8proc's (Unicode 15); the traditional -> simplified table holds the one-to-one
 * character mappings of OpenCC's t2s configuration, generated at build time, so that neither its
 * dictionaries nor its memory are needed at run time. Punctuation and spaces are kept; characters
 * that are never seen (soft hyphen, joiners) go.
 *
 * Threads  Pure functions. */
#ifndef RT_TEXT_H
#define RT_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "rt/buf.h"

/* Fold s (valid UTF-8 or not: a bad byte becomes U+FFFD) and add it to out. False: out refused. */
bool text_fold(struct span s, struct buf *out);

/* The simplified form of one character, itself when it has none. */
uint32_t text_simplify(uint32_t point);

/* Letters, digits and the marks that belong to them, of any script. */
bool text_is_word(uint32_t point);

#endif
