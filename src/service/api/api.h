/* api/api.h -- the HTTP server of an open data directory: routes to use cases.
 *
 *     GET  /health /ready /v1/models /v1/models/{model}
 *     POST /v1/chat/completions /v1/embeddings        as OpenAI's
 *     GET  POST    /api/v1/kbs                        POST {"name","description"}
 *     GET  DELETE  /api/v1/kbs/{kb}
 *     GET  POST    /api/v1/kbs/{kb}/files             POST multipart, field "file": 202 {"job":id}
 *     GET  DELETE  /api/v1/kbs/{kb}/files/{file}      the original; ?text=1: its text form
 *     POST         /api/v1/kbs/{kb}/search            {"query","n"}, answer as `search --json`
 *     GET  DELETE  /api/v1/jobs/{id}                  JSON, or progress as SSE; DELETE cancels
 *
 * A model id is the name of a knowledge base (answers from it, with sources), or the generation
 * model's own name (plain chat). Every error is {"error":{"message","type","param","code"}}.
 *
 * Uploads become jobs (store/) and are ingested one after the other by a child process
 * ("ingest-worker", cmd/workers.h), so that the memory of parsing and embedding goes back to the
 * kernel when it ends.
 *
 * Lifetime  api_open() .. api_close(); the service must outlive it.
 * Limits    Settings server.*; each JSON field has its own, beside where it is read. */
#ifndef API_API_H
#define API_API_H

#include "qa/service.h"

struct api_options {
	const char *listen; /* NULL: the setting server.listen */
};

struct api;
/* It listens, and works on jobs, when this returns. */
MUST_CHECK status api_open(struct mem_scope *parent, struct service *service,
			   const struct api_options *options, struct api **ret_api,
			   struct fault *reterr);
const char *api_address(const struct api *api); /* "127.0.0.1:7861" */
/* Refuse new requests, let running ones end within grace_ms, stop the running job (it goes on at
 * the next start), give everything back. NULL is allowed. */
void api_close(struct api *api, uint32_t grace_ms);

#endif
