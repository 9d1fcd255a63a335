/* llm/llm.h -- text generation, by libllama in this process or by a remote endpoint; one interface.
 *
 * One model object per process and one context with several sequences; a dedicated thread decodes
 * all of them in one batch, step by step. Requests wait in a bounded queue (ST_BUSY beyond it).
 *
 * Threads  generator_run() may be called by many threads at once; it blocks its caller and calls
 *          `emit` in that thread.
 * Cancel   The sequence is released within one step of cancel being set or emit returning false. */
#ifndef LLM_LLM_H
#define LLM_LLM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"
#include "mem/scope.h"
#include "rt/cancel.h"

enum { LLM_MESSAGES_MAX = 256, LLM_STOPS_MAX = 8, LLM_NAME_BYTES = 96 };

struct llm_message {
	const char *role; /* "system", "user", "assistant" */
	struct span content;
};

struct llm_request {
	const struct llm_message *messages;
	size_t message_count;
	uint32_t tokens_max; /* to generate; 0 = up to the context */
	float temperature;   /* 0 = greedy */
	float top_p, min_p;  /* 1 and 0 = off; a top_p of 0 is off, too */
	int32_t top_k;       /* 0 = off */
	float repeat_penalty, frequency_penalty, presence_penalty; /* 1 (or 0), 0, 0 = off */
	uint32_t seed; /* UINT32_MAX = another one each time */
	struct span stop[LLM_STOPS_MAX];
	size_t stop_count;
	const struct cancel *cancel;
	/* Whole code points only; false stops the generation. NULL: the final text will do. */
	bool (*emit)(void *context, struct span piece);
	void *emit_context;
};

struct llm_result {
	struct span text;   /* all that was emitted, in scratch */
	const char *finish; /* "stop" or "length" */
	uint32_t prompt_tokens, cached_tokens, completion_tokens;
	double first_token_ms, prompt_ms, generate_ms;
};

struct generator_info {
	char name[LLM_NAME_BYTES];
	uint32_t context_tokens; /* of one sequence */
	uint32_t sequences;
	uint64_t weight_bytes, kv_bytes;
	bool remote;
};

struct generator;

struct generator_ops {
	status (*run)(struct generator *g, const struct llm_request *request,
		      struct mem_scope *scratch, struct llm_result *ret_result,
		      struct fault *reterr);
	/* Tokens of the messages as the model's template writes them. Remote: estimated, never too
	 * low. */
	status (*count_prompt)(struct generator *g, const struct llm_message *messages,
			       size_t count, size_t *ret_tokens, struct fault *reterr);
	void (*close)(struct generator *g);
};

struct generator {
	const struct generator_ops *ops;
	struct generator_info info;
};

/* Answer the messages. scratch must outlive the call; ret_result->text lives in it. ST_BUSY: the
 * queue is full. ST_LIMIT: the prompt does not fit the context. ST_CANCELLED: cancel was set, or
 * emit returned false. ST_REMOTE, ST_TIMEOUT: the endpoint failed. */
MUST_CHECK static inline status generator_run(struct generator *g,
					      const struct llm_request *request,
					      struct mem_scope *scratch,
					      struct llm_result *ret_result, struct fault *reterr)
{
	return g->ops->run(g, request, scratch, ret_result, reterr);
}

MUST_CHECK static inline status generator_count_prompt(struct generator *g,
						       const struct llm_message *messages,
						       size_t count, size_t *ret_tokens,
						       struct fault *reterr)
{
	return g->ops->count_prompt(g, messages, count, ret_tokens, reterr);
}

/* Give everything back. No request may be running: cancel them and let them return first. NULL is
 * allowed. */
static inline void generator_close(struct generator *g)
{
	if (g != NULL)
		g->ops->close(g);
}

struct llm_local_options {
	const char *path; /* a GGUF file */
	uint32_t context_tokens; /* of each sequence; 0 = 4096; at most what it was made for */
	uint32_t sequences;      /* at once, 1..16 */
	uint32_t queue_max;      /* requests that may wait */
	uint32_t threads;        /* 0 = the cores this process may use */
	uint64_t kv_bytes_max;   /* refuse to load when the KV cache needs more; 0 = no limit */
};
MUST_CHECK status llm_local_open(struct mem_scope *parent, const struct llm_local_options *options,
				 struct generator **ret_generator, struct fault *reterr);

struct llm_remote_options {
	const char *base_url;                        /* "http://127.0.0.1:8000/v1" */
	const char *model, *api_key;                 /* key may be "" */
	uint32_t connect_ms, first_byte_ms, idle_ms; /* 0 = defaults 5 s, 60 s, 30 s */
	uint32_t retries_max;                        /* before the first byte of the answer */
	uint32_t context_tokens;                     /* of the remote model; 0 = 8192 */
	uint32_t at_once_max;
};
MUST_CHECK status llm_remote_open(struct mem_scope *parent,
				  const struct llm_remote_options *options,
				  struct generator **ret_generator, struct fault *reterr);

struct embedder;
/* Encoders that embed/ does not know, by libllama; and a remote /embeddings endpoint. */
MUST_CHECK status llm_encoder_open(struct mem_scope *parent, const char *gguf_path,
				   struct embedder **ret_embedder, struct fault *reterr);
MUST_CHECK status llm_remote_encoder_open(struct mem_scope *parent,
					  const struct llm_remote_options *options, uint32_t dim,
					  struct embedder **ret_embedder, struct fault *reterr);

/* What a GGUF file holds, without loading weights: architecture, name, parameters, context, KV
 * bytes per token. */
struct llm_file_info {
	char architecture[32], name[LLM_NAME_BYTES];
	uint64_t parameters, bytes, kv_bytes_per_token;
	uint32_t context_train;
	bool has_chat_template, is_encoder;
};
MUST_CHECK status llm_file_inspect(const char *gguf_path, struct llm_file_info *ret_info,
				   struct fault *reterr);

#endif
