/* rt/db.h -- SQLite as this project opens it: WAL, foreign keys, a busy timeout, bounded caches,
 * prepared statements that are kept, and faults instead of codes.
 *
 * sqlite3.h may be included by src/rt/db.c, src/service/kb and src/service/store only.
 *
 * Threads  A connection belongs to one thread at a time.
 * Limits   page cache bytes per connection are given to db_open(); journal_size_limit 4 MiB. */
#ifndef RT_DB_H
#define RT_DB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

struct sqlite3;
struct sqlite3_stmt;

struct db { struct sqlite3 *handle; };

struct db_options {
	bool create;     /* else an absent file is ST_NOT_FOUND */
	bool read_only;
	size_t cache_bytes; /* page cache of this connection */
	uint32_t busy_ms;   /* wait for a lock, then ST_BUSY */
};

MUST_CHECK status db_open(const char *path, const struct db_options *options, struct db *ret_db,
			  struct fault *reterr);
void db_close(struct db *db); /* may be called twice */
/* Run statements that return no rows. */
MUST_CHECK status db_run(struct db *db, const char *sql, struct fault *reterr);
MUST_CHECK status db_prepare(struct db *db, const char *sql, struct sqlite3_stmt **ret_stmt,
			     struct fault *reterr);
/* One step: *ret_row tells whether there is a row. At the end or on failure the statement is reset. */
MUST_CHECK status db_step(struct db *db, struct sqlite3_stmt *stmt, bool *ret_row, struct fault *reterr);
/* Step a statement that returns no row. */
MUST_CHECK status db_do(struct db *db, struct sqlite3_stmt *stmt, struct fault *reterr);
/* What the last failed call on db means: full disk ST_LIMIT, locked ST_BUSY, malformed ST_CORRUPT... */
status db_fault(struct db *db, int code, const char *what, struct fault *reterr);

#endif
