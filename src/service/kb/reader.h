/* kb/reader.h -- a struct kb inside: a few connections, and the row files mapped once for all.
 *
 * A search takes a connection, opens a read transaction and sees one moment of the knowledge base:
 * the counts, the bitmap of visible rows that belongs to them, and mappings that hold at least that
 * many rows. Row files only grow, so a mapping with room to spare serves many commits.
 *
 * Memory  A bit a row, statements and 128 KiB of page cache a connection; connections are opened
 *         when several searches meet, at most READERS_MAX.
 * Locks   kb->lock guards busy, view and layout; it is never held during a search. */
#ifndef KB_READER_H
#define KB_READER_H

#include <pthread.h>
#include <sys/stat.h>

#include "kb/layout.h"
#include "kb/textdb.h"

enum { READERS_MAX = 4, COMMON_SLOTS = 1024 };

#define READER_SQL_LIST(X)                                                                         \
	X(STATE, TEXTDB_STATE_SQL)                                                                 \
	X(VISIBLE, "SELECT first,last FROM segments WHERE ready=1")                                \
	X(MATCH, "SELECT rowid,term_count(words) FROM words WHERE words MATCH ?1")                 \
	X(CHUNK, "SELECT d.doc_id,f.name,d.title,c.heading,c.context,c.text,c.page,c.start,c.end," \
		 "c.position,c.document FROM chunks c JOIN documents d ON d.id=c.document"         \
		 " JOIN files f ON f.id=d.file WHERE c.id=?1")                                     \
	X(AROUND, "SELECT id FROM chunks WHERE document=?1 AND position BETWEEN ?2 AND ?3"         \
		  " ORDER BY position")                                                            \
	X(FILES, "SELECT name,state,sha256,bytes,chunks,error FROM files ORDER BY name,state")     \
	X(COUNTS, "SELECT count(*),coalesce(sum(state=1),0),coalesce(sum(bytes),0) FROM files")

enum reader_sql {
#define X(name, sql) READER_##name,
	READER_SQL_LIST(X)
#undef X
		READER_SQL_COUNT
};

struct row_map {
	int fd;
	const unsigned char *data;
	size_t bytes; /* mapped; the file may be shorter, but not than its committed rows */
};

/* The mapped row files of a generation, for at least rows_max rows once they are there. */
struct view {
	uint32_t number, dim;
	uint64_t rows_max;
	size_t uses; /* under kb->lock; kb->view itself is one */
	struct row_map i8, f16, lengths;
};

struct reader {
	uint32_t number; /* of the generation that is open; 0 = none */
	struct textdb text;
	struct sqlite3_stmt *statements[READER_SQL_COUNT];
	struct textdb_state state;
	uint64_t *visible; /* bit r: row r is searched; valid for state.epoch and state.rows */
	size_t visible_words;
	uint64_t epoch;    /* of the bitmap; 0 = none */
	struct view *view; /* during a search */
	/* Hashes of terms found too common to tell anything, while the KB had common_rows rows. */
	uint64_t common[COMMON_SLOTS];
	uint64_t common_rows;
};

struct kb {
	struct mem_scope *scope;
	char name[KB_NAME_BYTES];
	char folder[FILE_PATH_BYTES];
	pthread_mutex_t lock;
	pthread_cond_t idle;
	struct layout layout;
	struct stat current; /* of the file `current` when layout was read */
	struct view *view;
	bool busy[READERS_MAX];
	struct reader readers[READERS_MAX]; /* each its taker's while busy */
};

/* A connection in a read transaction, with everything about this moment loaded. */
MUST_CHECK status reader_enter(struct kb *kb, struct reader **ret_reader, struct fault *reterr);
void reader_leave(struct kb *kb, struct reader *r);
MUST_CHECK status reader_statement(struct reader *r, enum reader_sql which,
				   struct sqlite3_stmt **ret_stmt, struct fault *reterr);

static inline bool reader_sees(const struct reader *r, uint64_t row)
{
	return row < r->state.rows && (r->visible[row / 64] >> row % 64 & 1);
}

/* view.c */
MUST_CHECK status view_open(struct kb *kb, uint32_t number, uint32_t dim, uint64_t rows,
			    struct view **ret_view, struct fault *reterr);
/* The files hold the rows of this state; else ST_CORRUPT. */
MUST_CHECK status view_check(const struct view *v, const struct textdb_state *state,
			     struct fault *reterr);
void view_close(struct view *v); /* when nobody uses it; NULL is allowed */

#endif
