/* qa/sentences.h -- a passage to the pieces that can be quoted: whole sentences, and of a sentence
 * that is too long, runs of whole clauses.
 *
 * Chinese, Japanese and Western marks; abbreviations, initials and numbers do not end a sentence. A
 * line end ends one, unless the line is plainly wrapped in the middle of it.
 *
 * Pure functions over spans; none allocates. */
#ifndef QA_SENTENCES_H
#define QA_SENTENCES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

/* The next sentence of text at or behind *at, white space taken off; *at moves behind it. False at
 * the end of the text. */
bool sentence_next(struct span text, size_t *at, struct span *ret_sentence);

/* The longest run of whole clauses of `sentence` that begins at *at (a place where a clause begins)
 * and has at most chars_max characters; a clause that is longer itself is cut between words. *at
 * moves to where the next run may begin. False when none is left: the run before reached the end.
 */
bool clause_run_next(struct span sentence, size_t chars_max, size_t *at, struct span *ret_run);

/* Is this prose, something that a person would read out? Not so: rows of a table, headings, code,
 * style sheets, rules, lines of dots. */
bool sentence_is_prose(struct span sentence);

#endif
