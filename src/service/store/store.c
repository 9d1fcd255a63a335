#include "store/store.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "rt/clock.h"
#include "rt/db.h"
#include "rt/file.h"

enum { CACHE_BYTES = 256 * 1024, BUSY_MS = 10000 };

static const char schema[] =
	"CREATE TABLE IF NOT EXISTS jobs("
	" id INTEGER PRIMARY KEY AUTOINCREMENT, kb TEXT NOT NULL, kind TEXT NOT NULL,"
	" file TEXT NOT NULL, path TEXT NOT NULL, state INTEGER NOT NULL,"
	" done INTEGER NOT NULL, total INTEGER NOT NULL, chunks INTEGER NOT NULL,"
	" attempts INTEGER NOT NULL, error TEXT NOT NULL,"
	" created INTEGER NOT NULL, updated INTEGER NOT NULL);"
	"CREATE INDEX IF NOT EXISTS jobs_waiting ON jobs(state, updated, id);";

#define COLUMNS "id,kb,kind,file,path,state,done,total,chunks,attempts,error,created,updated"

/* State numbers as stored; JOB_DONE and above are finished. */
_Static_assert(JOB_QUEUED == 0 && JOB_RUNNING == 1 && JOB_DONE == 2 && JOB_CANCELLED == 4,
	       "the catalogue stores these numbers");

struct store {
	struct mem_scope *scope;
	struct db db;
	pthread_mutex_t lock;
};

const char *job_state_name(enum job_state state)
{
	static const char *const names[] = {"queued", "running", "done", "failed", "cancelled"};
	return names[state];
}

/* ---- opening ---- */

status store_open(struct mem_scope *parent, const char *data_dir, struct store **ret_store,
		  struct fault *reterr)
{
	char path[FILE_PATH_BYTES];
	status st = path_join(path, data_dir, "catalogue.sqlite", reterr);
	if (st != ST_OK)
		return st;
	struct mem_scope *scope = mem_scope_open(parent, "store", 0);
	struct store *s = scope != NULL ? mem_new(scope, struct store) : NULL;
	if (s == NULL) {
		mem_scope_close(scope);
		return fault_set(reterr, mem_refusal(), "no memory to open the catalogue");
	}
	s->scope = scope;
	pthread_mutex_init(&s->lock, NULL);
	struct db_options options = {
		.create = true, .cache_bytes = CACHE_BYTES, .busy_ms = BUSY_MS};
	st = db_open(path, &options, &s->db, reterr);
	if (st == ST_OK)
		st = db_run(&s->db, schema, reterr);
	if (st != ST_OK) {
		store_close(s);
		return st;
	}
	*ret_store = s;
	return ST_OK;
}

void store_close(struct store *s)
{
	if (s == NULL)
		return;
	db_close(&s->db);
	pthread_mutex_destroy(&s->lock);
	mem_scope_close(s->scope);
}

/* ---- statements ---- */

static void finalize(struct sqlite3_stmt **stmt)
{
	sqlite3_finalize(*stmt);
}

static void bind_text(struct sqlite3_stmt *stmt, int at, const char *text)
{
	/* A failed bind leaves NULL, which the NOT NULL columns refuse. */
	(void)sqlite3_bind_text(stmt, at, text, -1, SQLITE_TRANSIENT);
}

static void column_text(struct sqlite3_stmt *stmt, int at, char *into, size_t bytes)
{
	const unsigned char *text = sqlite3_column_text(stmt, at);
	snprintf(into, bytes, "%s", text != NULL ? (const char *)text : "");
}

static void read_job(struct sqlite3_stmt *stmt, struct job *job)
{
	*job = (struct job){.id = sqlite3_column_int64(stmt, 0)};
	column_text(stmt, 1, job->kb, sizeof(job->kb));
	column_text(stmt, 2, job->kind, sizeof(job->kind));
	column_text(stmt, 3, job->file, sizeof(job->file));
	column_text(stmt, 4, job->path, sizeof(job->path));
	int state = sqlite3_column_int(stmt, 5);
	job->state =
		state >= JOB_QUEUED && state <= JOB_CANCELLED ? (enum job_state)state : JOB_FAILED;
	job->done = (uint64_t)sqlite3_column_int64(stmt, 6);
	job->total = (uint64_t)sqlite3_column_int64(stmt, 7);
	job->chunks = (uint64_t)sqlite3_column_int64(stmt, 8);
	job->attempts = (uint32_t)sqlite3_column_int64(stmt, 9);
	column_text(stmt, 10, job->error, sizeof(job->error));
	job->created = sqlite3_column_int64(stmt, 11);
	job->updated = sqlite3_column_int64(stmt, 12);
}

