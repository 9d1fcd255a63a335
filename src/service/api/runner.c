#include "api/runner.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/size.h"
#include "rt/clock.h"
#include "rt/log.h"
#include "rt/process.h"
#include "rt/thread.h"

enum {
	STEP_MS = 200,          /* how soon a cancelled job is noticed */
	SAVE_MS = 500,          /* progress is stored at most this often */
	BUSY_WAIT_SECONDS = 1,  /* before a busy knowledge base is tried again */
	IDLE_WAIT_SECONDS = 60, /* a look into the store though nobody has woken us */
	LINE_BYTES = 16 * 1024, /* of one event of the child */
};

struct runner {
	struct api *api;
	struct mem_scope *scope; /* of the running job; reset after each */
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stop, signalled;
	int64_t running; /* id, 0 = none */
	bool cancel;     /* the running one */
};

/* How the child ended, as far as it said. */
struct outcome {
	bool done; /* the last line came */
	bool failed, busy;
	uint64_t chunks;
	char error[JOB_TEXT_BYTES];
};

/* ---- events of the child ---- */

static void event_read(struct span line, struct job *job, struct outcome *out)
{
	struct json *event = NULL;
	if (json_parse(line, &event, NULL) != ST_OK)
		return; /* a child that prints something else is judged by its exit */
	struct span kind = json_text(json_get(event, "event"));
	uint64_t chunks = (uint64_t)json_int(json_get(event, "chunks"), 0);
	if (span_equal(kind, SPAN("progress"))) {
		job->done = (uint64_t)json_int(json_get(event, "bytes_done"), 0);
		int64_t total = json_int(json_get(event, "bytes"), 0);
		if (total > 0) /* 0 while the file is still being taken in */
			job->total = (uint64_t)total;
		job->chunks = chunks;
	} else if (span_equal(kind, SPAN("done"))) {
		struct span error = json_text(json_get(event, "error"));
		out->done = true;
		out->chunks = chunks;
		out->failed = error.bytes > 0 || json_int(json_get(event, "failed"), 0) > 0;
		out->busy = span_equal(json_text(json_get(event, "status")), SPAN("BUSY"));
		snprintf(out->error, sizeof(out->error), "%.*s", SPAN_ARG(error));
	}
	json_free(event);
}

static void events_read(struct buf *text, struct job *job, struct outcome *out)
{
	char *end;
	while (text->bytes > 0 && (end = memchr(text->data, '\n', text->bytes)) != NULL) {
		size_t line = (size_t)(end - text->data);
		event_read((struct span){text->data, line}, job, out);
		buf_consume(text, line + 1);
	}
	if (text->bytes >= LINE_BYTES / 2)
		buf_clear(text); /* no event is that long */
}

static bool must_stop(struct runner *runner)
{
	pthread_mutex_lock(&runner->lock);
	bool stop = runner->stop || runner->cancel;
	pthread_mutex_unlock(&runner->lock);
	return stop;
}

/* Follow the child until it closes its end or must stop. True: it closed. */
static bool child_follow(struct runner *runner, struct process *child, struct job *job,
			 struct outcome *out)
{
	struct buf text;
	buf_init(&text, runner->scope, LINE_BYTES);
	uint64_t saved_ms = clock_ms();
	while (!must_stop(runner)) {
		struct pollfd p = {.fd = child->stdout_fd, .events = POLLIN};
		if (poll(&p, 1, STEP_MS) <= 0)
			continue;
		char *room;
		if (!buf_reserve(&text, LINE_BYTES / 4, &room))
			return false;
		ssize_t got = read(child->stdout_fd, room, LINE_BYTES / 4);
		if (got <= 0)
			return true;
		buf_commit(&text, (size_t)got);
		events_read(&text, job, out);
		if (clock_ms() - saved_ms >= SAVE_MS) {
			saved_ms = clock_ms();
			(void)!store_job_update(runner->api->store, job, NULL);
		}
	}
	return false;
}

/* ---- one job ---- */

