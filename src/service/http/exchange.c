#include "http/exchange.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/size.h"
#include "http/route.h"
#include "http/upload.h"
#include "rt/clock.h"
#include "rt/file.h"

/* What one request may hold beside its body: work of the handler and the answer. */
#define REQUEST_WORK_BYTES (128 * MIB)

/* ---- life ---- */

void exchange_unref(struct http_exchange *e)
{
	if (atomic_fetch_sub(&e->refs, 1) != 1)
		return;
	upload_close(e);
	mem_scope_close(e->request.scope);
	fd_closep(&e->reply.fd);
	pthread_mutex_destroy(&e->lock);
	pthread_cond_destroy(&e->room);
	mem_scope_close(e->scope); /* frees e */
}

static const char *header_of(const struct http_exchange *e, const char *name)
{
	return MHD_lookup_connection_value(e->connection, MHD_HEADER_KIND, name);
}

/* Browsers say where a request comes from. A page of another site must not be able to write here
 * through its visitor, who may reach a server that listens on loopback. */
static bool is_foreign_write(const struct http_exchange *e, const char *method)
{
	if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0 ||
	    strcmp(method, "OPTIONS") == 0)
		return false;
	const char *site = header_of(e, "Sec-Fetch-Site");
	return site != NULL && (strcmp(site, "cross-site") == 0 || strcmp(site, "same-site") == 0);
}

static bool reply_header(struct http_exchange *e, const char *text)
{
	struct reply *r = &e->reply;
	ASSERT(r->header_count < HTTP_REPLY_HEADERS_MAX);
	char *copy = mem_copy_text(e->scope, span_of(text));
	if (copy != NULL)
		r->headers[r->header_count++] = copy;
	return copy != NULL;
}

/* Decode the path and find the route, or refuse. */
static void exchange_route(struct http_exchange *e, const char *method, const char *url)
{
	struct http_request *r = &e->request;
	struct fault fault = {0};
	struct span path;
	if (url_decode(r->scope, span_of(url), false, &path, &fault) != ST_OK) {
		exchange_refuse(e, status_http(fault.code), fault.text);
		return;
	}
	r->path = path.data;
	char allow[128];
	struct span params[HTTP_PARAMS_MAX] = {{NULL, 0}};
	e->route =
		route_find(&e->server->options, method, span_of(url), params, allow, sizeof(allow));
	if (e->route == NULL && allow[0] == '\0') {
		exchange_refuse(e, 404, "there is nothing at this address");
		return;
	}
	if (e->route == NULL) {
		char line[160];
		snprintf(line, sizeof(line), "Allow: %s", allow);
		exchange_refuse(e, 405,
				"this address does not take that method; see the Allow header");
		(void)reply_header(e, line); /* without it the text still says what to do */
		return;
	}
	r->route = e->route->pattern;
	for (size_t i = 0; i < HTTP_PARAMS_MAX && params[i].data != NULL; i++) {
		if (url_decode(r->scope, params[i], false, &r->params[i], &fault) != ST_OK) {
			exchange_refuse(e, status_http(fault.code), fault.text);
			return;
		}
	}
}

static void refuse_too_large(struct http_exchange *e)
{
	char text[120];
	snprintf(text, sizeof(text),
		 "the body is larger than the %llu bytes that are accepted here",
		 (unsigned long long)e->body_max);
	exchange_refuse(e, 413, text);
}

/* Everything the headers tell. */
static void exchange_begin(struct http_exchange *e, const char *method, const char *url)
{
	const char *length = header_of(e, "Content-Length");
	e->content_length = length != NULL ? strtoull(length, NULL, 10) : 0;
	if (header_of(e, "Transfer-Encoding") != NULL)
		e->content_length = UINT64_MAX;
	exchange_route(e, method, url);
	if (!e->refused && is_foreign_write(e, method))
		exchange_refuse(e, 403, "a web page of another site may not do this");
	if (e->refused)
		return;
	e->body_max = e->route->body_max != 0 ? e->route->body_max : e->server->options.body_max;
	if (e->content_length != UINT64_MAX && e->content_length > e->body_max)
		refuse_too_large(e);
	else if (e->route->multipart)
		upload_open(e);
	else
		buf_init(&e->body, e->request.scope, (size_t)e->body_max);
}

static void tell_ahead(struct http_exchange *e);

