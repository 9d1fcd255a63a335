#include "embed/engine.h"

#include <string.h>

#include "base/assert.h"
#include "base/size.h"
#include "embed/encoder.h"
#include "embed/lane.h"
#include "embed/packed.h"
#include "embed/tokenizer.h"
#include "rt/file.h"

_Static_assert((int)EMBED_BF16 == (int)PACKED_BF16 && (int)EMBED_INT8 == (int)PACKED_INT8 &&
		       (int)EMBED_F32 == (int)PACKED_F32,
	       "options and files count precisions alike");

enum { WINDOWS_MAX = 256 /* of one batch; a full batch of shorter texts is run early */ };

/* What one call works in. */
struct workspace {
	struct encoder_work encoder;
	int32_t *ids; /* of the batch: rows_max */
	struct encoder_window windows[WINDOWS_MAX];
	size_t text_of[WINDOWS_MAX]; /* whose window it is */
	size_t window_count, rows;
	int32_t *stage;         /* one window that may not fit any more: tokens_max */
	float *vector;          /* of one window: dim */
	unsigned char *scratch; /* the tokenizer's */
};

struct prefix {
	struct span text;
	int32_t ids[EMBED_PREFIX_BYTES]; /* what it is on its own: repeated in the later windows of
					    a text */
	size_t count;
};

struct engine {
	struct embedder base; /* first */
	struct mem_scope *scope;
	struct file_map map;
	struct encoder encoder;
	struct tokenizer tokenizer;
	struct prefix prefixes[3]; /* by enum embed_kind */
	size_t batch_rows;
	struct lane queries, passages;
};

static struct engine *engine_of(const struct embedder *e)
{
	return (struct engine *)(uintptr_t)e;
}

/* ---- one call ---- */

struct call {
	struct engine *engine;
	struct workspace *work;
	const struct embed_job *job;
	const struct prefix *prefix;
	float *vectors;
	size_t tokens;
};

/* Run the batch and add each window's vector, weighed by its tokens, to its text's. */
static status call_flush(struct call *call, struct fault *reterr)
{
	const struct engine *e = call->engine;
	struct workspace *w = call->work;
	const struct encoder_batch batch = {.ids = w->ids,
					    .windows = w->windows,
					    .window_count = w->window_count,
					    .rows = w->rows,
					    .cancel = call->job->cancel};
	size_t dim = e->base.info.dim;
	if (w->rows == 0)
		return ST_OK;
	status st = encoder_run(&e->encoder, &w->encoder, &batch, reterr);
	for (size_t i = 0; st == ST_OK && i < w->window_count; i++) {
		float *sum = call->vectors + w->text_of[i] * dim,
		      weight = (float)w->windows[i].rows;
		encoder_pool(&e->encoder, &w->encoder, &w->windows[i], w->vector);
		for (size_t j = 0; j < dim; j++)
			sum[j] += weight * w->vector[j];
	}
	w->window_count = 0;
	w->rows = 0;
	return st;
}

/* Put the staged window into the batch; run the batch first if it would become too large. */
static status call_add_window(struct call *call, size_t text, size_t rows, struct fault *reterr)
{
	struct workspace *w = call->work;
	if (w->rows + rows > call->engine->batch_rows || w->window_count == WINDOWS_MAX) {
		status st = call_flush(call, reterr);
		if (st != ST_OK)
			return st;
	}
	ASSERT(w->rows + rows <= w->encoder.rows_max);
	memcpy(w->ids + w->rows, w->stage, rows * sizeof(*w->ids));
	w->windows[w->window_count] = (struct encoder_window){(uint32_t)w->rows, (uint32_t)rows};
	w->text_of[w->window_count++] = text;
	w->rows += rows;
	call->tokens += rows;
	return ST_OK;
}

/* Cut one text into windows of [first] prefix tokens [last]. The prefix is tokenized together with
 * the text, as the model was trained; later windows repeat its own tokens. */
static status call_add_text(struct call *call, size_t text, struct fault *reterr)
{
	const struct engine *e = call->engine;
	const struct packed_header *h = e->encoder.header;
	int32_t *stage = call->work->stage;
	struct tokenizer_cursor cursor;
	tokenizer_begin(&cursor, call->prefix->text, call->job->texts[text]);
	size_t windows = 0;
	for (;;) {
		size_t rows = 0;
		stage[rows++] = (int32_t)h->token_first;
		for (size_t i = 0; windows > 0 && i < call->prefix->count; i++)
			stage[rows++] = call->prefix->ids[i];
		size_t count = 0, room = h->tokens_max - 1 - rows;
		if (!cursor.done)
			count = tokenizer_encode(&e->tokenizer, &cursor, call->work->scratch,
						 stage + rows, room);
		if (count == 0 && windows > 0)
			return ST_OK; /* an empty text still is one window */
		rows += count;
		stage[rows++] = (int32_t)h->token_last;
		status st = call_add_window(call, text, rows, reterr);
		if (st != ST_OK)
			return st;
		windows++;
	}
}

