#include "http/http.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/size.h"
#include "http/exchange.h"
#include "rt/clock.h"
#include "rt/file.h"

enum {
	IO_THREADS = 2,
	IO_STACK_BYTES = 256 * 1024,
	LISTEN_BACKLOG = 512,
};

/* ---- callbacks of libmicrohttpd ---- */

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *data_bytes, void **exchange)
{
	struct http_exchange *e = *exchange;
	if (e == NULL) {
		e = exchange_open(context, connection, method, url, version);
		*exchange = e;
		if (e == NULL)
			return exchange_refuse_without_memory(connection);
		if (!e->refused || e->told ||
		    MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Expect") == NULL)
			return MHD_YES;
		e->state = EXCHANGE_ANSWERED;
		return exchange_send(e);
	}
	if (*data_bytes > 0) {
		bool go_on = exchange_receive(e, (struct span){data, *data_bytes});
		*data_bytes = 0;
		return go_on ? MHD_YES : MHD_NO;
	}
	if (e->told)
		return MHD_NO; /* refused ahead of the end of the body: the line is done */
	if (e->state == EXCHANGE_RECEIVING && exchange_dispatch(e))
		return MHD_YES; /* suspended; asked again when the worker has an answer */
	return exchange_send(e);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **exchange,
			 enum MHD_RequestTerminationCode why)
{
	(void)context, (void)connection;
	if (*exchange != NULL)
		exchange_completed(*exchange, why == MHD_REQUEST_TERMINATED_COMPLETED_OK);
	*exchange = NULL;
}

/* Leave escapes alone: route.c decodes, and checks, after the path has been split. */
static size_t keep_escapes(void *context, struct MHD_Connection *connection, char *text)
{
	(void)context, (void)connection;
	return strlen(text);
}

/* ---- listening ---- */

/* "host:port" or "[v6]:port" into two parts. */
static status address_split(const char *listen, char host[64], char port[8], struct fault *reterr)
{
	const char *colon = strrchr(listen, ':');
	size_t host_bytes = colon != NULL ? (size_t)(colon - listen) : 0;
	char *end = NULL;
	unsigned long number = colon != NULL ? strtoul(colon + 1, &end, 10) : 0;
	if (host_bytes == 0 || host_bytes >= 64 || end == colon + 1 || *end != '\0' ||
	    number > 65535)
		return fault_set(
			reterr, ST_INVALID,
			"'%s' is not an address: write HOST:PORT, for example 127.0.0.1:7861",
			listen);
	bool brackets = listen[0] == '[' && listen[host_bytes - 1] == ']';
	snprintf(host, 64, "%.*s", (int)(brackets ? host_bytes - 2 : host_bytes),
		 brackets ? listen + 1 : listen);
	snprintf(port, 8, "%lu", number);
	return ST_OK;
}

static status listen_on(const struct addrinfo *a, const char *listen_text, int *ret_fd,
			struct fault *reterr)
{
	CLEANUP(fd_closep)
	int fd =
		socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol);
	if (fd < 0)
		return fault_errno(reterr, ST_IO, "cannot make a socket for %s", listen_text);
	int on = 1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, a->ai_addr, a->ai_addrlen) != 0 || listen(fd, LISTEN_BACKLOG) != 0)
		return fault_errno(reterr, errno == EADDRINUSE ? ST_EXISTS : ST_IO,
				   "cannot listen on %s", listen_text);
	*ret_fd = fd;
	fd = -1;
	return ST_OK;
}

static void address_write(struct http_server *server)
{
	struct sockaddr_storage at = {0};
	socklen_t bytes = sizeof(at);
	char host[64] = "?", port[8] = "0";
	getsockname(server->listen_fd, (struct sockaddr *)&at, &bytes);
	getnameinfo((struct sockaddr *)&at, bytes, host, sizeof(host), port, sizeof(port),
		    NI_NUMERICHOST | NI_NUMERICSERV);
	bool v6 = at.ss_family == AF_INET6;
	snprintf(server->address, sizeof(server->address), v6 ? "[%s]:%s" : "%s:%s", host, port);
}

static status server_listen(struct http_server *server, struct fault *reterr)
{
	char host[64], port[8];
	status st = address_split(server->options.listen, host, port, reterr);
	if (st != ST_OK)
		return st;
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
				 .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	struct addrinfo *found = NULL;
	int code = getaddrinfo(host, port, &hints, &found);
	if (code != 0)
		return fault_set(reterr, ST_INVALID, "'%s' is not an address of this machine: %s",
				 host, gai_strerror(code));
	st = listen_on(found, server->options.listen, &server->listen_fd, reterr);
	freeaddrinfo(found);
	if (st == ST_OK)
		address_write(server);
	return st;
}

