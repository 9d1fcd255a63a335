#include "llm/transport.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "base/assert.h"
#include "base/size.h"
#include "base/utf8.h"
#include "rt/clock.h"
#include "rt/json.h"

enum {
	CONNECT_MS = 5000,
	FIRST_BYTE_MS = 60000,
	IDLE_MS = 30000,
	POLL_MS = 50,
	AT_ONCE_LIMIT = 256,
	WAITING_PER_CHANNEL = 4,
	BACKOFF_FIRST_MS = 250,
	BACKOFF_MAX_MS = 10000,
	URL_BYTES = 2048,
	REFUSAL_BYTES_MAX = 16 * 1024, /* of an error answer, to quote from */
	SNIPPET_BYTES = 80,
};

/* A handle with its own connections; one call at a time. */
struct channel {
	CURL *easy;
	CURLM *multi;
	char error[CURL_ERROR_SIZE];
	struct channel *next; /* idle */
};

struct transport {
	struct mem_scope *scope;
	struct llm_remote_options options; /* times resolved; strings owned */
	struct curl_slist *headers;
	struct channel *channels, *idle;
	uint32_t channel_count, waiting;
	pthread_mutex_t lock;
	pthread_cond_t freed;
};

/* One attempt at one call. */
struct attempt {
	struct transport *transport;
	struct channel *channel;
	const struct transport_call *call;
	struct buf refusal; /* the body of an answer that is not 200 */
	uint64_t heard_ms;  /* when the last byte of the body came; 0: none yet */
	size_t bytes;       /* of a good answer */
	uint32_t retry_after_ms;
	status st; /* from call->part, or our own limits */
	struct fault *fault;
};

/* ---- what curl calls ---- */

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
	struct attempt *a = context;
	size_t bytes = size * count;
	long code = 0;
	a->heard_ms = clock_ms();
	curl_easy_getinfo(a->channel->easy, CURLINFO_RESPONSE_CODE, &code);
	if (code != 200) {
		buf_add(&a->refusal, (struct span){data, bytes});
		return bytes; /* what does not fit is not quoted */
	}
	if (bytes > a->call->answer_bytes_max - a->bytes) {
		a->st = fault_set(a->fault, ST_REMOTE, "%s answered with more than %zu bytes",
				  a->transport->options.base_url, a->call->answer_bytes_max);
		return 0;
	}
	a->bytes += bytes;
	a->st = a->call->part(a->call->context, (struct span){data, bytes}, a->fault);
	return a->st == ST_OK ? bytes : 0;
}

static size_t on_header(char *data, size_t size, size_t count, void *context)
{
	struct attempt *a = context;
	size_t bytes = size * count;
	const struct span name = SPAN("retry-after:");
	if (bytes > name.bytes && strncasecmp(data, name.data, name.bytes) == 0) {
		struct span value =
			span_trim(span_slice((struct span){data, bytes}, name.bytes, bytes));
		uint32_t seconds = 0;
		for (size_t i = 0; i < value.bytes && value.data[i] >= '0' &&
				   value.data[i] <= '9' && seconds < 1000;
		     i++)
			seconds = seconds * 10 + (uint32_t)(value.data[i] - '0');
		a->retry_after_ms = (uint32_t)size_min(seconds * 1000, BACKOFF_MAX_MS);
	}
	return bytes;
}

/* ---- one attempt ---- */

static void attempt_setup(struct attempt *a)
{
	CURL *easy = a->channel->easy;
	struct transport *t = a->transport;
	char url[URL_BYTES];
	snprintf(url, sizeof(url), "%s%s", t->options.base_url, a->call->path);
	curl_easy_reset(easy); /* keeps connections and the DNS cache */
	a->channel->error[0] = '\0';
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, a->channel->error);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "plimsoll/" PLIMSOLL_VERSION);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, t->headers);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)t->options.connect_ms);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_POST, 1L);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS, a->call->body.data);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)a->call->body.bytes);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, a);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, a);
}

