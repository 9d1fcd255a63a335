/* kb/words.h -- our terms in SQLite's FTS5: the tokenizer "plimsoll" and the function
 * term_count(table), the number of times that a one-term query occurs in the row.
 *
 * Asked for a query the tokenizer takes the whole string as one term: the caller has already cut
 * the question by the same rules (kb/terms.h).
 *
 * Threads  A struct words belongs to one connection. */
#ifndef KB_WORDS_H
#define KB_WORDS_H

#include <stdint.h>

#include "base/status.h"
#include "mem/scope.h"
#include "rt/buf.h"
#include "rt/db.h"

struct words {
	struct buf folded; /* of the text being cut; kept between texts */
	uint32_t terms;    /* counted up by every text that is indexed */
};

/* Make both known to the connection; w must outlive it. */
MUST_CHECK status words_register(struct db *db, struct words *w, struct mem_scope *scope,
				 struct fault *reterr);

#endif
