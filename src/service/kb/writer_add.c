#include <math.h>
#include <string.h>

#include "base/size.h"
#include "kb/passage.h"
#include "kb/writer.h"
#include "rt/digest.h"

/* Rows that wait to be indexed: large batches make few FTS5 segments, which is what bulk ingest
 * spends its time on. Their number bounds the work that is left for the end of a file. */
enum { UNINDEXED_ROWS_MAX = 8192 };

static status chunk_check(const struct kb_writer *w, const struct kb_new_chunk *c,
			  struct fault *reterr)
{
	uint32_t dim = w->gen->text.build.dim;
	size_t bytes = c->title.bytes + c->heading.bytes + c->context.bytes + c->text.bytes;
	if (bytes > TEXTDB_TEXT_BYTES_MAX || c->doc_id.bytes > TEXTDB_TEXT_BYTES_MAX)
		return fault_set(reterr, ST_LIMIT, "a chunk of %zu bytes is over the limit of %d",
				 bytes, TEXTDB_TEXT_BYTES_MAX);
	if ((c->vector != NULL) != (dim > 0))
		return fault_set(reterr, ST_INVALID,
				 dim > 0 ? "a chunk has no vector"
					 : "this knowledge base keeps no vectors");
	float squares = 0;
	for (uint32_t i = 0; i < dim; i++)
		squares += c->vector[i] * c->vector[i];
	if (!isfinite(squares))
		return fault_set(reterr, ST_INVALID, "a chunk's vector is not a number");
	return ST_OK;
}

static status passage_hash(struct kb_writer *w, const struct kb_new_chunk *c, struct sha256 *ret,
			   struct fault *reterr)
{
	struct buf *b = &w->gen->passage;
	buf_clear(b);
	(void)passage_add(c->title, c->heading, c->context, c->text, b);
	status st = buf_check(b, "the chunk", reterr);
	return st == ST_OK ? sha256_of(buf_span(b), ret, reterr) : st;
}

static int64_t hash_key(const struct sha256 *hash)
{
	int64_t key;
	memcpy(&key, hash->bytes, sizeof key);
	return key;
}

static status vectors_store(struct gen *g, const struct kb_new_chunk *chunks, size_t count,
			    struct fault *reterr)
{
	if (g->text.build.dim == 0)
		return ST_OK;
	status st = ST_OK;
	for (size_t done = 0; st == ST_OK && done < count;) {
		uint64_t row = g->state.rows + done;
		size_t some = size_min(count - done, SCAN_BLOCK - (size_t)(row % SCAN_BLOCK));
		for (size_t i = 0; i < some; i++)
			gen_stage_vector(g, i, chunks[done + i].vector);
		st = gen_stage_store(g, row, some, reterr);
		done += some;
	}
	return st == ST_OK ? gen_rows_sync(g, reterr) : st;
}

/* Where the next chunk goes; the file's own record moves on only when all is committed. */
struct place {
	int64_t document;
	uint32_t position;
	struct span doc_id;
};

/* Continue the last document or begin another one. */
static status document_enter(struct kb_writer *w, struct place *p, const struct kb_new_chunk *c,
			     struct fault *reterr)
{
	struct sqlite3_stmt *stmt;
	bool row;
	if (p->document != 0 && span_equal(p->doc_id, c->doc_id)) {
		p->position++;
		return ST_OK;
	}
	status st = gen_statement(w->gen, GEN_DOCUMENT_ADD, &stmt, reterr);
	if (st != ST_OK)
		return st;
	db_bind_int(stmt, 1, w->file.id);
	db_bind_text(stmt, 2, c->doc_id);
	db_bind_text(stmt, 3, c->title);
	st = db_step(&w->gen->text.db, stmt, &row, reterr);
	if (st == ST_OK)
		*p = (struct place){db_column_int(stmt, 0), 0, c->doc_id};
	db_reset(stmt);
	return st;
}

static status chunk_add(struct kb_writer *w, struct place *p, const struct kb_new_chunk *c,
			uint64_t row, struct fault *reterr)
{
	struct sqlite3_stmt *stmt;
	struct sha256 hash;
	status st = document_enter(w, p, c, reterr);
	if (st == ST_OK && c->vector != NULL)
		st = passage_hash(w, c, &hash, reterr);
	if (st == ST_OK)
		st = gen_statement(w->gen, GEN_CHUNK_ADD, &stmt, reterr);
	if (st != ST_OK)
		return st;
	db_bind_int(stmt, 1, (int64_t)row + 1);
	db_bind_int(stmt, 2, p->document);
	db_bind_int(stmt, 3, p->position);
	db_bind_int(stmt, 4, c->page);
	db_bind_int(stmt, 5, (int64_t)c->start);
	db_bind_int(stmt, 6, (int64_t)c->end);
	db_bind_text(stmt, 7, c->heading);
	db_bind_text(stmt, 8, c->context);
	db_bind_text(stmt, 9, c->text);
	if (c->vector != NULL) {
		db_bind_blob(stmt, 10, (struct span){(const char *)hash.bytes, sizeof hash.bytes});
		db_bind_int(stmt, 11, hash_key(&hash));
	} else {
		db_bind_null(stmt, 10);
		db_bind_null(stmt, 11);
	}
	return db_do(&w->gen->text.db, stmt, reterr);
}