/* Drive the transfer until it ends by itself, by cancel or by our clock. */
static status attempt_drive(struct attempt *a, CURLcode *ret_code)
{
	const struct llm_remote_options *o = &a->transport->options;
	CURLM *multi = a->channel->multi;
	uint64_t began_ms = clock_ms();
	for (;;) {
		int running = 0, left = 0;
		if (curl_multi_perform(multi, &running) != CURLM_OK)
			return fault_set(a->fault, ST_REMOTE, "libcurl failed while talking to %s",
					 o->base_url);
		CURLMsg *message = curl_multi_info_read(multi, &left);
		if (message != NULL && message->msg == CURLMSG_DONE) {
			*ret_code = message->data.result;
			return ST_OK;
		}
		if (running == 0)
			return fault_set(a->fault, ST_REMOTE, "libcurl lost the call to %s",
					 o->base_url);
		if (cancel_is_set(a->call->cancel))
			return fault_set(a->fault, ST_CANCELLED, "the call was cancelled");
		uint64_t now_ms = clock_ms();
		if (a->heard_ms == 0 &&
		    now_ms - began_ms > (uint64_t)o->connect_ms + o->first_byte_ms)
			return fault_set(a->fault, ST_TIMEOUT,
					 "%s did not begin to answer within %u ms", o->base_url,
					 o->first_byte_ms);
		if (a->heard_ms != 0 && now_ms - a->heard_ms > o->idle_ms)
			return fault_set(a->fault, ST_TIMEOUT,
					 "%s fell silent for %u ms in the middle of its answer",
					 o->base_url, o->idle_ms);
		curl_multi_poll(multi, NULL, 0, POLL_MS, NULL);
	}
}

/* "message" out of an OpenAI-style error body, else its beginning. */
static struct span refusal_message(struct attempt *a, struct json **ret_json)
{
	struct span body = span_trim(buf_span(&a->refusal));
	*ret_json = NULL;
	if (json_parse(body, ret_json, NULL) == ST_OK) {
		const struct json *error = json_get(*ret_json, "error");
		struct span message = json_text(json_get(error, "message"));
		if (message.bytes == 0)
			message = json_text(error);
		if (message.bytes > 0)
			body = message;
	}
	return span_slice(body, 0, utf8_floor(body, size_min(body.bytes, SNIPPET_BYTES)));
}

static status refused(struct attempt *a, long code)
{
	const char *url = a->transport->options.base_url;
	CLEANUP(json_freep) struct json *json = NULL;
	struct span said = refusal_message(a, &json);
	if (code == 401 || code == 403)
		return fault_set(a->fault, ST_REMOTE, "%s refuses the API key (%ld): %.*s", url,
				 code, SPAN_ARG(said));
	if (code == 404)
		return fault_set(a->fault, ST_REMOTE, "%s has no %s or no such model (404): %.*s",
				 url, a->call->path, SPAN_ARG(said));
	if (code == 429)
		return fault_set(a->fault, ST_BUSY, "%s has too many requests (429): %.*s", url,
				 SPAN_ARG(said));
	if (code >= 300 && code < 400)
		return fault_set(a->fault, ST_REMOTE,
				 "%s sends us elsewhere (%ld): set the address it "
				 "means",
				 url, code);
	return fault_set(a->fault, ST_REMOTE, "%s answered %ld: %.*s", url, code, SPAN_ARG(said));
}

