/* A generator on the other side of an OpenAI-compatible endpoint. */
#include "base/size.h"
#include "llm/transport.h"
#include "rt/clock.h"
#include "rt/json.h"

enum {
	CONTEXT_TOKENS_DEFAULT = 8192,
	MESSAGE_TOKENS = 8, /* what a template writes around a message, at most */
	ANSWER_BYTES_MAX = 16 * 1024 * 1024,
	LINE_BYTES_MAX = 1024 * 1024,
	TEXT_BYTES_MAX = 4 * 1024 * 1024,
	BODY_BYTES_MAX = 32 * 1024 * 1024,
};

struct remote {
	struct generator base;
	struct mem_scope *scope;
	struct transport *transport;
	const char *model;
};

/* One answer being read. */
struct reading {
	struct remote *remote;
	const struct llm_request *request;
	struct buf raw; /* streaming: an unfinished line; else the whole answer */
	struct buf text;
	const char *finish;
	bool done; /* the last event came */
	uint32_t prompt_tokens, completion_tokens, pieces;
	uint64_t first_ns;
};

/* ---- the question ---- */

static void write_parameters(struct json_writer *w, const struct llm_request *r)
{
	if (r->tokens_max > 0)
		json_put_int(w, "max_tokens", r->tokens_max);
	json_put_real(w, "temperature", (double)r->temperature);
	if (r->top_p > 0.0F && r->top_p < 1.0F)
		json_put_real(w, "top_p", (double)r->top_p);
	if (r->frequency_penalty != 0.0F)
		json_put_real(w, "frequency_penalty", (double)r->frequency_penalty);
	if (r->presence_penalty != 0.0F)
		json_put_real(w, "presence_penalty", (double)r->presence_penalty);
	if (r->seed != UINT32_MAX)
		json_put_int(w, "seed", r->seed);
	if (r->stop_count == 0)
		return;
	json_key_write(w, "stop");
	json_array(w);
	for (size_t i = 0; i < r->stop_count && i < LLM_STOPS_MAX; i++)
		json_write_text(w, r->stop[i]);
	json_array_end(w);
}

/* Only fields that every endpoint knows: top_k, min_p and repeat_penalty are not among them. */
static status write_body(const struct remote *remote, const struct llm_request *r, struct buf *out,
			 struct fault *reterr)
{
	struct json_writer w;
	json_writer_init(&w, out);
	json_object(&w);
	json_put_text(&w, "model", span_of(remote->model));
	json_key_write(&w, "messages");
	json_array(&w);
	for (size_t i = 0; i < r->message_count; i++) {
		json_object(&w);
		json_put_text(&w, "role", span_of(r->messages[i].role));
		json_put_text(&w, "content", r->messages[i].content);
		json_object_end(&w);
	}
	json_array_end(&w);
	write_parameters(&w, r);
	json_put_bool(&w, "stream", r->emit != NULL);
	if (r->emit != NULL) {
		json_key_write(&w, "stream_options");
		json_object(&w);
		json_put_bool(&w, "include_usage", true);
		json_object_end(&w);
	}
	json_object_end(&w);
	return buf_check(out, "the request", reterr);
}

/* ---- the answer ---- */

static status text_take(struct reading *r, struct span piece, struct fault *reterr)
{
	if (piece.bytes == 0)
		return ST_OK;
	if (r->first_ns == 0)
		r->first_ns = clock_ns();
	r->pieces++;
	buf_add(&r->text, piece);
	status st = buf_check(&r->text, "the generated text", reterr);
	if (st == ST_OK && r->request->emit != NULL &&
	    !r->request->emit(r->request->emit_context, piece))
		return fault_set(reterr, ST_CANCELLED, "the generation was cancelled");
	return st;
}

static void usage_take(struct reading *r, const struct json *root)
{
	const struct json *usage = json_get(root, "usage");
	int64_t prompt = json_int(json_get(usage, "prompt_tokens"), 0);
	int64_t completion = json_int(json_get(usage, "completion_tokens"), 0);
	if (prompt > 0 && prompt <= UINT32_MAX)
		r->prompt_tokens = (uint32_t)prompt;
	if (completion > 0 && completion <= UINT32_MAX)
		r->completion_tokens = (uint32_t)completion;
}

