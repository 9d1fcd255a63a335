/* POST /v1/embeddings as OpenAI's. Extension: "input_type" ("query" or "passage") has the model's
 * own prefix added; without it the text is embedded as it stands. A text longer than the model's
 * window is embedded in windows (embed/embedder.h) and its element says "windowed": true. */
#include <math.h>
#include <stdio.h>

#include "api/inside.h"
#include "base/size.h"
#include "rt/digest.h"

enum {
	INPUTS_MAX = 2048,        /* as OpenAI's */
	INPUT_BYTES = 256 * 1024, /* of one text */
	SLICE = 64,               /* texts in one call, so that a client that has gone is noticed */
};

struct embed_request {
	struct span *texts;
	size_t count;
	enum embed_kind kind;
	size_t dimensions; /* 0 = all */
	bool base64;
};

/* ---- reading ---- */

static void read_one(struct fields *f, int index, const struct json *node, struct span *ret_text)
{
	char name[32];
	snprintf(name, sizeof(name), index < 0 ? "input" : "input[%d]", index);
	struct span text = json_text(node);
	if (json_kind(node) == JSON_INTEGER || json_kind(node) == JSON_ARRAY)
		fields_fail(f, name,
			    "is made of token numbers, which belong to another model's "
			    "vocabulary: send text");
	else if (text.data == NULL)
		fields_fail(f, name, "must be a string");
	else if (text.bytes == 0)
		fields_fail(f, name, "must not be empty");
	else if (text.bytes > INPUT_BYTES)
		fields_fail(f, name, "is %zu bytes long, but at most %d are accepted: split it",
			    text.bytes, INPUT_BYTES);
	*ret_text = text;
}

static void read_input(struct fields *f, struct mem_scope *scope, struct embed_request *ret)
{
	const struct json *input = fields_get(f, "input");
	bool many = json_kind(input) == JSON_ARRAY;
	ret->count = many ? json_count(input) : 1;
	if (input == NULL)
		fields_fail(f, "input", "is missing");
	else if (many)
		(void)fields_array(f, "input", FIELD_REQUIRED, INPUTS_MAX);
	if (!fields_ok(f))
		return;
	ret->texts = mem_new_array(scope, struct span, ret->count);
	if (ret->texts == NULL) {
		fault_set(&f->error->fault, mem_refusal(), "no memory for so many texts");
		return;
	}
	for (size_t i = 0; i < ret->count; i++)
		read_one(f, many ? (int)i : -1, many ? json_at(input, i) : input, &ret->texts[i]);
}

static void read_request(struct fields *f, struct mem_scope *scope, struct embed_request *ret)
{
	*ret = (struct embed_request){.kind = EMBED_PLAIN};
	read_input(f, scope, ret);
	struct span format = fields_text(f, "encoding_format", FIELD_OPTIONAL, 16);
	ret->base64 = span_equal(format, SPAN("base64"));
	if (format.data != NULL && !ret->base64 && !span_equal(format, SPAN("float")))
		fields_fail(f, "encoding_format", "must be one of float, base64");
	struct span type = fields_text(f, "input_type", FIELD_OPTIONAL, 16);
	if (span_equal(type, SPAN("query")))
		ret->kind = EMBED_QUERY;
	else if (span_equal(type, SPAN("passage")) || span_equal(type, SPAN("document")))
		ret->kind = EMBED_PASSAGE;
	else if (type.data != NULL)
		fields_fail(f, "input_type", "must be one of query, passage");
}

/* The model by name. False: answered. */
static bool find_model(struct http_request *r, struct span name, struct embedder **ret)
{
	struct fault fault = {0};
	struct embedder *e = NULL;
	status st = service_embedder(api_of(r)->service, "", &e, &fault);
	if (st == ST_OK && !span_equal(name, span_of(e->info.name)) &&
	    !span_equal(name, span_of(e->info.id)))
		st = fault_set(&fault, ST_NOT_FOUND,
			       "there is no embedding model '%.*s': the one here is '%s'",
			       (int)size_min(name.bytes, 60), name.data, e->info.name);
	if (st == ST_NOT_FOUND)
		reply_error(r, 404, "model_not_found", "model", fault_text(&fault));
	else if (st != ST_OK)
		reply_fault(r, &fault, "model");
	else
		*ret = e;
	return st == ST_OK;
}

/* ---- writing ---- */

/* The first n floats, made a vector of length 1 again. */
static void shorten(float *vector, size_t n)
{
	double square = 0;
	for (size_t i = 0; i < n; i++)
		square += (double)vector[i] * (double)vector[i];
	double scale = square > 0 ? 1 / sqrt(square) : 0;
	for (size_t i = 0; i < n; i++)
		vector[i] = (float)((double)vector[i] * scale);
}

