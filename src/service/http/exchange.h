/* http/exchange.h -- private to http/: one request and its answer, shared by two threads.
 *
 * libmicrohttpd's thread receives the request and sends the answer; a worker runs the handler.
 * While the worker computes, the connection is suspended. Each side holds one reference.
 *
 *     RECEIVING --refused--> ANSWERED                          (never left libmicrohttpd's thread)
 *     RECEIVING --> QUEUED --handler returned--> ANSWERED      (resumed, reply sent)
 *                   QUEUED --stream_begin--> STREAMING         (reader drains the window, parks
 *                   when empty)
 *
 * Locks   server->lock (list, counters) before exchange->lock (all below it); libmicrohttpd's own
 *         come last. Fields of the receiving side are touched by libmicrohttpd's thread only. */
#ifndef HTTP_EXCHANGE_H
#define HTTP_EXCHANGE_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "http/http.h"
#include "rt/buf.h"
#include "rt/thread.h"

enum {
	HTTP_REPLY_HEADERS_MAX = 8,
	HTTP_DRAIN_MAX = 8 * 1024 * 1024, /* bytes of a refused body read before the line is cut */
	HTTP_DRAIN_QUIET = 64 * 1024,     /* up to here a refused body is read and the line kept */
	HTTP_PING_BYTES = 64,
};

enum exchange_state { EXCHANGE_RECEIVING, EXCHANGE_QUEUED, EXCHANGE_STREAMING, EXCHANGE_ANSWERED };

struct reply {
	int code; /* 0 = none yet */
	char *content_type;
	char *headers[HTTP_REPLY_HEADERS_MAX];
	size_t header_count;
	char *body;
	size_t bytes;
	int fd; /* a file instead of body; -1 = none */
	uint64_t file_bytes;
};

struct upload; /* http/upload.h */

struct http_exchange {
	struct http_request request;
	struct http_server *server;
	const struct http_route *route; /* NULL: none matched */
	struct mem_scope *scope;        /* of the answer; request.scope is its child */
	struct http_exchange *prev, *next;
	atomic_int refs;
	uint64_t started_ns;

	/* receiving side */
	struct buf body;
	struct upload *upload;
	uint64_t body_max, discarded, content_length; /* content_length: UINT64_MAX = chunked */
	bool refused, told; /* told: the refusal went out ahead of the end of the body */
	bool http11;
	int fd;

	/* under lock */
	pthread_mutex_t lock;
	pthread_cond_t room;
	enum exchange_state state;
	struct MHD_Connection *connection; /* NULL once libmicrohttpd is done with it */
	bool finished;                     /* the handler has returned */
	bool parked;                       /* the stream is empty and the connection suspended */
	bool writing;                      /* a write is half in the window */
	struct reply reply;
	char *window;
	size_t window_head, window_bytes;
	struct span ping;
	uint32_t ping_ms;
	uint64_t written_ms; /* when the stream last got bytes */
	uint64_t probed_ms;
};

struct http_server {
	struct http_options options;
	struct mem_scope *scope;
	struct mem_account *request_account; /* kept open so that its peak outlives each request */
	struct MHD_Daemon *daemon;
	int listen_fd;
	char address[80];
	struct pool *pool;
	pthread_t watcher;
	bool watching;
	atomic_uint upload_number;

	pthread_mutex_t lock;
	pthread_cond_t changed; /* an exchange came or went, or closing was set */
	struct http_exchange *exchanges;
	size_t exchange_count;
	size_t in_flight; /* handed to the pool and not finished */
	bool closing;     /* no new work */
	bool stopped;     /* the watcher must end */
};

/* NULL when memory is refused. */
struct http_exchange *exchange_open(struct http_server *server, struct MHD_Connection *connection,
				    const char *method, const char *url, const char *version);
/* The answer when exchange_open() gave NULL: 503 with Retry-After. */
enum MHD_Result exchange_refuse_without_memory(struct MHD_Connection *connection);
void exchange_unref(struct http_exchange *e);

/* Have options.error write the refusal. Only the first one counts. */
void exchange_refuse(struct http_exchange *e, int code, const char *message);
/* Bytes of the body. False: cut the line. */
bool exchange_receive(struct http_exchange *e, struct span data);
/* The whole request is here. True: handed to the pool, the connection is suspended until the worker
 * has an answer. False: refused, and the refusal can be sent. */
bool exchange_dispatch(struct http_exchange *e);
/* Give libmicrohttpd the stored reply or the stream. */
enum MHD_Result exchange_send(struct http_exchange *e);
/* libmicrohttpd is done with the request. */
void exchange_completed(struct http_exchange *e, bool whole);

/* ---- stream.c ---- */
ssize_t stream_read(void *context, uint64_t position, char *into, size_t max);
/* Under e->lock: add a ping when it is due. */
void stream_ping_if_due(struct http_exchange *e, uint64_t now_ms);

/* ---- watch.c ---- */
MUST_CHECK status watch_start(struct http_server *server, struct fault *reterr);
void watch_stop(struct http_server *server);

#endif
