#include "rt/db.h"

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/size.h"
#include "rt/db_faults.h"

enum { ROLLBACK_ATTEMPTS = 3 };

static pthread_once_t configured = PTHREAD_ONCE_INIT;

/* SQLITE_MISUSE here means that somebody initialised SQLite before us: it works then, too, only
 * unconfigured. */
static void configure(void)
{
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	db_faults_install();
}

static status status_of(int code, int system_errno)
{
	switch (code & 0xFF) {
	case SQLITE_FULL:
	case SQLITE_TOOBIG:
		return ST_LIMIT;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return ST_BUSY;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return ST_CORRUPT;
	case SQLITE_NOMEM:
		return ST_OOM;
	case SQLITE_CONSTRAINT:
		return ST_EXISTS;
	case SQLITE_INTERRUPT:
		return ST_CANCELLED;
	default:
		break;
	}
	if (code == SQLITE_IOERR_NOMEM)
		return ST_OOM;
	bool full = system_errno == ENOSPC || system_errno == EDQUOT || system_errno == EFBIG;
	return full ? ST_LIMIT : ST_IO;
}

status db_fault(struct db *db, int code, const char *what, struct fault *reterr)
{
	int system_errno = db->handle != NULL ? sqlite3_system_errno(db->handle) : 0;
	const char *text = db->handle != NULL && sqlite3_errcode(db->handle) == (code & 0xFF)
				   ? sqlite3_errmsg(db->handle)
				   : sqlite3_errstr(code);
	status st = status_of(code, system_errno);
	(void)fault_set(reterr, st, "%s: %s", what, text);
	if (reterr != NULL)
		reterr->sys_errno = system_errno;
	return st;
}

static status set_up(struct db *db, const struct db_options *options, struct fault *reterr)
{
	char sql[400];
	(void)sqlite3_busy_timeout(db->handle, (int)options->busy_ms);
	(void)sqlite3_extended_result_codes(db->handle, 1);
	/* The cache is counted in KiB when negative. Freed pages keep their old bytes: what is
	 * deleted is gone for every reader, and compaction rewrites the file. */
	(void)snprintf(
		sql, sizeof sql,
		"PRAGMA cache_size=-%zu; PRAGMA mmap_size=%zu; PRAGMA foreign_keys=ON;"
		"PRAGMA secure_delete=OFF; PRAGMA temp_store=MEMORY; PRAGMA cell_size_check=ON;",
		size_max(options->cache_bytes / KIB, 1), options->map_bytes);
	status st = db_run(db, sql, reterr);
	if (st == ST_OK && !options->read_only)
		st = db_run(db,
			    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
			    "PRAGMA journal_size_limit=4194304;",
			    reterr);
	return st;
}

status db_open(const char *path, const struct db_options *options, struct db *ret_db,
	       struct fault *reterr)
{
	(void)pthread_once(&configured, configure);
	struct db db = {NULL};
	int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
	if (options->read_only)
		flags |= SQLITE_OPEN_READONLY;
	else
		flags |= SQLITE_OPEN_READWRITE | (options->create ? SQLITE_OPEN_CREATE : 0);
	int code = sqlite3_open_v2(path, &db.handle, flags, NULL);
	status st = ST_OK;
	if (code != SQLITE_OK) {
		char what[160];
		(void)snprintf(what, sizeof what, "cannot open '%.120s'", path);
		st = db_fault(&db, code, what, reterr);
		if ((code & 0xFF) == SQLITE_CANTOPEN && reterr != NULL &&
		    reterr->sys_errno == ENOENT)
			st = reterr->code = ST_NOT_FOUND;
	} else {
		st = set_up(&db, options, reterr);
	}
	if (st != ST_OK) {
		db_close(&db);
		return st;
	}
	*ret_db = db;
	return ST_OK;
}

void db_close(struct db *db)
{
	if (db->handle == NULL)
		return;
	int code = sqlite3_close(db->handle);
	ASSERT(code == SQLITE_OK); /* else a statement was forgotten */
	db->handle = NULL;
}

