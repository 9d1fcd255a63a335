#include <stdio.h>

#include "api/chat.h"
#include "base/size.h"
#include "rt/clock.h"

/* ---- messages ---- */

static const char *read_role(struct fields *f)
{
	struct span role = fields_text(f, "role", FIELD_REQUIRED, 32);
	if (span_equal(role, SPAN("user")))
		return "user";
	if (span_equal(role, SPAN("assistant")))
		return "assistant";
	if (span_equal(role, SPAN("system")) || span_equal(role, SPAN("developer")))
		return "system";
	fields_fail(f, "role", "must be one of system, developer, user, assistant");
	return "user";
}

/* An array of {"type":"text","text"} parts, put together line by line. */
static struct span read_parts(struct fields *f, struct mem_scope *scope)
{
	const struct json *parts = fields_array(f, "content", FIELD_REQUIRED, CHAT_PARTS_MAX);
	struct buf text;
	buf_init(&text, scope, CHAT_CONTENT_BYTES);
	for (size_t i = 0; i < json_count(parts) && fields_ok(f); i++) {
		struct fields part = fields_inside(f, "content", (int)i, json_at(parts, i));
		struct span type = fields_text(&part, "type", FIELD_REQUIRED, 64);
		if (!span_equal(type, SPAN("text")))
			fields_fail(&part, "type", "must be \"text\": only text is understood");
		struct span piece = fields_text(&part, "text", FIELD_REQUIRED, CHAT_CONTENT_BYTES);
		if (i > 0)
			buf_add_byte(&text, '\n');
		buf_add(&text, piece);
	}
	if (text.refused == ST_LIMIT)
		fields_fail(f, "content", "is longer than %d bytes", CHAT_CONTENT_BYTES);
	else if (text.refused != ST_OK && fields_ok(f))
		fault_set(&f->error->fault, text.refused, "no memory for the messages");
	return buf_span(&text);
}

static struct span read_content(struct fields *f, struct mem_scope *scope, const char *role)
{
	const struct json *content = fields_get(f, "content");
	if (json_kind(content) == JSON_ARRAY)
		return read_parts(f, scope);
	if (content != NULL && json_kind(content) != JSON_STRING)
		fields_fail(f, "content", "must be a string or an array of text parts");
	/* An assistant that only called tools has no content. */
	bool may_lack = strcmp(role, "assistant") == 0;
	return fields_text(f, "content", may_lack ? FIELD_OPTIONAL : FIELD_REQUIRED,
			   CHAT_CONTENT_BYTES);
}

static void read_messages(struct fields *f, struct mem_scope *scope, struct chat_request *ret)
{
	const struct json *list = fields_array(f, "messages", FIELD_REQUIRED, LLM_MESSAGES_MAX);
	if (list == NULL)
		return;
	ret->message_count = json_count(list);
	ret->messages = mem_new_array(scope, struct llm_message, ret->message_count);
	if (ret->messages == NULL) {
		fault_set(&f->error->fault, mem_refusal(), "no memory for the messages");
		return;
	}
	for (size_t i = 0; i < ret->message_count && fields_ok(f); i++) {
		struct fields message = fields_inside(f, "messages", (int)i, json_at(list, i));
		const char *role = read_role(&message);
		ret->messages[i] = (struct llm_message){
			.role = role, .content = read_content(&message, scope, role)};
	}
}

/* ---- sampling ---- */

static void read_stop(struct fields *f, struct llm_request *ret)
{
	const struct json *stop = fields_get(f, "stop");
	if (stop == NULL)
		return;
	bool many = json_kind(stop) == JSON_ARRAY;
	if (many)
		(void)fields_array(f, "stop", FIELD_OPTIONAL, LLM_STOPS_MAX);
	for (size_t i = 0; i < (many ? json_count(stop) : 1) && fields_ok(f); i++) {
		struct span text = json_text(many ? json_at(stop, i) : stop);
		if (text.bytes == 0 || text.bytes > CHAT_STOP_BYTES)
			fields_fail(f, "stop",
				    "must be a string of 1 to %d bytes, or at most %d of "
				    "them",
				    CHAT_STOP_BYTES, LLM_STOPS_MAX);
		else
			ret->stop[ret->stop_count++] = text;
	}
}

static void read_sampling(struct fields *f, struct chat_request *ret)
{
	static const char *const names[] = {"temperature",
					    "top_p",
					    "top_k",
					    "min_p",
					    "stop",
					    "max_tokens",
					    "max_completion_tokens",
					    "seed",
					    "repeat_penalty",
					    "frequency_penalty",
					    "presence_penalty"};
	for (size_t i = 0; i < ARRAY_COUNT(names); i++)
		ret->has_sampling |= fields_get(f, names[i]) != NULL;
	int64_t tokens = fields_int(f, "max_tokens", 1, CHAT_TOKENS_MAX, 0);
	struct llm_request *s = &ret->sampling;
	s->tokens_max =
		(uint32_t)fields_int(f, "max_completion_tokens", 1, CHAT_TOKENS_MAX, tokens);
	s->temperature = (float)fields_real(f, "temperature", 0, 2, 0.7);
	s->top_p = (float)fields_real(f, "top_p", 0, 1, 0.95);
	s->top_k = (int32_t)fields_int(f, "top_k", 0, 1000, 40);
	s->min_p = (float)fields_real(f, "min_p", 0, 1, 0.05);
	s->repeat_penalty = (float)fields_real(f, "repeat_penalty", 0.1, 2, 1);
	s->frequency_penalty = (float)fields_real(f, "frequency_penalty", -2, 2, 0);
	s->presence_penalty = (float)fields_real(f, "presence_penalty", -2, 2, 0);
	s->seed = (uint32_t)fields_int(f, "seed", INT64_MIN, INT64_MAX, (int64_t)clock_ns());
	read_stop(f, s);
}

void chat_read(struct fields *f, struct mem_scope *scope, struct chat_request *ret)
{
	*ret = (struct chat_request){0};
	ret->model = fields_text(f, "model", FIELD_REQUIRED, LLM_NAME_BYTES - 1);
	ret->kb = fields_text(f, "kb", FIELD_OPTIONAL, KB_NAME_BYTES - 1);
	ret->session_id = fields_text(f, "session_id", FIELD_OPTIONAL, CHAT_SESSION_BYTES);
	ret->generate = fields_bool(f, "generate", true);
	ret->must_generate = fields_bool(f, "generate", false);
	ret->hits = (size_t)fields_int(f, "n", 1, CHAT_HITS_MAX, 0);
	ret->stream = fields_bool(f, "stream", false);
	const struct json *options = fields_get(f, "stream_options");
	if (options != NULL && fields_ok(f)) {
		struct fields inside = fields_inside(f, "stream_options", -1, options);
		ret->include_usage = fields_bool(&inside, "include_usage", false);
	}
	read_messages(f, scope, ret);
	read_sampling(f, ret);
}
