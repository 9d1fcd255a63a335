#include "kb/writer.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/size.h"
#include "base/utf8.h"

status writer_lock(struct mem_scope *parent, const char *root, const char *name,
		   struct kb_writer **ret_writer, struct fault *reterr)
{
	if (!kb_name_is_valid(span_of(name)))
		return fault_set(reterr, ST_INVALID, "'%.64s' cannot be a knowledge base's name",
				 name);
	struct mem_scope *scope = mem_scope_open(parent, "ingest", 0);
	struct kb_writer *w = scope != NULL ? mem_new(scope, struct kb_writer) : NULL;
	if (w == NULL) {
		mem_scope_close(scope);
		return fault_set(reterr, mem_refusal(), "no memory to write to '%s'", name);
	}
	w->scope = scope;
	w->lock = -1;
	buf_init(&w->file.name, scope, FILE_PATH_BYTES);
	buf_init(&w->file.doc_id, scope, TEXTDB_TEXT_BYTES_MAX);
	status st = layout_kb(w->kb, root, name, reterr);
	/* Looked at before the lock, so that asking for a KB that is not there makes no lock file.
	 */
	if (st == ST_OK)
		st = layout_read(w->kb, &w->layout, reterr);
	if (st == ST_OK)
		st = layout_lock(w->kb, "lock", false, &w->lock, reterr);
	if (st == ST_OK)
		st = layout_read(w->kb, &w->layout, reterr);
	if (st == ST_OK)
		st = layout_sweep(w->kb, &w->layout, reterr);
	if (st != ST_OK) {
		kb_writer_close(w);
		return st;
	}
	*ret_writer = w;
	return ST_OK;
}

status kb_writer_open(struct mem_scope *parent, const char *root, const char *name,
		      struct kb_writer **ret_writer, struct fault *reterr)
{
	struct kb_writer *w;
	status st = writer_lock(parent, root, name, &w, reterr);
	if (st != ST_OK)
		return st;
	st = gen_open(w->scope, w->kb, w->layout.current, &w->gen, reterr);
	if (st != ST_OK) {
		kb_writer_close(w);
		return st;
	}
	*ret_writer = w;
	return ST_OK;
}

void kb_writer_close(struct kb_writer *w)
{
	if (w == NULL)
		return;
	gen_close(w->source);
	gen_close(w->gen);
	fd_closep(&w->lock);
	mem_scope_close(w->scope);
}

const struct kb_build *kb_writer_build(const struct kb_writer *w)
{
	return &w->gen->text.build;
}

static bool is_file_name(const char *file)
{
	size_t bytes = strlen(file);
	return bytes > 0 && bytes < FILE_PATH_BYTES && utf8_is_valid((struct span){file, bytes});
}

status writer_file_find(struct gen *g, struct span name, enum kb_file_status state,
			struct writer_found *ret_found, struct fault *reterr)
{
	struct sqlite3_stmt *stmt;
	struct writer_found found = {.id = 0};
	bool row;
	status st = gen_statement(g, GEN_FILE_FIND, &stmt, reterr);
	if (st != ST_OK)
		return st;
	db_bind_text(stmt, 1, name);
	while ((st = db_step(&g->text.db, stmt, &row, reterr)) == ST_OK && row) {
		if (db_column_int(stmt, 1) != (int64_t)state)
			continue;
		found.id = db_column_int(stmt, 0);
		(void)snprintf(found.sha256, sizeof found.sha256, "%.*s",
			       SPAN_ARG(db_column_text(stmt, 2)));
		found.bytes = (uint64_t)db_column_int(stmt, 3);
		found.chunks = (uint64_t)db_column_int(stmt, 4);
		found.terms = (uint64_t)db_column_int(stmt, 6);
	}
	if (st == ST_OK)
		*ret_found = found;
	return st;
}