static status daemon_start(struct http_server *server, struct fault *reterr)
{
	const struct http_options *o = &server->options;
	unsigned connections = o->connections_max > IO_THREADS ? o->connections_max : IO_THREADS;
	struct MHD_OptionItem items[] = {
		{MHD_OPTION_LISTEN_SOCKET, server->listen_fd, NULL},
		{MHD_OPTION_THREAD_POOL_SIZE, IO_THREADS, NULL},
		{MHD_OPTION_CONNECTION_LIMIT, (intptr_t)connections, NULL},
		{MHD_OPTION_CONNECTION_TIMEOUT, (intptr_t)o->idle_seconds, NULL},
		{MHD_OPTION_CONNECTION_MEMORY_LIMIT, HTTP_HEADER_BYTES_MAX, NULL},
		{MHD_OPTION_THREAD_STACK_SIZE, IO_STACK_BYTES, NULL},
		{MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL},
		{MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)on_completed, server},
		{MHD_OPTION_UNESCAPE_CALLBACK, (intptr_t)keep_escapes, server},
		{MHD_OPTION_END, 0, NULL},
	};
	server->daemon =
		MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL,
				 NULL, on_request, server, MHD_OPTION_ARRAY, items, MHD_OPTION_END);
	if (server->daemon == NULL)
		return fault_errno(reterr, ST_IO, "cannot start the HTTP server on %s",
				   server->options.listen);
	return ST_OK;
}

/* ---- life ---- */

status http_open(struct mem_scope *parent, const struct http_options *options,
		 struct http_server **ret_server, struct fault *reterr)
{
	ASSERT(options->workers >= 1 && options->body_max >= 1);
	struct mem_scope *scope = mem_scope_open(parent, "http", 0);
	struct http_server *server = scope != NULL ? mem_new(scope, struct http_server) : NULL;
	if (server == NULL) {
		status refused = mem_refusal();
		mem_scope_close(scope);
		return fault_set(reterr, refused, "no memory for the HTTP server");
	}
	server->scope = scope;
	server->options = *options;
	server->listen_fd = -1;
	server->request_account = mem_account_open(mem_scope_account(scope), "request");
	pthread_mutex_init(&server->lock, NULL);
	pthread_cond_init(&server->changed, NULL);
	status st = pool_open(scope, "http-worker", options->workers,
			      (size_t)options->workers + options->queue_max, &server->pool, reterr);
	if (st == ST_OK)
		st = server_listen(server, reterr);
	if (st == ST_OK)
		st = watch_start(server, reterr);
	if (st == ST_OK)
		st = daemon_start(server, reterr);
	if (st != ST_OK) {
		http_close(server, 0);
		return st;
	}
	*ret_server = server;
	return ST_OK;
}

const char *http_address(const struct http_server *server)
{
	return server->address;
}

/* Requests that came in are answered, as far as grace_ms allows. */
static void drain(struct http_server *server, uint32_t grace_ms)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += grace_ms / 1000;
	until.tv_nsec += (long)(grace_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&server->lock);
	server->closing = true;
	while (server->exchange_count > 0 &&
	       pthread_cond_timedwait(&server->changed, &server->lock, &until) == 0)
		;
	for (struct http_exchange *e = server->exchanges; e != NULL; e = e->next) {
		pthread_mutex_lock(&e->lock);
		cancel_set(&e->request.cancel);
		pthread_cond_broadcast(&e->room);
		pthread_mutex_unlock(&e->lock);
	}
	pthread_mutex_unlock(&server->lock);
}

void http_close(struct http_server *server, uint32_t grace_ms)
{
	if (server == NULL)
		return;
	/* Who comes from here on gets 503. MHD_quiesce_daemon() would stop listening, but in 0.9.75
	 * it and a polling thread may both take the socket out of the epoll set, and the second one
	 * aborts. */
	drain(server, grace_ms);
	pool_close(server->pool); /* every handler returns, and so resumes its connection */
	if (server->daemon != NULL)
		MHD_stop_daemon(server->daemon);
	watch_stop(server);
	fd_closep(&server->listen_fd);
	ASSERT(server->exchange_count == 0);
	pthread_mutex_destroy(&server->lock);
	pthread_cond_destroy(&server->changed);
	mem_account_close(server->request_account);
	mem_scope_close(server->scope);
}
