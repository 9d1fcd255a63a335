/* Encoders of architectures that embed/ does not know, through libllama.
 *
 * One single-threaded context per core (two threads in one context collapse when a core is shared),
 * one of them kept for queries, so that a query never waits for a batch. A context takes whole
 * windows, up to BATCH_TOKENS together, each as a sequence of its own. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>

#include "base/assert.h"
#include "base/size.h"
#include "embed/embedder.h"
#include "llm/border.h"
#include "llm/model.h"
#include "llm/vectors.h"
#include "rt/buf.h"
#include "rt/digest.h"
#include "rt/file.h"

enum {
	BATCH_TOKENS = 512,
	BATCH_WINDOWS = 16,
	WORKERS_MAX = 5, /* four cores and the one for queries */
	WAITING_MAX = 64,
	WAIT_MS = 20,
	AFFIX_TOKENS_MAX = 8,
	SAMPLE_BYTES = 16 * 1024, /* of the file, for its fingerprint */
	SAMPLES = 128,
};

struct worker {
	struct llama_context *context;
	struct llama_batch batch;
	bool busy;
	const struct cancel *cancel; /* of the running call, for the abort callback */
	size_t of[BATCH_WINDOWS];    /* the text that a window belongs to */
	float weight[BATCH_WINDOWS]; /* its tokens */
	int32_t windows;
};

struct encoder {
	struct embedder base;
	struct mem_scope *scope;
	struct llm_model model;
	/* What the model wants before and after every window: [CLS], [SEP] and the like. */
	llama_token before[AFFIX_TOKENS_MAX], after[AFFIX_TOKENS_MAX];
	uint32_t before_count, after_count;
	struct worker worker[WORKERS_MAX]; /* worker[0] is for queries only */
	uint32_t worker_count, waiting;
	pthread_mutex_t lock;
	pthread_cond_t freed;
};

/* ---- turns ---- */

static struct worker *idle_worker(struct encoder *e, enum embed_kind kind)
{
	for (uint32_t i = kind == EMBED_QUERY ? 0 : 1; i < e->worker_count; i++) {
		if (!e->worker[i].busy)
			return &e->worker[i];
	}
	return NULL;
}

static status worker_take(struct encoder *e, const struct embed_job *job,
			  struct worker **ret_worker, struct fault *reterr)
{
	status st = ST_OK;
	pthread_mutex_lock(&e->lock);
	struct worker *w = idle_worker(e, job->kind);
	if (w == NULL && e->waiting >= WAITING_MAX)
		st = fault_set(reterr, ST_BUSY, "%u calls wait for '%s' already", e->waiting,
			       e->base.info.name);
	e->waiting++;
	while (st == ST_OK && w == NULL) {
		struct timespec until;
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += WAIT_MS * 1000000L;
		until.tv_sec += until.tv_nsec / 1000000000L;
		until.tv_nsec %= 1000000000L;
		(void)pthread_cond_timedwait(&e->freed, &e->lock, &until);
		if (cancel_is_set(job->cancel))
			st = fault_set(reterr, ST_CANCELLED, "the embedding was cancelled");
		w = idle_worker(e, job->kind);
	}
	e->waiting--;
	if (st == ST_OK) {
		w->busy = true;
		w->cancel = job->cancel;
		*ret_worker = w;
	}
	pthread_mutex_unlock(&e->lock);
	return st;
}

static void worker_give(struct encoder *e, struct worker *w)
{
	pthread_mutex_lock(&e->lock);
	w->busy = false;
	pthread_cond_broadcast(&e->freed); /* a passage must not swallow a query's wake-up */
	pthread_mutex_unlock(&e->lock);
}

static bool worker_may_abort(void *context)
{
	const struct worker *w = context;
	return cancel_is_set(w->cancel);
}

/* ---- one batch ---- */

static void batch_add(struct worker *w, llama_token token, uint32_t at)
{
	struct llama_batch *b = &w->batch;
	int32_t row = b->n_tokens++;
	ASSERT(row < BATCH_TOKENS);
	b->token[row] = token;
	b->pos[row] = (llama_pos)at;
	b->n_seq_id[row] = 1;
	b->seq_id[row][0] = w->windows;
	b->logits[row] = true; /* pooling needs every token */
}

