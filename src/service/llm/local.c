#include "llm/local.h"

#include <errno.h>
#include <ggml-cpu.h>
#include <sched.h>
#include <time.h>

#include "base/assert.h"
#include "base/size.h"
#include "base/utf8.h"
#include "llm/border.h"
#include "rt/clock.h"
#include "rt/thread.h"

enum {
	CONTEXT_TOKENS_DEFAULT = 4096,
	KV_TOKENS_STEP = 256, /* libllama rounds a sequence's cells up to this */
	QUEUE_MAX_LIMIT = 65536,
	EMIT_BYTES = 4096,
	CANCEL_POLL_MS = 20,
	TEXT_BYTES_MAX = 4 * 1024 * 1024,
};

/* ---- callers ---- */

static void job_wait(struct local *l, struct job *job)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += CANCEL_POLL_MS * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000L;
	}
	(void)pthread_cond_timedwait(&job->wake, &l->lock, &until);
}

static status job_join(struct local *l, struct job *job, struct fault *reterr)
{
	status st = ST_OK;
	pthread_mutex_lock(&l->lock);
	if (l->running + l->waiting >= l->base.info.sequences + l->queue_max) {
		st = fault_set(reterr, ST_BUSY,
			       "%u requests are running and %u wait already; try again "
			       "later",
			       l->running, l->waiting);
	} else {
		job->state = JOB_WAITING;
		job->next = NULL;
		*l->queue_tail = job;
		l->queue_tail = &job->next;
		l->waiting++;
		pthread_cond_signal(&l->work);
	}
	pthread_mutex_unlock(&l->lock);
	return st;
}

/* The lock is held. */
static void job_leave_queue(struct local *l, struct job *job)
{
	struct job **link = &l->queue_head;
	while (*link != job)
		link = &(*link)->next;
	*link = job->next;
	if (job->next == NULL)
		l->queue_tail = link;
	l->waiting--;
	job->st = ST_CANCELLED;
	job->state = JOB_DONE;
}

/* Hand the text to emit as it grows; return once the loop has let go of the job. */
static void job_follow(struct local *l, struct job *job)
{
	const struct llm_request *request = job->request;
	size_t emitted = 0;
	for (;;) {
		char chunk[EMIT_BYTES];
		size_t bytes = 0;
		pthread_mutex_lock(&l->lock);
		for (;;) {
			if (job_is_cancelled(job) && job->state == JOB_WAITING)
				job_leave_queue(l, job);
			bool wanted = request->emit != NULL && !job_is_cancelled(job);
			if (job->state == JOB_DONE || (wanted && job->pieces.text.bytes > emitted))
				break;
			job_wait(l, job);
		}
		bool done = job->state == JOB_DONE;
		struct span text = span_slice(buf_span(&job->pieces.text), emitted, SIZE_MAX);
		if (request->emit != NULL && !job_is_cancelled(job) && job->st == ST_OK) {
			bytes = utf8_floor(text, size_min(text.bytes, EMIT_BYTES));
			memcpy(chunk, text.data, bytes);
		}
		pthread_mutex_unlock(&l->lock);
		if (bytes > 0 && !request->emit(request->emit_context, (struct span){chunk, bytes}))
			atomic_store(&job->abandoned, true);
		emitted += bytes;
		if (done && bytes == 0)
			return;
	}
}

static double ms_between(uint64_t from_ns, uint64_t to_ns)
{
	return to_ns > from_ns ? (double)(to_ns - from_ns) / 1e6 : 0.0;
}

static status job_result(struct job *job, struct llm_result *ret_result, struct fault *reterr)
{
	if (job->st == ST_OK && atomic_load(&job->abandoned))
		job->st = ST_CANCELLED;
	if (job->st == ST_CANCELLED)
		return fault_set(reterr, ST_CANCELLED, "the generation was cancelled");
	if (job->st != ST_OK)
		return fault_set(reterr, job->st, "%s", fault_text(&job->fault));
	*ret_result = (struct llm_result){
		.text = buf_span(&job->pieces.text),
		.finish = job->finish,
		.prompt_tokens = (uint32_t)job->prompt.count,
		.cached_tokens = job->cached,
		.completion_tokens = job->generated,
		.first_token_ms = ms_between(job->began_ns, job->first_ns),
		.prompt_ms = ms_between(job->admitted_ns, job->first_ns),
		.generate_ms = ms_between(job->first_ns, job->ended_ns),
	};
	return ST_OK;
}

