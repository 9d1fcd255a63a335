#include "kb/gen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/size.h"
#include "kb/layout.h"
#include "kb/passage.h"
#include "mem/faults.h"

enum { INDEX_BATCH_BYTES = 8 * 1024 * 1024, LENGTHS_BATCH = 8192, LENGTH_MOST = 65535 };

static const char *const gen_sql[GEN_SQL_COUNT] = {
#define X(name, sql) sql,
	GEN_SQL_LIST(X)
#undef X
};

static uint32_t gen_dim(const struct gen *g)
{
	return g->text.build.dim;
}

static status file_cut(int fd, uint64_t bytes, struct fault *reterr)
{
	if (mem_fault_hit(MEM_FAULT_IO)) {
		errno = EIO;
		return fault_errno(reterr, ST_IO, "cannot cut a file");
	}
	if (ftruncate(fd, (off_t)bytes) == 0)
		return ST_OK;
	bool full = errno == ENOSPC || errno == EDQUOT || errno == EFBIG;
	return fault_errno(reterr, full ? ST_LIMIT : ST_IO, "cannot cut a file");
}

/* Open a row file and cut off what lies behind the committed rows. Without cut the descriptor is
 * refused when the file is too short: its rows are lost. */
static status row_file_open(struct gen *g, const char *name, int flags, uint64_t bytes, int *ret_fd,
			    struct fault *reterr)
{
	char path[FILE_PATH_BYTES];
	uint64_t size = 0;
	status st = path_join(path, g->folder, name, reterr);
	if (st == ST_OK)
		st = fd_open(path, O_RDWR | flags, 0644, ret_fd, reterr);
	if (st == ST_NOT_FOUND)
		return fault_set(reterr, ST_CORRUPT, "'%s' is missing: rebuild the knowledge base",
				 path);
	if (st == ST_OK)
		st = fd_size(*ret_fd, &size, reterr);
	if (st == ST_OK && size < bytes)
		return fault_set(reterr, ST_CORRUPT,
				 "'%s' has %llu bytes instead of %llu: rebuild the knowledge base",
				 path, (unsigned long long)size, (unsigned long long)bytes);
	if (st == ST_OK && size > bytes)
		st = file_cut(*ret_fd, bytes, reterr);
	return st;
}

static status row_files_open(struct gen *g, int flags, struct fault *reterr)
{
	uint64_t rows = g->state.rows;
	uint32_t dim = gen_dim(g);
	status st = row_file_open(g, "lengths.u16", flags, g->state.indexed * sizeof(uint16_t),
				  &g->lengths, reterr);
	if (dim == 0 || st != ST_OK)
		return st;
	st = row_file_open(g, "vectors.i8", flags, scan_bytes(dim, rows), &g->i8, reterr);
	if (st == ST_OK)
		st = row_file_open(g, "vectors.f16", flags, rows * dim * sizeof(uint16_t), &g->f16,
				   reterr);
	if (st != ST_OK)
		return st;
	g->codes = mem_new_aligned(g->scope, int8_t, SCAN_BLOCK * scan_stride(dim), 64);
	g->halves = mem_new_array(g->scope, uint16_t, (size_t)SCAN_BLOCK * dim);
	if (g->codes == NULL || g->halves == NULL)
		return fault_set(reterr, mem_refusal(), "no memory to write vectors");
	return ST_OK;
}

static status gen_new(struct mem_scope *parent, const char *kb, uint32_t number,
		      struct gen **ret_gen, struct fault *reterr)
{
	struct mem_scope *scope = mem_scope_open(parent, "writer", 0);
	struct gen *g = scope != NULL ? mem_new(scope, struct gen) : NULL;
	status st = g != NULL ? layout_generation(g->folder, kb, number, reterr)
			      : fault_set(reterr, mem_refusal(), "no memory to write");
	if (st != ST_OK) {
		mem_scope_close(scope);
		return st;
	}
	g->scope = scope;
	g->number = number;
	g->i8 = g->f16 = g->lengths = -1;
	buf_init(&g->passage, scope, TEXTDB_TEXT_BYTES_MAX + 4);
	*ret_gen = g;
	return ST_OK;
}