static void batch_add_window(const struct encoder *e, struct worker *w, const llama_token *token,
			     size_t count, size_t of)
{
	uint32_t at = 0;
	for (uint32_t i = 0; i < e->before_count; i++)
		batch_add(w, e->before[i], at++);
	for (size_t i = 0; i < count; i++)
		batch_add(w, token[i], at++);
	for (uint32_t i = 0; i < e->after_count; i++)
		batch_add(w, e->after[i], at++);
	w->of[w->windows] = of;
	w->weight[w->windows] = (float)(count > 0 ? count : 1);
	w->windows++;
}

/* Run what the batch holds; add each window's vector, of length 1, with its weight to its text's
 * row. */
static status batch_run(const struct encoder *e, struct worker *w, float *vectors,
			struct fault *reterr)
{
	if (w->windows == 0)
		return ST_OK;
	llama_memory_t memory = llama_get_memory(w->context);
	if (memory != NULL)
		llama_memory_clear(memory, false);
	int32_t code = border_decode(w->context, w->batch);
	if (code == 2)
		return fault_set(reterr, ST_CANCELLED, "the embedding was cancelled");
	if (code != 0)
		return fault_set(reterr, ST_IO, "libllama could not encode (code %d) %s", code,
				 llm_complaint());
	for (int32_t i = 0; i < w->windows; i++) {
		float *vector = llama_get_embeddings_seq(w->context, i);
		float *row = vectors + w->of[i] * e->base.info.dim;
		if (vector == NULL)
			return fault_set(reterr, ST_IO, "libllama gave no vector");
		vectors_normalise(vector, e->base.info.dim);
		for (uint32_t d = 0; d < e->base.info.dim; d++)
			row[d] += w->weight[i] * vector[d];
	}
	w->batch.n_tokens = 0;
	w->windows = 0;
	return ST_OK;
}

/* ---- calls ---- */

static status text_add(const struct encoder *e, struct worker *w, const struct token_list *list,
		       size_t of, float *vectors, struct fault *reterr)
{
	uint32_t affixes = e->before_count + e->after_count;
	size_t window_max = e->base.info.tokens_max - affixes, at = 0;
	do {
		size_t count = size_min(list->count - at, window_max);
		if (w->windows == BATCH_WINDOWS ||
		    (size_t)w->batch.n_tokens + count + affixes > BATCH_TOKENS) {
			status st = batch_run(e, w, vectors, reterr);
			if (st != ST_OK)
				return st;
		}
		batch_add_window(e, w, list->token + at, count, of);
		at += count;
	} while (at < list->count);
	return ST_OK;
}

static status text_tokens(struct encoder *e, struct span prefix, struct span text,
			  struct mem_scope *scratch, struct token_list *ret_list,
			  struct fault *reterr)
{
	struct buf whole;
	if (prefix.bytes == 0)
		return llm_model_tokens(&e->model, text, false, scratch, ret_list, reterr);
	buf_init(&whole, scratch, LLM_PROMPT_BYTES_MAX);
	buf_add(&whole, prefix);
	buf_add(&whole, text);
	status st = buf_check(&whole, "a text", reterr);
	if (st == ST_OK)
		st = llm_model_tokens(&e->model, buf_span(&whole), false, scratch, ret_list,
				      reterr);
	buf_fini(&whole);
	return st;
}