struct http_exchange *exchange_open(struct http_server *server, struct MHD_Connection *connection,
				    const char *method, const char *url, const char *version)
{
	struct mem_scope *scope = mem_scope_open(
		server->scope, "request", REQUEST_WORK_BYTES + (size_t)server->options.body_max);
	if (scope == NULL)
		return NULL;
	struct http_exchange *e = mem_new(scope, struct http_exchange);
	struct mem_scope *work = e != NULL ? mem_scope_open(scope, "work", 0) : NULL;
	char *method_copy = e != NULL ? mem_copy_text(scope, span_of(method)) : NULL;
	if (work == NULL || method_copy == NULL) {
		mem_scope_close(scope);
		return NULL;
	}
	e->scope = scope;
	e->server = server;
	e->connection = connection;
	e->http11 = strcmp(version, "HTTP/1.1") == 0;
	e->fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
	e->started_ns = clock_ns();
	e->reply.fd = -1;
	atomic_init(&e->refs, 1);
	pthread_mutex_init(&e->lock, NULL);
	pthread_cond_init(&e->room, NULL);
	e->request = (struct http_request){.method = method_copy,
					   .path = "",
					   .route = "",
					   .scope = work,
					   .app = server->options.app,
					   .exchange = e};
	pthread_mutex_lock(&server->lock);
	e->next = server->exchanges;
	if (e->next != NULL)
		e->next->prev = e;
	server->exchanges = e;
	server->exchange_count++;
	pthread_mutex_unlock(&server->lock);
	exchange_begin(e, method, url);
	/* A client that waits for "100 Continue" gets the refusal as a plain answer (http.c). */
	if (e->refused && e->content_length > HTTP_DRAIN_QUIET && header_of(e, "Expect") == NULL)
		tell_ahead(e);
	return e;
}

void exchange_completed(struct http_exchange *e, bool whole)
{
	struct http_server *server = e->server;
	pthread_mutex_lock(&e->lock);
	e->connection = NULL;
	cancel_set(&e->request.cancel);
	pthread_cond_broadcast(&e->room);
	pthread_mutex_unlock(&e->lock);

	pthread_mutex_lock(&server->lock);
	if (e->prev != NULL)
		e->prev->next = e->next;
	else
		server->exchanges = e->next;
	if (e->next != NULL)
		e->next->prev = e->prev;
	server->exchange_count--;
	pthread_cond_broadcast(&server->changed);
	pthread_mutex_unlock(&server->lock);

	if (server->options.log != NULL) {
		double ms = (double)(clock_ns() - e->started_ns) / 1e6;
		server->options.log(server->options.app, e->request.method,
				    e->route != NULL ? e->route->pattern : "",
				    whole || e->told ? e->reply.code : 499, ms);
	}
	exchange_unref(e);
}

/* ---- receiving ---- */

void exchange_refuse(struct http_exchange *e, int code, const char *message)
{
	if (e->refused)
		return;
	e->refused = true;
	buf_fini(&e->body);
	if (e->server->options.error != NULL)
		e->server->options.error(&e->request, code, message);
	if (e->reply.code == 0)
		http_reply(&e->request, code, "text/plain; charset=utf-8", span_of(message), NULL);
	if (code == 503 && e->reply.header_count == 0)
		(void)reply_header(e, "Retry-After: 1");
}

/* The client is still sending, and libmicrohttpd answers only when it has read the whole body. So
 * the answer goes to the socket directly: nothing else is on its way there between two answers.
 * What the client goes on sending is read and dropped for a while, or the reset would destroy the
 * answer. */
