/* qa/prompt.h -- passages, history and question to the messages that a model reads, within its
 * context by tokens; and the model's words to an answer whose marks are true.
 *
 * When all does not fit, the last passages go first (two stay), then the oldest turns, then the
 * rest of the passages, and at last the one that is left is cut. */
#ifndef QA_PROMPT_H
#define QA_PROMPT_H

#include "qa/answer.h"

/* Does the text hold a Han character? Fixed sentences then are Chinese. */
bool prompt_is_chinese(struct span text);
/* "The knowledge base does not say." */
struct span prompt_no_evidence(struct span question);

struct prompt {
	struct llm_message *messages;
	size_t message_count;
	size_t passages;               /* the first ones, that are in it */
	uint32_t tokens, reply_tokens; /* of the messages; left for the reply */
};

/* passages: numbered from 1, texts as cited; count 0 asks the model for what it knows itself. The
 * messages point into scratch and into request. ST_LIMIT when even the question does not fit. */
MUST_CHECK status prompt_make(struct generator *g, const struct answer_request *request,
			      const struct citation *passages, size_t count,
			      struct mem_scope *scratch, struct prompt *ret_prompt,
			      struct fault *reterr);

/* Takes the model's text piece by piece, drops marks that name no passage and passes the rest on.
 */
struct marks {
	size_t passages; /* valid marks are [1] .. [passages] */
	bool used;       /* a valid one was seen */
	char held[8];    /* the beginning of what may be a mark */
	size_t held_bytes;
	struct buf *text;                               /* all that was passed on */
	bool (*emit)(void *context, struct span piece); /* NULL allowed */
	void *context;
};

/* False when emit said stop, or text refused. */
bool marks_take(struct marks *m, struct span piece);
bool marks_end(struct marks *m); /* pass on what is held */

#endif