static status upload_link(const struct runner *runner, const struct job *job,
			  char upload[FILE_PATH_BYTES], char link_path[FILE_PATH_BYTES],
			  struct fault *reterr)
{
	status st = path_join(upload, service_data(runner->api->service), job->path, reterr);
	if (st != ST_OK)
		return st;
	int n = snprintf(link_path, FILE_PATH_BYTES, "%s.run", upload);
	if (n < 0 || n >= FILE_PATH_BYTES)
		return fault_set(reterr, ST_LIMIT, "the path of the upload is too long");
	st = file_remove(link_path, reterr);
	if (st == ST_OK && link(upload, link_path) != 0)
		st = fault_errno(reterr, ST_NOT_FOUND, "the upload is gone");
	return st;
}

/* *ret_closed: the child ended by itself, with *ret_exit. */
static status job_run(struct runner *runner, struct job *job, const char *upload,
		      struct outcome *out, bool *ret_closed, int *ret_exit, struct fault *reterr)
{
	const char *const argv[] = {
		"plimsoll", "ingest-worker", "--data",   service_data(runner->api->service),
		"--kb",     job->kb,         "--upload", upload,
		"--name",   job->file,       NULL};
	struct process_options options = {
		.argv = argv, .stdin_fd = -1, .pipe_stdout = true, .nice = 5};
	struct process child;
	status st = process_start(&options, &child, reterr);
	if (st != ST_OK)
		return st;
	*ret_closed = child_follow(runner, &child, job, out);
	if (*ret_closed)
		st = process_wait(&child, ret_exit, reterr);
	process_end(&child, false);
	return st;
}

/* What the job becomes. True: wait a moment before the next one. */
static bool job_judge(struct runner *runner, struct job *job, const struct outcome *out,
		      bool closed, int exit_code)
{
	pthread_mutex_lock(&runner->lock);
	bool cancelled = runner->cancel;
	pthread_mutex_unlock(&runner->lock);
	if (out->done && !out->failed) {
		job->state = JOB_DONE;
		job->done = job->total;
		job->chunks = out->chunks;
		job->error[0] = '\0';
	} else if (cancelled) {
		job->state = JOB_CANCELLED;
	} else if (!closed || out->busy) { /* the server stops, or somebody else writes there */
		job->state = JOB_QUEUED;
		job->attempts--;
		return out->busy;
	} else if (out->done) {
		job->state = JOB_FAILED;
		snprintf(job->error, sizeof(job->error), "%s",
			 out->error[0] != '\0' ? out->error : "the file could not be read");
	} else {
		job->state = job->attempts < JOB_ATTEMPTS_MAX ? JOB_QUEUED : JOB_FAILED;
		snprintf(job->error, sizeof(job->error),
			 exit_code > 128 ? "the worker was killed by signal %d (attempt %u)"
					 : "the worker ended with code %d (attempt %u)",
			 exit_code > 128 ? exit_code - 128 : exit_code, job->attempts);
		log_line(LOG_WARNING, "ingest", "job %lld: %s", (long long)job->id, job->error);
	}
	return false;
}

static bool job_do(struct runner *runner, struct job *job)
{
	char upload[FILE_PATH_BYTES], link_path[FILE_PATH_BYTES];
	struct outcome out = {0};
	struct fault fault = {0};
	bool closed = false, wait = false;
	int exit_code = 0;
	status st = upload_link(runner, job, upload, link_path, &fault);
	if (st == ST_OK) {
		st = job_run(runner, job, link_path, &out, &closed, &exit_code, &fault);
		(void)!file_remove(link_path, NULL);
	}
	if (st == ST_OK) {
		wait = job_judge(runner, job, &out, closed, exit_code);
	} else {
		job->state = JOB_FAILED;
		snprintf(job->error, sizeof(job->error), "%s", fault_text(&fault));
	}
	if (job->state != JOB_QUEUED)
		(void)!file_remove(upload, NULL);
	if (store_job_update(runner->api->store, job, &fault) != ST_OK)
		log_line(LOG_ERROR, "ingest", "job %lld: %s", (long long)job->id,
			 fault_text(&fault));
	return wait;
}

