/* The decode loop: one thread, one context, all sequences in one batch. */
#include "base/assert.h"
#include "base/size.h"
#include "llm/border.h"
#include "llm/local.h"
#include "rt/clock.h"

enum { PIECE_BYTES = 1024 };

bool job_is_cancelled(struct job *job)
{
	return atomic_load_explicit(&job->abandoned, memory_order_relaxed) ||
	       cancel_is_set(job->request->cancel);
}

/* Called by libllama in the loop's own thread, so slots may be read. */
bool local_may_abort(void *context)
{
	struct local *l = context;
	bool any = false;
	for (uint32_t i = 0; i < l->base.info.sequences; i++) {
		struct job *job = l->slot[i].job;
		if (job == NULL)
			continue;
		if (!job_is_cancelled(job))
			return false;
		any = true;
	}
	return any;
}

/* Cut the sequence back to its first `kept` tokens. */
static void slot_cut(struct local *l, struct slot *slot, uint32_t kept)
{
	llama_memory_t memory = llama_get_memory(l->context);
	llama_seq_id seq = (llama_seq_id)(slot - l->slot);
	if (kept == 0 || !llama_memory_seq_rm(memory, seq, (llama_pos)kept, -1)) {
		(void)llama_memory_seq_rm(memory, seq, -1, -1);
		kept = 0;
	}
	slot->kept = kept;
}

/* The job is over; its caller may leave. The lock is held. */
static void slot_end(struct local *l, struct slot *slot, status st)
{
	struct job *job = slot->job;
	job->ended_ns = clock_ns();
	job->st = st;
	job->state = JOB_DONE;
	slot->used_ns = job->ended_ns;
	slot->job = NULL;
	l->running--;
	pthread_cond_signal(&job->wake);
}

static uint32_t common_prefix(const struct slot *slot, const struct token_list *prompt)
{
	uint32_t n = 0;
	while (n < slot->kept && n < prompt->count && slot->token[n] == prompt->token[n])
		n++;
	return n;
}

/* The idle sequence that shares most with the prompt, among equals the one unused for longest. */
static struct slot *slot_for(struct local *l, const struct token_list *prompt, uint32_t *ret_common)
{
	struct slot *best = NULL;
	for (uint32_t i = 0; i < l->base.info.sequences; i++) {
		struct slot *slot = &l->slot[i];
		if (slot->job != NULL)
			continue;
		uint32_t common = l->keeps_prefix ? common_prefix(slot, prompt) : 0;
		if (best == NULL || common > *ret_common ||
		    (common == *ret_common && slot->used_ns < best->used_ns)) {
			best = slot;
			*ret_common = common;
		}
	}
	return best;
}

/* Move waiting jobs into idle sequences. The lock is held. */
static void admit(struct local *l)
{
	while (l->queue_head != NULL && l->running < l->base.info.sequences) {
		struct job *job = l->queue_head;
		l->queue_head = job->next;
		if (l->queue_head == NULL)
			l->queue_tail = &l->queue_head;
		l->waiting--;
		l->running++;
		uint32_t common = 0;
		struct slot *slot = slot_for(l, &job->prompt, &common);
		ASSERT(slot != NULL);
		/* The last token of the prompt is always decoded: it gives the answer's first. */
		if (common == job->prompt.count)
			common--;
		slot_cut(l, slot, common);
		job->cached = slot->kept;
		job->state = JOB_RUNNING;
		job->admitted_ns = clock_ns();
		slot->job = job;
	}
}

/* Release the sequences of those who gave up. The lock is held. */
static void release_cancelled(struct local *l)
{
	for (uint32_t i = 0; i < l->base.info.sequences; i++) {
		struct slot *slot = &l->slot[i];
		if (slot->job != NULL && job_is_cancelled(slot->job))
			slot_end(l, slot, ST_CANCELLED);
	}
}

static void batch_add(struct local *l, struct slot *slot, llama_token token, bool output)
{
	struct llama_batch *b = l->batch;
	int32_t row = b->n_tokens++;
	uint32_t at = slot->kept + slot->pending++;
	ASSERT(at < l->base.info.context_tokens);
	slot->token[at] = token;
	b->token[row] = token;
	b->pos[row] = (llama_pos)at;
	b->n_seq_id[row] = 1;
	b->seq_id[row][0] = (llama_seq_id)(slot - l->slot);
	b->logits[row] = output;
	if (output)
		slot->output = row;
}