/* Everything that needs no turn in the queue: tokens, sampler, room for the text. */
static status job_prepare(struct local *l, struct job *job, struct mem_scope *scratch,
			  struct fault *reterr)
{
	const struct llm_request *request = job->request;
	uint32_t context = l->base.info.context_tokens;
	status st = pieces_init(&job->pieces, scratch, request, TEXT_BYTES_MAX, reterr);
	if (st == ST_OK)
		st = llm_model_prompt(&l->model, request->messages, request->message_count, scratch,
				      &job->prompt, reterr);
	if (st != ST_OK)
		return st;
	if (job->prompt.count >= context)
		return fault_set(
			reterr, ST_LIMIT,
			"the prompt has %zu tokens; the context of '%s' holds %u with the answer",
			job->prompt.count, l->base.info.name, context);
	uint32_t room = context - (uint32_t)job->prompt.count;
	job->tokens_max =
		request->tokens_max == 0 || request->tokens_max > room ? room : request->tokens_max;
	return sampler_open(l->model.vocab, request, &job->sampler, reterr);
}

static status local_run(struct generator *g, const struct llm_request *request,
			struct mem_scope *scratch, struct llm_result *ret_result,
			struct fault *reterr)
{
	struct local *l = (struct local *)g;
	struct job job = {.request = request, .began_ns = clock_ns()};
	pthread_condattr_t monotonic;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&job.wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	status st = job_prepare(l, &job, scratch, reterr);
	if (st == ST_OK)
		st = job_join(l, &job, reterr);
	if (st == ST_OK) {
		job_follow(l, &job);
		st = job_result(&job, ret_result, reterr);
	}
	if (job.sampler != NULL)
		llama_sampler_free(job.sampler);
	pthread_cond_destroy(&job.wake);
	mem_free(job.prompt.token);
	buf_fini(&job.pieces.held);
	if (st != ST_OK)
		buf_fini(&job.pieces.text);
	return st;
}

static status local_count_prompt(struct generator *g, const struct llm_message *messages,
				 size_t count, size_t *ret_tokens, struct fault *reterr)
{
	struct local *l = (struct local *)g;
	CLEANUP(mem_scope_closep) struct mem_scope *scratch = mem_scope_open(l->scope, "count", 0);
	if (scratch == NULL)
		return fault_set(reterr, mem_refusal(), "no memory to count tokens");
	struct token_list list;
	status st = llm_model_prompt(&l->model, messages, count, scratch, &list, reterr);
	if (st == ST_OK)
		*ret_tokens = list.count;
	return st;
}

/* ---- open and close ---- */

static void local_close(struct generator *g)
{
	struct local *l = (struct local *)g;
	if (l->started) {
		pthread_mutex_lock(&l->lock);
		ASSERT(l->running + l->waiting == 0);
		l->closing = true;
		pthread_cond_signal(&l->work);
		pthread_mutex_unlock(&l->lock);
		pthread_join(l->thread, NULL);
	}
	if (l->batch != NULL)
		llama_batch_free(*l->batch);
	if (l->context != NULL)
		llama_free(l->context);
	if (l->threads != NULL)
		ggml_threadpool_free(l->threads);
	llm_model_close(&l->model);
	pthread_cond_destroy(&l->work);
	pthread_mutex_destroy(&l->lock);
	mem_scope_close(l->scope);
}

static const struct generator_ops local_ops = {
	.run = local_run, .count_prompt = local_count_prompt, .close = local_close};

static uint32_t threads_allowed(uint32_t wanted)
{
	cpu_set_t set;
	uint32_t cores = 1;
	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		cores = (uint32_t)CPU_COUNT(&set);
	return wanted > 0 && wanted < cores ? wanted : cores;
}

/* Sizes, before anything large is read. */
static status plan(const struct llm_local_options *o, const struct llm_file_info *file,
		   struct generator_info *ret_info, struct fault *reterr)
{
	if (file->is_encoder)
		return fault_set(reterr, ST_UNSUPPORTED,
				 "'%s' is an encoder (%s): it makes vectors, not text", file->name,
				 file->architecture);
	if (o->sequences < 1 || o->sequences > LOCAL_SEQUENCES_MAX ||
	    o->queue_max > QUEUE_MAX_LIMIT)
		return fault_set(reterr, ST_INVALID, "sequences can be 1 to %d, the queue 0 to %d",
				 LOCAL_SEQUENCES_MAX, QUEUE_MAX_LIMIT);
	uint32_t tokens = o->context_tokens != 0 ? o->context_tokens : CONTEXT_TOKENS_DEFAULT;
	if (file->context_train > 0 && tokens > file->context_train)
		tokens = file->context_train;
	struct generator_info info = {.context_tokens = tokens, .sequences = o->sequences};
	uint64_t cells = size_round_up(tokens, KV_TOKENS_STEP) * o->sequences;
	if (__builtin_mul_overflow(cells, file->kv_bytes_per_token, &info.kv_bytes))
		return fault_set(reterr, ST_LIMIT, "the KV cache of '%s' is too large", file->name);
	if (o->kv_bytes_max > 0 && info.kv_bytes > o->kv_bytes_max)
		return fault_set(reterr, ST_LIMIT,
				 "'%s' needs %llu MiB for the KV cache (%u sequences of %u "
				 "tokens), %llu MiB "
				 "are allowed: take fewer sequences or a shorter context",
				 file->name, (unsigned long long)(info.kv_bytes / MIB),
				 o->sequences, tokens, (unsigned long long)(o->kv_bytes_max / MIB));
	memcpy(info.name, file->name, sizeof(info.name));
	*ret_info = info;
	return ST_OK;
}