/* One JSON object: an event of a stream (part = "delta") or the whole answer (part = "message"). */
static status object_take(struct reading *r, struct span text, const char *part,
			  struct fault *reterr)
{
	CLEANUP(json_freep) struct json *root = NULL;
	const struct transport *t = r->remote->transport;
	if (json_parse(text, &root, NULL) != ST_OK)
		return transport_nonsense(t, "not JSON", text, reterr);
	const struct json *error = json_get(root, "error");
	if (error != NULL && json_kind(error) != JSON_NULL) {
		struct span said = json_text(json_get(error, "message"));
		return fault_set(reterr, ST_REMOTE, "%s broke off: %.*s", r->remote->base.info.name,
				 SPAN_ARG(said));
	}
	usage_take(r, root);
	const struct json *choices = json_get(root, "choices");
	if (json_kind(choices) != JSON_ARRAY)
		return transport_nonsense(t, "no choices", text, reterr);
	const struct json *choice =
		json_at(choices, 0); /* absent in the event that tells the usage */
	struct span finish = json_text(json_get(choice, "finish_reason"));
	if (finish.bytes > 0)
		r->finish = span_equal(finish, SPAN("length")) ? "length" : "stop";
	return text_take(r, json_text(json_get(json_get(choice, part), "content")), reterr);
}

/* One line of the event stream; comments, event names and empty lines say nothing to us. */
static status line_take(struct reading *r, struct span line, struct fault *reterr)
{
	line = span_trim(line);
	if (span_starts_with(line, SPAN("data:"))) {
		struct span data = span_trim(span_slice(line, 5, line.bytes));
		if (span_equal(data, SPAN("[DONE]"))) {
			r->done = true;
			return ST_OK;
		}
		return object_take(r, data, "delta", reterr);
	}
	if (line.bytes == 0 || line.data[0] == ':' || span_starts_with(line, SPAN("event:")) ||
	    span_starts_with(line, SPAN("id:")) || span_starts_with(line, SPAN("retry:")))
		return ST_OK;
	return transport_nonsense(r->remote->transport, "not an event stream", line, reterr);
}

static status stream_part(void *context, struct span bytes, struct fault *reterr)
{
	struct reading *r = context;
	status st = ST_OK;
	size_t at = 0;
	while (st == ST_OK && !r->done) {
		const char *end = memchr(bytes.data + at, '\n', bytes.bytes - at);
		size_t to = end != NULL ? (size_t)(end - bytes.data) : bytes.bytes;
		buf_add(&r->raw, span_slice(bytes, at, to));
		st = buf_check(&r->raw, "an event of the answer", reterr);
		if (st == ST_LIMIT)
			st = transport_nonsense(r->remote->transport, "an endless line",
						buf_span(&r->raw), reterr);
		if (end == NULL || st != ST_OK)
			return st;
		st = line_take(r, buf_span(&r->raw), reterr);
		buf_clear(&r->raw);
		at = to + 1;
	}
	return st;
}

static status whole_part(void *context, struct span bytes, struct fault *reterr)
{
	struct reading *r = context;
	buf_add(&r->raw, bytes);
	return buf_check(&r->raw, "the answer", reterr);
}

/* The transfer ended well; is the answer whole? */
static status reading_end(struct reading *r, struct fault *reterr)
{
	if (r->request->emit == NULL)
		return object_take(r, buf_span(&r->raw), "message", reterr);
	struct span rest = buf_span(&r->raw);
	if (!r->done && !span_starts_with(rest, SPAN("data:"))) {
		status st = line_take(r, rest, reterr);
		if (st != ST_OK)
			return st;
	}
	/* Some end without [DONE]; but nobody ends well without having said why the text ended. */
	if (!r->done && r->finish == NULL)
		return fault_set(reterr, ST_REMOTE, "%s broke off after %zu bytes of text",
				 r->remote->base.info.name, r->text.bytes);
	return ST_OK;
}

static status check_request(const struct llm_request *request, struct fault *reterr)
{
	if (request->message_count < 1 || request->message_count > LLM_MESSAGES_MAX)
		return fault_set(reterr, ST_INVALID, "%zu messages were given; it can be 1 to %d",
				 request->message_count, LLM_MESSAGES_MAX);
	if (request->stop_count > LLM_STOPS_MAX)
		return fault_set(reterr, ST_INVALID,
				 "%zu stop strings were given; at most %d are read",
				 request->stop_count, LLM_STOPS_MAX);
	return ST_OK;
}

static size_t prompt_guess(const struct llm_message *messages, size_t count)
{
	size_t tokens = MESSAGE_TOKENS; /* where the assistant begins */
	for (size_t i = 0; i < count; i++)
		tokens += transport_tokens_guess(messages[i].content) + MESSAGE_TOKENS;
	return tokens;
}