status gen_statement(struct gen *g, enum gen_sql which, struct sqlite3_stmt **ret_stmt,
		     struct fault *reterr)
{
	if (g->statements[which] == NULL) {
		status st = db_prepare(&g->text.db, gen_sql[which], &g->statements[which], reterr);
		if (st != ST_OK)
			return st;
	}
	*ret_stmt = g->statements[which];
	return ST_OK;
}

static status state_load(struct gen *g, struct fault *reterr)
{
	struct sqlite3_stmt *stmt;
	status st = gen_statement(g, GEN_STATE, &stmt, reterr);
	return st == ST_OK ? textdb_state_read(&g->text.db, stmt, &g->state, reterr) : st;
}

status gen_open(struct mem_scope *parent, const char *kb, uint32_t number, struct gen **ret_gen,
		struct fault *reterr)
{
	struct gen *g;
	status st = gen_new(parent, kb, number, &g, reterr);
	if (st != ST_OK)
		return st;
	st = textdb_open(&g->text, g->scope, g->folder, true, reterr);
	if (st == ST_OK)
		st = state_load(g, reterr);
	if (st == ST_OK)
		st = row_files_open(g, 0, reterr);
	if (st != ST_OK) {
		gen_close(g);
		return st;
	}
	*ret_gen = g;
	return ST_OK;
}

status gen_create(struct mem_scope *parent, const char *kb, uint32_t number,
		  const struct kb_build *build, const char *description, struct gen **ret_gen,
		  struct fault *reterr)
{
	struct gen *g;
	status st = gen_new(parent, kb, number, &g, reterr);
	if (st != ST_OK)
		return st;
	st = dir_make(g->folder, reterr);
	if (st == ST_OK)
		st = textdb_create(&g->text, g->scope, g->folder, build, description, reterr);
	if (st == ST_OK)
		st = state_load(g, reterr);
	if (st == ST_OK)
		st = row_files_open(g, O_CREAT, reterr);
	if (st == ST_OK)
		st = dir_sync(g->folder, reterr);
	if (st != ST_OK) {
		char folder[FILE_PATH_BYTES];
		memcpy(folder, g->folder, sizeof folder);
		gen_close(g);
		layout_discard(folder);
		return st;
	}
	*ret_gen = g;
	return ST_OK;
}

void gen_close(struct gen *g)
{
	if (g == NULL)
		return;
	for (size_t i = 0; i < GEN_SQL_COUNT; i++)
		db_finalizep(&g->statements[i]);
	if (g->text.db.handle != NULL) {
		db_rollback(&g->text.db);
		/* Readers may hold it open; then the next writer's end does it. */
		status emptied = db_run(&g->text.db,
					"PRAGMA busy_timeout=50;"
					"PRAGMA wal_checkpoint(TRUNCATE)",
					NULL);
		(void)emptied;
	}
	textdb_close(&g->text);
	fd_closep(&g->i8);
	fd_closep(&g->f16);
	fd_closep(&g->lengths);
	mem_scope_close(g->scope);
}

status gen_begin(struct gen *g, struct fault *reterr)
{
	g->committed = g->state;
	return db_run(&g->text.db, "BEGIN IMMEDIATE", reterr);
}

status gen_commit(struct gen *g, struct fault *reterr)
{
	struct sqlite3_stmt *stmt;
	status st = gen_statement(g, GEN_STATE_SET, &stmt, reterr);
	if (st != ST_OK)
		return st;
	db_bind_int(stmt, 1, (int64_t)g->state.rows);
	db_bind_int(stmt, 2, (int64_t)g->state.indexed);
	db_bind_int(stmt, 3, (int64_t)g->state.visible);
	db_bind_int(stmt, 4, (int64_t)g->state.terms);
	db_bind_int(stmt, 5, (int64_t)g->state.epoch);
	st = db_do(&g->text.db, stmt, reterr);
	return st == ST_OK ? db_run(&g->text.db, "COMMIT", reterr) : st;
}