status kb_writer_find(struct kb_writer *w, const char *file, struct mem_scope *scratch,
		      struct kb_file *ret_file, struct fault *reterr)
{
	struct sqlite3_stmt *stmt;
	int best = -1;
	bool row;
	struct kb_file f = {.file = {NULL, 0}};
	char *error = NULL;
	status st = gen_statement(w->gen, GEN_FILE_FIND, &stmt, reterr);
	if (st != ST_OK)
		return st;
	db_bind_text(stmt, 1, span_of(file));
	while ((st = db_step(&w->gen->text.db, stmt, &row, reterr)) == ST_OK && row) {
		/* A ready file tells more than a pending successor, and that more than a failed
		 * one. */
		static const int rank[] = {
			[KB_FILE_PENDING] = 1, [KB_FILE_READY] = 2, [KB_FILE_FAILED] = 0};
		enum kb_file_status state = (enum kb_file_status)db_column_int(stmt, 1);
		struct span why = db_column_text(stmt, 5);
		if (why.bytes > 0 && (error = mem_copy_text(scratch, why)) == NULL)
			st = fault_set(reterr, mem_refusal(), "no memory for '%s'", file);
		if (st != ST_OK)
			break;
		if (rank[state] <= best)
			continue;
		best = rank[state];
		f.status = state;
		(void)snprintf(f.sha256, sizeof f.sha256, "%.*s",
			       SPAN_ARG(db_column_text(stmt, 2)));
		f.bytes = (uint64_t)db_column_int(stmt, 3);
		f.chunks = (uint64_t)db_column_int(stmt, 4);
	}
	db_reset(stmt);
	if (st == ST_OK && best < 0)
		st = fault_set(reterr, ST_NOT_FOUND, "there is no file '%s'", file);
	if (st == ST_OK && (f.file.data = mem_copy_text(scratch, span_of(file))) == NULL)
		st = fault_set(reterr, mem_refusal(), "no memory for '%s'", file);
	if (st != ST_OK)
		return st;
	f.file = span_of(f.file.data);
	f.error = span_of(error);
	*ret_file = f;
	return ST_OK;
}

static status do_with_id(struct gen *g, enum gen_sql which, int64_t id, struct fault *reterr)
{
	struct sqlite3_stmt *stmt;
	status st = gen_statement(g, which, &stmt, reterr);
	if (st != ST_OK)
		return st;
	db_bind_int(stmt, 1, id);
	return db_do(&g->text.db, stmt, reterr);
}

status writer_file_drop(struct gen *g, const struct writer_found *found, bool ready,
			struct fault *reterr)
{
	if (found->id == 0)
		return ST_OK;
	status st = do_with_id(g, GEN_SEGMENT_DROP, found->id, reterr);
	if (st == ST_OK)
		st = do_with_id(g, GEN_FILE_DROP, found->id, reterr);
	if (st == ST_OK && ready) {
		g->state.visible -= size_min(found->chunks, g->state.visible);
		g->state.terms -= size_min(found->terms, g->state.terms);
		g->state.epoch++;
	}
	return st;
}

/* The last chunk of a file that is resumed: the next one may belong to the same document. */
static status place_load(struct kb_writer *w, struct fault *reterr)
{
	struct gen *g = w->gen;
	struct sqlite3_stmt *stmt;
	bool row;
	status st = gen_statement(g, GEN_SEGMENT_LIST, &stmt, reterr);
	if (st != ST_OK)
		return st;
	db_bind_int(stmt, 1, w->file.id);
	while ((st = db_step(&g->text.db, stmt, &row, reterr)) == ST_OK && row)
		w->file.segment_end = (uint64_t)db_column_int(stmt, 1) + 1;
	if (st == ST_OK && w->file.segment_end > 0)
		st = gen_statement(g, GEN_CHUNK_PLACE, &stmt, reterr);
	if (st != ST_OK || w->file.segment_end == 0)
		return st;
	db_bind_int(stmt, 1, (int64_t)w->file.segment_end); /* id = row + 1 */
	st = db_step(&g->text.db, stmt, &row, reterr);
	if (st == ST_OK && !row)
		st = fault_set(reterr, ST_CORRUPT, "a chunk is missing: rebuild the KB");
	if (st != ST_OK)
		return st;
	w->file.document = db_column_int(stmt, 0);
	w->file.position = (uint32_t)db_column_int(stmt, 1);
	buf_clear(&w->file.doc_id);
	(void)buf_add(&w->file.doc_id, db_column_text(stmt, 2));
	db_reset(stmt);
	return buf_check(&w->file.doc_id, "the document's id", reterr);
}