static status failed(struct attempt *a, CURLcode code)
{
	const char *url = a->transport->options.base_url;
	const char *why =
		a->channel->error[0] != '\0' ? a->channel->error : curl_easy_strerror(code);
	if (code == CURLE_COULDNT_RESOLVE_HOST)
		return fault_set(a->fault, ST_REMOTE, "the host of %s is not known: %s", url, why);
	if (code == CURLE_COULDNT_CONNECT)
		return fault_set(a->fault, ST_REMOTE, "no connection to %s: %s", url, why);
	if (code == CURLE_OPERATION_TIMEDOUT)
		return fault_set(a->fault, ST_TIMEOUT, "no connection to %s within %u ms", url,
				 a->transport->options.connect_ms);
	if (code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PEER_FAILED_VERIFICATION ||
	    code == CURLE_SSL_CERTPROBLEM || code == CURLE_SSL_CACERT_BADFILE)
		return fault_set(a->fault, ST_REMOTE, "no secure connection to %s: %s", url, why);
	if (a->bytes > 0)
		return fault_set(a->fault, ST_REMOTE,
				 "%s hung up after %zu bytes of its answer: %s", url, a->bytes,
				 why);
	return fault_set(a->fault, ST_REMOTE, "%s hung up without an answer: %s", url, why);
}

/* *ret_again: nothing was delivered, and another attempt may go better. */
static status attempt_run(struct attempt *a, bool *ret_again)
{
	CURLcode curl = CURLE_OK;
	long code = 0;
	*ret_again = false;
	attempt_setup(a);
	if (curl_multi_add_handle(a->channel->multi, a->channel->easy) != CURLM_OK)
		return fault_set(a->fault, ST_OOM, "libcurl has no memory for a call");
	status st = attempt_drive(a, &curl);
	curl_easy_getinfo(a->channel->easy, CURLINFO_RESPONSE_CODE, &code);
	curl_multi_remove_handle(a->channel->multi, a->channel->easy);
	if (st != ST_OK)
		return st;
	if (a->st != ST_OK)
		return a->st;
	if (curl != CURLE_OK) {
		*ret_again = a->bytes == 0 &&
			     (curl == CURLE_COULDNT_CONNECT || curl == CURLE_COULDNT_RESOLVE_HOST ||
			      curl == CURLE_GOT_NOTHING || curl == CURLE_SEND_ERROR ||
			      curl == CURLE_RECV_ERROR);
		return failed(a, curl);
	}
	if (code == 200)
		return ST_OK;
	*ret_again = code == 429 || code == 500 || code == 502 || code == 503 || code == 504;
	return refused(a, code);
}

/* ---- calls ---- */

static void timespec_in(struct timespec *ts, uint32_t ms)
{
	clock_gettime(CLOCK_MONOTONIC, ts);
	ts->tv_sec += ms / 1000;
	ts->tv_nsec += (long)(ms % 1000) * 1000000L;
	if (ts->tv_nsec >= 1000000000L) {
		ts->tv_sec++;
		ts->tv_nsec -= 1000000000L;
	}
}

static status channel_take(struct transport *t, const struct cancel *cancel,
			   struct channel **ret_channel, struct fault *reterr)
{
	status st = ST_OK;
	pthread_mutex_lock(&t->lock);
	if (t->idle == NULL && t->waiting >= t->channel_count * WAITING_PER_CHANNEL)
		st = fault_set(reterr, ST_BUSY, "%u calls to %s are running and %u wait already",
			       t->channel_count, t->options.base_url, t->waiting);
	t->waiting++;
	while (st == ST_OK && t->idle == NULL) {
		struct timespec until;
		timespec_in(&until, POLL_MS);
		(void)pthread_cond_timedwait(&t->freed, &t->lock, &until);
		if (cancel_is_set(cancel))
			st = fault_set(reterr, ST_CANCELLED, "the call was cancelled");
	}
	t->waiting--;
	if (st == ST_OK) {
		*ret_channel = t->idle;
		t->idle = t->idle->next;
	}
	pthread_mutex_unlock(&t->lock);
	return st;
}

static void channel_give(struct transport *t, struct channel *channel)
{
	pthread_mutex_lock(&t->lock);
	channel->next = t->idle;
	t->idle = channel;
	pthread_cond_signal(&t->freed);
	pthread_mutex_unlock(&t->lock);
}

