#include "kb/reader.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/size.h"
#include "base/utf8.h"
#include "kb/scan.h"

/* A writer may switch generations, and remove the old one, between our looking and our opening. */
enum { OPEN_ATTEMPTS = 8 };

static const char *const reader_sql[READER_SQL_COUNT] = {
#define X(name, sql) sql,
	READER_SQL_LIST(X)
#undef X
};

status reader_statement(struct reader *r, enum reader_sql which, struct sqlite3_stmt **ret_stmt,
			struct fault *reterr)
{
	if (r->statements[which] == NULL) {
		status st =
			db_prepare(&r->text.db, reader_sql[which], &r->statements[which], reterr);
		if (st != ST_OK)
			return st;
	}
	*ret_stmt = r->statements[which];
	return ST_OK;
}

static void reader_close(struct reader *r)
{
	for (size_t i = 0; i < READER_SQL_COUNT; i++)
		db_finalizep(&r->statements[i]);
	textdb_close(&r->text);
	mem_free(r->visible);
	*r = (struct reader){.number = 0};
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* One stat a search: `current` is replaced whole, so another file stands there after a switch. */
static status layout_refresh(struct kb *kb, struct fault *reterr)
{
	char path[FILE_PATH_BYTES];
	struct stat now;
	status st = path_join(path, kb->folder, "current", reterr);
	if (st != ST_OK)
		return st;
	if (stat(path, &now) != 0)
		return fault_errno(reterr, ST_NOT_FOUND, "there is no knowledge base '%s' any more",
				   kb->name);
	if (kb->layout.current != 0 && same_file(&now, &kb->current))
		return ST_OK;
	st = layout_read(kb->folder, &kb->layout, reterr);
	if (st == ST_OK)
		kb->current = now; /* an older stat than what was read only makes us read again */
	return st;
}

static status reader_open(struct kb *kb, struct reader *r, uint32_t number, struct fault *reterr)
{
	char folder[FILE_PATH_BYTES];
	reader_close(r);
	status st = layout_generation(folder, kb->folder, number, reterr);
	if (st == ST_OK)
		st = textdb_open(&r->text, kb->scope, folder, false, reterr);
	if (st == ST_OK)
		r->number = number;
	return st;
}

static status visible_load(struct kb *kb, struct reader *r, struct fault *reterr)
{
	struct sqlite3_stmt *stmt;
	size_t words = (size_t)(r->state.rows / 64 + 1);
	bool row;
	if (words > r->visible_words) {
		size_t room = words + words / 4;
		mem_free(r->visible);
		r->visible_words = 0;
		r->visible = mem_new_array(kb->scope, uint64_t, room);
		if (r->visible == NULL)
			return fault_set(reterr, mem_refusal(), "no memory to open '%s'", kb->name);
		r->visible_words = room;
	} else {
		memset(r->visible, 0, r->visible_words * sizeof *r->visible);
	}
	r->epoch = 0;
	status st = reader_statement(r, READER_VISIBLE, &stmt, reterr);
	while (st == ST_OK && (st = db_step(&r->text.db, stmt, &row, reterr)) == ST_OK && row) {
		uint64_t first = (uint64_t)db_column_int(stmt, 0),
			 last = (uint64_t)db_column_int(stmt, 1);
		if (last >= r->state.indexed || first > last) {
			db_reset(stmt);
			return fault_set(reterr, ST_CORRUPT,
					 "the rows of a file are out of place: rebuild "
					 "the knowledge base");
		}
		for (uint64_t at = first; at <= last;) {
			uint64_t end = (at | 63) < last ? (at | 63) : last;
			r->visible[at / 64] |= UINT64_MAX >> (63 - (end - at)) << at % 64;
			at = end + 1;
		}
	}
	if (st == ST_OK)
		r->epoch = r->state.epoch;
	return st;
}

/* Begin the transaction and load what belongs to it. A bitmap that is right for its epoch needs no
 * more words as long as no row became visible, so its size follows the epoch too. */
static status moment_load(struct kb *kb, struct reader *r, struct fault *reterr)
{
	struct sqlite3_stmt *stmt;
	status st = db_run(&r->text.db, "BEGIN", reterr);
	if (st == ST_OK)
		st = reader_statement(r, READER_STATE, &stmt, reterr);
	if (st == ST_OK)
		st = textdb_state_read(&r->text.db, stmt, &r->state, reterr);
	if (st == ST_OK && (r->epoch != r->state.epoch || r->visible == NULL ||
			    r->visible_words < r->state.rows / 64 + 1))
		st = visible_load(kb, r, reterr);
	return st;
}

/* The shared mapping, made anew when it is another generation's or has become too small. */
static status view_take(struct kb *kb, struct reader *r, struct fault *reterr)
{
	struct view *stale = NULL, *v;
	status st = ST_OK;
	pthread_mutex_lock(&kb->lock);
	v = kb->view;
	if (v == NULL || v->number != r->number || v->rows_max < r->state.rows) {
		st = view_open(kb, r->number, r->text.build.dim, r->state.rows, &v, reterr);
		if (st == ST_OK) {
			stale = kb->view;
			kb->view = v;
			if (stale != NULL && --stale->uses > 0)
				stale = NULL;
		}
	}
	if (st == ST_OK) {
		v->uses++;
		r->view = v;
	}
	pthread_mutex_unlock(&kb->lock);
	view_close(stale);
	return st == ST_OK ? view_check(r->view, &r->state, reterr) : st;
}

static void view_give(struct kb *kb, struct reader *r)
{
	struct view *v = r->view;
	r->view = NULL;
	if (v == NULL)
		return;
	pthread_mutex_lock(&kb->lock);
	bool last = --v->uses == 0;
	pthread_mutex_unlock(&kb->lock);
	if (last)
		view_close(v);
}

/* The first that is free and open, else the first that is free; READERS_MAX: none is. */
static size_t reader_pick(const struct kb *kb)
{
	size_t best = READERS_MAX;
	for (size_t i = 0; i < READERS_MAX; i++) {
		if (kb->busy[i])
			continue;
		if (best == READERS_MAX ||
		    (kb->readers[i].number != 0 && kb->readers[best].number == 0))
			best = i;
	}
	return best;
}

static void moment_end(struct kb *kb, struct reader *r)
{
	for (size_t i = 0; i < READER_SQL_COUNT; i++) {
		if (r->statements[i] != NULL)
			db_reset(r->statements[i]);
	}
	db_rollback(&r->text.db); /* nothing was written */
	view_give(kb, r);
}

static status moment_begin(struct kb *kb, struct reader *r, struct fault *reterr)
{
	status st = ST_OK;
	for (int attempt = 0; attempt < OPEN_ATTEMPTS; attempt++) {
		pthread_mutex_lock(&kb->lock);
		st = layout_refresh(kb, reterr);
		uint32_t number = kb->layout.current;
		pthread_mutex_unlock(&kb->lock);
		if (st != ST_OK)
			return st;
		if (r->number != number)
			st = reader_open(kb, r, number, reterr);
		if (st == ST_OK)
			st = moment_load(kb, r, reterr);
		if (st == ST_OK)
			st = view_take(kb, r, reterr);
		if (st == ST_OK)
			return ST_OK;
		moment_end(kb, r);
		reader_close(r);
		if (st != ST_NOT_FOUND)
			return st;
	}
	return st;
}

status reader_enter(struct kb *kb, struct reader **ret_reader, struct fault *reterr)
{
	size_t i;
	pthread_mutex_lock(&kb->lock);
	while ((i = reader_pick(kb)) == READERS_MAX)
		pthread_cond_wait(&kb->idle, &kb->lock);
	kb->busy[i] = true;
	pthread_mutex_unlock(&kb->lock);
	struct reader *r = &kb->readers[i];
	status st = moment_begin(kb, r, reterr);
	if (st != ST_OK) {
		reader_leave(kb, r);
		return st;
	}
	*ret_reader = r;
	return ST_OK;
}

void reader_leave(struct kb *kb, struct reader *r)
{
	moment_end(kb, r);
	pthread_mutex_lock(&kb->lock);
	kb->busy[r - kb->readers] = false;
	pthread_cond_signal(&kb->idle);
	pthread_mutex_unlock(&kb->lock);
}

status kb_open(struct mem_scope *parent, const char *root, const char *name, struct kb **ret_kb,
	       struct fault *reterr)
{
	struct reader *r;
	if (!kb_name_is_valid(span_of(name)))
		return fault_set(reterr, ST_INVALID, "'%.64s' cannot be a knowledge base's name",
				 name);
	/* An account's name is shorter than ours may be. */
	char account[MEM_NAME_BYTES];
	size_t bytes = utf8_floor(span_of(name), MEM_NAME_BYTES - 1);
	(void)snprintf(account, sizeof account, "%.*s", (int)bytes, name);
	struct mem_scope *scope = mem_scope_open(parent, account, 0);
	struct kb *kb = scope != NULL ? mem_new(scope, struct kb) : NULL;
	if (kb == NULL) {
		mem_scope_close(scope);
		return fault_set(reterr, mem_refusal(), "no memory to open '%s'", name);
	}
	kb->scope = scope;
	(void)snprintf(kb->name, sizeof kb->name, "%s", name);
	pthread_mutex_init(&kb->lock, NULL);
	pthread_cond_init(&kb->idle, NULL);
	status st = layout_kb(kb->folder, root, name, reterr);
	/* Everything that can be wrong shows now, not at the first question. */
	if (st == ST_OK)
		st = layout_read(kb->folder, &kb->layout, reterr);
	kb->layout.current = 0;
	if (st == ST_OK)
		st = reader_enter(kb, &r, reterr);
	if (st != ST_OK) {
		kb_close(kb);
		return st;
	}
	reader_leave(kb, r);
	*ret_kb = kb;
	return ST_OK;
}

void kb_close(struct kb *kb)
{
	if (kb == NULL)
		return;
	for (size_t i = 0; i < READERS_MAX; i++) {
		ASSERT(!kb->busy[i]);
		reader_close(&kb->readers[i]);
	}
	ASSERT(kb->view == NULL || kb->view->uses == 1);
	view_close(kb->view);
	pthread_mutex_destroy(&kb->lock);
	pthread_cond_destroy(&kb->idle);
	mem_scope_close(kb->scope);
}

static uint64_t disk_bytes(const struct kb *kb, uint32_t number)
{
	static const char *const names[] = {"text.sqlite", "text.sqlite-wal", "vectors.i8",
					    "vectors.f16", "lengths.u16"};
	uint64_t bytes = 0;
	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		char folder[FILE_PATH_BYTES], path[FILE_PATH_BYTES];
		struct stat about;
		if (layout_generation(folder, kb->folder, number, NULL) == ST_OK &&
		    path_join(path, folder, names[i], NULL) == ST_OK && stat(path, &about) == 0)
			bytes += (uint64_t)about.st_size;
	}
	return bytes;
}

