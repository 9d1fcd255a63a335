/* rt/db.h -- SQLite as this project opens it: WAL, foreign keys, a busy timeout, bounded caches,
 * prepared statements that are kept, and faults instead of codes.
 *
 * sqlite3.h may be included by src/rt/db*.c, src/service/kb and src/service/store only.
 *
 * The first db_open() of the process configures SQLite: its allocations and its reads and writes
 * ask mem/faults.h as ours do, so that counted fault runs reach into it; its own statistics, and
 * the lock that they cost, are off.
 *
 * Threads  A connection belongs to one thread at a time.
 * Limits   page cache bytes per connection are given to db_open(); journal_size_limit 4 MiB.
 * Disk     A transaction is durable when db_run("COMMIT") returns (synchronous = FULL). */
#ifndef RT_DB_H
#define RT_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

struct sqlite3;
struct sqlite3_stmt;

struct db {
	struct sqlite3 *handle;
};

struct db_options {
	bool create; /* else an absent file is ST_NOT_FOUND */
	bool read_only;
	size_t cache_bytes; /* page cache of this connection */
	size_t map_bytes; /* read through a mapping of at most this size instead; 0 = no mapping */
	uint32_t busy_ms; /* wait for a lock, then ST_BUSY */
};

MUST_CHECK status db_open(const char *path, const struct db_options *options, struct db *ret_db,
			  struct fault *reterr);
void db_close(struct db *db); /* may be called twice; statements must be finalized */
/* Run statements that return no rows. */
MUST_CHECK status db_run(struct db *db, const char *sql, struct fault *reterr);
/* Undo a failed transaction; harmless when SQLite has already done so. */
void db_rollback(struct db *db);
MUST_CHECK status db_prepare(struct db *db, const char *sql, struct sqlite3_stmt **ret_stmt,
			     struct fault *reterr);
/* One step: *ret_row tells whether there is a row. At the end or on failure the statement is reset.
 */
MUST_CHECK status db_step(struct db *db, struct sqlite3_stmt *stmt, bool *ret_row,
			  struct fault *reterr);
/* Step a statement that returns no row. */
MUST_CHECK status db_do(struct db *db, struct sqlite3_stmt *stmt, struct fault *reterr);
/* What the last failed call on db means: full disk ST_LIMIT, locked ST_BUSY, malformed
 * ST_CORRUPT... */
status db_fault(struct db *db, int code, const char *what, struct fault *reterr);

/* Parameters, numbered from 1. The bytes of a text must live until the statement is reset. They
 * cannot fail but for lack of memory, which the next db_step() reports. */
void db_bind_text(struct sqlite3_stmt *stmt, int index, struct span text);
void db_bind_blob(struct sqlite3_stmt *stmt, int index, struct span bytes);
void db_bind_int(struct sqlite3_stmt *stmt, int index, int64_t value);
void db_bind_null(struct sqlite3_stmt *stmt, int index);
/* The first `count` columns of from's row as parameters 1..count; valid until from steps on. */
void db_bind_copy(struct sqlite3_stmt *stmt, struct sqlite3_stmt *from, int count);
/* Columns of the row, numbered from 0. A span lives until the next step or reset. */
struct span db_column_text(struct sqlite3_stmt *stmt, int index);
struct span db_column_blob(struct sqlite3_stmt *stmt, int index);
int64_t db_column_int(struct sqlite3_stmt *stmt, int index);
void db_reset(struct sqlite3_stmt *stmt);
void db_finalizep(struct sqlite3_stmt **stmt); /* for CLEANUP(); NULL is allowed */

#endif
