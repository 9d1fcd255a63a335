/* api/inside.h -- private to api/: what the handlers share. */
#ifndef API_INSIDE_H
#define API_INSIDE_H

#include <stdatomic.h>

#include "api/api.h"
#include "api/fields.h"
#include "http/http.h"
#include "store/store.h"

enum {
	API_KBS_MAX = 10000,        /* knowledge bases in one listing */
	API_QUESTION_BYTES = 32768, /* of a query or a single question */
	API_EVENTS_DIVISOR = 4,     /* at most one worker in four may wait on job events */
};
#define API_ANSWER_BYTES (64 * MIB) /* of one JSON answer */

struct runner; /* api/runner.h */

struct api {
	struct mem_scope *scope;
	struct service *service;
	struct store *store;
	struct runner *runner;
	struct http_server *http;
	char uploads[FILE_PATH_BYTES]; /* <data>/temp/uploads */
	int64_t started;               /* unix seconds */
	uint32_t workers;
	atomic_uint event_streams;
	atomic_uint job_number;
};

static inline struct api *api_of(const struct http_request *r)
{
	return r->app;
}

/* ---- reply.c ---- */

/* The error body of this status; param may be NULL. */
void reply_fault(struct http_request *r, const struct fault *fault, const char *param);
/* The same with an HTTP status and a code of its own. */
void reply_error(struct http_request *r, int http, const char *code, const char *param,
		 const char *message);
/* {"error":{...}} alone, for a stream that has begun. */
void error_write(struct json_writer *w, int http, const char *code, const char *param,
		 const char *message);
const char *error_code(status st); /* "not_found", "memory_load_line"... */
/* Send what was written into out, or the refusal that out ran into. */
void reply_json(struct http_request *r, int http, const struct buf *out);
/* options.error of http/. */
void reply_refusal(struct http_request *r, int http, const char *message);
/* The body as a JSON object; false: answered already. Free with json_free(). */
bool request_json(struct http_request *r, struct json **ret_root);
/* Answer with what went wrong while reading fields; false: nothing did. */
bool reply_field_error(struct http_request *r, const struct field_error *error);

/* The {kb} of the route, terminated, or NULL when answered already. */
const char *request_kb(struct http_request *r);
/* "/api/v1/kbs/KB/files/FILE", percent-encoded. */
void file_url_write(struct buf *out, const char *kb, struct span file);
/* Add text, percent-encoded but for unreserved characters and those in `keep`. */
void percent_write(struct buf *out, struct span text, const char *keep);

/* ---- handlers ---- */

void handle_health(struct http_request *r);      /* api.c */
void handle_ready(struct http_request *r);       /* api.c */
void handle_models(struct http_request *r);      /* models.c */
void handle_model(struct http_request *r);       /* models.c */
void handle_chat(struct http_request *r);        /* chat.c */
void handle_embeddings(struct http_request *r);  /* embeddings.c */
void handle_kbs(struct http_request *r);         /* kbs.c */
void handle_kb_create(struct http_request *r);   /* kbs.c */
void handle_kb(struct http_request *r);          /* kbs.c */
void handle_kb_delete(struct http_request *r);   /* kbs.c */
void handle_search(struct http_request *r);      /* kbs.c */
void handle_files(struct http_request *r);       /* files.c */
void handle_file_upload(struct http_request *r); /* files.c */
void handle_file(struct http_request *r);        /* files.c */
void handle_file_delete(struct http_request *r); /* files.c */
void handle_job(struct http_request *r);         /* jobs.c */
void handle_job_cancel(struct http_request *r);  /* jobs.c */

#endif