static void tell_ahead(struct http_exchange *e)
{
	e->told = true;
	struct buf text;
	buf_init(&text, e->scope, 8 * KIB);
	buf_printf(&text, "HTTP/1.1 %d Refused\r\nContent-Type: %s\r\nContent-Length: %zu\r\n",
		   e->reply.code, e->reply.content_type, e->reply.bytes);
	for (size_t i = 0; i < e->reply.header_count; i++)
		buf_printf(&text, "%s\r\n", e->reply.headers[i]);
	buf_add_text(&text, "Connection: close\r\n\r\n");
	buf_add(&text, (struct span){e->reply.body, e->reply.bytes});
	if (text.refused == ST_OK)
		(void)!send(e->fd, text.data, text.bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
	shutdown(e->fd, SHUT_WR);
	buf_fini(&text);
}

bool exchange_receive(struct http_exchange *e, struct span data)
{
	if (!e->refused && e->upload != NULL) {
		e->discarded += data.bytes; /* counts what came, kept or not */
		if (e->discarded > e->body_max)
			refuse_too_large(e);
		else
			upload_add(e, data);
		if (e->refused)
			upload_close(e);
	} else if (!e->refused && !buf_add(&e->body, data)) {
		if (e->body.refused == ST_LIMIT)
			refuse_too_large(e);
		else
			exchange_refuse(e, 503, "no memory for the body at the moment");
	}
	if (!e->refused)
		return true;
	if (!e->told && e->content_length > HTTP_DRAIN_QUIET) {
		e->discarded = 0;
		tell_ahead(e);
	}
	e->discarded += data.bytes;
	return e->discarded <= HTTP_DRAIN_MAX;
}

/* ---- working ---- */

static void exchange_finish(struct http_exchange *e)
{
	if (e->reply.code == 0 && cancel_is_set(&e->request.cancel))
		exchange_refuse(e, 499, "the client is gone");
	else if (e->reply.code == 0)
		exchange_refuse(e, 500, "the request was not answered");
	upload_close(e);
	mem_scope_close(e->request.scope);
	e->request.scope = NULL;

	pthread_mutex_lock(&e->lock);
	e->finished = true;
	bool resume = e->parked || e->state == EXCHANGE_QUEUED;
	e->parked = false;
	if (e->state == EXCHANGE_QUEUED)
		e->state = EXCHANGE_ANSWERED;
	if (resume)
		MHD_resume_connection(e->connection);
	pthread_mutex_unlock(&e->lock);

	struct http_server *server = e->server;
	pthread_mutex_lock(&server->lock);
	server->in_flight--;
	pthread_cond_broadcast(&server->changed);
	pthread_mutex_unlock(&server->lock);
	exchange_unref(e);
}

static void exchange_run(void *context, bool cancelled)
{
	struct http_exchange *e = context;
	if (cancelled)
		exchange_refuse(e, 503, "the server is stopping");
	else if (!cancel_is_set(&e->request.cancel))
		e->route->handler(&e->request);
	exchange_finish(e);
}

/* Under server->lock, so that no work reaches a pool that is being closed. */
static bool admit(struct http_exchange *e)
{
	struct http_server *server = e->server;
	if (server->closing ||
	    server->in_flight >= (size_t)server->options.workers + server->options.queue_max)
		return false;
	e->state = EXCHANGE_QUEUED;
	atomic_fetch_add(&e->refs, 1);
	MHD_suspend_connection(e->connection);
	if (pool_add(server->pool, exchange_run, e, NULL) == ST_OK) {
		server->in_flight++;
		pthread_cond_broadcast(&server->changed);
		return true;
	}
	MHD_resume_connection(e->connection);
	atomic_fetch_sub(&e->refs, 1);
	return false;
}

bool exchange_dispatch(struct http_exchange *e)
{
	if (!e->refused && e->upload != NULL)
		upload_finish(e);
	if (e->refused)
		upload_close(e);
	if (!e->refused) {
		e->request.body = buf_span(&e->body);
		pthread_mutex_lock(&e->server->lock);
		bool admitted = admit(e);
		pthread_mutex_unlock(&e->server->lock);
		if (admitted)
			return true;
		exchange_refuse(e, 503, "the server is busy: try again in a moment");
	}
	e->state = EXCHANGE_ANSWERED;
	return false;
}

/* ---- answering ---- */

/* False when memory is refused: then there is no answer yet, not one without some of its
 * headers. */
static bool reply_set(struct http_exchange *e, int code, const char *content_type,
		      const char *const *headers)
{
	ASSERT(e->reply.code == 0); /* exactly one answer */
	e->reply.content_type = mem_copy_text(e->scope, span_of(content_type));
	bool whole = e->reply.content_type != NULL;
	for (size_t i = 0; whole && headers != NULL && headers[i] != NULL; i++)
		whole = reply_header(e, headers[i]);
	if (whole)
		e->reply.code = code;
	else
		e->reply.header_count = 0;
	return whole;
}

/* For when there is no room even to say so: needs none. */
static char no_memory[] =
	"{\"error\":{\"message\":\"no memory for this answer at the moment\",\"type\":"
	"\"unavailable_error\",\"param\":null,\"code\":\"memory_load_line\"}}";
static char no_memory_header[] = "Retry-After: 1", json_type[] = "application/json";

static void reply_no_memory(struct http_exchange *e)
{
	e->reply.code = 503;
	e->reply.content_type = json_type;
	e->reply.headers[0] = no_memory_header;
	e->reply.header_count = 1;
	e->reply.body = no_memory;
	e->reply.bytes = sizeof(no_memory) - 1;
}

enum MHD_Result exchange_refuse_without_memory(struct MHD_Connection *connection)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(
		sizeof(no_memory) - 1, no_memory, MHD_RESPMEM_PERSISTENT);
	if (response == NULL)
		return MHD_NO;
	MHD_add_response_header(response, "Content-Type", "application/json");
	MHD_add_response_header(response, "Retry-After", "1");
	enum MHD_Result queued = MHD_queue_response(connection, 503, response);
	MHD_destroy_response(response);
	return queued;
}

