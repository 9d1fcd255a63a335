#include <stdio.h>
#include <sys/random.h>

#include "api/chat.h"
#include "base/size.h"
#include "base/utf8.h"
#include "qa/hits_json.h"
#include "rt/clock.h"
#include "rt/log.h"

enum { PING_MS = 10 * 1000 };

void chat_writer_init(struct chat_writer *w, struct http_request *r,
		      const struct chat_request *chat, const char *kb)
{
	*w = (struct chat_writer){.request = r, .chat = chat, .kb = kb, .created = clock_unix_s()};
	uint64_t random[2] = {clock_ns(), 0};
	(void)!getrandom(random, sizeof(random), 0); /* a name, not a secret */
	snprintf(w->id, sizeof(w->id), "chatcmpl-%016llx%016llx", (unsigned long long)random[0],
		 (unsigned long long)random[1]);
	buf_init(&w->event, r->scope, CHAT_EVENT_BYTES);
}

/* ---- parts that both forms share ---- */

static void head_write(struct json_writer *j, const struct chat_writer *w, const char *object)
{
	json_put_text(j, "id", span_of(w->id));
	json_put_text(j, "object", span_of(object));
	json_put_int(j, "created", w->created);
	json_put_text(j, "model", w->chat->model);
	if (w->chat->session_id.data != NULL)
		json_put_text(j, "session_id", w->chat->session_id);
}

static void context_write(struct json_writer *j, const struct chat_writer *w)
{
	json_key_write(j, "context");
	json_object(j);
	json_key_write(j, "citations");
	citations_json_write(j, w->citations, w->citation_count);
	json_object_end(j);
}

static void usage_write(struct json_writer *j, const struct chat_result *r)
{
	json_key_write(j, "usage");
	json_object(j);
	json_put_int(j, "prompt_tokens", r->prompt_tokens);
	json_put_int(j, "completion_tokens", r->completion_tokens);
	json_put_int(j, "total_tokens", (int64_t)r->prompt_tokens + r->completion_tokens);
	json_key_write(j, "prompt_tokens_details");
	json_object(j);
	json_put_int(j, "cached_tokens", r->cached_tokens);
	json_object_end(j);
	json_object_end(j);
}

/* llama-server's names. */
static void timings_write(struct json_writer *j, const struct chat_result *r)
{
	if (r->generate_ms <= 0)
		return;
	double prompt_n = (double)(r->prompt_tokens - r->cached_tokens);
	json_key_write(j, "timings");
	json_object(j);
	json_put_int(j, "cache_n", r->cached_tokens);
	json_put_int(j, "prompt_n", (int64_t)prompt_n);
	json_put_real(j, "prompt_ms", r->prompt_ms);
	json_put_real(j, "prompt_per_second",
		      r->prompt_ms > 0 ? prompt_n * 1000 / r->prompt_ms : 0);
	json_put_int(j, "predicted_n", r->completion_tokens);
	json_put_real(j, "predicted_ms", r->generate_ms);
	json_put_real(j, "predicted_per_second", r->completion_tokens * 1000.0 / r->generate_ms);
	json_object_end(j);
}

static void annotation_write(struct json_writer *j, const struct chat_writer *w, size_t number,
			     size_t start, size_t end)
{
	const struct citation *c = &w->citations[number - 1];
	struct buf url;
	buf_init(&url, w->request->scope, 8 * KIB);
	file_url_write(&url, c->kb != NULL ? c->kb : w->kb, c->file);
	json_object(j);
	json_put_text(j, "type", SPAN("url_citation"));
	json_key_write(j, "url_citation");
	json_object(j);
	json_put_int(j, "start_index", (int64_t)start);
	json_put_int(j, "end_index", (int64_t)end);
	json_put_text(j, "url", buf_span(&url));
	json_put_text(j, "title", c->title.bytes > 0 ? c->title : c->file);
	json_object_end(j);
	json_key_write(j, "file_citation");
	json_object(j);
	json_put_text(j, "file_id", c->file);
	json_put_text(j, "filename", c->file);
	json_put_int(j, "index", (int64_t)number);
	json_object_end(j);
	json_object_end(j);
	buf_fini(&url);
}