void gen_rollback(struct gen *g)
{
	for (size_t i = 0; i < GEN_SQL_COUNT; i++) {
		if (g->statements[i] != NULL)
			db_reset(g->statements[i]);
	}
	db_rollback(&g->text.db);
	g->state = g->committed;
}

void gen_stage_vector(struct gen *g, size_t slot, const float *vector)
{
	uint32_t dim = gen_dim(g);
	ASSERT(slot < SCAN_BLOCK);
	g->scales[slot] = scan_quantise(vector, dim, g->codes + slot * scan_stride(dim));
	for (uint32_t i = 0; i < dim; i++)
		g->halves[slot * dim + i] = scan_half(vector[i]);
}

static status read_exactly(int fd, uint64_t at, void *into, size_t bytes, struct fault *reterr)
{
	size_t got = 0;
	status st = fd_read_at(fd, at, into, bytes, &got, reterr);
	if (st == ST_OK && got != bytes)
		st = fault_set(reterr, ST_CORRUPT, "a file of vectors is shorter than its rows");
	return st;
}

static uint64_t scale_place(const struct gen *g, uint64_t row)
{
	return row / SCAN_BLOCK * scan_block_bytes(gen_dim(g)) + row % SCAN_BLOCK * sizeof(float);
}

static uint64_t codes_place(const struct gen *g, uint64_t row)
{
	return row / SCAN_BLOCK * scan_block_bytes(gen_dim(g)) + SCAN_BLOCK * sizeof(float) +
	       row % SCAN_BLOCK * scan_stride(gen_dim(g));
}

status gen_stage_copy(struct gen *g, size_t slot, const struct gen *from, uint64_t row,
		      struct fault *reterr)
{
	size_t stride = scan_stride(gen_dim(g)), half_bytes = gen_dim(g) * sizeof(uint16_t);
	ASSERT(slot < SCAN_BLOCK && gen_dim(g) == gen_dim(from));
	status st = read_exactly(from->i8, scale_place(from, row), &g->scales[slot], sizeof(float),
				 reterr);
	if (st == ST_OK)
		st = read_exactly(from->i8, codes_place(from, row), g->codes + slot * stride,
				  stride, reterr);
	if (st == ST_OK)
		st = read_exactly(from->f16, row * half_bytes, g->halves + slot * gen_dim(g),
				  half_bytes, reterr);
	return st;
}

status gen_stage_store(struct gen *g, uint64_t first, size_t count, struct fault *reterr)
{
	size_t stride = scan_stride(gen_dim(g)), half_bytes = gen_dim(g) * sizeof(uint16_t);
	ASSERT(first % SCAN_BLOCK + count <= SCAN_BLOCK);
	struct span scales = {(const char *)g->scales, count * sizeof(float)};
	struct span codes = {(const char *)g->codes, count * stride};
	struct span halves = {(const char *)g->halves, count * half_bytes};
	status st = fd_write_at(g->i8, scale_place(g, first), scales, reterr);
	if (st == ST_OK)
		st = fd_write_at(g->i8, codes_place(g, first), codes, reterr);
	if (st == ST_OK)
		st = fd_write_at(g->f16, first * half_bytes, halves, reterr);
	return st;
}

status gen_rows_sync(struct gen *g, struct fault *reterr)
{
	if (gen_dim(g) == 0)
		return ST_OK;
	status st = fd_sync(g->i8, reterr);
	return st == ST_OK ? fd_sync(g->f16, reterr) : st;
}

status gen_vector_read(const struct gen *g, uint64_t row, float *ret_vector, struct fault *reterr)
{
	uint32_t dim = gen_dim(g);
	status st = read_exactly(g->f16, row * dim * sizeof(uint16_t), g->halves,
				 dim * sizeof(uint16_t), reterr);
	for (uint32_t i = 0; st == ST_OK && i < dim; i++)
		ret_vector[i] = scan_float(g->halves[i]);
	return st;
}