static bool vector_base64(struct buf *out, const float *vector, size_t dim)
{
	_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
		       "the wire wants little-endian f32");
	buf_add_byte(out, '"');
	base64_add(out, (struct span){(const char *)vector, dim * sizeof(float)});
	return buf_add_byte(out, '"');
}

/* Nine digits give back the very same float. */
static bool vector_floats(struct buf *out, const float *vector, size_t dim)
{
	for (size_t i = 0; i < dim; i++)
		buf_printf(out, "%s%.9g", i == 0 ? "[" : ",", (double)vector[i]);
	return buf_add_byte(out, ']');
}

static void element_write(struct json_writer *w, size_t index, const float *vector, size_t dim,
			  bool base64, bool windowed)
{
	json_object(w);
	json_put_text(w, "object", SPAN("embedding"));
	json_put_int(w, "index", (int64_t)index);
	json_key_write(w, "embedding");
	json_write_raw(w, SPAN("")); /* the comma and the place; the value follows */
	if (base64)
		(void)vector_base64(w->out, vector, dim);
	else
		(void)vector_floats(w->out, vector, dim);
	if (windowed)
		json_put_bool(w, "windowed", true);
	json_object_end(w);
}

/* A text of fewer bytes than the window has tokens cannot be longer than it. */
static bool is_windowed(struct embedder *e, struct span text)
{
	size_t tokens = 0;
	return text.bytes > e->info.tokens_max - 2 &&
	       embedder_count_tokens(e, text, &tokens, NULL) == ST_OK &&
	       tokens > e->info.tokens_max - 2;
}

static status vectors_write(struct http_request *r, struct embedder *e,
			    const struct embed_request *q, struct json_writer *w,
			    size_t *ret_tokens, struct fault *reterr)
{
	float *vectors = mem_new_array(r->scope, float, SLICE *(size_t)e->info.dim);
	if (vectors == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for the vectors");
	size_t dim = q->dimensions > 0 ? q->dimensions : e->info.dim;
	*ret_tokens = 0;
	for (size_t from = 0; from < q->count; from += SLICE) {
		struct embed_job job = {.texts = q->texts + from,
					.count = size_min(SLICE, q->count - from),
					.kind = q->kind,
					.cancel = &r->cancel};
		size_t tokens = 0;
		status st = embedder_embed(e, &job, vectors, &tokens, reterr);
		if (st != ST_OK)
			return st;
		*ret_tokens += tokens;
		for (size_t i = 0; i < job.count; i++) {
			float *vector = vectors + i * e->info.dim;
			if (dim < e->info.dim)
				shorten(vector, dim);
			element_write(w, from + i, vector, dim, q->base64,
				      is_windowed(e, job.texts[i]));
		}
	}
	return ST_OK;
}

static void answer_embeddings(struct http_request *r, struct embedder *e,
			      const struct embed_request *q)
{
	struct buf out;
	struct json_writer w;
	struct fault fault = {0};
	size_t tokens = 0;
	buf_init(&out, r->scope, API_ANSWER_BYTES);
	json_writer_init(&w, &out);
	json_object(&w);
	json_put_text(&w, "object", SPAN("list"));
	json_put_text(&w, "model", span_of(e->info.name));
	json_key_write(&w, "data");
	json_array(&w);
	if (vectors_write(r, e, q, &w, &tokens, &fault) != ST_OK) {
		reply_fault(r, &fault, NULL);
		return;
	}
	json_array_end(&w);
	json_key_write(&w, "usage");
	json_object(&w);
	json_put_int(&w, "prompt_tokens", (int64_t)tokens);
	json_put_int(&w, "total_tokens", (int64_t)tokens);
	json_object_end(&w);
	json_object_end(&w);
	reply_json(r, 200, &out);
}

void handle_embeddings(struct http_request *r)
{
	CLEANUP(json_freep) struct json *root = NULL;
	if (!request_json(r, &root))
		return;
	struct field_error error = {0};
	struct fields f = {.object = root, .error = &error};
	struct embed_request q;
	struct embedder *e = NULL;
	struct span model = fields_text(&f, "model", FIELD_REQUIRED, EMBED_ID_BYTES - 1);
	read_request(&f, r->scope, &q);
	if (reply_field_error(r, &error) || !find_model(r, model, &e))
		return;
	q.dimensions = (size_t)fields_int(&f, "dimensions", 1, e->info.dim, 0);
	if (!reply_field_error(r, &error))
		answer_embeddings(r, e, &q);
}