/* The rows are the file's: its last segment grows, or a new one begins. */
static status segment_extend(struct kb_writer *w, size_t count, struct fault *reterr)
{
	struct gen *g = w->gen;
	struct writer_file *f = &w->file;
	bool grow = f->segment_end > 0 && f->segment_end == g->state.rows;
	struct sqlite3_stmt *stmt;
	status st = gen_statement(g, grow ? GEN_SEGMENT_GROW : GEN_SEGMENT_ADD, &stmt, reterr);
	if (st != ST_OK)
		return st;
	int64_t first = (int64_t)g->state.rows, last = first + (int64_t)count - 1;
	if (grow) {
		db_bind_int(stmt, 1, f->id);
		db_bind_int(stmt, 2, last);
		db_bind_int(stmt, 3, first - 1);
	} else {
		db_bind_int(stmt, 1, first);
		db_bind_int(stmt, 2, last);
		db_bind_int(stmt, 3, f->id);
		db_bind_int(stmt, 4, 0);
	}
	st = db_do(&g->text.db, stmt, reterr);
	if (st == ST_OK)
		st = gen_statement(g, GEN_FILE_GROW, &stmt, reterr);
	if (st != ST_OK)
		return st;
	db_bind_int(stmt, 1, f->id);
	db_bind_int(stmt, 2, (int64_t)count);
	return db_do(&g->text.db, stmt, reterr);
}

static status rows_commit(struct kb_writer *w, struct place *p, const struct kb_new_chunk *chunks,
			  size_t count, struct fault *reterr)
{
	struct gen *g = w->gen;
	status st = ST_OK;
	for (size_t i = 0; st == ST_OK && i < count; i++)
		st = chunk_add(w, p, &chunks[i], g->state.rows + i, reterr);
	if (st == ST_OK)
		st = segment_extend(w, count, reterr);
	g->state.rows += count;
	return st == ST_OK ? gen_commit(g, reterr) : st;
}

status kb_writer_add(struct kb_writer *w, const struct kb_new_chunk *chunks, size_t count,
		     struct fault *reterr)
{
	struct gen *g = w->gen;
	struct writer_file *f = &w->file;
	char *room;
	status st = f->id != 0 ? ST_OK : fault_set(reterr, ST_INVALID, "no file is begun");
	for (size_t i = 0; st == ST_OK && i < count; i++)
		st = chunk_check(w, &chunks[i], reterr);
	if (st == ST_OK && count >= UINT32_MAX - 1 - g->state.rows)
		st = fault_set(reterr, ST_LIMIT, "a knowledge base holds at most 2^32 - 2 chunks");
	if (st == ST_OK && g->state.rows - g->state.indexed >= UNINDEXED_ROWS_MAX)
		st = gen_index(g, reterr);
	/* Room for the last document's id now, so that nothing can fail behind the commit. */
	if (st == ST_OK && count > 0 &&
	    !buf_reserve(&f->doc_id, chunks[count - 1].doc_id.bytes + 1, &room))
		st = buf_check(&f->doc_id, "the document's id", reterr);
	if (st == ST_OK)
		st = vectors_store(g, chunks, count, reterr);
	if (st == ST_OK && count > 0)
		st = gen_begin(g, reterr);
	if (st != ST_OK || count == 0)
		return st;
	struct place p = {f->document, f->position, buf_span(&f->doc_id)};
	st = rows_commit(w, &p, chunks, count, reterr);
	if (st != ST_OK) {
		gen_rollback(g);
		return st;
	}
	if (p.doc_id.data != f->doc_id.data) {
		buf_clear(&f->doc_id);
		(void)buf_add(&f->doc_id, p.doc_id);
	}
	f->document = p.document;
	f->position = p.position;
	f->chunks += count;
	f->segment_end = g->state.rows;
	return ST_OK;
}

static status vector_find(struct gen *g, const struct sha256 *hash, float *ret_vector,
			  struct fault *reterr)
{
	struct sqlite3_stmt *stmt;
	bool row = false;
	status st = gen_statement(g, GEN_CHUNK_KNOWN, &stmt, reterr);
	if (st != ST_OK)
		return st;
	db_bind_int(stmt, 1, hash_key(hash));
	db_bind_blob(stmt, 2, (struct span){(const char *)hash->bytes, sizeof hash->bytes});
	st = db_step(&g->text.db, stmt, &row, reterr);
	if (st == ST_OK && !row)
		st = fault_set(reterr, ST_NOT_FOUND, "this text is new");
	if (st != ST_OK)
		return st;
	int64_t id = db_column_int(stmt, 0);
	db_reset(stmt);
	if (id < 1 || (uint64_t)id > g->state.rows)
		return fault_set(reterr, ST_CORRUPT, "a chunk is out of place: rebuild the KB");
	return gen_vector_read(g, (uint64_t)id - 1, ret_vector, reterr);
}

status kb_writer_known_vector(struct kb_writer *w, const struct kb_new_chunk *chunk,
			      float *ret_vector, struct fault *reterr)
{
	struct sha256 hash;
	if (w->gen->text.build.dim == 0)
		return fault_set(reterr, ST_NOT_FOUND, "this knowledge base keeps no vectors");
	status st = passage_hash(w, chunk, &hash, reterr);
	if (st == ST_OK)
		st = vector_find(w->gen, &hash, ret_vector, reterr);
	if (st == ST_NOT_FOUND && w->source != NULL)
		st = vector_find(w->source, &hash, ret_vector, reterr);
	return st;
}