status db_run(struct db *db, const char *sql, struct fault *reterr)
{
	int code = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
	return code == SQLITE_OK ? ST_OK : db_fault(db, code, "the database refused", reterr);
}

/* ROLLBACK itself needs a little memory; a connection that stays inside its transaction would
 * refuse everybody after us, so one refusal is not the last word. */
void db_rollback(struct db *db)
{
	for (int attempt = 0; attempt < ROLLBACK_ATTEMPTS; attempt++) {
		if (db->handle == NULL || sqlite3_get_autocommit(db->handle))
			return;
		(void)sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
	}
}

status db_prepare(struct db *db, const char *sql, struct sqlite3_stmt **ret_stmt,
		  struct fault *reterr)
{
	sqlite3_stmt *stmt;
	int code = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL);
	if (code != SQLITE_OK)
		return db_fault(db, code, "the database refused", reterr);
	*ret_stmt = stmt;
	return ST_OK;
}

status db_step(struct db *db, struct sqlite3_stmt *stmt, bool *ret_row, struct fault *reterr)
{
	int code = sqlite3_step(stmt);
	if (code == SQLITE_ROW) {
		*ret_row = true;
		return ST_OK;
	}
	status st = ST_OK;
	if (code != SQLITE_DONE)
		st = db_fault(db, code, "the database refused", reterr);
	else
		*ret_row = false;
	(void)sqlite3_reset(stmt);
	return st;
}

status db_do(struct db *db, struct sqlite3_stmt *stmt, struct fault *reterr)
{
	bool row = false;
	status st = db_step(db, stmt, &row, reterr);
	if (row)
		(void)sqlite3_reset(stmt);
	return st;
}

/* An empty span may carry NULL, which SQLite would store as NULL. */
void db_bind_text(struct sqlite3_stmt *stmt, int index, struct span text)
{
	(void)sqlite3_bind_text64(stmt, index, text.bytes > 0 ? text.data : "", text.bytes,
				  SQLITE_STATIC, SQLITE_UTF8);
}

void db_bind_blob(struct sqlite3_stmt *stmt, int index, struct span bytes)
{
	(void)sqlite3_bind_blob64(stmt, index, bytes.bytes > 0 ? bytes.data : "", bytes.bytes,
				  SQLITE_STATIC);
}

void db_bind_int(struct sqlite3_stmt *stmt, int index, int64_t value)
{
	(void)sqlite3_bind_int64(stmt, index, value);
}

void db_bind_null(struct sqlite3_stmt *stmt, int index)
{
	(void)sqlite3_bind_null(stmt, index);
}

void db_bind_copy(struct sqlite3_stmt *stmt, struct sqlite3_stmt *from, int count)
{
	for (int i = 0; i < count; i++) {
		switch (sqlite3_column_type(from, i)) {
		case SQLITE_INTEGER:
			db_bind_int(stmt, i + 1, sqlite3_column_int64(from, i));
			break;
		case SQLITE_TEXT:
			db_bind_text(stmt, i + 1, db_column_text(from, i));
			break;
		case SQLITE_BLOB:
			db_bind_blob(stmt, i + 1, db_column_blob(from, i));
			break;
		default:
			db_bind_null(stmt, i + 1);
			break;
		}
	}
}

struct span db_column_text(struct sqlite3_stmt *stmt, int index)
{
	const void *data = sqlite3_column_text(stmt, index);
	return (struct span){data, data != NULL ? (size_t)sqlite3_column_bytes(stmt, index) : 0};
}

struct span db_column_blob(struct sqlite3_stmt *stmt, int index)
{
	const void *data = sqlite3_column_blob(stmt, index);
	return (struct span){data, data != NULL ? (size_t)sqlite3_column_bytes(stmt, index) : 0};
}

int64_t db_column_int(struct sqlite3_stmt *stmt, int index)
{
	return sqlite3_column_int64(stmt, index);
}

void db_reset(struct sqlite3_stmt *stmt)
{
	(void)sqlite3_reset(stmt);
}

void db_finalizep(struct sqlite3_stmt **stmt)
{
	(void)sqlite3_finalize(*stmt);
	*stmt = NULL;
}
