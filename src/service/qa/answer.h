/* qa/answer.h -- a question to an answer with sources: generated with [n] marks, or the best
 * sentences quoted, or an honest "the knowledge base does not say".
 *
 * The citations are known before the first token and handed to on_citations() then. The language of
 * fixed sentences follows the question (Han characters: Chinese). */
#ifndef QA_ANSWER_H
#define QA_ANSWER_H

#include "qa/retrieve.h"

enum answer_mode { ANSWER_GENERATED, ANSWER_EXTRACTIVE, ANSWER_NO_EVIDENCE };
const char *answer_mode_name(enum answer_mode mode); /* "generated", "extractive", "no_evidence" */

enum { ANSWER_CITATIONS_MAX = 10, ANSWER_QUOTE_CHARS = 200 };

/* text is exactly what bytes start..end of the document's text form hold (doc/doc.h). */
struct citation {
	uint64_t chunk_id;
	const char *kb;
	struct span doc_id, file, title, text;
	uint32_t page;
	uint64_t start, end;
	float score;
};

struct answer_request {
	const char *kb;
	struct span question;
	const struct llm_message *history; /* earlier turns, oldest first; may be NULL */
	size_t history_count;
	size_t hits_max;        /* passages to read at most; 0 = 6 */
	bool no_generate;       /* extractive even if a model is there */
	bool must_generate;     /* even by a model that does not fit the question */
	bool allow_no_evidence; /* let the model answer from itself when the KB does not say */
	const struct llm_request *sampling; /* NULL = defaults; messages and emit are ignored */
	const struct cancel *cancel;
	/* Called once, before the first emit. */
	void (*on_citations)(void *context, const struct citation *list, size_t count);
	bool (*emit)(void *context, struct span piece); /* NULL allowed */
	void *context;
};

struct answer {
	struct span text;
	enum answer_mode mode;
	struct citation *citations;
	size_t citation_count;
	const char *finish; /* "stop" or "length" */
	uint32_t prompt_tokens, completion_tokens;
	double took_ms;
};

/* All results live in scratch. */
MUST_CHECK status answer(struct service *s, const struct answer_request *request,
			 struct mem_scope *scratch, struct answer *ret_answer,
			 struct fault *reterr);

#endif
