/* kb/terms.h -- what a text is searched by: one function for index, question and quotation.
 *
 *     Han, Kana, Hangul    every overlapping pair of characters, and the last character of a run
 *                          alone (so that a run of one is a term, and a single character can be
 *                          asked for)
 *     everything else      words: runs of letters, digits and marks, at most TERM_BYTES of them,
 *                          with a light plural folding; some fifty English words that tell nothing
 *                          are left out
 *
 * The rules were measured on real questions; the word pairs beat single characters and trigrams.
 *
 * Threads  Pure functions. */
#ifndef KB_TERMS_H
#define KB_TERMS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

enum { TERM_BYTES = 64 };

/* term lives until the call returns. False stops. */
typedef bool terms_fn(void *context, struct span term);

/* Visit the terms of a text that text_fold() has folded, in order, repeated ones too. False when
 * visit stopped it. */
bool terms_each(struct span folded, terms_fn *visit, void *context);

#endif