static status job_run(struct encoder *e, struct worker *w, const struct embed_job *job,
		      float *vectors, size_t *ret_tokens, struct fault *reterr)
{
	CLEANUP(mem_scope_closep) struct mem_scope *scratch = mem_scope_open(e->scope, "call", 0);
	struct span prefix = vectors_prefix(&e->base.info, job->kind);
	status st = ST_OK;
	if (scratch == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for tokens");
	memset(vectors, 0, job->count * e->base.info.dim * sizeof(float));
	w->batch.n_tokens = 0;
	w->windows = 0;
	*ret_tokens = 0;
	for (size_t i = 0; i < job->count && st == ST_OK; i++) {
		struct token_list list;
		if (cancel_is_set(job->cancel))
			return fault_set(reterr, ST_CANCELLED, "the embedding was cancelled");
		st = text_tokens(e, prefix, job->texts[i], scratch, &list, reterr);
		if (st != ST_OK)
			break;
		*ret_tokens += list.count;
		st = text_add(e, w, &list, i, vectors, reterr);
		mem_free(list.token);
	}
	if (st == ST_OK)
		st = batch_run(e, w, vectors, reterr);
	for (size_t i = 0; i < job->count && st == ST_OK; i++)
		vectors_normalise(vectors + i * e->base.info.dim, e->base.info.dim);
	return st;
}

static status encoder_embed(struct embedder *base, const struct embed_job *job, float *ret_vectors,
			    size_t *ret_tokens, struct fault *reterr)
{
	struct encoder *e = (struct encoder *)base;
	struct worker *w = NULL;
	size_t tokens = 0;
	status st = worker_take(e, job, &w, reterr);
	if (st != ST_OK)
		return st;
	st = job_run(e, w, job, ret_vectors, &tokens, reterr);
	worker_give(e, w);
	if (st == ST_OK && ret_tokens != NULL)
		*ret_tokens = tokens;
	return st;
}

static status encoder_count_tokens(struct embedder *base, struct span text, size_t *ret_tokens,
				   struct fault *reterr)
{
	struct encoder *e = (struct encoder *)base;
	CLEANUP(mem_scope_closep) struct mem_scope *scratch = mem_scope_open(e->scope, "count", 0);
	struct token_list list;
	if (scratch == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for tokens");
	status st = llm_model_tokens(&e->model, text, false, scratch, &list, reterr);
	if (st == ST_OK)
		*ret_tokens = list.count;
	return st;
}

/* ---- open and close ---- */

static void encoder_close(struct embedder *base)
{
	struct encoder *e = (struct encoder *)base;
	for (uint32_t i = 0; i < WORKERS_MAX; i++) {
		if (e->worker[i].batch.token != NULL)
			llama_batch_free(e->worker[i].batch);
		if (e->worker[i].context != NULL)
			llama_free(e->worker[i].context);
	}
	llm_model_close(&e->model);
	pthread_cond_destroy(&e->freed);
	pthread_mutex_destroy(&e->lock);
	mem_scope_close(e->scope);
}

static const struct embedder_ops encoder_ops = {
	.embed = encoder_embed, .count_tokens = encoder_count_tokens, .close = encoder_close};

static status worker_open(struct encoder *e, struct worker *w, enum llama_pooling_type pooling,
			  struct fault *reterr)
{
	struct llama_context_params p = llama_context_default_params();
	p.n_ctx = p.n_batch = p.n_ubatch = BATCH_TOKENS;
	p.n_seq_max = BATCH_WINDOWS;
	p.n_threads = p.n_threads_batch = 1;
	p.embeddings = true;
	p.pooling_type = pooling;
	p.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED;
	p.kv_unified = true;
	p.no_perf = true;
	p.abort_callback = worker_may_abort;
	p.abort_callback_data = w;
	w->context = border_context_open(e->model.llama, p);
	if (w->context == NULL)
		return fault_set(reterr, ST_OOM, "libllama cannot make a context for '%s': %s",
				 e->base.info.name, llm_complaint());
	if (llama_pooling_type(w->context) == LLAMA_POOLING_TYPE_NONE) {
		llama_free(w->context);
		w->context = NULL;
		return worker_open(e, w, LLAMA_POOLING_TYPE_MEAN, reterr);
	}
	if (llama_pooling_type(w->context) == LLAMA_POOLING_TYPE_RANK)
		return fault_set(reterr, ST_UNSUPPORTED,
				 "'%s' ranks pairs of texts; it makes no vectors",
				 e->base.info.name);
	w->batch = llama_batch_init(BATCH_TOKENS, 0, 1);
	return ST_OK;
}

static status workers_open(struct encoder *e, struct fault *reterr)
{
	cpu_set_t set;
	uint32_t cores = 1;
	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		cores = (uint32_t)CPU_COUNT(&set);
	e->worker_count = (uint32_t)size_min(cores + 1, WORKERS_MAX);
	status st = ST_OK;
	for (uint32_t i = 0; i < e->worker_count && st == ST_OK; i++)
		st = worker_open(e, &e->worker[i], LLAMA_POOLING_TYPE_UNSPECIFIED, reterr);
	return st;
}

/* The special tokens of "a", taken apart around its plain tokens. */
static status affixes_find(struct encoder *e, struct fault *reterr)
{
	struct token_list plain = {0}, whole = {0};
	status st = llm_model_tokens(&e->model, SPAN("a"), false, e->scope, &plain, reterr);
	if (st == ST_OK)
		st = llm_model_tokens(&e->model, SPAN("a"), true, e->scope, &whole, reterr);
	if (st != ST_OK)
		return st;
	size_t at = 0;
	while (at + plain.count <= whole.count &&
	       memcmp(whole.token + at, plain.token, plain.count * sizeof(*plain.token)) != 0)
		at++;
	size_t rest = whole.count - plain.count - at;
	if (at + plain.count > whole.count || at > AFFIX_TOKENS_MAX || rest > AFFIX_TOKENS_MAX) {
		st = fault_set(reterr, ST_UNSUPPORTED, "the tokenizer of '%s' is not understood",
			       e->base.info.name);
	} else {
		memcpy(e->before, whole.token, at * sizeof(*whole.token));
		memcpy(e->after, whole.token + at + plain.count, rest * sizeof(*whole.token));
		e->before_count = (uint32_t)at;
		e->after_count = (uint32_t)rest;
	}
	mem_free(plain.token);
	mem_free(whole.token);
	return st;
}

/* A fingerprint of the weights: the file's size and samples all over it. Reading the whole file
 * would cost seconds at every start for a large model, and tell no more: other weights differ
 * everywhere. */
static status fingerprint(const char *path, char out[SHA256_HEX_BYTES], struct fault *reterr)
{
	struct file_map map = {0};
	struct sha256_stream stream = {0};
	struct sha256 digest;
	status st = file_map_open(path, &map, reterr);
	if (st == ST_OK)
		st = sha256_init(&stream, reterr);
	if (st == ST_OK)
		st = sha256_update(&stream,
				   (struct span){(const char *)&map.bytes, sizeof(map.bytes)},
				   reterr);
	size_t stride = size_max(map.bytes / SAMPLES, SAMPLE_BYTES);
	for (size_t at = 0; at < map.bytes && st == ST_OK; at += stride) {
		size_t bytes = size_min(SAMPLE_BYTES, map.bytes - at);
		st = sha256_update(&stream, (struct span){(const char *)map.data + at, bytes},
				   reterr);
	}
	if (st == ST_OK)
		st = sha256_final(&stream, &digest, reterr);
	if (st == ST_OK)
		sha256_hex(&digest, out);
	sha256_fini(&stream);
	file_map_close(&map);
	return st;
}

static status describe(struct encoder *e, const char *path, struct fault *reterr)
{
	struct embedder_info *info = &e->base.info;
	char hex[SHA256_HEX_BYTES];
	status st = fingerprint(path, hex, reterr);
	if (st != ST_OK)
		return st;
	struct span name = path_base(path);
	if (name.bytes > 5 && memcmp(name.data + name.bytes - 5, ".gguf", 5) == 0)
		name.bytes -= 5;
	snprintf(info->name, sizeof(info->name), "%.*s", SPAN_ARG(name));
	snprintf(info->id, sizeof(info->id), "%.60s-%.12s", info->name, hex);
	int32_t dim = llama_model_n_embd_out(e->model.llama);
	if (dim < 1 || dim > EMBED_DIM_MAX)
		return fault_set(reterr, ST_UNSUPPORTED,
				 "'%s' makes vectors of %d numbers; at most %d are "
				 "possible",
				 info->name, dim, EMBED_DIM_MAX);
	info->dim = (uint32_t)dim;
	info->tokens_max = (uint32_t)size_min(e->model.file.context_train, BATCH_TOKENS);
	if (info->tokens_max < 4 * AFFIX_TOKENS_MAX)
		return fault_set(reterr, ST_UNSUPPORTED, "'%s' reads only %u tokens", info->name,
				 info->tokens_max);
	vectors_set_prefixes(info);
	return affixes_find(e, reterr);
}

status llm_encoder_open(struct mem_scope *parent, const char *gguf_path,
			struct embedder **ret_embedder, struct fault *reterr)
{
	struct llm_file_info file;
	pthread_condattr_t monotonic;
	status st = llm_file_inspect(gguf_path, &file, reterr);
	if (st != ST_OK)
		return st;
	if (!file.is_encoder)
		return fault_set(reterr, ST_UNSUPPORTED,
				 "'%s' is not an encoder (%s): it makes text, not vectors",
				 file.name, file.architecture);
	struct mem_scope *scope = mem_scope_open(parent, "llm_encoder", 0);
	struct encoder *e = scope != NULL ? mem_new(scope, struct encoder) : NULL;
	if (e == NULL) {
		mem_scope_close(scope);
		return fault_set(reterr, mem_refusal(), "no memory for an encoder");
	}
	e->base.ops = &encoder_ops;
	e->scope = scope;
	pthread_mutex_init(&e->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&e->freed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	st = llm_model_open(scope, gguf_path, &file, &e->model, reterr);
	if (st == ST_OK)
		st = describe(e, gguf_path, reterr);
	if (st == ST_OK)
		st = workers_open(e, reterr);
	if (st != ST_OK)
		encoder_close(&e->base);
	else
		*ret_embedder = &e->base;
	return st;
}