/* Run a prepared statement that gives at most one job. ST_NOT_FOUND: none, with `what` as the
 * text. */
static status one_job(struct store *s, struct sqlite3_stmt *stmt, const char *what,
		      struct job *ret_job, struct fault *reterr)
{
	bool row = false;
	status st = db_step(&s->db, stmt, &row, reterr);
	if (st != ST_OK)
		return st;
	if (!row)
		return fault_set(reterr, ST_NOT_FOUND, "%s", what);
	struct job job;
	read_job(stmt, &job);
	st = db_step(&s->db, stmt, &row, reterr); /* to the end: RETURNING commits there */
	if (st == ST_OK)
		*ret_job = job;
	return st;
}

/* ---- jobs; every function below holds the lock from its first statement to its last ---- */

static status forget_old(struct store *s, struct fault *reterr)
{
	CLEANUP(finalize) struct sqlite3_stmt *stmt = NULL;
	status st = db_prepare(
		&s->db,
		"DELETE FROM jobs WHERE state>=2 AND (updated<?1 OR id<=ifnull("
		"(SELECT id FROM jobs WHERE state>=2 ORDER BY id DESC LIMIT 1 OFFSET ?2),"
		"0))",
		&stmt, reterr);
	if (st != ST_OK)
		return st;
	sqlite3_bind_int64(stmt, 1, clock_unix_s() - JOB_KEEP_SECONDS);
	sqlite3_bind_int64(stmt, 2, JOB_KEEP_MAX);
	return db_do(&s->db, stmt, reterr);
}

static status insert_job(struct store *s, const struct job *job, struct job *ret_job,
			 struct fault *reterr)
{
	CLEANUP(finalize) struct sqlite3_stmt *stmt = NULL;
	status st =
		db_prepare(&s->db,
			   "INSERT INTO jobs(kb,kind,file,path,state,done,total,chunks,attempts,"
			   "error,created,updated) VALUES(?1,?2,?3,?4,0,0,?5,0,0,'',?6,?6)"
			   " RETURNING " COLUMNS,
			   &stmt, reterr);
	if (st != ST_OK)
		return st;
	bind_text(stmt, 1, job->kb);
	bind_text(stmt, 2, job->kind);
	bind_text(stmt, 3, job->file);
	bind_text(stmt, 4, job->path);
	sqlite3_bind_int64(stmt, 5, (int64_t)job->total);
	sqlite3_bind_int64(stmt, 6, clock_unix_s());
	return one_job(s, stmt, "the job was not stored", ret_job, reterr);
}

status store_job_add(struct store *s, struct job *job, struct fault *reterr)
{
	pthread_mutex_lock(&s->lock);
	status st = forget_old(s, reterr);
	if (st == ST_OK)
		st = insert_job(s, job, job, reterr);
	pthread_mutex_unlock(&s->lock);
	return st;
}

static status get_job(struct store *s, int64_t id, struct job *ret_job, struct fault *reterr)
{
	CLEANUP(finalize) struct sqlite3_stmt *stmt = NULL;
	status st = db_prepare(&s->db, "SELECT " COLUMNS " FROM jobs WHERE id=?1", &stmt, reterr);
	if (st != ST_OK)
		return st;
	sqlite3_bind_int64(stmt, 1, id);
	return one_job(s, stmt, "there is no such job", ret_job, reterr);
}

status store_job_get(struct store *s, int64_t id, struct job *ret_job, struct fault *reterr)
{
	pthread_mutex_lock(&s->lock);
	status st = get_job(s, id, ret_job, reterr);
	pthread_mutex_unlock(&s->lock);
	return st;
}

