/* An embedder on the other side of an OpenAI-compatible endpoint. */
#include <math.h>
#include <stdio.h>

#include "base/size.h"
#include "base/utf8.h"
#include "embed/embedder.h"
#include "llm/transport.h"
#include "llm/vectors.h"
#include "rt/json.h"

enum {
	TOKENS_MAX_DEFAULT = 512,
	CALL_TEXTS_MAX = 64,
	CALL_BYTES_MAX = 512 * 1024,
	NUMBER_BYTES = 32, /* of one float written out, at most */
};

struct remote_encoder {
	struct embedder base;
	struct mem_scope *scope;
	struct transport *transport;
	const char *model;
};

/* Texts of one call, each a window of a text of the job. */
struct window {
	struct span text;
	size_t of;
	float weight;
};

struct call {
	struct remote_encoder *e;
	struct mem_scope *scratch;
	struct window window[CALL_TEXTS_MAX];
	size_t count, bytes;
	struct span prefix;
	const struct cancel *cancel;
	float *vectors; /* of the job: sums of weighted windows */
	struct buf answer;
};

static status answer_part(void *context, struct span bytes, struct fault *reterr)
{
	struct call *c = context;
	buf_add(&c->answer, bytes);
	return buf_check(&c->answer, "the answer", reterr);
}

static status call_body(const struct call *c, struct buf *out, struct fault *reterr)
{
	struct json_writer w;
	struct buf text;
	buf_init(&text, c->scratch, CALL_BYTES_MAX + EMBED_PREFIX_BYTES);
	json_writer_init(&w, out);
	json_object(&w);
	json_put_text(&w, "model", span_of(c->e->model));
	json_key_write(&w, "input");
	json_array(&w);
	for (size_t i = 0; i < c->count; i++) {
		buf_clear(&text);
		buf_add(&text, c->prefix);
		buf_add(&text, c->window[i].text);
		json_write_text(&w, buf_span(&text));
	}
	json_array_end(&w);
	json_put_text(&w, "encoding_format", SPAN("float"));
	json_object_end(&w);
	status st = buf_check(&text, "a text", reterr);
	buf_fini(&text);
	return st == ST_OK ? buf_check(out, "the request", reterr) : st;
}

/* Add one vector of the answer, made to length 1, with its weight to the row of its text. */
static status vector_take(struct call *c, const struct json *item, size_t at, struct fault *reterr)
{
	const struct json *vector = json_get(item, "embedding");
	uint32_t dim = c->e->base.info.dim;
	int64_t index = json_int(json_get(item, "index"), (int64_t)at);
	if (json_count(vector) != dim)
		return fault_set(reterr, ST_REMOTE,
				 "%s answered with vectors of %zu numbers, %u were expected",
				 c->e->model, json_count(vector), dim);
	if (index < 0 || (size_t)index >= c->count)
		return fault_set(reterr, ST_REMOTE, "%s answered with vector %lld of %zu",
				 c->e->model, (long long)index, c->count);
	struct window *w = &c->window[index];
	double square = 0;
	for (uint32_t d = 0; d < dim; d++) {
		double x = json_real(json_at(vector, d), (double)NAN);
		square += x * x;
	}
	if (!isfinite(square) || square <= 0.0 || w->weight <= 0.0F)
		return fault_set(reterr, ST_REMOTE, "%s answered with a vector that is none",
				 c->e->model);
	double scale = (double)w->weight / sqrt(square);
	float *row = c->vectors + w->of * dim;
	for (uint32_t d = 0; d < dim; d++)
		row[d] += (float)(json_real(json_at(vector, d), 0) * scale);
	w->weight = 0; /* taken: a second vector for it is nonsense */
	return ST_OK;
}

static status answer_take(struct call *c, struct fault *reterr)
{
	CLEANUP(json_freep) struct json *root = NULL;
	struct span answer = buf_span(&c->answer);
	if (json_parse(answer, &root, NULL) != ST_OK)
		return transport_nonsense(c->e->transport, "not JSON", answer, reterr);
	const struct json *data = json_get(root, "data");
	if (json_kind(data) != JSON_ARRAY || json_count(data) != c->count)
		return transport_nonsense(c->e->transport, "not one vector for each text", answer,
					  reterr);
	status st = ST_OK;
	for (size_t i = 0; i < c->count && st == ST_OK; i++)
		st = vector_take(c, json_at(data, i), i, reterr);
	return st;
}

static status call_send(struct call *c, struct fault *reterr)
{
	if (c->count == 0)
		return ST_OK;
	size_t answer_max =
		64 * KIB + c->count * ((size_t)c->e->base.info.dim * NUMBER_BYTES + KIB);
	struct buf body;
	buf_init(&body, c->scratch, 8 * (size_t)CALL_BYTES_MAX);
	buf_init(&c->answer, c->scratch, answer_max);
	status st = call_body(c, &body, reterr);
	if (st == ST_OK) {
		struct transport_call call = {
			.path = "/embeddings",
			.body = buf_span(&body),
			.cancel = c->cancel,
			.answer_bytes_max = answer_max,
			.part = answer_part,
			.context = c,
		};
		st = transport_post(c->e->transport, &call, reterr);
	}
	if (st == ST_OK)
		st = answer_take(c, reterr);
	buf_fini(&body);
	buf_fini(&c->answer);
	c->count = c->bytes = 0;
	return st;
}

