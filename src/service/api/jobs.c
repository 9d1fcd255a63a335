#include <stdlib.h>
#include <unistd.h>

#include "api/inside.h"
#include "api/runner.h"
#include "base/size.h"

enum { EVENT_STEP_US = 200 * 1000, PING_MS = 10 * 1000 };

static void job_write(struct json_writer *w, const struct job *job)
{
	json_object(w);
	json_put_int(w, "id", job->id);
	json_put_text(w, "kb", span_of(job->kb));
	json_put_text(w, "kind", span_of(job->kind));
	json_put_text(w, "file", span_of(job->file));
	json_put_text(w, "state", span_of(job_state_name(job->state)));
	json_put_int(w, "bytes_done", (int64_t)job->done);
	json_put_int(w, "bytes", (int64_t)job->total);
	json_put_int(w, "chunks", (int64_t)job->chunks);
	json_put_int(w, "attempts", job->attempts);
	if (job->error[0] != '\0')
		json_put_text(w, "error", span_of(job->error));
	else
		json_put_null(w, "error");
	json_put_int(w, "created", job->created);
	json_put_int(w, "updated", job->updated);
	json_object_end(w);
}

static bool is_finished(const struct job *job)
{
	return job->state != JOB_QUEUED && job->state != JOB_RUNNING;
}

/* False: answered with 404. */
static bool request_job(struct http_request *r, struct job *ret_job)
{
	char *end = NULL;
	int64_t id = strtoll(r->params[0].data, &end, 10);
	struct fault fault = {0};
	status st = *end == '\0' && id > 0
			    ? store_job_get(api_of(r)->store, id, ret_job, &fault)
			    : fault_set(&fault, ST_NOT_FOUND, "there is no such job");
	if (st != ST_OK)
		reply_fault(r, &fault, "id");
	return st == ST_OK;
}

static void reply_job(struct http_request *r, int http, const struct job *job)
{
	struct buf out;
	struct json_writer w;
	buf_init(&out, r->scope, 16 * KIB);
	json_writer_init(&w, &out);
	job_write(&w, job);
	reply_json(r, http, &out);
}

static bool job_changed(const struct job *a, const struct job *b)
{
	return a->state != b->state || a->done != b->done || a->chunks != b->chunks ||
	       a->attempts != b->attempts;
}

static status event_send(struct http_request *r, const struct job *job, struct buf *out,
			 struct fault *reterr)
{
	struct json_writer w;
	buf_clear(out);
	buf_add_text(out, is_finished(job) ? "event: end\ndata: " : "event: progress\ndata: ");
	json_writer_init(&w, out);
	job_write(&w, job);
	buf_add_text(out, "\n\n");
	status st = buf_check(out, "the event", reterr);
	return st == ST_OK ? http_stream_write(r, buf_span(out), reterr) : st;
}

/* An event for every change, until the job is finished or the client has gone. */
static void events_follow(struct http_request *r, struct job *job)
{
	static const char *const headers[] = {"Cache-Control: no-cache", "X-Accel-Buffering: no",
					      NULL};
	struct fault fault = {0};
	struct buf out;
	buf_init(&out, r->scope, 16 * KIB);
	if (http_stream_begin(r, 200, "text/event-stream", headers, &fault) != ST_OK) {
		reply_fault(r, &fault, NULL);
		return;
	}
	http_stream_ping(r, SPAN(": ping\n\n"), PING_MS);
	status st = event_send(r, job, &out, &fault);
	while (st == ST_OK && !is_finished(job) && !cancel_is_set(&r->cancel)) {
		struct job now;
		usleep(EVENT_STEP_US);
		st = store_job_get(api_of(r)->store, job->id, &now, &fault);
		if (st == ST_OK && job_changed(job, &now)) {
			*job = now;
			st = event_send(r, job, &out, &fault);
		}
	}
}

void handle_job(struct http_request *r)
{
	struct api *api = api_of(r);
	struct job job;
	if (!request_job(r, &job))
		return;
	const char *accept = http_header(r, "Accept");
	if (accept == NULL || strstr(accept, "text/event-stream") == NULL) {
		reply_job(r, 200, &job);
		return;
	}
	/* Each stream holds a worker for as long as the job takes. */
	uint32_t most = api->workers / API_EVENTS_DIVISOR + 1;
	if (atomic_fetch_add(&api->event_streams, 1) >= most)
		reply_error(r, 503, "busy", NULL,
			    "too many clients follow jobs: ask again without text/event-stream");
	else
		events_follow(r, &job);
	atomic_fetch_sub(&api->event_streams, 1);
}

void handle_job_cancel(struct http_request *r)
{
	struct api *api = api_of(r);
	struct job job;
	struct fault fault = {0};
	if (!request_job(r, &job))
		return;
	if (is_finished(&job)) {
		reply_error(r, 409, "job_finished", "id", "this job has ended already");
		return;
	}
	if (store_job_cancel(api->store, job.id, &job, &fault) != ST_OK) {
		reply_fault(r, &fault, "id");
		return;
	}
	char path[FILE_PATH_BYTES];
	if (job.state == JOB_RUNNING)
		runner_cancel(api->runner, job.id);
	else if (path_join(path, service_data(api->service), job.path, NULL) == ST_OK)
		(void)!file_remove(path, NULL); /* the sweep at the next start gets it otherwise */
	reply_job(r, job.state == JOB_RUNNING ? 202 : 200, &job);
}
