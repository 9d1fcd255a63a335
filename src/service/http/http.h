/* http/http.h -- bytes to requests and back, over libmicrohttpd; knows no questions.
 *
 * A request is read whole (bounded body; multipart files go to temporary files) and handed to a
 * handler in a worker thread of a fixed pool; when all are busy and the queue is full the answer is
 * 503 with Retry-After. A handler answers at once (http_reply) or streams (http_stream_begin, then
 * http_stream_write: blocks while the client reads slower, never buffers more than a fixed window).
 * When the client goes away, request->cancel is set within a fifth of a second, whether the request
 * waits in the queue, computes or streams. A client that only closes its sending side (HTTP/1.1,
 * answer not begun) is still there: it gets a "100 Continue" as a probe, which only a closed socket
 * rejects.
 *
 * Refused here, with options.error writing the body: malformed or non-UTF-8 paths (400), writes
 * that a browser sends for another site (Sec-Fetch-Site; 403), unknown paths (404), methods (405
 * with Allow), bodies over the route's limit (413 as soon as Content-Length or the bytes say so), a
 * full queue (503). Headers over HTTP_HEADER_BYTES_MAX are answered 431 by libmicrohttpd itself.
 *
 * Memory   Everything of a request lives in request->scope and is gone when the handler returns;
 *          the answer not yet sent lives in the exchange and is gone when it is.
 * Threads  Handlers run in the pool's threads, one request in one thread. */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"
#include "mem/scope.h"
#include "rt/cancel.h"

enum {
	HTTP_PARAMS_MAX = 4,
	HTTP_FILES_MAX = 64,
	HTTP_HEADER_BYTES_MAX =
		32 * 1024, /* memory of one connection: request line, headers, read buffer */
	HTTP_STREAM_WINDOW =
		64 * 1024, /* bytes of a streamed answer that may wait for the client */
};

struct http_file {                /* one part of a multipart upload */
	const char *field, *name; /* as sent; not to be trusted as a path */
	const char *path; /* temporary file, removed after the handler unless renamed away */
	uint64_t bytes;
};

struct http_request {
	const char *method, *path;           /* path is decoded, without the query */
	const char *route;                   /* the pattern that matched */
	struct span params[HTTP_PARAMS_MAX]; /* what {name} parts of the route held, decoded */
	struct span body;                    /* when not multipart */
	struct http_file *files;
	size_t file_count;
	struct mem_scope *scope;
	struct cancel cancel;
	void *app;                      /* http_options.app */
	struct http_exchange *exchange; /* of http.c */
};

/* NULL when absent, malformed, or when the client has gone. The value lives in r->scope. */
const char *http_header(const struct http_request *r, const char *name);
const char *http_query(const struct http_request *r, const char *key); /* decoded */

typedef void http_handler_fn(struct http_request *r);

struct http_route {
	const char *method; /* "GET", "POST", "DELETE" */
	/* "/api/v1/kbs/{kb}/files/{file*}": {x} matches one component, {x*} the rest. */
	const char *pattern;
	http_handler_fn *handler;
	uint64_t body_max; /* bytes; 0 = the server's default */
	bool multipart;    /* files are accepted */
};

struct http_options {
	const char *listen; /* "127.0.0.1:7861"; port 0 picks a free one */
	const struct http_route *routes;
	size_t route_count;
	void *app;
	const char *temp_dir; /* for uploads */
	uint32_t workers, queue_max, connections_max;
	uint64_t body_max;
	uint32_t idle_seconds;
	void (*log)(void *app, const char *method, const char *route, int code,
		    double ms); /* NULL */
	/* Write the JSON error body for a refusal that http/ itself makes (404, 405, 413,
	 * 503...). */
	void (*error)(struct http_request *r, int code, const char *message);
};

struct http_server;
MUST_CHECK status http_open(struct mem_scope *parent, const struct http_options *options,
			    struct http_server **ret_server, struct fault *reterr);
const char *http_address(const struct http_server *server); /* "127.0.0.1:43211" */
/* Refuse new requests, cancel running ones after grace_ms, stop listening, free all. */
void http_close(struct http_server *server, uint32_t grace_ms);

/* ---- answers: exactly one of them per request ---- */

/* Extra headers: "Name: value" strings ending with NULL; NULL = none. body is copied, and sent once
 * the handler has returned and its memory is free. */
void http_reply(struct http_request *r, int code, const char *content_type, struct span body,
		const char *const *headers);
void http_reply_file(struct http_request *r, const char *path, const char *content_type,
		     const char *const *headers);
/* Begin a streamed answer (chunked). */
MUST_CHECK status http_stream_begin(struct http_request *r, int code, const char *content_type,
				    const char *const *headers, struct fault *reterr);
/* While nothing has been written for every_ms, send `ping` (static text, at most 64 bytes) between
 * two writes, so that proxies and clients see that the answer is still being made. */
void http_stream_ping(struct http_request *r, struct span ping, uint32_t every_ms);
/* Blocks while the window is full. ST_CANCELLED when the client is gone. */
MUST_CHECK status http_stream_write(struct http_request *r, struct span bytes,
				    struct fault *reterr);

#endif