/* One token of every sequence that generates; then of the waiting prompts what fits. */
static void batch_fill(struct local *l)
{
	l->batch->n_tokens = 0;
	for (uint32_t i = 0; i < l->base.info.sequences; i++) {
		struct slot *slot = &l->slot[i];
		slot->pending = 0;
		slot->output = -1;
		if (slot->job != NULL && slot->kept >= slot->job->prompt.count)
			batch_add(l, slot, slot->next, true);
	}
	for (uint32_t i = 0; i < l->base.info.sequences; i++) {
		struct slot *slot = &l->slot[i];
		if (slot->job == NULL || slot->pending > 0)
			continue;
		const struct token_list *prompt = &slot->job->prompt;
		for (size_t at = slot->kept;
		     at < prompt->count && l->batch->n_tokens < LOCAL_BATCH_TOKENS; at++)
			batch_add(l, slot, prompt->token[at], at + 1 == prompt->count);
	}
}

/* After a decode that failed or was ended early some of its tokens may be in the KV cache: cut
 * every sequence back to what is certain. */
static void decode_failed(struct local *l, int32_t code)
{
	pthread_mutex_lock(&l->lock);
	for (uint32_t i = 0; i < l->base.info.sequences; i++) {
		struct slot *slot = &l->slot[i];
		if (slot->pending == 0)
			continue;
		slot_cut(l, slot, slot->kept);
		if (code == 2 || slot->job == NULL)
			continue; /* by local_may_abort(): release_cancelled() tells the caller */
		status st =
			fault_set(&slot->job->fault, code == 1 ? ST_LIMIT : ST_IO,
				  "libllama could not decode (code %d) %s", code, llm_complaint());
		slot_end(l, slot, st);
	}
	pthread_mutex_unlock(&l->lock);
}

static llama_token sample(struct local *l, const struct slot *slot)
{
	if (slot->job->sampler != NULL)
		return border_sample(slot->job->sampler, l->context, slot->output);
	const float *logit = llama_get_logits_ith(l->context, slot->output);
	int32_t count = llama_vocab_n_tokens(l->model.vocab);
	llama_token best = 0;
	for (llama_token t = 1; t < count; t++) {
		if (logit[t] > logit[best])
			best = t;
	}
	return best;
}

/* The text of a token joins the answer. The lock is held. */
static status token_take(struct local *l, struct job *job, llama_token token)
{
	char piece[PIECE_BYTES];
	bool stopped = false;
	if (token < 0)
		return fault_set(&job->fault, ST_OOM, "libllama could not sample: %s",
				 llm_complaint());
	if (llama_vocab_is_eog(l->model.vocab, token)) {
		job->finish = "stop";
		return pieces_end(&job->pieces, &job->fault);
	}
	job->generated++;
	int32_t bytes = llama_token_to_piece(l->model.vocab, token, piece, sizeof(piece), 0, false);
	if (bytes < 0)
		return fault_set(&job->fault, ST_CORRUPT, "token %d has %d bytes of text", token,
				 -bytes);
	status st = pieces_add(&job->pieces, (struct span){piece, (size_t)bytes}, &stopped,
			       &job->fault);
	if (st == ST_OK && stopped) {
		job->finish = "stop";
	} else if (st == ST_OK && job->generated >= job->tokens_max) {
		job->finish = "length";
		st = pieces_end(&job->pieces, &job->fault);
	}
	return st;
}

/* What was decoded is kept; every sequence with an output gets its next token. */
static void step_finish(struct local *l)
{
	for (uint32_t i = 0; i < l->base.info.sequences; i++) {
		struct slot *slot = &l->slot[i];
		slot->kept += slot->pending;
		if (slot->pending == 0 || slot->output < 0)
			continue;
		llama_token token = sample(l, slot);
		struct job *job = slot->job;
		pthread_mutex_lock(&l->lock);
		if (job->first_ns == 0)
			job->first_ns = clock_ns();
		status st = token_take(l, job, token);
		slot->next = token;
		if (st != ST_OK || job->finish != NULL)
			slot_end(l, slot, st);
		else
			pthread_cond_signal(&job->wake);
		pthread_mutex_unlock(&l->lock);
	}
}

void *local_loop(void *context)
{
	struct local *l = context;
	for (;;) {
		pthread_mutex_lock(&l->lock);
		release_cancelled(l);
		while (!l->closing && l->queue_head == NULL && l->running == 0)
			pthread_cond_wait(&l->work, &l->lock);
		bool closing = l->closing;
		admit(l);
		pthread_mutex_unlock(&l->lock);
		if (closing)
			return NULL;
		batch_fill(l);
		int32_t code = border_decode(l->context, *l->batch);
		if (code == 0)
			step_finish(l);
		else
			decode_failed(l, code);
	}
}
