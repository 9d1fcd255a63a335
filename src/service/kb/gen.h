/* kb/gen.h -- one generation opened for writing: its database, its row files, and the order in
 * which they change.
 *
 *     text.sqlite   see textdb.h; holds the counts that make the other files valid
 *     vectors.i8    blocks of rows, see scan.h          } only when the KB has a model
 *     vectors.f16   dim half floats a row               }
 *     lengths.u16   terms of a row, up to 65,535; valid up to state.indexed
 *
 * Order  Row files are written behind the committed rows and synced; then the transaction commits
 *        the new counts. gen_open() cuts off what an interrupted writer left behind them. Rows are
 *        indexed in batches behind their commit: state.indexed follows state.rows, and catches up
 *        before rows become visible.
 * Threads  One at a time; the KB's lock is held. */
#ifndef KB_GEN_H
#define KB_GEN_H

#include "kb/scan.h"
#include "kb/textdb.h"
#include "rt/file.h"

/* X(name, SQL): the statements of a writer, prepared on first use and kept. */
#define GEN_SQL_LIST(X)                                                                            \
	X(STATE, TEXTDB_STATE_SQL)                                                                 \
	X(STATE_SET, "UPDATE state SET rows=?1,indexed=?2,visible=?3,terms=?4,epoch=?5")           \
	X(FILE_FIND, "SELECT id,state,sha256,bytes,chunks,error,terms FROM files WHERE name=?1")   \
	X(FILE_ADD, "INSERT INTO files(name,state,sha256,bytes,chunks,terms,error)"                \
		    " VALUES(?1,?2,?3,?4,?5,?6,?7) RETURNING id")                                  \
	X(FILE_GROW, "UPDATE files SET chunks=chunks+?2 WHERE id=?1")                              \
	X(FILE_READY, "UPDATE files SET state=1,terms=?2 WHERE id=?1")                             \
	X(FILE_FAIL, "UPDATE files SET state=2,error=?2,chunks=0 WHERE id=?1")                     \
	X(FILE_DROP, "DELETE FROM files WHERE id=?1")                                              \
	X(SEGMENT_ADD, "INSERT INTO segments VALUES(?1,?2,?3,?4)")                                 \
	X(SEGMENT_GROW, "UPDATE segments SET last=?2 WHERE file=?1 AND last=?3")                   \
	X(SEGMENT_LIST, "SELECT first,last FROM segments WHERE file=?1 ORDER BY first")            \
	X(SEGMENT_READY, "UPDATE segments SET ready=1 WHERE file=?1")                              \
	X(SEGMENT_DROP, "DELETE FROM segments WHERE file=?1")                                      \
	X(DOCUMENT_ADD, "INSERT INTO documents(file,doc_id,title) VALUES(?1,?2,?3) RETURNING id")  \
	X(CHUNK_ADD, "INSERT INTO chunks VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)")              \
	X(CHUNK_PLACE, "SELECT c.document,c.position,d.doc_id FROM chunks c"                       \
		       " JOIN documents d ON d.id=c.document WHERE c.id=?1")                       \
	X(CHUNK_KNOWN, "SELECT id FROM chunks WHERE hash_key=?1 AND hash=?2 LIMIT 1")              \
	X(INDEX_READ, "SELECT c.id,d.title,c.heading,c.context,c.text FROM chunks c"               \
		      " JOIN documents d ON d.id=c.document WHERE c.id>?1 ORDER BY c.id")          \
	X(INDEX_ADD, "INSERT INTO words(rowid,text) VALUES(?1,?2)")

enum gen_sql {
#define X(name, sql) GEN_##name,
	GEN_SQL_LIST(X)
#undef X
		GEN_SQL_COUNT
};

struct gen {
	struct mem_scope *scope;
	uint32_t number;
	char folder[FILE_PATH_BYTES];
	struct textdb text;
	struct sqlite3_stmt *statements[GEN_SQL_COUNT];
	struct textdb_state state, committed; /* now, and when the transaction began */
	int i8, f16, lengths;
	/* up to SCAN_BLOCK rows on their way to the files */
	float scales[SCAN_BLOCK];
	int8_t *codes;
	uint16_t *halves;
	struct buf passage;
};

MUST_CHECK status gen_open(struct mem_scope *parent, const char *kb, uint32_t number,
			   struct gen **ret_gen, struct fault *reterr);
/* In a folder that does not exist yet; a half-made one is removed again. */
MUST_CHECK status gen_create(struct mem_scope *parent, const char *kb, uint32_t number,
			     const struct kb_build *build, const char *description,
			     struct gen **ret_gen, struct fault *reterr);
void gen_close(struct gen *g); /* NULL is allowed; empties the write-ahead log */

MUST_CHECK status gen_statement(struct gen *g, enum gen_sql which, struct sqlite3_stmt **ret_stmt,
				struct fault *reterr);

/* A transaction. gen_commit() stores g->state with it; gen_rollback() restores it. */
MUST_CHECK status gen_begin(struct gen *g, struct fault *reterr);
MUST_CHECK status gen_commit(struct gen *g, struct fault *reterr);
void gen_rollback(struct gen *g);

/* Rows on their way: fill slots 0..count-1, then store them as rows first.. of one block. */
void gen_stage_vector(struct gen *g, size_t slot, const float *vector);
MUST_CHECK status gen_stage_copy(struct gen *g, size_t slot, const struct gen *from, uint64_t row,
				 struct fault *reterr);
MUST_CHECK status gen_stage_store(struct gen *g, uint64_t first, size_t count,
				  struct fault *reterr);
MUST_CHECK status gen_rows_sync(struct gen *g, struct fault *reterr);
/* The half-precision vector of a row, in floats. */
MUST_CHECK status gen_vector_read(const struct gen *g, uint64_t row, float *ret_vector,
				  struct fault *reterr);

/* Index rows until state.indexed = state.rows, in transactions of its own. */
MUST_CHECK status gen_index(struct gen *g, struct fault *reterr);
/* In a transaction: leave the rows that are not indexed yet out for good (they are dead). */
MUST_CHECK status gen_index_skip(struct gen *g, struct fault *reterr);
/* Sum of the lengths of rows first..last. */
MUST_CHECK status gen_terms(const struct gen *g, uint64_t first, uint64_t last, uint64_t *ret_terms,
			    struct fault *reterr);

#endif