status kb_info(struct kb *kb, struct kb_info *ret_info, struct fault *reterr)
{
	struct reader *r;
	struct sqlite3_stmt *stmt;
	bool row;
	status st = reader_enter(kb, &r, reterr);
	if (st != ST_OK)
		return st;
	st = reader_statement(r, READER_COUNTS, &stmt, reterr);
	if (st == ST_OK)
		st = db_step(&r->text.db, stmt, &row, reterr);
	if (st == ST_OK) {
		*ret_info = (struct kb_info){.generation = r->number, .build = r->text.build};
		memcpy(ret_info->name, kb->name, sizeof ret_info->name);
		memcpy(ret_info->description, r->text.description, sizeof ret_info->description);
		ret_info->files = (uint64_t)db_column_int(stmt, 1);
		ret_info->chunks = r->state.visible;
		ret_info->bytes = (uint64_t)db_column_int(stmt, 2) + disk_bytes(kb, r->number);
	}
	reader_leave(kb, r);
	return st;
}

/* The rows of one name stand together, pending before ready before failed. A ready one stands for
 * the name; the reason of a failed attempt to replace it comes with it. */
struct files_walk {
	struct mem_scope *scope;
	kb_file_fn *visit;
	void *context;
	struct kb_file file; /* of the name being collected */
};

