#include "api/chat.h"

#include <stdio.h>

#include "base/size.h"

/* ---- plain chat ---- */

static status plain_run(struct chat_writer *w, struct generator *g, struct chat_result *ret,
			struct fault *reterr)
{
	const struct chat_request *q = w->chat;
	struct llm_request request = q->sampling;
	request.messages = q->messages;
	request.message_count = q->message_count;
	request.cancel = &w->request->cancel;
	request.emit = q->stream ? chat_on_piece : NULL;
	request.emit_context = w;
	struct llm_result result;
	status st = g->ops->run(g, &request, w->request->scope, &result, reterr);
	if (st != ST_OK)
		return st;
	*ret = (struct chat_result){
		.text = result.text,
		.finish = result.finish,
		.prompt_tokens = result.prompt_tokens,
		.cached_tokens = result.cached_tokens,
		.completion_tokens = result.completion_tokens,
		.prompt_ms = result.prompt_ms,
		.generate_ms = result.generate_ms,
	};
	return ST_OK;
}

static void chat_plain(struct http_request *r, const struct chat_request *q)
{
	struct fault fault = {0};
	struct generator *g = NULL;
	if (!q->generate || q->hits > 1) {
		reply_error(r, 400, "invalid_value", q->generate ? "n" : "generate",
			    "this field needs a knowledge base: name one in \"model\" or \"kb\"");
		return;
	}
	if (service_generator(api_of(r)->service, &g, &fault) != ST_OK) {
		reply_error(r, 503, "no_generation_model", "model", fault_text(&fault));
		return;
	}
	struct chat_writer w;
	struct chat_result result;
	chat_writer_init(&w, r, q, NULL);
	if (plain_run(&w, g, &result, &fault) == ST_OK)
		chat_finish(&w, &result);
	else
		chat_fail(&w, &fault);
}

/* ---- answers from a knowledge base ---- */

static status kb_run(struct chat_writer *w, struct chat_result *ret, struct fault *reterr)
{
	const struct chat_request *q = w->chat;
	struct answer_request request = {
		.kb = w->kb,
		.question = q->messages[q->message_count - 1].content,
		.history = q->messages,
		.history_count = q->message_count - 1,
		.hits_max = q->hits,
		.no_generate = !q->generate,
		.must_generate = q->must_generate,
		.sampling = q->has_sampling ? &q->sampling : NULL,
		.cancel = &w->request->cancel,
		.on_citations = chat_on_citations,
		.emit = q->stream ? chat_on_piece : NULL,
		.context = w,
	};
	struct answer result;
	status st =
		answer(api_of(w->request)->service, &request, w->request->scope, &result, reterr);
	if (st != ST_OK)
		return st;
	w->citations = result.citations;
	w->citation_count = result.citation_count;
	*ret = (struct chat_result){
		.text = result.text,
		.finish = result.finish != NULL ? result.finish : "stop",
		.mode = answer_mode_name(result.mode),
		.prompt_tokens = result.prompt_tokens,
		.completion_tokens = result.completion_tokens,
	};
	return ST_OK;
}

static void chat_kb(struct http_request *r, const struct chat_request *q, const char *kb)
{
	const struct llm_message *last = &q->messages[q->message_count - 1];
	if (strcmp(last->role, "user") != 0 || last->content.bytes > API_QUESTION_BYTES) {
		reply_error(r, 400, "invalid_value", "messages",
			    "the last message must be the user's question, of at most 32768 bytes");
		return;
	}
	struct fault fault = {0};
	struct chat_writer w;
	struct chat_result result;
	chat_writer_init(&w, r, q, kb);
	if (kb_run(&w, &result, &fault) == ST_OK)
		chat_finish(&w, &result);
	else
		chat_fail(&w, &fault);
}

/* ---- which of the two ---- */

/* The named knowledge base, or NULL: answered with 404. */
static const char *find_kb(struct http_request *r, struct span name, const char *param)
{
	struct service *s = api_of(r)->service;
	struct kb *kb = NULL;
	struct fault fault = {0};
	const char *text = mem_copy_text(r->scope, name);
	status st = text == NULL ? fault_set(&fault, mem_refusal(), "no memory for the request")
		    : kb_name_is_valid(name) ? service_kb(s, text, &kb, &fault)
					     : fault_set(&fault, ST_NOT_FOUND, "no such name");
	if (st == ST_OK) {
		service_kb_release(s, kb);
		return text;
	}
	if (st != ST_NOT_FOUND) {
		reply_fault(r, &fault, param);
		return NULL;
	}
	char message[FAULT_TEXT_BYTES];
	snprintf(message, sizeof(message),
		 "there is no knowledge base or model named '%.*s'; GET /v1/models lists them%s",
		 (int)size_min(name.bytes, 100), name.data,
		 service_generator_name(s)[0] == '\0' ? " (no generation model is set up)" : "");
	reply_error(r, 404, "model_not_found", param, message);
	return NULL;
}

void handle_chat(struct http_request *r)
{
	CLEANUP(json_freep) struct json *root = NULL;
	if (!request_json(r, &root))
		return;
	struct field_error error = {0};
	struct fields f = {.object = root, .error = &error};
	struct chat_request q;
	chat_read(&f, r->scope, &q);
	if (reply_field_error(r, &error))
		return;
	const char *generator = service_generator_name(api_of(r)->service);
	bool plain = q.kb.data == NULL && generator[0] != '\0' &&
		     span_equal(q.model, span_of(generator));
	if (plain) {
		chat_plain(r, &q);
		return;
	}
	const char *kb =
		find_kb(r, q.kb.data != NULL ? q.kb : q.model, q.kb.data != NULL ? "kb" : "model");
	if (kb != NULL)
		chat_kb(r, &q, kb);
}
