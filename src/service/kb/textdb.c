#include "kb/textdb.h"

#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "rt/file.h"

enum {
	FORMAT = 1,
	WRITER_CACHE_BYTES = 8 * 1024 * 1024,
	READER_CACHE_BYTES = 128 * 1024,
	BUSY_MS = 10000,
};

/* Readers map the file instead of copying its pages: the pages are shared by all processes, and the
 * kernel may take them back. */
static const size_t READER_MAP_BYTES = (size_t)2 * GIB;

static const char schema[] =
	"CREATE TABLE meta(key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE state(id INTEGER PRIMARY KEY CHECK(id=1), rows INTEGER NOT NULL,"
	" indexed INTEGER NOT NULL, visible INTEGER NOT NULL, terms INTEGER NOT NULL,"
	" epoch INTEGER NOT NULL);"
	"INSERT INTO state VALUES(1,0,0,0,0,1);"
	"CREATE TABLE files(id INTEGER PRIMARY KEY, name TEXT NOT NULL, state INTEGER NOT NULL,"
	" sha256 TEXT NOT NULL, bytes INTEGER NOT NULL, chunks INTEGER NOT NULL,"
	" terms INTEGER NOT NULL, error TEXT NOT NULL, UNIQUE(name,state));"
	"CREATE TABLE segments(first INTEGER PRIMARY KEY, last INTEGER NOT NULL,"
	" file INTEGER NOT NULL, ready INTEGER NOT NULL);"
	"CREATE INDEX segment_files ON segments(file);"
	"CREATE TABLE documents(id INTEGER PRIMARY KEY, file INTEGER NOT NULL, doc_id TEXT NOT "
	"NULL,"
	" title TEXT NOT NULL);"
	"CREATE TABLE chunks(id INTEGER PRIMARY KEY, document INTEGER NOT NULL,"
	" position INTEGER NOT NULL, page INTEGER NOT NULL, start INTEGER NOT NULL,"
	" end INTEGER NOT NULL, heading TEXT NOT NULL, context TEXT NOT NULL, text TEXT NOT NULL,"
	" hash BLOB, hash_key INTEGER);"
	"CREATE UNIQUE INDEX chunk_places ON chunks(document,position);"
	"CREATE INDEX chunk_hashes ON chunks(hash_key) WHERE hash_key IS NOT NULL;"
	"CREATE VIRTUAL TABLE words USING fts5(text, content='', columnsize=0, "
	"tokenize='plimsoll');"
	/* Larger and fewer segments: less merging in bulk ingest, and a term is looked up in each.
	 */
	"INSERT INTO words(words,rank) VALUES('automerge',16);"
	"INSERT INTO words(words,rank) VALUES('hashsize',4194304);";

static status meta_put(struct db *db, const char *key, struct span text, int64_t number,
		       struct fault *reterr)
{
	CLEANUP(db_finalizep) struct sqlite3_stmt *stmt = NULL;
	status st = db_prepare(db, "INSERT INTO meta VALUES(?1,?2)", &stmt, reterr);
	if (st != ST_OK)
		return st;
	db_bind_text(stmt, 1, span_of(key));
	if (text.data != NULL)
		db_bind_text(stmt, 2, text);
	else
		db_bind_int(stmt, 2, number);
	return db_do(db, stmt, reterr);
}

static status meta_write(struct db *db, const struct kb_build *build, const char *description,
			 struct fault *reterr)
{
	struct span none = {NULL, 0};
	status st = meta_put(db, "format", none, FORMAT, reterr);
	if (st == ST_OK)
		st = meta_put(db, "model", span_of(build->model), 0, reterr);
	if (st == ST_OK)
		st = meta_put(db, "dim", none, build->dim, reterr);
	if (st == ST_OK)
		st = meta_put(db, "chunk_chars", none, build->chunk_chars, reterr);
	if (st == ST_OK)
		st = meta_put(db, "description", span_of(description), 0, reterr);
	return st;
}

static void copy_text(char *to, size_t room, struct span from)
{
	(void)snprintf(to, room, "%.*s", SPAN_ARG(from));
}