static status file_add(struct gen *g, struct span name, const struct kb_file *file, int64_t *ret_id,
		       struct fault *reterr)
{
	struct sqlite3_stmt *stmt;
	bool row;
	status st = gen_statement(g, GEN_FILE_ADD, &stmt, reterr);
	if (st != ST_OK)
		return st;
	db_bind_text(stmt, 1, name);
	db_bind_int(stmt, 2, (int64_t)file->status);
	db_bind_text(stmt, 3, span_of(file->sha256));
	db_bind_int(stmt, 4, (int64_t)file->bytes);
	db_bind_int(stmt, 5, (int64_t)file->chunks);
	db_bind_int(stmt, 6, 0);
	db_bind_text(stmt, 7, file->error);
	st = db_step(&g->text.db, stmt, &row, reterr);
	if (st == ST_OK)
		*ret_id = db_column_int(stmt, 0);
	db_reset(stmt);
	return st;
}

static void file_forget(struct writer_file *f)
{
	buf_clear(&f->name);
	buf_clear(&f->doc_id);
	*f = (struct writer_file){.name = f->name, .doc_id = f->doc_id};
}

static status file_start(struct kb_writer *w, const struct kb_file *file,
			 const struct writer_found *stale, struct fault *reterr)
{
	status st = gen_begin(w->gen, reterr);
	if (st == ST_OK)
		st = writer_file_drop(w->gen, stale, false, reterr);
	if (st == ST_OK)
		st = file_add(w->gen, file->file, file, &w->file.id, reterr);
	if (st == ST_OK)
		st = gen_commit(w->gen, reterr);
	if (st != ST_OK)
		gen_rollback(w->gen);
	return st;
}

status kb_writer_file_begin(struct kb_writer *w, const char *file, const char *sha256,
			    uint64_t bytes, uint64_t *ret_done, struct fault *reterr)
{
	struct writer_found found;
	struct kb_file fresh = {.file = span_of(file), .bytes = bytes, .status = KB_FILE_PENDING};
	if (!is_file_name(file) || strlen(sha256) >= sizeof fresh.sha256)
		return fault_set(reterr, ST_INVALID, "'%.64s' cannot be a file's name", file);
	(void)snprintf(fresh.sha256, sizeof fresh.sha256, "%s", sha256);
	file_forget(&w->file);
	status st = gen_index(w->gen, reterr); /* whatever another file has left */
	if (st == ST_OK)
		st = writer_file_find(w->gen, fresh.file, KB_FILE_PENDING, &found, reterr);
	if (st == ST_OK && !buf_add(&w->file.name, fresh.file))
		st = buf_check(&w->file.name, "the file's name", reterr);
	if (st == ST_OK && found.id != 0 && strcmp(found.sha256, sha256) == 0) {
		w->file.id = found.id;
		w->file.chunks = found.chunks;
		st = place_load(w, reterr);
	} else if (st == ST_OK) {
		st = file_start(w, &fresh, &found, reterr);
	}
	if (st != ST_OK) {
		file_forget(&w->file);
		return st;
	}
	*ret_done = w->file.chunks;
	return ST_OK;
}

static status not_begun(struct fault *reterr)
{
	return fault_set(reterr, ST_INVALID, "no file is begun");
}

static status segments_terms(struct gen *g, int64_t file, uint64_t *ret_terms, struct fault *reterr)
{
	struct sqlite3_stmt *stmt;
	uint64_t terms = 0, some = 0;
	bool row;
	status st = gen_statement(g, GEN_SEGMENT_LIST, &stmt, reterr);
	if (st != ST_OK)
		return st;
	db_bind_int(stmt, 1, file);
	while ((st = db_step(&g->text.db, stmt, &row, reterr)) == ST_OK && row) {
		st = gen_terms(g, (uint64_t)db_column_int(stmt, 0),
			       (uint64_t)db_column_int(stmt, 1), &some, reterr);
		if (st != ST_OK)
			break;
		terms += some;
	}
	db_reset(stmt);
	if (st == ST_OK)
		*ret_terms = terms;
	return st;
}