static status call_run(struct call *call, struct fault *reterr)
{
	size_t dim = call->engine->base.info.dim, count = call->job->count;
	status st = ST_OK;
	memset(call->vectors, 0, count * dim * sizeof(*call->vectors));
	call->work->window_count = 0;
	call->work->rows = 0;
	for (size_t i = 0; st == ST_OK && i < count; i++) {
		if (cancel_is_set(call->job->cancel))
			return fault_set(reterr, ST_CANCELLED, "embedding was cancelled");
		st = call_add_text(call, i, reterr);
	}
	if (st == ST_OK)
		st = call_flush(call, reterr);
	for (size_t i = 0; st == ST_OK && i < count; i++)
		encoder_normalise(call->vectors + i * dim, dim);
	return st;
}

static status engine_embed(struct embedder *base, const struct embed_job *job, float *ret_vectors,
			   size_t *ret_tokens, struct fault *reterr)
{
	struct engine *e = engine_of(base);
	ASSERT(job->kind <= EMBED_PLAIN);
	size_t floats;
	if (!size_mul(job->count, e->base.info.dim * sizeof(float), &floats))
		return fault_set(reterr, ST_LIMIT, "too many texts: %zu", job->count);
	struct lane *lane = job->kind == EMBED_QUERY ? &e->queries : &e->passages;
	void *place = NULL;
	status st = lane_take(lane, job->cancel, &place, reterr);
	if (st != ST_OK)
		return st;
	struct call call = {.engine = e,
			    .work = place,
			    .job = job,
			    .prefix = &e->prefixes[job->kind],
			    .vectors = ret_vectors};
	st = call_run(&call, reterr);
	lane_give(lane, place);
	if (st == ST_OK && ret_tokens != NULL)
		*ret_tokens = call.tokens;
	return st;
}

/* The scratch lies on the stack (80 KiB of 512): counting waits for nobody. */
static status engine_count_tokens(struct embedder *base, struct span text, size_t *ret_tokens,
				  struct fault *reterr)
{
	_Alignas(16) unsigned char scratch[TOKENIZER_SCRATCH_BYTES];
	(void)reterr;
	*ret_tokens = tokenizer_count(&engine_of(base)->tokenizer, (struct span){0}, text, scratch);
	return ST_OK;
}

/* ---- open and close ---- */

static void engine_close(struct embedder *base)
{
	struct engine *e = engine_of(base);
	lane_fini(&e->queries);
	lane_fini(&e->passages);
	file_map_close(&e->map);
	mem_scope_close(e->scope);
}

static const struct embedder_ops engine_ops = {engine_embed, engine_count_tokens, engine_close};

static status workspace_new(struct engine *e, struct lane *lane, struct fault *reterr)
{
	const struct packed_header *h = e->encoder.header;
	size_t rows_max = size_max(e->batch_rows, h->tokens_max);
	struct workspace *w = mem_new(e->scope, struct workspace);
	unsigned char *memory = NULL;
	if (w != NULL) {
		w->ids = mem_new_array(e->scope, int32_t, rows_max);
		w->stage = mem_new_array(e->scope, int32_t, h->tokens_max);
		w->vector = mem_new_array(e->scope, float, h->dim);
		w->scratch = mem_new_aligned(e->scope, unsigned char, TOKENIZER_SCRATCH_BYTES, 16);
		memory = mem_new_aligned(e->scope, unsigned char,
					 encoder_work_bytes(&e->encoder, rows_max), 64);
	}
	if (memory == NULL || w->ids == NULL || w->stage == NULL || w->vector == NULL ||
	    w->scratch == NULL)
		return fault_set(reterr, mem_refusal(),
				 "no memory for a workspace of '%s' (%zu KiB)", h->name,
				 encoder_work_bytes(&e->encoder, rows_max) / KIB);
	encoder_work_init(&w->encoder, &e->encoder, rows_max, memory);
	lane_add(lane, w);
	return ST_OK;
}

