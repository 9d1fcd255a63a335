/* llm/local.h -- the two sides of the local generator: callers (local.c) and the decode loop
 * (decode.c).
 *
 *     caller: prompt to tokens, join the queue, then follow the text and emit it
 *     loop:   admit -> fill one batch from all sequences -> decode -> sample a token each -> again
 *
 * A job lives in its caller's frame. The caller leaves only when the job is JOB_DONE, and only the
 * loop makes a running job done; so the loop never meets a job that is gone.
 *
 * Prefix cache   A sequence keeps its keys and values when its job ends. The next job takes the
 *                idle sequence that shares the longest beginning with it and computes only the
 *                rest. So the cache's budget is the KV cache itself: bytes fixed at open, nothing
 *                is ever inserted.
 * Locking        `lock` guards the queue, the states of jobs, their text and their verdict. A job's
 *                sampler and prompt, and all slots, belong to the loop while the job runs. */
#ifndef LLM_LOCAL_H
#define LLM_LOCAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "llm/model.h"
#include "llm/pieces.h"

enum {
	LOCAL_SEQUENCES_MAX = 16,
	/* Tokens in one decode. More would hardly be faster on a CPU, but would make those who
	 * already generate wait longer for each prompt that arrives, and the work space larger. */
	LOCAL_BATCH_TOKENS = 128,
};

enum job_state { JOB_NEW, JOB_WAITING, JOB_RUNNING, JOB_DONE };

struct llama_batch;
struct llama_context;
struct llama_sampler;

struct job {
	const struct llm_request *request;
	struct token_list prompt;
	struct llama_sampler *sampler; /* NULL: greedy */
	struct pieces pieces;
	uint32_t tokens_max, generated, cached;
	uint64_t began_ns, admitted_ns, first_ns, ended_ns;
	const char *finish;
	atomic_bool abandoned; /* the caller wants to leave */
	enum job_state state;
	status st;
	struct fault fault;
	pthread_cond_t wake; /* text grew, or the job is done */
	struct job *next;    /* in the queue */
};

/* One sequence of the context. */
struct slot {
	struct job *job;    /* NULL: idle */
	llama_token *token; /* what the KV cache holds of it: token[0..kept) */
	uint32_t kept;
	uint32_t pending; /* tokens of it in the batch */
	int32_t output;   /* row of the batch that gives its next token; -1: none */
	llama_token next; /* sampled, not yet decoded; valid once kept >= prompt.count */
	uint64_t used_ns;
};

struct local {
	struct generator base;
	struct mem_scope *scope;
	struct llm_model model;
	struct llama_context *context;
	struct ggml_threadpool *threads; /* NULL: the loop's own thread does the work */
	struct llama_batch *batch;
	bool keeps_prefix; /* a sequence can be cut back to its beginning */
	struct slot slot[LOCAL_SEQUENCES_MAX];

	pthread_mutex_t lock;
	pthread_cond_t work; /* a job joined, or closing */
	struct job *queue_head, **queue_tail;
	uint32_t waiting, running, queue_max;
	bool closing, started;
	pthread_t thread;
};

/* The decode loop; context is the struct local. Returns NULL once closing. */
void *local_loop(void *context);

/* For libllama: true ends the running decode, when nobody waits for it any more. */
bool local_may_abort(void *context);

/* Has the caller, or whoever holds its cancel flag, given up? */
bool job_is_cancelled(struct job *job);

/* Samplers for a request; NULL for greedy. */
MUST_CHECK status sampler_open(const struct llama_vocab *vocab, const struct llm_request *request,
			       struct llama_sampler **ret_sampler, struct fault *reterr);

#endif
