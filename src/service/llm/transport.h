/* llm/transport.h -- POST a JSON body to an OpenAI-compatible endpoint over libcurl.
 *
 * Knows HTTP, time and retries; knows neither chat nor vectors. Follows no redirect, speaks only
 * http and https, and to no other host than that of the base URL.
 *
 * Limits   at_once_max calls at a time, four times as many may wait (then ST_BUSY); an answer may
 *          have answer_bytes_max; waiting is bounded by connect_ms, first_byte_ms (until the first
 *          byte of the body) and idle_ms (between two parts of it).
 * Retries  retries_max times with growing pauses: the connection fails or ends before any byte of
 *          the answer, or the other side says 429, 500, 502, 503 or 504. Never once a part was
 *          delivered.
 * Cancel   Polled every 50 ms; the connection is then closed, so that the other side can stop, too.
 * Threads  transport_post() may be called by any number of threads.
 * Errors   ST_REMOTE says which side failed and how; ST_TIMEOUT; ST_BUSY: it keeps saying 429. */
#ifndef LLM_TRANSPORT_H
#define LLM_TRANSPORT_H

#include "llm/llm.h"
#include "rt/buf.h"

struct transport;

struct transport_call {
	const char *path; /* below the base URL: "/chat/completions" */
	struct span body;
	const struct cancel *cancel;
	size_t answer_bytes_max;
	/* With each part of a good answer, as it comes; a status other than ST_OK ends the call. */
	status (*part)(void *context, struct span bytes, struct fault *reterr);
	void *context;
};

/* Of the options only the URL, the key, the times and at_once_max are read. ST_INVALID: the URL is
 * not http or https, or carries a password; the key holds a line break. Opens no connection yet. */
MUST_CHECK status transport_open(struct mem_scope *scope, const struct llm_remote_options *options,
				 struct transport **ret_transport, struct fault *reterr);
void transport_close(struct transport *transport); /* NULL is allowed; no call may be running */

MUST_CHECK status transport_post(struct transport *transport, const struct transport_call *call,
				 struct fault *reterr);

/* A sentence about an answer that makes no sense, with its first bytes: ST_REMOTE. */
status transport_nonsense(const struct transport *transport, const char *what, struct span answer,
			  struct fault *reterr);

/* Tokens of a text for a model whose vocabulary we do not have: more than any usual vocabulary
 * makes of it, so that a limit is kept. */
size_t transport_tokens_guess(struct span text);

#endif
