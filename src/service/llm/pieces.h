/* llm/pieces.h -- bytes of tokens in, whole code points out, and never a byte of a stop string.
 *
 * A token may end in the middle of a code point, and a stop string may begin in one token and end
 * three tokens later. So bytes wait in `held` until it is certain that they belong to the answer:
 *
 *     held:  |  answer  |  maybe the start of a stop string, or half a code point  |
 *              moved to `text`            waits for the next token
 *
 * Malformed bytes become U+FFFD; half a code point at the very end is dropped.
 *
 * Limits   A stop string has 1..PIECES_STOP_BYTES_MAX bytes; text grows up to the ceiling of its
 *          buf.
 * Threads  One at a time. Knows no model. */
#ifndef LLM_PIECES_H
#define LLM_PIECES_H

#include "llm/llm.h"
#include "rt/buf.h"

enum { PIECES_STOP_BYTES_MAX = 256, PIECES_HELD_BYTES_MAX = 16 * 1024 };

struct pieces {
	const struct span *stop; /* borrowed */
	size_t stop_count;
	struct buf held, text; /* text: valid UTF-8, only ever grows */
};

/* Both bufs live in scope; text may hold text_bytes_max. ST_INVALID: a stop string is empty or too
 * long, or there are more than LLM_STOPS_MAX. */
MUST_CHECK status pieces_init(struct pieces *p, struct mem_scope *scope,
			      const struct llm_request *request, size_t text_bytes_max,
			      struct fault *reterr);

/* Add the bytes of one token. *ret_stopped: a stop string is complete; the text before it is in
 * p->text and nothing more may be added. */
MUST_CHECK status pieces_add(struct pieces *p, struct span bytes, bool *ret_stopped,
			     struct fault *reterr);

/* No more tokens: what was held back for a stop string that did not come belongs to the answer. */
MUST_CHECK status pieces_end(struct pieces *p, struct fault *reterr);

/* Add s to out with every malformed byte as U+FFFD. False: out refused. */
bool pieces_clean(struct span s, struct buf *out);

#endif