/* In a transaction: the begun file takes the place of a ready and a failed one. */
static status file_publish(struct kb_writer *w, struct fault *reterr)
{
	struct gen *g = w->gen;
	struct span name = buf_span(&w->file.name);
	struct writer_found ready, failed;
	struct sqlite3_stmt *stmt;
	uint64_t terms;
	status st = writer_file_find(g, name, KB_FILE_READY, &ready, reterr);
	if (st == ST_OK)
		st = writer_file_find(g, name, KB_FILE_FAILED, &failed, reterr);
	if (st == ST_OK)
		st = writer_file_drop(g, &ready, true, reterr);
	if (st == ST_OK)
		st = writer_file_drop(g, &failed, false, reterr);
	if (st == ST_OK)
		st = segments_terms(g, w->file.id, &terms, reterr);
	if (st == ST_OK)
		st = do_with_id(g, GEN_SEGMENT_READY, w->file.id, reterr);
	if (st == ST_OK)
		st = gen_statement(g, GEN_FILE_READY, &stmt, reterr);
	if (st != ST_OK)
		return st;
	db_bind_int(stmt, 1, w->file.id);
	db_bind_int(stmt, 2, (int64_t)terms);
	g->state.visible += w->file.chunks;
	g->state.terms += terms;
	g->state.epoch++;
	return db_do(&g->text.db, stmt, reterr);
}

status kb_writer_file_end(struct kb_writer *w, struct fault *reterr)
{
	if (w->file.id == 0)
		return not_begun(reterr);
	status st = gen_index(w->gen, reterr);
	if (st == ST_OK)
		st = gen_begin(w->gen, reterr);
	if (st != ST_OK)
		return st;
	st = file_publish(w, reterr);
	if (st == ST_OK)
		st = gen_commit(w->gen, reterr);
	if (st != ST_OK) {
		gen_rollback(w->gen);
		return st;
	}
	file_forget(&w->file);
	return ST_OK;
}

static status file_fail(struct kb_writer *w, const char *why, struct fault *reterr)
{
	struct gen *g = w->gen;
	struct writer_found failed;
	struct sqlite3_stmt *stmt;
	status st = writer_file_find(g, buf_span(&w->file.name), KB_FILE_FAILED, &failed, reterr);
	if (st == ST_OK)
		st = writer_file_drop(g, &failed, false, reterr);
	if (st == ST_OK)
		st = do_with_id(g, GEN_SEGMENT_DROP, w->file.id, reterr);
	if (st == ST_OK)
		st = gen_index_skip(g, reterr);
	if (st == ST_OK)
		st = gen_statement(g, GEN_FILE_FAIL, &stmt, reterr);
	if (st != ST_OK)
		return st;
	db_bind_int(stmt, 1, w->file.id);
	db_bind_text(stmt, 2, span_of(why));
	return db_do(&g->text.db, stmt, reterr);
}

status kb_writer_file_fail(struct kb_writer *w, const char *why, struct fault *reterr)
{
	if (w->file.id == 0)
		return not_begun(reterr);
	status st = gen_begin(w->gen, reterr);
	if (st == ST_OK)
		st = file_fail(w, why, reterr);
	if (st == ST_OK)
		st = gen_commit(w->gen, reterr);
	if (st != ST_OK) {
		gen_rollback(w->gen);
		return st;
	}
	file_forget(&w->file);
	return ST_OK;
}

static status name_drop(struct gen *g, struct span name, struct fault *reterr)
{
	static const enum kb_file_status states[] = {KB_FILE_PENDING, KB_FILE_READY,
						     KB_FILE_FAILED};
	bool any = false;
	status st = ST_OK;
	for (size_t i = 0; st == ST_OK && i < ARRAY_COUNT(states); i++) {
		struct writer_found found;
		st = writer_file_find(g, name, states[i], &found, reterr);
		if (st == ST_OK && found.id != 0) {
			any = true;
			st = writer_file_drop(g, &found, states[i] == KB_FILE_READY, reterr);
		}
	}
	if (st == ST_OK && !any)
		st = fault_set(reterr, ST_NOT_FOUND, "there is no file '%.*s'", SPAN_ARG(name));
	return st;
}

status writer_name_delete(struct gen *g, struct span name, struct fault *reterr)
{
	status st = gen_begin(g, reterr);
	if (st == ST_OK)
		st = name_drop(g, name, reterr);
	if (st == ST_OK)
		st = gen_commit(g, reterr);
	if (st != ST_OK)
		gen_rollback(g);
	return st;
}

status kb_writer_file_delete(struct kb_writer *w, const char *file, struct fault *reterr)
{
	status st = writer_name_delete(w->gen, span_of(file), reterr);
	if (st == ST_OK && span_equal(buf_span(&w->file.name), span_of(file)))
		file_forget(&w->file);
	return st;
}
