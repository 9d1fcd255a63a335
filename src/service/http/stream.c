/* A streamed answer: a ring of HTTP_STREAM_WINDOW bytes between the handler, which blocks when it
 * is full, and libmicrohttpd, whose connection is parked (suspended) when it is empty.
 *
 * Parking happens inside e->lock: a writer that sees parked == true knows that the connection is
 * really suspended, so a resume is never lost. */
#include "base/assert.h"
#include "base/size.h"
#include "http/exchange.h"
#include "rt/clock.h"

static size_t window_put(struct http_exchange *e, struct span bytes)
{
	size_t tail = (e->window_head + e->window_bytes) % HTTP_STREAM_WINDOW;
	size_t room = size_min(HTTP_STREAM_WINDOW - e->window_bytes, HTTP_STREAM_WINDOW - tail);
	size_t count = size_min(room, bytes.bytes);
	memcpy(e->window + tail, bytes.data, count);
	e->window_bytes += count;
	return count;
}

static void unpark(struct http_exchange *e)
{
	if (!e->parked)
		return;
	e->parked = false;
	MHD_resume_connection(e->connection);
}

ssize_t stream_read(void *context, uint64_t position, char *into, size_t max)
{
	(void)position;
	struct http_exchange *e = context;
	ssize_t result = 0;
	pthread_mutex_lock(&e->lock);
	if (e->window_bytes > 0) {
		size_t run = size_min(e->window_bytes, HTTP_STREAM_WINDOW - e->window_head);
		size_t count = size_min(run, max);
		memcpy(into, e->window + e->window_head, count);
		e->window_head = (e->window_head + count) % HTTP_STREAM_WINDOW;
		e->window_bytes -= count;
		pthread_cond_broadcast(&e->room);
		result = (ssize_t)count;
	} else if (e->finished) {
		result = cancel_is_set(&e->request.cancel) ? MHD_CONTENT_READER_END_WITH_ERROR
							   : MHD_CONTENT_READER_END_OF_STREAM;
	} else {
		e->parked = true;
		MHD_suspend_connection(e->connection);
	}
	pthread_mutex_unlock(&e->lock);
	return result;
}

status http_stream_write(struct http_request *r, struct span bytes, struct fault *reterr)
{
	struct http_exchange *e = r->exchange;
	ASSERT(e->state == EXCHANGE_STREAMING);
	pthread_mutex_lock(&e->lock);
	e->writing = true;
	while (bytes.bytes > 0 && !cancel_is_set(&r->cancel)) {
		size_t count = window_put(e, bytes);
		bytes = span_slice(bytes, count, bytes.bytes);
		if (count > 0)
			unpark(e);
		else
			pthread_cond_wait(&e->room, &e->lock);
	}
	e->writing = false;
	e->written_ms = clock_ms();
	pthread_mutex_unlock(&e->lock);
	if (cancel_is_set(&r->cancel))
		return fault_set(reterr, ST_CANCELLED, "the client is gone");
	return ST_OK;
}

void http_stream_ping(struct http_request *r, struct span ping, uint32_t every_ms)
{
	struct http_exchange *e = r->exchange;
	ASSERT(ping.bytes <= HTTP_PING_BYTES);
	pthread_mutex_lock(&e->lock);
	e->ping = ping;
	e->ping_ms = every_ms;
	pthread_mutex_unlock(&e->lock);
}

void stream_ping_if_due(struct http_exchange *e, uint64_t now_ms)
{
	if (e->ping_ms == 0 || !e->parked || e->writing || e->finished ||
	    now_ms - e->written_ms < e->ping_ms)
		return;
	struct span left = e->ping;
	while (left.bytes > 0) /* the window is empty: at most two rounds, around its end */
		left = span_slice(left, window_put(e, left), left.bytes);
	e->written_ms = now_ms;
	unpark(e);
}
