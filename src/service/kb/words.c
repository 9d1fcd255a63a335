#include "kb/words.h"

#include <sqlite3.h>

#include "base/size.h"
#include "kb/terms.h"
#include "rt/text.h"

enum { FOLDED_BYTES_MAX = 16 * 1024 * 1024, FOLDED_BYTES_KEPT = 256 * 1024 };

typedef int token_fn(void *context, int flags, const char *token, int bytes, int start, int end);

static int tokenizer_create(void *context, const char **args, int count, Fts5Tokenizer **ret)
{
	(void)args;
	(void)count;
	*ret = context;
	return SQLITE_OK;
}

static void tokenizer_delete(Fts5Tokenizer *tokenizer)
{
	(void)tokenizer; /* the struct words belongs to the connection's owner */
}

struct emission {
	struct words *words;
	struct span folded;
	token_fn *emit;
	void *context;
	int code;
};

static bool emit_term(void *context, struct span term)
{
	struct emission *e = context;
	e->words->terms++;
	/* The offsets are for highlighting, which nobody asks FTS5 for. */
	e->code = e->emit(e->context, 0, term.data, (int)term.bytes, 0, 0);
	return e->code == SQLITE_OK;
}

static int tokenizer_run(Fts5Tokenizer *tokenizer, void *context, int flags, const char *text,
			 int bytes, token_fn *emit)
{
	struct words *w = (struct words *)tokenizer;
	if (text == NULL || bytes <= 0)
		return SQLITE_OK;
	if ((flags & FTS5_TOKENIZE_QUERY) != 0)
		return emit(context, 0, text, bytes, 0, bytes);
	buf_clear(&w->folded);
	if (!text_fold((struct span){text, (size_t)bytes}, &w->folded))
		return w->folded.refused == ST_LIMIT ? SQLITE_FULL : SQLITE_NOMEM;
	struct emission e = {.words = w, .emit = emit, .context = context};
	(void)terms_each(buf_span(&w->folded), emit_term, &e);
	if (w->folded.capacity > FOLDED_BYTES_KEPT)
		buf_fini(&w->folded);
	return e.code;
}

static void term_count(const Fts5ExtensionApi *api, Fts5Context *fts, sqlite3_context *result,
		       int argument_count, sqlite3_value **arguments)
{
	(void)argument_count;
	(void)arguments;
	Fts5PhraseIter at;
	int column, offset, count = 0;
	int code = api->xPhraseFirst(fts, 0, &at, &column, &offset);
	for (; code == SQLITE_OK && column >= 0; api->xPhraseNext(fts, &at, &column, &offset))
		count++;
	if (code != SQLITE_OK)
		sqlite3_result_error_code(result, code);
	else
		sqlite3_result_int(result, count);
}

static status api_find(struct db *db, fts5_api **ret_api, struct fault *reterr)
{
	struct sqlite3_stmt *stmt;
	fts5_api *api = NULL;
	bool row;
	status st = db_prepare(db, "SELECT fts5(?1)", &stmt, reterr);
	if (st != ST_OK)
		return st;
	int code = sqlite3_bind_pointer(stmt, 1, &api, "fts5_api_ptr", NULL);
	st = code == SQLITE_OK ? db_step(db, stmt, &row, reterr)
			       : db_fault(db, code, "cannot reach FTS5", reterr);
	(void)sqlite3_finalize(stmt);
	if (st == ST_OK && api == NULL)
		st = fault_set(reterr, ST_UNSUPPORTED, "this SQLite has no FTS5");
	if (st == ST_OK)
		*ret_api = api;
	return st;
}

status words_register(struct db *db, struct words *w, struct mem_scope *scope, struct fault *reterr)
{
	fts5_api *api;
	status st = api_find(db, &api, reterr);
	if (st != ST_OK)
		return st;
	buf_init(&w->folded, scope, FOLDED_BYTES_MAX);
	w->terms = 0;
	fts5_tokenizer tokenizer = {tokenizer_create, tokenizer_delete, tokenizer_run};
	int code = api->xCreateTokenizer(api, "plimsoll", w, &tokenizer, NULL);
	if (code == SQLITE_OK)
		code = api->xCreateFunction(api, "term_count", NULL, term_count, NULL);
	return code == SQLITE_OK ? ST_OK : db_fault(db, code, "cannot set up FTS5", reterr);
}