/* Index rows from state.indexed on, until `bytes_max` of text or LENGTHS_BATCH rows are done; the
 * lengths go into their file. The transaction is the caller's. */
static status index_some(struct gen *g, uint16_t lengths[LENGTHS_BATCH], struct fault *reterr)
{
	struct sqlite3_stmt *get, *put;
	size_t count = 0, bytes = 0;
	bool row = true;
	status st = gen_statement(g, GEN_INDEX_READ, &get, reterr);
	if (st == ST_OK)
		st = gen_statement(g, GEN_INDEX_ADD, &put, reterr);
	if (st != ST_OK)
		return st;
	db_bind_int(get, 1, (int64_t)g->state.indexed);
	while (count < LENGTHS_BATCH && bytes < INDEX_BATCH_BYTES) {
		st = db_step(&g->text.db, get, &row, reterr);
		if (st != ST_OK || !row)
			break;
		if ((uint64_t)db_column_int(get, 0) != g->state.indexed + count + 1) {
			st = fault_set(reterr, ST_CORRUPT, "chunks are missing: rebuild the KB");
			break;
		}
		buf_clear(&g->passage);
		(void)passage_add(db_column_text(get, 1), db_column_text(get, 2),
				  db_column_text(get, 3), db_column_text(get, 4), &g->passage);
		st = buf_check(&g->passage, "the chunk", reterr);
		if (st != ST_OK)
			break;
		g->text.words.terms = 0;
		db_bind_int(put, 1, db_column_int(get, 0));
		db_bind_text(put, 2, buf_span(&g->passage));
		st = db_do(&g->text.db, put, reterr);
		if (st != ST_OK)
			break;
		lengths[count++] = (uint16_t)size_min(g->text.words.terms, LENGTH_MOST);
		bytes += g->passage.bytes;
	}
	db_reset(get);
	if (st == ST_OK && count == 0)
		st = fault_set(reterr, ST_CORRUPT, "chunks are missing: rebuild the KB");
	if (st == ST_OK)
		st = fd_write_at(g->lengths, g->state.indexed * sizeof *lengths,
				 (struct span){(const char *)lengths, count * sizeof *lengths},
				 reterr);
	if (st == ST_OK)
		g->state.indexed += count;
	return st;
}

status gen_index(struct gen *g, struct fault *reterr)
{
	if (g->state.indexed == g->state.rows)
		return ST_OK;
	uint16_t *lengths = mem_new_array(g->scope, uint16_t, LENGTHS_BATCH);
	if (lengths == NULL)
		return fault_set(reterr, mem_refusal(), "no memory to index");
	status st = ST_OK;
	while (st == ST_OK && g->state.indexed < g->state.rows) {
		st = gen_begin(g, reterr);
		if (st == ST_OK)
			st = index_some(g, lengths, reterr);
		if (st == ST_OK)
			st = fd_sync(g->lengths, reterr);
		if (st == ST_OK)
			st = gen_commit(g, reterr);
		if (st != ST_OK)
			gen_rollback(g);
	}
	mem_free(lengths);
	return st;
}

status gen_index_skip(struct gen *g, struct fault *reterr)
{
	status st = file_cut(g->lengths, g->state.rows * sizeof(uint16_t), reterr);
	if (st == ST_OK)
		st = fd_sync(g->lengths, reterr);
	if (st == ST_OK)
		g->state.indexed = g->state.rows;
	return st;
}

status gen_terms(const struct gen *g, uint64_t first, uint64_t last, uint64_t *ret_terms,
		 struct fault *reterr)
{
	uint16_t lengths[2048];
	uint64_t sum = 0;
	while (first <= last) {
		size_t count = (size_t)(last - first + 1);
		if (count > ARRAY_COUNT(lengths))
			count = ARRAY_COUNT(lengths);
		status st = read_exactly(g->lengths, first * sizeof *lengths, lengths,
					 count * sizeof *lengths, reterr);
		if (st != ST_OK)
			return st;
		for (size_t i = 0; i < count; i++)
			sum += lengths[i];
		first += count;
	}
	*ret_terms = sum;
	return ST_OK;
}