/* The longest beginning of text that surely fits one window. */
static size_t window_bytes(struct span text, size_t tokens_max)
{
	size_t low = 0, high = text.bytes;
	if (transport_tokens_guess(text) <= tokens_max)
		return text.bytes;
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;
		if (transport_tokens_guess(span_slice(text, 0, middle)) <= tokens_max)
			low = middle;
		else
			high = middle;
	}
	size_t bytes = utf8_floor(text, low);
	return bytes > 0 ? bytes : size_min(text.bytes, UTF8_BYTES_MAX);
}

static status text_add(struct call *c, struct span text, size_t of, struct fault *reterr)
{
	size_t tokens_max = c->e->base.info.tokens_max - 8 - transport_tokens_guess(c->prefix);
	status st = ST_OK;
	do {
		size_t look = utf8_floor(text, size_min(text.bytes, 8 * tokens_max));
		size_t bytes = window_bytes(span_slice(text, 0, look), tokens_max);
		if (c->count == CALL_TEXTS_MAX || c->bytes + bytes > CALL_BYTES_MAX)
			st = call_send(c, reterr);
		if (st != ST_OK)
			return st;
		struct span window = span_slice(text, 0, bytes);
		c->window[c->count++] =
			(struct window){window, of, (float)transport_tokens_guess(window)};
		c->bytes += bytes;
		text = span_slice(text, bytes, text.bytes);
	} while (text.bytes > 0);
	return st;
}

static status remote_embed(struct embedder *e, const struct embed_job *job, float *ret_vectors,
			   size_t *ret_tokens, struct fault *reterr)
{
	struct remote_encoder *r = (struct remote_encoder *)e;
	CLEANUP(mem_scope_closep) struct mem_scope *scratch = mem_scope_open(r->scope, "call", 0);
	struct call *c = scratch != NULL ? mem_new(scratch, struct call) : NULL;
	size_t values, tokens = 0;
	if (c == NULL || !size_mul(job->count, e->info.dim, &values))
		return fault_set(reterr, mem_refusal(), "no memory for a remote call");
	c->vectors = mem_new_array(scratch, float, values > 0 ? values : 1);
	if (c->vectors == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for %zu vectors", job->count);
	c->e = r;
	c->scratch = scratch;
	c->cancel = job->cancel;
	c->prefix = vectors_prefix(&e->info, job->kind);
	status st = ST_OK;
	for (size_t i = 0; i < job->count && st == ST_OK; i++) {
		st = text_add(c, job->texts[i], i, reterr);
		tokens += transport_tokens_guess(job->texts[i]);
	}
	if (st == ST_OK)
		st = call_send(c, reterr);
	if (st != ST_OK)
		return st;
	for (size_t i = 0; i < job->count; i++)
		vectors_normalise(c->vectors + i * e->info.dim, e->info.dim);
	memcpy(ret_vectors, c->vectors, values * sizeof(float));
	if (ret_tokens != NULL)
		*ret_tokens = tokens;
	return ST_OK;
}

static status remote_count_tokens(struct embedder *e, struct span text, size_t *ret_tokens,
				  struct fault *reterr)
{
	(void)e;
	(void)reterr;
	*ret_tokens = transport_tokens_guess(text);
	return ST_OK;
}

static void remote_encoder_close(struct embedder *e)
{
	struct remote_encoder *r = (struct remote_encoder *)e;
	transport_close(r->transport);
	mem_scope_close(r->scope);
}

static const struct embedder_ops remote_encoder_ops = {
	.embed = remote_embed, .count_tokens = remote_count_tokens, .close = remote_encoder_close};

status llm_remote_encoder_open(struct mem_scope *parent, const struct llm_remote_options *options,
			       uint32_t dim, struct embedder **ret_embedder, struct fault *reterr)
{
	if (options->model[0] == '\0' || strlen(options->model) >= EMBED_NAME_BYTES)
		return fault_set(reterr, ST_INVALID, "a remote model needs a name of 1 to %d bytes",
				 EMBED_NAME_BYTES - 1);
	if (dim < 1 || dim > EMBED_DIM_MAX)
		return fault_set(reterr, ST_INVALID, "a vector can have 1 to %d numbers, not %u",
				 EMBED_DIM_MAX, dim);
	struct mem_scope *scope = mem_scope_open(parent, "llm_encoder", 0);
	struct remote_encoder *r = scope != NULL ? mem_new(scope, struct remote_encoder) : NULL;
	if (r == NULL) {
		mem_scope_close(scope);
		return fault_set(reterr, mem_refusal(), "no memory for a remote model");
	}
	struct embedder_info *info = &r->base.info;
	r->base.ops = &remote_encoder_ops;
	r->scope = scope;
	r->model = info->name;
	snprintf(info->name, sizeof(info->name), "%s", options->model);
	snprintf(info->id, sizeof(info->id), "%s@remote", options->model);
	info->dim = dim;
	info->tokens_max =
		options->context_tokens != 0 ? options->context_tokens : TOKENS_MAX_DEFAULT;
	if (info->tokens_max < 64)
		info->tokens_max = 64;
	vectors_set_prefixes(info);
	status st = transport_open(scope, options, &r->transport, reterr);
	if (st != ST_OK) {
		mem_scope_close(scope);
		return st;
	}
	*ret_embedder = &r->base;
	return ST_OK;
}