static status file_take(struct files_walk *w, struct sqlite3_stmt *stmt, struct fault *reterr)
{
	enum kb_file_status state = (enum kb_file_status)db_column_int(stmt, 1);
	bool first = w->file.file.data == NULL;
	struct span error = db_column_text(stmt, 5);
	if (first && (w->file.file.data = mem_copy_text(w->scope, db_column_text(stmt, 0))) == NULL)
		return fault_set(reterr, mem_refusal(), "no memory to list files");
	if (error.bytes > 0 && (w->file.error.data = mem_copy_text(w->scope, error)) == NULL)
		return fault_set(reterr, mem_refusal(), "no memory to list files");
	w->file.file = span_of(w->file.file.data);
	w->file.error = span_of(w->file.error.data);
	if (!first && state == KB_FILE_FAILED)
		return ST_OK;
	w->file.status = state;
	(void)snprintf(w->file.sha256, sizeof w->file.sha256, "%.*s",
		       SPAN_ARG(db_column_text(stmt, 2)));
	w->file.bytes = (uint64_t)db_column_int(stmt, 3);
	w->file.chunks = (uint64_t)db_column_int(stmt, 4);
	return ST_OK;
}

static status file_show(struct files_walk *w, struct fault *reterr)
{
	status st = w->file.file.data != NULL ? w->visit(w->context, &w->file, reterr) : ST_OK;
	w->file = (struct kb_file){.file = {NULL, 0}};
	mem_scope_reset(w->scope);
	return st;
}

static status files_walk(struct reader *r, struct files_walk *w, struct fault *reterr)
{
	struct sqlite3_stmt *stmt;
	bool row;
	status st = reader_statement(r, READER_FILES, &stmt, reterr);
	while (st == ST_OK && (st = db_step(&r->text.db, stmt, &row, reterr)) == ST_OK && row) {
		if (w->file.file.data != NULL && !span_equal(w->file.file, db_column_text(stmt, 0)))
			st = file_show(w, reterr);
		if (st == ST_OK)
			st = file_take(w, stmt, reterr);
	}
	return st == ST_OK ? file_show(w, reterr) : st;
}

status kb_files(struct kb *kb, kb_file_fn *visit, void *context, struct fault *reterr)
{
	struct reader *r;
	struct files_walk w = {.visit = visit, .context = context};
	status st = reader_enter(kb, &r, reterr);
	if (st != ST_OK)
		return st;
	w.scope = mem_scope_open(kb->scope, "files", 0);
	st = w.scope != NULL ? files_walk(r, &w, reterr)
			     : fault_set(reterr, mem_refusal(), "no memory to list files");
	mem_scope_close(w.scope);
	reader_leave(kb, r);
	return st;
}