static status update_job(struct store *s, const struct job *job, struct fault *reterr)
{
	CLEANUP(finalize) struct sqlite3_stmt *stmt = NULL;
	status st = db_prepare(
		&s->db,
		"UPDATE jobs SET state=?2,done=?3,total=?4,chunks=?5,attempts=?6,error=?7,"
		"updated=?8 WHERE id=?1 RETURNING " COLUMNS,
		&stmt, reterr);
	if (st != ST_OK)
		return st;
	sqlite3_bind_int64(stmt, 1, job->id);
	sqlite3_bind_int(stmt, 2, (int)job->state);
	sqlite3_bind_int64(stmt, 3, (int64_t)job->done);
	sqlite3_bind_int64(stmt, 4, (int64_t)job->total);
	sqlite3_bind_int64(stmt, 5, (int64_t)job->chunks);
	sqlite3_bind_int64(stmt, 6, job->attempts);
	bind_text(stmt, 7, job->error);
	sqlite3_bind_int64(stmt, 8, clock_unix_s());
	struct job ignored;
	return one_job(s, stmt, "there is no such job", &ignored, reterr);
}

status store_job_update(struct store *s, const struct job *job, struct fault *reterr)
{
	pthread_mutex_lock(&s->lock);
	status st = update_job(s, job, reterr);
	pthread_mutex_unlock(&s->lock);
	return st;
}

static status take_job(struct store *s, struct job *ret_job, struct fault *reterr)
{
	CLEANUP(finalize) struct sqlite3_stmt *stmt = NULL;
	status st = db_prepare(&s->db,
			       "UPDATE jobs SET state=1,attempts=attempts+1,updated=?1 WHERE id="
			       "(SELECT id FROM jobs WHERE state=0 ORDER BY updated,id LIMIT 1)"
			       " RETURNING " COLUMNS,
			       &stmt, reterr);
	if (st == ST_OK) {
		sqlite3_bind_int64(stmt, 1, clock_unix_s());
		st = one_job(s, stmt, "no job waits", ret_job, reterr);
	}
	return st;
}

status store_job_take(struct store *s, struct job *ret_job, struct fault *reterr)
{
	pthread_mutex_lock(&s->lock);
	status st = take_job(s, ret_job, reterr);
	pthread_mutex_unlock(&s->lock);
	return st;
}

status store_job_cancel(struct store *s, int64_t id, struct job *ret_job, struct fault *reterr)
{
	pthread_mutex_lock(&s->lock);
	struct job job;
	status st = get_job(s, id, &job, reterr);
	if (st == ST_OK && job.state == JOB_QUEUED) {
		job.state = JOB_CANCELLED;
		st = update_job(s, &job, reterr);
	}
	pthread_mutex_unlock(&s->lock);
	if (st == ST_OK)
		*ret_job = job;
	return st;
}

static status needs_upload(struct store *s, const char *path, bool *ret_needed,
			   struct fault *reterr)
{
	CLEANUP(finalize) struct sqlite3_stmt *stmt = NULL;
	status st = db_prepare(&s->db, "SELECT 1 FROM jobs WHERE state<2 AND path=?1 LIMIT 1",
			       &stmt, reterr);
	bool row = false;
	if (st == ST_OK) {
		bind_text(stmt, 1, path);
		st = db_step(&s->db, stmt, &row, reterr);
	}
	if (st == ST_OK)
		*ret_needed = row;
	return st;
}

status store_job_needs(struct store *s, const char *path, bool *ret_needed, struct fault *reterr)
{
	pthread_mutex_lock(&s->lock);
	status st = needs_upload(s, path, ret_needed, reterr);
	pthread_mutex_unlock(&s->lock);
	return st;
}

static status recover_jobs(struct store *s, struct fault *reterr)
{
	CLEANUP(finalize) struct sqlite3_stmt *stmt = NULL;
	status st = db_prepare(&s->db,
			       "UPDATE jobs SET state=CASE WHEN attempts>=?1 THEN 3 ELSE 0 END,"
			       "error=CASE WHEN attempts>=?1 THEN 'the server stopped during every "
			       "attempt' ELSE error END,updated=?2 WHERE state=1",
			       &stmt, reterr);
	if (st == ST_OK) {
		sqlite3_bind_int64(stmt, 1, JOB_ATTEMPTS_MAX);
		sqlite3_bind_int64(stmt, 2, clock_unix_s());
		st = db_do(&s->db, stmt, reterr);
	}
	return st;
}

status store_jobs_recover(struct store *s, struct fault *reterr)
{
	pthread_mutex_lock(&s->lock);
	status st = recover_jobs(s, reterr);
	pthread_mutex_unlock(&s->lock);
	return st;
}