/* ---- the thread ---- */

/* Under the lock: until woken, or for so long. */
static void rest(struct runner *runner, uint32_t seconds)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += (time_t)seconds;
	if (!runner->signalled && !runner->stop)
		pthread_cond_timedwait(&runner->wake, &runner->lock, &until);
	runner->signalled = false;
}

static void *run(void *context)
{
	struct runner *runner = context;
	pthread_mutex_lock(&runner->lock);
	while (!runner->stop) {
		struct job job;
		struct fault fault = {0};
		status st = store_job_take(runner->api->store, &job, &fault);
		if (st != ST_OK) {
			if (st != ST_NOT_FOUND)
				log_line(LOG_ERROR, "ingest", "%s", fault_text(&fault));
			rest(runner, IDLE_WAIT_SECONDS);
			continue;
		}
		runner->running = job.id;
		runner->cancel = false;
		pthread_mutex_unlock(&runner->lock);
		bool wait = job_do(runner, &job);
		mem_scope_reset(runner->scope);
		pthread_mutex_lock(&runner->lock);
		runner->running = 0;
		if (wait)
			rest(runner, BUSY_WAIT_SECONDS);
	}
	pthread_mutex_unlock(&runner->lock);
	return NULL;
}

static status sweep_one(void *context, const char *relative, bool is_folder, struct fault *reterr)
{
	struct api *api = context;
	char path[FILE_PATH_BYTES], absolute[FILE_PATH_BYTES];
	bool needed = false;
	status st = path_join(path, "temp/uploads", relative, reterr);
	if (st == ST_OK && !is_folder)
		st = store_job_needs(api->store, path, &needed, reterr);
	if (st == ST_OK && !is_folder && !needed)
		st = path_join(absolute, api->uploads, relative, reterr);
	if (st == ST_OK && !is_folder && !needed)
		st = file_remove(absolute, reterr);
	return st;
}

status runner_open(struct api *api, struct runner **ret_runner, struct fault *reterr)
{
	status st = store_jobs_recover(api->store, reterr);
	if (st == ST_OK)
		st = dir_walk(api->uploads, false, sweep_one, api, reterr);
	if (st != ST_OK)
		return st;
	struct runner *runner = mem_new(api->scope, struct runner);
	struct mem_scope *scope =
		runner != NULL ? mem_scope_open(api->scope, "job", 4 * MIB) : NULL;
	if (scope == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for the job runner");
	runner->api = api;
	runner->scope = scope;
	pthread_mutex_init(&runner->lock, NULL);
	pthread_cond_init(&runner->wake, NULL);
	st = thread_start("ingest-jobs", run, runner, &runner->thread, reterr);
	runner->started = st == ST_OK;
	if (st != ST_OK)
		runner_close(runner);
	else
		*ret_runner = runner;
	return st;
}

void runner_close(struct runner *runner)
{
	if (runner == NULL)
		return;
	pthread_mutex_lock(&runner->lock);
	runner->stop = true;
	pthread_cond_broadcast(&runner->wake);
	pthread_mutex_unlock(&runner->lock);
	if (runner->started)
		pthread_join(runner->thread, NULL);
	pthread_cond_destroy(&runner->wake);
	pthread_mutex_destroy(&runner->lock);
	mem_scope_close(runner->scope);
	mem_free(runner);
}

void runner_wake(struct runner *runner)
{
	pthread_mutex_lock(&runner->lock);
	runner->signalled = true;
	pthread_cond_broadcast(&runner->wake);
	pthread_mutex_unlock(&runner->lock);
}

void runner_cancel(struct runner *runner, int64_t id)
{
	pthread_mutex_lock(&runner->lock);
	if (runner->running == id)
		runner->cancel = true;
	pthread_mutex_unlock(&runner->lock);
}
