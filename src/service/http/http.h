/* http/http.h -- bytes to requests and back, over libmicrohttpd; knows no questions.
 *
 * A request is read whole (bounded body; multipart files go to temporary files) and handed to a
 * handler in a worker thread of a fixed pool; when all are busy and the queue is full the answer is
 * 503 with Retry-After. A handler answers at once (http_reply) or streams (http_stream_begin, then
 * http_stream_write: blocks while the client reads slower, never buffers more than a fixed window).
 * When the client goes away, request->cancel is set.
 *
 * Memory   Everything of a request lives in request->scope and is gone when the handler returns.
 * Threads  Handlers run in the pool's threads, one request in one thread. */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"
#include "mem/scope.h"
#include "rt/cancel.h"

enum { HTTP_PARAMS_MAX = 4, HTTP_FILES_MAX = 64 };

struct http_file { /* one part of a multipart upload */
	const char *field, *name; /* as sent; not to be trusted as a path */
	const char *path;         /* temporary file, removed after the handler unless renamed away */
	uint64_t bytes;
};

struct http_request {
	const char *method, *path; /* path is decoded, without the query */
	const char *route;         /* the pattern that matched */
	struct span params[HTTP_PARAMS_MAX]; /* what {name} parts of the route held, decoded */
	struct span body;          /* when not multipart */
	struct http_file *files;
	size_t file_count;
	struct mem_scope *scope;
	struct cancel cancel;
	void *app;                 /* http_options.app */
	struct http_exchange *exchange; /* of http.c */
};

const char *http_header(const struct http_request *r, const char *name); /* NULL when absent */
const char *http_query(const struct http_request *r, const char *key);   /* decoded; NULL when absent */

typedef void http_handler_fn(struct http_request *r);

struct http_route {
	const char *method;  /* "GET", "POST", "DELETE" */
	const char *pattern; /* "/api/v1/kbs/{kb}/files/{file}": {x} matches one component, {x*} the rest */
	http_handler_fn *handler;
	uint64_t body_max;   /* bytes; 0 = the server's default */
	bool multipart;      /* files are accepted */
};

struct http_options {
	const char *listen;  /* "127.0.0.1:7861"; port 0 picks a free one */
	const struct http_route *routes;
	size_t route_count;
	void *app;
	const char *temp_dir; /* for uploads */
	uint32_t workers, queue_max, connections_max;
	uint64_t body_max;
	uint32_t idle_seconds;
	void (*log)(void *app, const char *method, const char *route, int code, double ms); /* NULL */
	/* Write the JSON error body for a refusal that http/ itself makes (404, 405, 413, 503...). */
	void (*error)(struct http_request *r, int code, const char *message);
};

struct http_server;
MUST_CHECK status http_open(struct mem_scope *parent, const struct http_options *options,
			    struct http_server **ret_server, struct fault *reterr);
const char *http_address(const struct http_server *server); /* "127.0.0.1:43211" */
/* Stop listening, cancel running requests after grace_ms, free all. */
void http_close(struct http_server *server, uint32_t grace_ms);

/* ---- answers: exactly one of them per request ---- */

/* Extra headers: "Name: value" strings ending with NULL; NULL = none. body is copied. */
void http_reply(struct http_request *r, int code, const char *content_type, struct span body,
		const char *const *headers);
void http_reply_file(struct http_request *r, const char *path, const char *content_type,
		     const char *const *headers);
/* Begin a streamed answer (chunked). */
MUST_CHECK status http_stream_begin(struct http_request *r, int code, const char *content_type,
				    const char *const *headers, struct fault *reterr);
/* ST_CANCELLED when the client is gone. */
MUST_CHECK status http_stream_write(struct http_request *r, struct span bytes, struct fault *reterr);

#endif