/* Twice as long each time, or as long as the other side asks; never in step with our neighbours. */
static status pause_before(uint32_t attempt, const struct attempt *last,
			   const struct cancel *cancel, struct fault *reterr)
{
	uint64_t ms = (uint64_t)BACKOFF_FIRST_MS << (attempt < 6 ? attempt : 6);
	ms += clock_ns() / 1000 % (ms / 2);
	if (last->retry_after_ms > ms)
		ms = last->retry_after_ms;
	uint64_t until_ms = clock_ms() + (ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS);
	while (clock_ms() < until_ms) {
		struct timespec step = {.tv_nsec = 20 * 1000000L};
		if (cancel_is_set(cancel))
			return fault_set(reterr, ST_CANCELLED, "the call was cancelled");
		nanosleep(&step, NULL);
	}
	return ST_OK;
}

status transport_post(struct transport *transport, const struct transport_call *call,
		      struct fault *reterr)
{
	struct channel *channel = NULL;
	status st = channel_take(transport, call->cancel, &channel, reterr);
	if (st != ST_OK)
		return st;
	for (uint32_t n = 0;; n++) {
		struct attempt a = {
			.transport = transport, .channel = channel, .call = call, .fault = reterr};
		bool again = false;
		buf_init(&a.refusal, transport->scope, REFUSAL_BYTES_MAX);
		st = attempt_run(&a, &again);
		buf_fini(&a.refusal);
		if (st == ST_OK || !again || n >= transport->options.retries_max)
			break;
		st = pause_before(n, &a, call->cancel, reterr);
		if (st != ST_OK)
			break;
	}
	channel_give(transport, channel);
	return st;
}

status transport_nonsense(const struct transport *transport, const char *what, struct span answer,
			  struct fault *reterr)
{
	char shown[SNIPPET_BYTES + 1];
	size_t bytes = utf8_floor(answer, size_min(answer.bytes, SNIPPET_BYTES));
	for (size_t i = 0; i < bytes; i++)
		shown[i] = (unsigned char)answer.data[i] < ' ' ? ' ' : answer.data[i];
	shown[bytes] = '\0';
	return fault_set(reterr, ST_REMOTE, "%s answered with nonsense (%s): %s",
			 transport->options.base_url, what, shown);
}

/* A byte-level vocabulary makes at most one token of a byte; of letters it rarely makes more than
 * one of two, of a character of three bytes more than two. */
size_t transport_tokens_guess(struct span text)
{
	size_t halves = 0;
	for (size_t at = 0; at < text.bytes;) {
		uint32_t point;
		size_t length = utf8_decode(text, at, &point);
		bool letter = (point >= 'a' && point <= 'z') || (point >= 'A' && point <= 'Z') ||
			      point == ' ';
		halves += letter ? 1 : length == 1 ? 2 : length == 2 ? 3 : length == 3 ? 4 : 8;
		at += length;
	}
	return halves / 2 + 1;
}

/* ---- open and close ---- */