static status meta_read(struct textdb *t, struct fault *reterr)
{
	CLEANUP(db_finalizep) struct sqlite3_stmt *stmt = NULL;
	int64_t format = 0, dim = -1, chunk_chars = 0;
	bool row;
	status st = db_prepare(&t->db, "SELECT key,value FROM meta", &stmt, reterr);
	while (st == ST_OK && (st = db_step(&t->db, stmt, &row, reterr)) == ST_OK && row) {
		struct span key = db_column_text(stmt, 0);
		if (span_equal(key, SPAN("format")))
			format = db_column_int(stmt, 1);
		else if (span_equal(key, SPAN("dim")))
			dim = db_column_int(stmt, 1);
		else if (span_equal(key, SPAN("chunk_chars")))
			chunk_chars = db_column_int(stmt, 1);
		else if (span_equal(key, SPAN("model")))
			copy_text(t->build.model, sizeof t->build.model, db_column_text(stmt, 1));
		else if (span_equal(key, SPAN("description")))
			copy_text(t->description, sizeof t->description, db_column_text(stmt, 1));
	}
	if (st == ST_OK && format != FORMAT)
		st = fault_set(reterr, ST_CORRUPT,
			       "the knowledge base has format %lld, not %d: rebuild it",
			       (long long)format, FORMAT);
	if (st == ST_OK &&
	    (dim < 0 || dim > KB_DIM_MAX || chunk_chars < 0 || chunk_chars > UINT32_MAX))
		st = fault_set(reterr, ST_CORRUPT, "the knowledge base's description is damaged");
	t->build.dim = (uint32_t)dim;
	t->build.chunk_chars = (uint32_t)chunk_chars;
	return st;
}

static status database_open(struct textdb *t, struct mem_scope *scope, const char *folder,
			    const struct db_options *options, struct fault *reterr)
{
	char path[FILE_PATH_BYTES];
	status st = path_join(path, folder, "text.sqlite", reterr);
	if (st == ST_OK)
		st = db_open(path, options, &t->db, reterr);
	if (st == ST_OK)
		st = words_register(&t->db, &t->words, scope, reterr);
	return st;
}

static const struct db_options writer_options = {.cache_bytes = WRITER_CACHE_BYTES,
						 .busy_ms = BUSY_MS};

status textdb_open(struct textdb *ret_db, struct mem_scope *scope, const char *folder, bool writing,
		   struct fault *reterr)
{
	static const struct db_options reading = {.read_only = true,
						  .cache_bytes = READER_CACHE_BYTES,
						  .map_bytes = READER_MAP_BYTES,
						  .busy_ms = BUSY_MS};
	*ret_db = (struct textdb){.db = {NULL}};
	status st =
		database_open(ret_db, scope, folder, writing ? &writer_options : &reading, reterr);
	if (st == ST_OK)
		st = meta_read(ret_db, reterr);
	if (st != ST_OK)
		textdb_close(ret_db);
	return st;
}

status textdb_create(struct textdb *ret_db, struct mem_scope *scope, const char *folder,
		     const struct kb_build *build, const char *description, struct fault *reterr)
{
	struct db_options options = writer_options;
	options.create = true;
	*ret_db = (struct textdb){.build = *build};
	copy_text(ret_db->description, sizeof ret_db->description, span_of(description));
	status st = database_open(ret_db, scope, folder, &options, reterr);
	if (st == ST_OK)
		st = db_run(&ret_db->db, "BEGIN IMMEDIATE", reterr);
	if (st == ST_OK)
		st = db_run(&ret_db->db, schema, reterr);
	if (st == ST_OK)
		st = meta_write(&ret_db->db, build, ret_db->description, reterr);
	if (st == ST_OK)
		st = db_run(&ret_db->db, "COMMIT", reterr);
	if (st != ST_OK)
		textdb_close(ret_db);
	return st;
}

void textdb_close(struct textdb *t)
{
	db_rollback(&t->db);
	db_close(&t->db);
	if (t->words.folded.scope != NULL)
		buf_fini(&t->words.folded);
}

status textdb_state_read(struct db *db, struct sqlite3_stmt *stmt, struct textdb_state *ret_state,
			 struct fault *reterr)
{
	bool row;
	status st = db_step(db, stmt, &row, reterr);
	if (st != ST_OK)
		return st;
	if (!row)
		return fault_set(reterr, ST_CORRUPT, "the knowledge base has lost its state");
	struct textdb_state s = {.rows = (uint64_t)db_column_int(stmt, 0),
				 .indexed = (uint64_t)db_column_int(stmt, 1),
				 .visible = (uint64_t)db_column_int(stmt, 2),
				 .terms = (uint64_t)db_column_int(stmt, 3),
				 .epoch = (uint64_t)db_column_int(stmt, 4)};
	db_reset(stmt);
	if (s.rows >= UINT32_MAX || s.indexed > s.rows || s.visible > s.rows)
		return fault_set(reterr, ST_CORRUPT, "the knowledge base's state is damaged");
	*ret_state = s;
	return ST_OK;
}
