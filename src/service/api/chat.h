/* api/chat.h -- private to api/: one chat completion, from the request to the shapes of the answer.
 *
 * The shapes are OpenAI's; the sources are in message.context.citations[] (in a stream in the delta
 * of the first chunk, before the first word) and message.annotations[] (in a stream in a chunk of
 * its own before the last, when the places of the marks are known). */
#ifndef API_CHAT_H
#define API_CHAT_H

#include "api/inside.h"
#include "qa/answer.h"

enum {
	CHAT_CONTENT_BYTES = 1024 * 1024, /* of one message */
	CHAT_PARTS_MAX = 64,
	CHAT_TOKENS_MAX = 1 << 20,
	CHAT_HITS_MAX = 20,
	CHAT_STOP_BYTES = 256,
	CHAT_SESSION_BYTES = 128,
	CHAT_EVENT_BYTES = 4 * 1024 * 1024, /* of one chunk: the citations */
	CHAT_ID_BYTES = 48,
};

struct chat_request {
	struct span model, session_id;
	struct span kb; /* data NULL: not given */
	bool stream, include_usage, generate;
	bool must_generate; /* asked for by name, not by default */
	struct llm_message *messages;
	size_t message_count;
	struct llm_request sampling; /* messages, cancel and emit are left empty */
	bool has_sampling;           /* some sampling field was given */
	size_t hits;                 /* 0 = default */
};

/* Read and check; what is wrong is in f->error. Texts point into the tree or lie in scope. */
void chat_read(struct fields *f, struct mem_scope *scope, struct chat_request *ret);

/* How an answer goes out. */
struct chat_writer {
	struct http_request *request;
	const struct chat_request *chat;
	char id[CHAT_ID_BYTES];
	int64_t created;
	const char *kb; /* NULL: plain chat */
	struct buf event;
	bool begun;     /* the stream has */
	size_t emitted; /* bytes of the text that went out */
	const struct citation *citations;
	size_t citation_count;
};

struct chat_result {
	struct span text;
	const char *finish; /* "stop", "length" */
	const char *mode;   /* NULL: plain chat */
	uint32_t prompt_tokens, cached_tokens, completion_tokens;
	double prompt_ms, generate_ms; /* 0: not known */
};

void chat_writer_init(struct chat_writer *w, struct http_request *r,
		      const struct chat_request *chat, const char *kb);
/* Callbacks for answer() and generator_run(); context is the writer. */
void chat_on_citations(void *context, const struct citation *list, size_t count);
bool chat_on_piece(void *context, struct span piece);
/* The end, in both forms. */
void chat_finish(struct chat_writer *w, const struct chat_result *result);
void chat_fail(struct chat_writer *w, const struct fault *fault);

#endif