void http_reply(struct http_request *r, int code, const char *content_type, struct span body,
		const char *const *headers)
{
	struct http_exchange *e = r->exchange;
	e->reply.body = mem_copy_text(e->scope, body);
	e->reply.bytes = body.bytes;
	if (e->reply.body == NULL || !reply_set(e, code, content_type, headers))
		reply_no_memory(e);
}

void http_reply_file(struct http_request *r, const char *path, const char *content_type,
		     const char *const *headers)
{
	struct http_exchange *e = r->exchange;
	struct fault fault = {0};
	int fd = -1;
	uint64_t bytes = 0;
	status st = fd_open(path, O_RDONLY | O_NOFOLLOW, 0, &fd, &fault);
	if (st == ST_OK)
		st = fd_size(fd, &bytes, &fault);
	if (st != ST_OK) {
		fd_closep(&fd);
		/* The path inside the server is nobody's business. */
		exchange_refuse(e, status_http(st), "the file cannot be read");
		return;
	}
	if (!reply_set(e, 200, content_type, headers)) {
		fd_closep(&fd);
		reply_no_memory(e);
		return;
	}
	e->reply.fd = fd;
	e->reply.file_bytes = bytes;
}

status http_stream_begin(struct http_request *r, int code, const char *content_type,
			 const char *const *headers, struct fault *reterr)
{
	struct http_exchange *e = r->exchange;
	char *window = mem_new_array(e->scope, char, HTTP_STREAM_WINDOW);
	if (window == NULL || !reply_set(e, code, content_type, headers))
		return fault_set(reterr, mem_refusal(), "no memory for a streamed answer");
	pthread_mutex_lock(&e->lock);
	e->window = window;
	e->written_ms = clock_ms();
	e->state = EXCHANGE_STREAMING;
	MHD_resume_connection(e->connection);
	pthread_mutex_unlock(&e->lock);
	return ST_OK;
}

static struct MHD_Response *response_make(struct http_exchange *e)
{
	struct reply *r = &e->reply;
	/* libmicrohttpd 0.9.75 would end a HEAD answer of unknown length with an empty chunk. */
	if (e->state == EXCHANGE_STREAMING && strcmp(e->request.method, "HEAD") == 0)
		return MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
	if (e->state == EXCHANGE_STREAMING)
		return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16 * KIB, stream_read, e,
							 NULL);
	if (r->fd < 0)
		return MHD_create_response_from_buffer(r->bytes, r->body, MHD_RESPMEM_PERSISTENT);
	struct MHD_Response *response = MHD_create_response_from_fd64(r->file_bytes, r->fd);
	if (response != NULL)
		r->fd = -1; /* libmicrohttpd closes it */
	return response;
}

/* "Name: value". */
static void header_add(struct MHD_Response *response, const char *text)
{
	const char *colon = strchr(text, ':');
	char name[64];
	if (colon == NULL || (size_t)(colon - text) >= sizeof(name))
		return;
	snprintf(name, sizeof(name), "%.*s", (int)(colon - text), text);
	MHD_add_response_header(response, name, colon + 1 + strspn(colon + 1, " "));
}

enum MHD_Result exchange_send(struct http_exchange *e)
{
	struct MHD_Response *response = response_make(e);
	if (response == NULL)
		return MHD_NO;
	MHD_add_response_header(response, "Content-Type", e->reply.content_type);
	MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	MHD_add_response_header(response, "X-Frame-Options", "DENY");
	MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
	for (size_t i = 0; i < e->reply.header_count; i++)
		header_add(response, e->reply.headers[i]);
	enum MHD_Result queued =
		MHD_queue_response(e->connection, (unsigned)e->reply.code, response);
	MHD_destroy_response(response);
	return queued;
}

/* ---- what handlers ask ---- */

/* Copied, because libmicrohttpd frees its text when the client goes, at any time. */
static const char *look_up(const struct http_request *r, enum MHD_ValueKind kind, const char *name)
{
	struct http_exchange *e = r->exchange;
	const char *copy = NULL;
	pthread_mutex_lock(&e->lock);
	const char *value = e->connection != NULL
				    ? MHD_lookup_connection_value(e->connection, kind, name)
				    : NULL;
	if (value != NULL)
		copy = mem_copy_text(r->scope, span_of(value));
	pthread_mutex_unlock(&e->lock);
	return copy;
}

const char *http_header(const struct http_request *r, const char *name)
{
	return look_up(r, MHD_HEADER_KIND, name);
}

const char *http_query(const struct http_request *r, const char *key)
{
	const char *raw = look_up(r, MHD_GET_ARGUMENT_KIND, key);
	struct span text;
	if (raw == NULL || url_decode(r->scope, span_of(raw), true, &text, NULL) != ST_OK)
		return NULL;
	return text.data;
}
