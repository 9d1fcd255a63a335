/* kb/textdb.h -- text.sqlite of one generation: its tables, what it was built with, how far it is.
 *
 *     meta       format, model, dim, chunk_chars, description
 *     state      one row: struct textdb_state, the commit point of everything
 *     files      one row for each name and state: a ready file may have a pending successor
 *     segments   which rows belong to which file; rows in no segment are dead until compaction
 *     documents  id and title of each document of a file
 *     chunks     id = row + 1, place in the document, text; hash of the embedded text
 *     words      FTS5 over heading and text of the rows 0 .. indexed-1; contentless, as chunks has
 *                the text. Dead rows stay in it and are masked.
 *
 * Threads  As the connection. */
#ifndef KB_TEXTDB_H
#define KB_TEXTDB_H

#include "kb/kb.h"
#include "kb/words.h"
#include "rt/db.h"

enum { TEXTDB_TEXT_BYTES_MAX = 1024 * 1024 }; /* of one chunk with its heading */

struct textdb_state {
	uint64_t rows;    /* committed; vectors.i8 and vectors.f16 hold at least as many */
	uint64_t indexed; /* of these, in words and in lengths.u16 */
	uint64_t visible; /* rows of ready files */
	uint64_t terms;   /* in the visible rows */
	uint64_t epoch;   /* counts every change of visibility */
};

struct textdb {
	struct db db;
	struct words words;
	struct kb_build build;
	char description[256];
};

/* Open (folder)/text.sqlite; a writer's connection has bigger caches. On failure nothing is open.
 */
MUST_CHECK status textdb_open(struct textdb *ret_db, struct mem_scope *scope, const char *folder,
			      bool writing, struct fault *reterr);
/* Make it, with build and description, in an existing empty folder. */
MUST_CHECK status textdb_create(struct textdb *ret_db, struct mem_scope *scope, const char *folder,
				const struct kb_build *build, const char *description,
				struct fault *reterr);
void textdb_close(struct textdb *t); /* may be called twice */

/* The statement reads the row of state: TEXTDB_STATE_SQL. */
#define TEXTDB_STATE_SQL "SELECT rows,indexed,visible,terms,epoch FROM state"
MUST_CHECK status textdb_state_read(struct db *db, struct sqlite3_stmt *stmt,
				    struct textdb_state *ret_state, struct fault *reterr);

#endif
