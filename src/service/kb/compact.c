#include <string.h>

#include "base/assert.h"
#include "base/size.h"
#include "kb/writer.h"

/* Compaction is a new generation like any other: rows of living files are copied in order, with
 * their vectors as they are, then indexed, and the switch is one rename. A crash before it leaves a
 * generation that nobody names; behind it, the old one is that. */

enum { DEAD_SHARE = 4, BATCH_BYTES = 8 * 1024 * 1024 };

/* Rows of living files in order, each with the file of its segment. */
#define ROWS_SQL                                                                                   \
	"SELECT "                                                                                  \
	"c.id,c.document,c.position,c.page,c.start,c.end,c.heading,c.context,c.text,c.hash,"       \
	"c.hash_key,s.file,s.ready FROM segments s JOIN chunks c ON c.id BETWEEN s.first+1 AND "   \
	"s.last+1"                                                                                 \
	" ORDER BY s.first,c.id"

struct compaction {
	struct gen *from, *to;
	struct sqlite3_stmt *rows;
	const struct cancel *cancel;
	size_t staged; /* rows in the block on its way */
	uint64_t segment_first;
	int64_t segment_file; /* 0 = none yet */
	int64_t segment_ready;
};

/* Tables that are taken over whole; of documents only those that some chunk still needs. */
static status table_copy(struct compaction *c, const char *get_sql, const char *put_sql,
			 int columns, struct fault *reterr)
{
	CLEANUP(db_finalizep) struct sqlite3_stmt *get = NULL, *put = NULL;
	bool row;
	status st = db_prepare(&c->from->text.db, get_sql, &get, reterr);
	if (st == ST_OK)
		st = db_prepare(&c->to->text.db, put_sql, &put, reterr);
	if (st == ST_OK)
		st = gen_begin(c->to, reterr);
	while (st == ST_OK && (st = db_step(&c->from->text.db, get, &row, reterr)) == ST_OK &&
	       row) {
		if (cancel_is_set(c->cancel)) {
			st = fault_set(reterr, ST_CANCELLED, "compaction was cancelled");
			break;
		}
		db_bind_copy(put, get, columns);
		st = db_do(&c->to->text.db, put, reterr);
	}
	return st == ST_OK ? gen_commit(c->to, reterr) : st;
}

static status segment_close(struct compaction *c, struct fault *reterr)
{
	struct sqlite3_stmt *stmt;
	if (c->segment_file == 0)
		return ST_OK;
	status st = gen_statement(c->to, GEN_SEGMENT_ADD, &stmt, reterr);
	if (st != ST_OK)
		return st;
	db_bind_int(stmt, 1, (int64_t)c->segment_first);
	db_bind_int(stmt, 2, (int64_t)c->to->state.rows - 1);
	db_bind_int(stmt, 3, c->segment_file);
	db_bind_int(stmt, 4, c->segment_ready);
	return db_do(&c->to->text.db, stmt, reterr);
}

static status stage_flush(struct compaction *c, struct fault *reterr)
{
	size_t count = c->staged;
	c->staged = 0;
	return count == 0 ? ST_OK
			  : gen_stage_store(c->to, c->to->state.rows - count, count, reterr);
}

static status row_copy(struct compaction *c, size_t *ret_bytes, struct fault *reterr)
{
	struct gen *to = c->to;
	struct sqlite3_stmt *put;
	int64_t id = db_column_int(c->rows, 0), file = db_column_int(c->rows, 11);
	status st = ST_OK;
	if (id < 1 || (uint64_t)id > c->from->state.rows)
		return fault_set(reterr, ST_CORRUPT, "a chunk is out of place: rebuild the KB");
	if (file != c->segment_file) {
		st = segment_close(c, reterr);
		c->segment_first = to->state.rows;
		c->segment_file = file;
		c->segment_ready = db_column_int(c->rows, 12);
	}
	if (st == ST_OK)
		st = gen_statement(to, GEN_CHUNK_ADD, &put, reterr);
	if (st == ST_OK && to->text.build.dim > 0)
		st = gen_stage_copy(to, c->staged, c->from, (uint64_t)id - 1, reterr);
	if (st != ST_OK)
		return st;
	db_bind_copy(put, c->rows, 11);
	db_bind_int(put, 1, (int64_t)to->state.rows + 1);
	st = db_do(&to->text.db, put, reterr);
	*ret_bytes += db_column_text(c->rows, 8).bytes + 256;
	to->state.rows++;
	c->staged += to->text.build.dim > 0;
	if (st == ST_OK && c->staged > 0 && to->state.rows % SCAN_BLOCK == 0)
		st = stage_flush(c, reterr);
	return st;
}

/* One transaction of rows; *ret_more tells whether there are others. */
static status batch_copy(struct compaction *c, bool *ret_more, struct fault *reterr)
{
	size_t bytes = 0;
	bool row = true;
	status st = gen_begin(c->to, reterr);
	while (st == ST_OK && row && bytes < BATCH_BYTES) {
		if (cancel_is_set(c->cancel))
			return fault_set(reterr, ST_CANCELLED, "compaction was cancelled");
		st = db_step(&c->from->text.db, c->rows, &row, reterr);
		if (st == ST_OK && row)
			st = row_copy(c, &bytes, reterr);
	}
	if (st == ST_OK)
		st = stage_flush(c, reterr);
	if (st == ST_OK && !row)
		st = segment_close(c, reterr);
	if (st == ST_OK)
		st = gen_commit(c->to, reterr);
	*ret_more = row;
	return st;
}

