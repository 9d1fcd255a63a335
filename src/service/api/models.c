/* Every knowledge base is a model id, so that any OpenAI client can ask it; beside them the
 * embedding model and the generation model under their own names. */
#include "api/inside.h"
#include "base/size.h"

struct listing {
	struct json_writer *w;
	int64_t created;
	size_t count;
	const char *only; /* NULL: all */
};

static void model_write(struct listing *l, const char *id, const char *owner)
{
	if (l->only != NULL && strcmp(l->only, id) != 0)
		return;
	if (l->only != NULL && l->count > 0)
		return;
	l->count++;
	json_object(l->w);
	json_put_text(l->w, "id", span_of(id));
	json_put_text(l->w, "object", SPAN("model"));
	json_put_int(l->w, "created", l->created);
	json_put_text(l->w, "owned_by", span_of(owner));
	json_object_end(l->w);
}

static status kb_write(void *context, const char *name, struct fault *reterr)
{
	struct listing *l = context;
	if (l->count >= API_KBS_MAX)
		return fault_set(reterr, ST_LIMIT, "more than %d knowledge bases", API_KBS_MAX);
	model_write(l, name, "knowledge-base");
	return ST_OK;
}

static status models_write(struct service *s, struct listing *l, struct fault *reterr)
{
	status st = kb_list(service_kb_root(s), kb_write, l, reterr);
	struct embedder *embedder = NULL;
	/* A server without models can still list its knowledge bases. */
	if (st == ST_OK && service_embedder(s, "", &embedder, NULL) == ST_OK)
		model_write(l, embedder->info.name, "embedding");
	const char *generator = service_generator_name(s);
	if (st == ST_OK && generator[0] != '\0')
		model_write(l, generator, "generation");
	return st;
}

void handle_models(struct http_request *r)
{
	struct buf out;
	struct json_writer w;
	struct fault fault = {0};
	buf_init(&out, r->scope, API_ANSWER_BYTES);
	json_writer_init(&w, &out);
	struct listing l = {.w = &w, .created = api_of(r)->started};
	json_object(&w);
	json_put_text(&w, "object", SPAN("list"));
	json_key_write(&w, "data");
	json_array(&w);
	if (models_write(api_of(r)->service, &l, &fault) != ST_OK) {
		reply_fault(r, &fault, NULL);
		return;
	}
	json_array_end(&w);
	json_object_end(&w);
	reply_json(r, 200, &out);
}

void handle_model(struct http_request *r)
{
	struct buf out;
	struct json_writer w;
	struct fault fault = {0};
	buf_init(&out, r->scope, 4 * KIB);
	json_writer_init(&w, &out);
	struct listing l = {.w = &w, .created = api_of(r)->started, .only = r->params[0].data};
	if (models_write(api_of(r)->service, &l, &fault) != ST_OK)
		reply_fault(r, &fault, NULL);
	else if (l.count == 0)
		reply_error(r, 404, "model_not_found", "model",
			    "there is no such model; GET /v1/models lists them");
	else
		reply_json(r, 200, &out);
}