static void start_once(void)
{
	(void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

static status check_url(const char *url, struct fault *reterr)
{
	status st = ST_OK;
	char *scheme = NULL, *password = NULL;
	CURLU *parts = curl_url();
	if (parts == NULL)
		return fault_set(reterr, ST_OOM, "no memory for an address");
	if (strlen(url) > URL_BYTES - 64 ||
	    curl_url_set(parts, CURLUPART_URL, url, 0) != CURLUE_OK ||
	    curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
	    (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0))
		st = fault_set(reterr, ST_INVALID,
			       "'%s' is not an address: it must begin with http:// "
			       "or https://, for example http://127.0.0.1:8000/v1",
			       url);
	else if (curl_url_get(parts, CURLUPART_PASSWORD, &password, 0) == CURLUE_OK)
		st = fault_set(reterr, ST_INVALID,
			       "an address must not hold a password; set the API key");
	curl_free(scheme);
	curl_free(password);
	curl_url_cleanup(parts);
	return st;
}

static status headers_make(struct transport *t, struct fault *reterr)
{
	struct buf line;
	const char *key = t->options.api_key;
	if (strpbrk(key, "\r\n") != NULL)
		return fault_set(reterr, ST_INVALID, "the API key holds a line break");
	buf_init(&line, t->scope, 16 * KIB);
	buf_printf(&line, "Authorization: Bearer %s", key);
	status st = buf_check(&line, "the API key", reterr);
	const char *const fixed[] = {"Content-Type: application/json", "Expect:", line.data};
	size_t count = key[0] != '\0' ? 3 : 2;
	for (size_t i = 0; i < count && st == ST_OK; i++) {
		struct curl_slist *more = curl_slist_append(t->headers, fixed[i]);
		if (more == NULL)
			st = fault_set(reterr, ST_OOM, "no memory for a header");
		else
			t->headers = more;
	}
	buf_fini(&line);
	return st;
}

static status options_copy(struct transport *t, const struct llm_remote_options *options,
			   struct fault *reterr)
{
	struct llm_remote_options o = *options;
	struct span url = span_of(options->base_url);
	while (url.bytes > 0 && url.data[url.bytes - 1] == '/')
		url.bytes--;
	o.base_url = mem_copy_text(t->scope, url);
	o.api_key = mem_copy_text(t->scope, span_of(options->api_key));
	o.model = mem_copy_text(t->scope, span_of(options->model));
	if (o.base_url == NULL || o.api_key == NULL || o.model == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for an endpoint");
	o.connect_ms = o.connect_ms != 0 ? o.connect_ms : CONNECT_MS;
	o.first_byte_ms = o.first_byte_ms != 0 ? o.first_byte_ms : FIRST_BYTE_MS;
	o.idle_ms = o.idle_ms != 0 ? o.idle_ms : IDLE_MS;
	o.at_once_max = o.at_once_max != 0 ? o.at_once_max : 1;
	if (o.at_once_max > AT_ONCE_LIMIT)
		return fault_set(reterr, ST_INVALID, "at most %d calls at once are possible",
				 AT_ONCE_LIMIT);
	t->options = o;
	return check_url(o.base_url, reterr);
}

static status channels_open(struct transport *t, struct fault *reterr)
{
	t->channels = mem_new_array(t->scope, struct channel, t->options.at_once_max);
	if (t->channels == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for an endpoint");
	for (; t->channel_count < t->options.at_once_max; t->channel_count++) {
		struct channel *c = &t->channels[t->channel_count];
		c->easy = curl_easy_init();
		c->multi = curl_multi_init();
		if (c->easy == NULL || c->multi == NULL) {
			t->channel_count++;
			return fault_set(reterr, ST_OOM, "libcurl has no memory for an endpoint");
		}
		c->next = t->idle;
		t->idle = c;
	}
	return ST_OK;
}

void transport_close(struct transport *transport)
{
	if (transport == NULL)
		return;
	for (uint32_t i = 0; i < transport->channel_count; i++) {
		curl_easy_cleanup(transport->channels[i].easy);
		curl_multi_cleanup(transport->channels[i].multi);
	}
	curl_slist_free_all(transport->headers);
	pthread_cond_destroy(&transport->freed);
	pthread_mutex_destroy(&transport->lock);
	mem_scope_close(transport->scope);
}

status transport_open(struct mem_scope *scope, const struct llm_remote_options *options,
		      struct transport **ret_transport, struct fault *reterr)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, start_once);
	struct mem_scope *own = mem_scope_open(scope, "remote", 0);
	struct transport *t = own != NULL ? mem_new(own, struct transport) : NULL;
	if (t == NULL) {
		mem_scope_close(own);
		return fault_set(reterr, mem_refusal(), "no memory for an endpoint");
	}
	pthread_condattr_t monotonic;
	t->scope = own;
	pthread_mutex_init(&t->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&t->freed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	status st = options_copy(t, options, reterr);
	if (st == ST_OK)
		st = headers_make(t, reterr);
	if (st == ST_OK)
		st = channels_open(t, reterr);
	if (st != ST_OK)
		transport_close(t);
	else
		*ret_transport = t;
	return st;
}