static void prefix_init(struct engine *e, enum embed_kind kind, const char *text, void *scratch)
{
	struct prefix *p = &e->prefixes[kind];
	struct tokenizer_cursor cursor;
	p->text = span_of(text);
	tokenizer_begin(&cursor, (struct span){0}, span_trim(p->text));
	p->count = tokenizer_encode(&e->tokenizer, &cursor, scratch, p->ids, EMBED_PREFIX_BYTES);
}

static const char *const precision_name[] = {
	[EMBED_BF16] = "bf16", [EMBED_INT8] = "int8", [EMBED_F32] = "f32"};

static status model_open(struct engine *e, const char *path, const struct engine_options *options,
			 struct fault *reterr)
{
	const struct kernels *kernels = NULL;
	status st = file_map_open(path, &e->map, reterr);
	if (st == ST_OK)
		st = packed_check(e->map.data, e->map.bytes, reterr);
	if (st != ST_OK)
		return st;
	const struct packed_header *h = (const struct packed_header *)(const void *)e->map.data;
	if (h->precision != (uint32_t)options->precision)
		return fault_set(reterr, ST_UNSUPPORTED, "'%s' is packed as %s, not as %s", h->name,
				 precision_name[h->precision], precision_name[options->precision]);
	st = kernels_choose(options->kernel, (enum packed_precision)h->precision, &kernels, reterr);
	if (st != ST_OK)
		return st;
	encoder_init(&e->encoder, e->map.data, kernels);
	struct span section = {(const char *)e->map.data + h->tokenizer.offset, h->tokenizer.bytes};
	st = tokenizer_init(section, &e->tokenizer, reterr);
	if (st == ST_OK && e->tokenizer.vocabulary > h->vocab)
		st = fault_set(reterr, ST_CORRUPT, "'%s' has %u tokens but %u rows for them",
			       h->name, e->tokenizer.vocabulary, h->vocab);
	return st;
}

static status workspaces_open(struct engine *e, const struct engine_options *options,
			      struct fault *reterr)
{
	status st = ST_OK;
	e->batch_rows = encoder_batch_rows(&e->encoder);
	for (uint32_t i = 0; st == ST_OK && i < options->query_workspaces; i++)
		st = workspace_new(e, &e->queries, reterr);
	for (uint32_t i = 0; st == ST_OK && i < options->batch_workspaces; i++)
		st = workspace_new(e, &e->passages, reterr);
	if (st != ST_OK)
		return st;
	const struct packed_header *h = e->encoder.header;
	struct workspace *any = e->queries.idle[0];
	prefix_init(e, EMBED_QUERY, h->query_prefix, any->scratch);
	prefix_init(e, EMBED_PASSAGE, h->passage_prefix, any->scratch);
	e->base.info = (struct embedder_info){.dim = h->dim, .tokens_max = h->tokens_max};
	memcpy(e->base.info.name, h->name, sizeof(h->name));
	memcpy(e->base.info.id, h->id, sizeof(h->id));
	memcpy(e->base.info.query_prefix, h->query_prefix, sizeof(h->query_prefix));
	memcpy(e->base.info.passage_prefix, h->passage_prefix, sizeof(h->passage_prefix));
	e->base.ops = &engine_ops;
	return ST_OK;
}

static bool workspaces_are_sane(uint32_t count)
{
	return count >= 1 && count <= LANE_PLACES_MAX;
}

status engine_open(struct mem_scope *parent, const char *path, const struct engine_options *options,
		   struct embedder **ret_embedder, struct fault *reterr)
{
	if (!workspaces_are_sane(options->batch_workspaces) ||
	    !workspaces_are_sane(options->query_workspaces))
		return fault_set(reterr, ST_INVALID, "an engine has 1..%d workspaces of each kind",
				 LANE_PLACES_MAX);
	struct mem_scope *scope = mem_scope_open(parent, "embed", 0);
	if (scope == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for the model '%s'", path);
	struct engine *e = mem_new(scope, struct engine);
	if (e == NULL) {
		status refused =
			fault_set(reterr, mem_refusal(), "no memory for the model '%s'", path);
		mem_scope_close(scope);
		return refused;
	}
	e->scope = scope;
	lane_init(&e->queries, options->waiting_max);
	lane_init(&e->passages, options->waiting_max);
	status st = model_open(e, path, options, reterr);
	if (st == ST_OK)
		st = workspaces_open(e, options, reterr);
	if (st != ST_OK) {
		engine_close(&e->base);
		return st;
	}
	*ret_embedder = &e->base;
	return ST_OK;
}

const char *engine_kernel(const struct embedder *e)
{
	return engine_of(e)->encoder.kernels->name;
}