/* "[12]" at `at`: its number when a citation has it, and *ret_bytes long; else 0. */
static size_t mark_at(struct span text, size_t at, size_t citations, size_t *ret_bytes)
{
	size_t number = 0, i = at + 1;
	for (; i < text.bytes && i <= at + 3 && text.data[i] >= '0' && text.data[i] <= '9'; i++)
		number = number * 10 + (size_t)(text.data[i] - '0');
	if (i == at + 1 || i >= text.bytes || text.data[i] != ']' || number > citations)
		return 0;
	*ret_bytes = i + 1 - at;
	return number;
}

/* One for every mark [n] in the text; places count in code points. Returns how many. */
static size_t annotations_write(struct json_writer *j, const struct chat_writer *w,
				struct span text)
{
	size_t count = 0, index = 0;
	json_key_write(j, "annotations");
	json_array(j);
	for (size_t at = 0; at < text.bytes; index++) {
		uint32_t point;
		size_t mark_bytes = 0;
		size_t number = text.data[at] == '['
					? mark_at(text, at, w->citation_count, &mark_bytes)
					: 0;
		if (number > 0) {
			annotation_write(j, w, number, index, index + mark_bytes);
			count++;
		}
		at += utf8_decode(text, at, &point);
	}
	json_array_end(j);
	return count;
}

/* ---- a stream ---- */

/* {"id",...,"choices":[{"index":0,"delta":{ ... what follows goes in here. */
static void chunk_begin(struct chat_writer *w, struct json_writer *j)
{
	buf_clear(&w->event);
	buf_add_text(&w->event, "data: ");
	json_writer_init(j, &w->event);
	json_object(j);
	head_write(j, w, "chat.completion.chunk");
	json_key_write(j, "choices");
	json_array(j);
	json_object(j);
	json_put_int(j, "index", 0);
	json_key_write(j, "delta");
	json_object(j);
}

static status event_send(struct chat_writer *w, struct fault *reterr)
{
	buf_add_text(&w->event, "\n\n");
	status st = buf_check(&w->event, "a chunk of the answer", reterr);
	return st == ST_OK ? http_stream_write(w->request, buf_span(&w->event), reterr) : st;
}

static void choice_end(struct json_writer *j, const char *finish)
{
	json_object_end(j);
	json_put_null(j, "logprobs");
	if (finish != NULL)
		json_put_text(j, "finish_reason", span_of(finish));
	else
		json_put_null(j, "finish_reason");
	json_object_end(j);
	json_array_end(j);
}

static status chunk_end(struct chat_writer *w, struct json_writer *j, struct fault *reterr)
{
	choice_end(j, NULL);
	if (w->chat->include_usage)
		json_put_null(j, "usage");
	json_object_end(j);
	return event_send(w, reterr);
}

/* Headers and the first chunk: role, and the sources before the first word. */
static status stream_begin(struct chat_writer *w, struct fault *reterr)
{
	static const char *const headers[] = {"Cache-Control: no-cache", "X-Accel-Buffering: no",
					      NULL};
	if (w->begun)
		return ST_OK;
	status st = http_stream_begin(w->request, 200, "text/event-stream", headers, reterr);
	if (st != ST_OK)
		return st;
	w->begun = true;
	http_stream_ping(w->request, SPAN(": ping\n\n"), PING_MS);
	struct json_writer j;
	chunk_begin(w, &j);
	json_put_text(&j, "role", SPAN("assistant"));
	json_put_text(&j, "content", SPAN(""));
	if (w->kb != NULL)
		context_write(&j, w);
	return chunk_end(w, &j, reterr);
}

void chat_on_citations(void *context, const struct citation *list, size_t count)
{
	struct chat_writer *w = context;
	w->citations = list;
	w->citation_count = count;
	/* A client that has gone is noticed at the first piece, or by the cancel flag. */
	if (w->chat->stream)
		(void)!stream_begin(w, NULL);
}

bool chat_on_piece(void *context, struct span piece)
{
	struct chat_writer *w = context;
	struct json_writer j;
	if (stream_begin(w, NULL) != ST_OK)
		return false;
	chunk_begin(w, &j);
	json_put_text(&j, "content", piece);
	w->emitted += piece.bytes;
	return chunk_end(w, &j, NULL) == ST_OK;
}