static void result_fill(const struct reading *r, uint64_t began_ns, struct llm_result *ret_result)
{
	uint64_t ended_ns = clock_ns();
	uint64_t first_ns = r->first_ns != 0 ? r->first_ns : ended_ns;
	*ret_result = (struct llm_result){
		.text = buf_span(&r->text),
		.finish = r->finish != NULL ? r->finish : "stop",
		.prompt_tokens = r->prompt_tokens,
		.completion_tokens = r->completion_tokens != 0 ? r->completion_tokens : r->pieces,
		.first_token_ms = (double)(first_ns - began_ns) / 1e6,
		.prompt_ms = (double)(first_ns - began_ns) / 1e6,
		.generate_ms = (double)(ended_ns - first_ns) / 1e6,
	};
	if (ret_result->prompt_tokens == 0)
		ret_result->prompt_tokens =
			(uint32_t)prompt_guess(r->request->messages, r->request->message_count);
}

static status remote_run(struct generator *g, const struct llm_request *request,
			 struct mem_scope *scratch, struct llm_result *ret_result,
			 struct fault *reterr)
{
	struct remote *remote = (struct remote *)g;
	struct reading r = {.remote = remote, .request = request};
	uint64_t began_ns = clock_ns();
	struct buf body;
	status st = check_request(request, reterr);
	if (st != ST_OK)
		return st;
	buf_init(&body, scratch, BODY_BYTES_MAX);
	buf_init(&r.raw, scratch, request->emit != NULL ? LINE_BYTES_MAX : ANSWER_BYTES_MAX);
	buf_init(&r.text, scratch, TEXT_BYTES_MAX);
	st = write_body(remote, request, &body, reterr);
	if (st == ST_OK) {
		struct transport_call call = {
			.path = "/chat/completions",
			.body = buf_span(&body),
			.cancel = request->cancel,
			.answer_bytes_max = ANSWER_BYTES_MAX,
			.part = request->emit != NULL ? stream_part : whole_part,
			.context = &r,
		};
		st = transport_post(remote->transport, &call, reterr);
	}
	if (st == ST_OK)
		st = reading_end(&r, reterr);
	buf_fini(&body);
	buf_fini(&r.raw);
	if (st != ST_OK)
		buf_fini(&r.text);
	else
		result_fill(&r, began_ns, ret_result);
	return st;
}

static status remote_count_prompt(struct generator *g, const struct llm_message *messages,
				  size_t count, size_t *ret_tokens, struct fault *reterr)
{
	(void)g;
	(void)reterr;
	*ret_tokens = prompt_guess(messages, count);
	return ST_OK;
}

static void remote_close(struct generator *g)
{
	struct remote *remote = (struct remote *)g;
	transport_close(remote->transport);
	mem_scope_close(remote->scope);
}

static const struct generator_ops remote_ops = {
	.run = remote_run, .count_prompt = remote_count_prompt, .close = remote_close};

status llm_remote_open(struct mem_scope *parent, const struct llm_remote_options *options,
		       struct generator **ret_generator, struct fault *reterr)
{
	if (options->model[0] == '\0' || strlen(options->model) >= LLM_NAME_BYTES)
		return fault_set(reterr, ST_INVALID, "a remote model needs a name of 1 to %d bytes",
				 LLM_NAME_BYTES - 1);
	struct mem_scope *scope = mem_scope_open(parent, "llm", 0);
	struct remote *remote = scope != NULL ? mem_new(scope, struct remote) : NULL;
	if (remote == NULL) {
		mem_scope_close(scope);
		return fault_set(reterr, mem_refusal(), "no memory for a remote model");
	}
	remote->base.ops = &remote_ops;
	remote->base.info = (struct generator_info){
		.context_tokens = options->context_tokens != 0 ? options->context_tokens
							       : CONTEXT_TOKENS_DEFAULT,
		.sequences = options->at_once_max != 0 ? options->at_once_max : 1,
		.remote = true,
	};
	memcpy(remote->base.info.name, options->model, strlen(options->model) + 1);
	remote->scope = scope;
	remote->model = remote->base.info.name;
	status st = transport_open(scope, options, &remote->transport, reterr);
	if (st != ST_OK) {
		mem_scope_close(scope);
		return st;
	}
	*ret_generator = &remote->base;
	return ST_OK;
}
