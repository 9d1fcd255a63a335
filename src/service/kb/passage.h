/* kb/passage.h -- a chunk with what stands above it, as one text: the same for the embedding, for
 * the hash by which known vectors are found, and for the index of words. */
#ifndef KB_PASSAGE_H
#define KB_PASSAGE_H

#include <stdbool.h>

#include "base/span.h"
#include "rt/buf.h"

/* title "\n" heading "\n" context "\n" text, empty parts left out, and the title too when the
 * heading begins with it. False: out refused. */
bool passage_add(struct span title, struct span heading, struct span context, struct span text,
		 struct buf *out);

#endif
