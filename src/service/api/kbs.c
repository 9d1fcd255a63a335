#include "api/inside.h"
#include "base/size.h"
#include "qa/hits_json.h"

enum { HITS_DEFAULT = 10, DESCRIPTION_BYTES = 255 };

/* As `kb show --json`, with the description. */
static status kb_write(struct service *s, const char *name, struct json_writer *w,
		       struct fault *reterr)
{
	struct kb *kb = NULL;
	struct kb_info info;
	status st = service_kb(s, name, &kb, reterr);
	if (st != ST_OK)
		return st;
	st = kb_info(kb, &info, reterr);
	service_kb_release(s, kb);
	if (st != ST_OK)
		return st;
	json_object(w);
	json_put_text(w, "name", span_of(info.name));
	json_put_text(w, "description", span_of(info.description));
	json_put_int(w, "files", (int64_t)info.files);
	json_put_int(w, "chunks", (int64_t)info.chunks);
	json_put_int(w, "generation", info.generation);
	json_put_text(w, "model", span_of(info.build.model));
	json_put_int(w, "bytes", (int64_t)info.bytes);
	json_object_end(w);
	return ST_OK;
}

struct listing {
	struct service *service;
	struct json_writer *w;
	size_t count;
};

static status kb_visit(void *context, const char *name, struct fault *reterr)
{
	struct listing *l = context;
	if (l->count++ >= API_KBS_MAX)
		return fault_set(reterr, ST_LIMIT, "more than %d knowledge bases", API_KBS_MAX);
	status st = kb_write(l->service, name, l->w, reterr);
	return st == ST_NOT_FOUND ? ST_OK : st; /* deleted meanwhile */
}

void handle_kbs(struct http_request *r)
{
	struct service *s = api_of(r)->service;
	struct buf out;
	struct json_writer w;
	struct fault fault = {0};
	buf_init(&out, r->scope, API_ANSWER_BYTES);
	json_writer_init(&w, &out);
	struct listing l = {.service = s, .w = &w};
	json_object(&w);
	json_key_write(&w, "kbs");
	json_array(&w);
	if (kb_list(service_kb_root(s), kb_visit, &l, &fault) != ST_OK) {
		reply_fault(r, &fault, NULL);
		return;
	}
	json_array_end(&w);
	json_object_end(&w);
	reply_json(r, 200, &out);
}

static void reply_kb(struct http_request *r, int http, const char *name)
{
	struct buf out;
	struct json_writer w;
	struct fault fault = {0};
	buf_init(&out, r->scope, 8 * KIB);
	json_writer_init(&w, &out);
	if (kb_write(api_of(r)->service, name, &w, &fault) != ST_OK)
		reply_fault(r, &fault, "kb");
	else
		reply_json(r, http, &out);
}

void handle_kb(struct http_request *r)
{
	const char *name = request_kb(r);
	if (name != NULL)
		reply_kb(r, 200, name);
}

void handle_kb_create(struct http_request *r)
{
	CLEANUP(json_freep) struct json *root = NULL;
	if (!request_json(r, &root))
		return;
	struct service *s = api_of(r)->service;
	struct field_error error = {0};
	struct fields f = {.object = root, .error = &error};
	struct span name = fields_text(&f, "name", FIELD_REQUIRED, KB_NAME_BYTES - 1);
	struct span description = fields_text(&f, "description", FIELD_OPTIONAL, DESCRIPTION_BYTES);
	struct span model = fields_text(&f, "model", FIELD_OPTIONAL, KB_MODEL_BYTES - 1);
	if (fields_ok(&f) && !kb_name_is_valid(name))
		fields_fail(&f, "name",
			    "must be 1 to %d bytes of letters, digits, '-' and '_', "
			    "and not begin with '-'",
			    KB_NAME_BYTES - 1);
	if (reply_field_error(r, &error))
		return;
	char *name_text = mem_copy_text(r->scope, name);
	char *description_text = mem_copy_text(r->scope, description);
	char *model_text = mem_copy_text(r->scope, model);
	struct fault fault = {0};
	struct kb_build build;
	if (name_text == NULL || description_text == NULL || model_text == NULL) {
		fault_set(&fault, mem_refusal(), "no memory for the request");
		reply_fault(r, &fault, NULL);
		return;
	}
	status st = service_default_build(s, model_text, &build, &fault);
	if (st == ST_OK)
		st = kb_create(service_kb_root(s), name_text, description_text, &build, &fault);
	if (st != ST_OK)
		reply_fault(r, &fault, "name");
	else
		reply_kb(r, 201, name_text);
}

void handle_kb_delete(struct http_request *r)
{
	const char *name = request_kb(r);
	if (name == NULL)
		return;
	struct service *s = api_of(r)->service;
	struct fault fault = {0};
	if (kb_delete(service_kb_root(s), name, &fault) != ST_OK) {
		reply_fault(r, &fault, "kb");
		return;
	}
	service_kb_forget(s, name);
	struct buf out;
	struct json_writer w;
	buf_init(&out, r->scope, KIB);
	json_writer_init(&w, &out);
	json_object(&w);
	json_put_text(&w, "name", span_of(name));
	json_put_bool(&w, "deleted", true);
	json_object_end(&w);
	reply_json(r, 200, &out);
}

/* ---- search ---- */

static enum kb_arm read_arm(struct fields *f)
{
	struct span arm = fields_text(f, "arm", FIELD_OPTIONAL, 16);
	if (arm.data == NULL || span_equal(arm, SPAN("hybrid")))
		return KB_HYBRID;
	if (span_equal(arm, SPAN("vector")))
		return KB_VECTOR;
	if (!span_equal(arm, SPAN("text")))
		fields_fail(f, "arm", "must be one of hybrid, vector, text");
	return KB_TEXT;
}

void handle_search(struct http_request *r)
{
	CLEANUP(json_freep) struct json *root = NULL;
	const char *name = request_kb(r);
	if (name == NULL || !request_json(r, &root))
		return;
	struct field_error error = {0};
	struct fields f = {.object = root, .error = &error};
	struct span query = fields_text(&f, "query", FIELD_REQUIRED, API_QUESTION_BYTES);
	struct retrieve_options options = {
		.hits_max = (size_t)fields_int(&f, "n", 1, KB_HITS_MAX, HITS_DEFAULT),
		.arm = read_arm(&f),
		.cancel = &r->cancel,
	};
	if (reply_field_error(r, &error))
		return;
	struct retrieval result;
	struct fault fault = {0};
	if (retrieve(api_of(r)->service, name, query, &options, r->scope, &result, &fault) !=
	    ST_OK) {
		reply_fault(r, &fault, NULL);
		return;
	}
	struct buf out;
	struct json_writer w;
	buf_init(&out, r->scope, API_ANSWER_BYTES);
	json_writer_init(&w, &out);
	hits_json_write(&w, query, &result);
	reply_json(r, 200, &out);
}