/* A batch may end inside a block; its rest goes on behind it, in the same block. */
static status rows_copy(struct compaction *c, struct fault *reterr)
{
	bool more = true;
	status st = db_prepare(&c->from->text.db, ROWS_SQL, &c->rows, reterr);
	while (st == ST_OK && more) {
		st = batch_copy(c, &more, reterr);
		if (st == ST_OK)
			st = gen_index(c->to, reterr);
	}
	db_finalizep(&c->rows);
	return st;
}

/* Visible counts as the old generation has them; then everything to the disk. */
static status finish(struct compaction *c, struct fault *reterr)
{
	struct gen *to = c->to;
	status st = gen_begin(to, reterr);
	to->state.visible = c->from->state.visible;
	to->state.terms = c->from->state.terms;
	if (st == ST_OK)
		st = gen_commit(to, reterr);
	if (st == ST_OK)
		st = db_run(&to->text.db,
			    "PRAGMA synchronous=FULL; PRAGMA wal_checkpoint(TRUNCATE)", reterr);
	if (st == ST_OK)
		st = gen_rows_sync(to, reterr);
	if (st == ST_OK)
		st = fd_sync(to->lengths, reterr);
	return st;
}

static status fill(struct compaction *c, struct fault *reterr)
{
	/* Nobody reads it and a crash discards it: nothing needs to be durable until the end. */
	status st = db_run(&c->to->text.db, "PRAGMA synchronous=OFF", reterr);
	if (st == ST_OK)
		st = table_copy(c,
				"SELECT id,name,state,sha256,bytes,chunks,terms,error FROM files",
				"INSERT INTO files VALUES(?1,?2,?3,?4,?5,?6,?7,?8)", 8, reterr);
	if (st == ST_OK)
		st = table_copy(c,
				"SELECT id,file,doc_id,title FROM documents WHERE file IN"
				" (SELECT file FROM segments)",
				"INSERT INTO documents VALUES(?1,?2,?3,?4)", 4, reterr);
	if (st == ST_OK)
		st = rows_copy(c, reterr);
	return st == ST_OK ? finish(c, reterr) : st;
}

static bool is_due(const struct kb_writer *w, uint64_t living)
{
	uint64_t rows = w->gen->state.rows;
	return rows - living > rows / DEAD_SHARE;
}

static status living_count(struct gen *g, uint64_t *ret_rows, struct fault *reterr)
{
	CLEANUP(db_finalizep) struct sqlite3_stmt *stmt = NULL;
	bool row = false;
	status st = db_prepare(&g->text.db, "SELECT coalesce(sum(last-first+1),0) FROM segments",
			       &stmt, reterr);
	if (st == ST_OK)
		st = db_step(&g->text.db, stmt, &row, reterr);
	if (st == ST_OK)
		*ret_rows = row ? (uint64_t)db_column_int(stmt, 0) : 0;
	return st;
}

static status compacted_make(struct kb_writer *w, const struct cancel *cancel, struct gen **ret_gen,
			     struct fault *reterr)
{
	uint32_t number;
	struct compaction c = {.from = w->gen, .cancel = cancel};
	status st = layout_next(w->kb, &w->layout, &number, reterr);
	if (st == ST_OK)
		st = gen_create(w->scope, w->kb, number, &w->gen->text.build,
				w->gen->text.description, &c.to, reterr);
	if (st != ST_OK)
		return st;
	st = fill(&c, reterr);
	if (st != ST_OK) {
		char folder[FILE_PATH_BYTES];
		memcpy(folder, c.to->folder, sizeof folder);
		gen_close(c.to);
		layout_discard(folder);
		return st;
	}
	*ret_gen = c.to;
	return ST_OK;
}

status kb_writer_compact(struct kb_writer *w, bool force, const struct cancel *cancel,
			 struct fault *reterr)
{
	struct gen *fresh;
	uint64_t living = 0;
	if (w->file.id != 0 || w->gen->number != w->layout.current)
		return fault_set(reterr, ST_INVALID,
				 "compaction needs the current generation, no file begun");
	status st = living_count(w->gen, &living, reterr);
	if (st != ST_OK || (!force && !is_due(w, living)))
		return st;
	st = compacted_make(w, cancel, &fresh, reterr);
	if (st != ST_OK)
		return st;
	struct layout next = w->layout;
	next.current = fresh->number;
	st = layout_write(w->kb, &next, reterr);
	if (st != ST_OK) {
		/* The rename may have happened although making it durable failed: the layout that
		 * is on disk decides, and a writer must agree with it. */
		struct layout found;
		if (layout_read(w->kb, &found, NULL) != ST_OK || found.current != next.current) {
			gen_close(fresh);
			return st;
		}
	}
	gen_close(w->gen);
	w->gen = fresh;
	w->layout = next;
	layout_tidy(w->kb, &w->layout);
	return ST_OK;
}
