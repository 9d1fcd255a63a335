/* Who notices that a client has gone while libmicrohttpd is not looking: one thread that asks the
 * kernel about the socket of every request that waits, computes or streams, ten times a second, and
 * only while there are any. */
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/exchange.h"
#include "rt/clock.h"

enum { WATCH_STEP_US = 100 * 1000, PROBE_EVERY_MS = 500 };

/* A closed socket and one whose sending side only is closed look the same (RDHUP) until something
 * is sent: the closed one answers with a reset. HTTP/1.1 lets a server send "100 Continue" at any
 * time before the answer, and clients skip it. */
static bool client_is_gone(struct http_exchange *e, uint64_t now_ms)
{
	struct pollfd p = {.fd = e->fd, .events = POLLRDHUP};
	if (poll(&p, 1, 0) <= 0)
		return false;
	if ((p.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0)
		return true;
	if (e->state == EXCHANGE_STREAMING || !e->http11)
		return true;
	if (now_ms - e->probed_ms < PROBE_EVERY_MS)
		return false;
	e->probed_ms = now_ms;
	struct span probe = SPAN("HTTP/1.1 100 Continue\r\n\r\n");
	return send(e->fd, probe.data, probe.bytes, MSG_DONTWAIT | MSG_NOSIGNAL) < 0;
}

static void watch_one(struct http_exchange *e, uint64_t now_ms)
{
	pthread_mutex_lock(&e->lock);
	bool active = (e->state == EXCHANGE_QUEUED || e->state == EXCHANGE_STREAMING) &&
		      e->connection != NULL && !e->finished;
	if (active && !cancel_is_set(&e->request.cancel)) {
		if (client_is_gone(e, now_ms)) {
			cancel_set(&e->request.cancel);
			pthread_cond_broadcast(&e->room);
		} else if (e->state == EXCHANGE_STREAMING) {
			stream_ping_if_due(e, now_ms);
		}
	}
	pthread_mutex_unlock(&e->lock);
}

static void *watch(void *context)
{
	struct http_server *server = context;
	pthread_mutex_lock(&server->lock);
	while (!server->stopped) {
		if (server->in_flight == 0) {
			pthread_cond_wait(&server->changed, &server->lock);
			continue;
		}
		uint64_t now_ms = clock_ms();
		for (struct http_exchange *e = server->exchanges; e != NULL; e = e->next)
			watch_one(e, now_ms);
		pthread_mutex_unlock(&server->lock);
		usleep(WATCH_STEP_US);
		pthread_mutex_lock(&server->lock);
	}
	pthread_mutex_unlock(&server->lock);
	return NULL;
}

status watch_start(struct http_server *server, struct fault *reterr)
{
	status st = thread_start("http-watch", watch, server, &server->watcher, reterr);
	server->watching = st == ST_OK;
	return st;
}

void watch_stop(struct http_server *server)
{
	if (!server->watching)
		return;
	pthread_mutex_lock(&server->lock);
	server->stopped = true;
	pthread_cond_broadcast(&server->changed);
	pthread_mutex_unlock(&server->lock);
	pthread_join(server->watcher, NULL);
	server->watching = false;
}