static status annotations_send(struct chat_writer *w, struct span text, struct fault *reterr)
{
	struct json_writer j;
	if (w->kb == NULL)
		return ST_OK;
	chunk_begin(w, &j);
	if (annotations_write(&j, w, text) == 0)
		return ST_OK;
	return chunk_end(w, &j, reterr);
}

static status last_chunk_send(struct chat_writer *w, const struct chat_result *r,
			      struct fault *reterr)
{
	struct json_writer j;
	chunk_begin(w, &j);
	choice_end(&j, r->finish);
	if (r->mode != NULL)
		json_put_text(&j, "mode", span_of(r->mode));
	timings_write(&j, r);
	if (w->chat->include_usage)
		json_put_null(&j, "usage");
	json_object_end(&j);
	return event_send(w, reterr);
}

static status usage_send(struct chat_writer *w, const struct chat_result *r, struct fault *reterr)
{
	struct json_writer j;
	if (!w->chat->include_usage)
		return ST_OK;
	buf_clear(&w->event);
	buf_add_text(&w->event, "data: ");
	json_writer_init(&j, &w->event);
	json_object(&j);
	head_write(&j, w, "chat.completion.chunk");
	json_key_write(&j, "choices");
	json_array(&j);
	json_array_end(&j);
	usage_write(&j, r);
	json_object_end(&j);
	return event_send(w, reterr);
}

static status stream_finish(struct chat_writer *w, const struct chat_result *r,
			    struct fault *reterr)
{
	status st = stream_begin(w, reterr);
	if (st == ST_OK && w->emitted == 0 && r->text.bytes > 0 && !chat_on_piece(w, r->text))
		st = ST_CANCELLED;
	if (st == ST_OK)
		st = annotations_send(w, r->text, reterr);
	if (st == ST_OK)
		st = last_chunk_send(w, r, reterr);
	if (st == ST_OK)
		st = usage_send(w, r, reterr);
	return st == ST_OK ? http_stream_write(w->request, SPAN("data: [DONE]\n\n"), reterr) : st;
}

/* ---- one piece ---- */

static void whole_reply(struct chat_writer *w, const struct chat_result *r)
{
	struct buf out;
	struct json_writer j;
	buf_init(&out, w->request->scope, API_ANSWER_BYTES);
	json_writer_init(&j, &out);
	json_object(&j);
	head_write(&j, w, "chat.completion");
	json_key_write(&j, "choices");
	json_array(&j);
	json_object(&j);
	json_put_int(&j, "index", 0);
	json_key_write(&j, "message");
	json_object(&j);
	json_put_text(&j, "role", SPAN("assistant"));
	json_put_text(&j, "content", r->text);
	json_put_null(&j, "refusal");
	annotations_write(&j, w, r->text);
	if (w->kb != NULL)
		context_write(&j, w);
	choice_end(&j, r->finish);
	usage_write(&j, r);
	if (r->mode != NULL)
		json_put_text(&j, "mode", span_of(r->mode));
	timings_write(&j, r);
	json_object_end(&j);
	reply_json(w->request, 200, &out);
}

void chat_finish(struct chat_writer *w, const struct chat_result *result)
{
	struct fault fault = {0};
	if (!w->chat->stream)
		whole_reply(w, result);
	else if (stream_finish(w, result, &fault) != ST_OK)
		chat_fail(w, &fault);
}

/* Before the first chunk an ordinary error; afterwards one last event, and no [DONE]. */
void chat_fail(struct chat_writer *w, const struct fault *fault)
{
	if (!w->begun) {
		reply_fault(w->request, fault, NULL);
		return;
	}
	if (fault->code != ST_CANCELLED)
		log_line(LOG_WARNING, "chat", "%s", fault_text(fault));
	struct json_writer j;
	buf_clear(&w->event);
	buf_add_text(&w->event, "data: ");
	json_writer_init(&j, &w->event);
	error_write(&j, status_http(fault->code), error_code(fault->code), NULL, fault_text(fault));
	(void)!event_send(w, NULL);
}
