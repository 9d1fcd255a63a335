/* store/store.h -- the catalogue of a data directory (catalogue.sqlite): jobs of the server.
 *
 * A job is a piece of ingest work that outlives its request: queued, running, done, failed or
 * cancelled, with progress. Jobs survive a restart: running ones become queued again at open by the
 * server. Finished jobs are kept for JOB_KEEP_SECONDS, and at most JOB_KEEP_MAX of them.
 *
 * Threads  All functions may be called from any thread (one connection behind a lock). */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"
#include "mem/scope.h"

enum {
	JOB_KEEP_SECONDS = 7 * 86400,
	JOB_KEEP_MAX = 1000,
	JOB_ATTEMPTS_MAX = 3,
	JOB_KB_BYTES = 64,
	JOB_FILE_BYTES = 1024, /* the longest name that qa/originals.h takes */
	JOB_TEXT_BYTES = 512,
};

struct store;
MUST_CHECK status store_open(struct mem_scope *parent, const char *data_dir,
			     struct store **ret_store, struct fault *reterr);
void store_close(struct store *s);

enum job_state { JOB_QUEUED, JOB_RUNNING, JOB_DONE, JOB_FAILED, JOB_CANCELLED };
const char *job_state_name(enum job_state state);

struct job {
	int64_t id;
	char kb[JOB_KB_BYTES];
	char kind[16];             /* "add" */
	char file[JOB_FILE_BYTES]; /* the upload's name */
	char path[JOB_TEXT_BYTES]; /* where the upload waits, relative to the data directory */
	enum job_state state;
	uint64_t done, total; /* bytes of the file */
	uint64_t chunks;
	uint32_t attempts;
	char error[JOB_TEXT_BYTES];
	int64_t created, updated; /* unix seconds */
};

/* Queues it: sets id, state, attempts, created and updated. Old finished jobs go. */
MUST_CHECK status store_job_add(struct store *s, struct job *job, struct fault *reterr);
MUST_CHECK status store_job_get(struct store *s, int64_t id, struct job *ret_job,
				struct fault *reterr);
/* State, progress, attempts and error; `updated` becomes now. */
MUST_CHECK status store_job_update(struct store *s, const struct job *job, struct fault *reterr);
/* The queued job that has waited longest, marked running with one attempt more; ST_NOT_FOUND when
 * there is none. */
MUST_CHECK status store_job_take(struct store *s, struct job *ret_job, struct fault *reterr);
/* A queued job is cancelled at once; *ret_job tells the state afterwards: a running one must be
 * stopped by whoever runs it, a finished one stays as it is. ST_NOT_FOUND: no such job. */
MUST_CHECK status store_job_cancel(struct store *s, int64_t id, struct job *ret_job,
				   struct fault *reterr);
/* Does a job that is not finished still need the upload at this path? */
MUST_CHECK status store_job_needs(struct store *s, const char *path, bool *ret_needed,
				  struct fault *reterr);
/* Running jobs of a server that died: queued again, or failed after JOB_ATTEMPTS_MAX attempts. */
MUST_CHECK status store_jobs_recover(struct store *s, struct fault *reterr);

#endif