static status context_open(struct local *l, uint32_t threads, struct fault *reterr)
{
	const struct generator_info *info = &l->base.info;
	struct llama_context_params p = llama_context_default_params();
	p.n_ctx = (uint32_t)size_round_up(info->context_tokens, KV_TOKENS_STEP) * info->sequences;
	p.n_batch = p.n_ubatch = LOCAL_BATCH_TOKENS;
	p.n_seq_max = info->sequences;
	p.n_outputs_max = info->sequences;
	p.n_threads = p.n_threads_batch = (int32_t)threads;
	p.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED;
	p.kv_unified = false; /* what others generate must not change the order of sums */
	p.no_perf = true;
	p.abort_callback = local_may_abort;
	p.abort_callback_data = l;
	l->context = border_context_open(l->model.llama, p);
	if (l->context == NULL)
		return fault_set(reterr, ST_OOM,
				 "libllama cannot make a context for '%s' (%llu MiB of "
				 "KV cache): %s",
				 info->name, (unsigned long long)(info->kv_bytes / MIB),
				 llm_complaint());
	l->batch = mem_new(l->scope, struct llama_batch);
	if (l->batch == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for a batch");
	*l->batch = llama_batch_init(LOCAL_BATCH_TOKENS, 0, 1);
	if (threads > 1) {
		struct ggml_threadpool_params pool = ggml_threadpool_params_default((int)threads);
		pool.poll = 0; /* idle threads sleep */
		l->threads = ggml_threadpool_new(&pool);
		if (l->threads == NULL)
			return fault_set(reterr, ST_OOM, "cannot start %u threads", threads);
		llama_attach_threadpool(l->context, l->threads, l->threads);
	}
	/* A window that slides, or a state that only moves on, cannot be cut back. */
	l->keeps_prefix = llama_model_n_swa(l->model.llama) == 0 &&
			  !llama_model_is_recurrent(l->model.llama) &&
			  !llama_model_is_hybrid(l->model.llama);
	return ST_OK;
}

static status slots_open(struct local *l, struct fault *reterr)
{
	uint32_t tokens = l->base.info.context_tokens;
	llama_token *all =
		mem_new_array(l->scope, llama_token, (size_t)tokens * l->base.info.sequences);
	if (all == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for %u sequences",
				 l->base.info.sequences);
	for (uint32_t i = 0; i < l->base.info.sequences; i++)
		l->slot[i].token = all + (size_t)i * tokens;
	return ST_OK;
}

/* A model that would fail at each request fails at once: one that needs another way of decoding, or
 * whose chat template is absent or not known to libllama. */
static status check_model(struct local *l, struct fault *reterr)
{
	if (llama_model_has_encoder(l->model.llama) || llama_model_is_diffusion(l->model.llama))
		return fault_set(reterr, ST_UNSUPPORTED,
				 "'%s' (%s) does not write text token by token", l->base.info.name,
				 l->model.file.architecture);
	struct llm_message hello = {"user", SPAN("hello")};
	size_t tokens;
	return local_count_prompt(&l->base, &hello, 1, &tokens, reterr);
}

status llm_local_open(struct mem_scope *parent, const struct llm_local_options *options,
		      struct generator **ret_generator, struct fault *reterr)
{
	struct llm_file_info file;
	struct generator_info info;
	status st = llm_file_inspect(options->path, &file, reterr);
	if (st == ST_OK)
		st = plan(options, &file, &info, reterr);
	if (st != ST_OK)
		return st;
	struct mem_scope *scope = mem_scope_open(parent, "llm", 0);
	struct local *l = scope != NULL ? mem_new(scope, struct local) : NULL;
	if (l == NULL) {
		mem_scope_close(scope);
		return fault_set(reterr, mem_refusal(), "no memory for a generator");
	}
	l->base = (struct generator){.ops = &local_ops, .info = info};
	l->scope = scope;
	l->queue_max = options->queue_max;
	l->queue_tail = &l->queue_head;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->work, NULL);
	st = llm_model_open(scope, options->path, &file, &l->model, reterr);
	if (st == ST_OK) {
		l->base.info.weight_bytes = llama_model_size(l->model.llama);
		st = check_model(l, reterr);
	}
	if (st == ST_OK)
		st = context_open(l, threads_allowed(options->threads), reterr);
	if (st == ST_OK)
		st = slots_open(l, reterr);
	if (st == ST_OK)
		st = thread_start("generate", local_loop, l, &l->thread, reterr);
	if (st != ST_OK) {
		local_close(&l->base);
		return st;
	}
	l->started = true;
	*ret_generator = &l->base;
	return ST_OK;
}
