#include <string.h>

#include "kb/writer.h"

static bool same_build(const struct kb_build *a, const struct kb_build *b)
{
	return strcmp(a->model, b->model) == 0 && a->dim == b->dim &&
	       a->chunk_chars == b->chunk_chars;
}

static bool is_damage(status st)
{
	return st == ST_CORRUPT || st == ST_NOT_FOUND;
}

static status description_read(struct kb_writer *w, char ret[256], struct fault *reterr)
{
	char folder[FILE_PATH_BYTES];
	struct textdb *t = mem_new(w->scope, struct textdb);
	if (t == NULL)
		return fault_set(reterr, mem_refusal(), "no memory to rebuild");
	status st = layout_generation(folder, w->kb, w->layout.current, reterr);
	if (st == ST_OK)
		st = textdb_open(t, w->scope, folder, false, reterr);
	if (st == ST_OK) {
		memcpy(ret, t->description, sizeof t->description);
		textdb_close(t);
	} else if (is_damage(st)) {
		ret[0] = '\0'; /* lost with the rest; rebuilding must be possible all the same */
		st = ST_OK;
	}
	mem_free(t);
	return st;
}

/* The generation exists before `current` names it: a crash between the two leaves remains only. */
static status rebuild_start(struct kb_writer *w, const struct kb_build *build, struct fault *reterr)
{
	char description[256];
	uint32_t number;
	struct layout next = w->layout;
	status st = description_read(w, description, reterr);
	if (st == ST_OK)
		st = layout_next(w->kb, &w->layout, &number, reterr);
	if (st == ST_OK)
		st = gen_create(w->scope, w->kb, number, build, description, &w->gen, reterr);
	if (st != ST_OK)
		return st;
	next.rebuild = number;
	st = layout_write(w->kb, &next, reterr);
	if (st != ST_OK)
		return st;
	w->layout = next;
	return layout_sweep(w->kb, &w->layout, reterr); /* an older unfinished one goes */
}

/* A damaged generation is a good reason to rebuild, so it only lends vectors when it can. */
static status source_open(struct kb_writer *w, struct fault *reterr)
{
	status st = gen_open(w->scope, w->kb, w->layout.current, &w->source, reterr);
	if (is_damage(st))
		return ST_OK;
	if (st != ST_OK)
		return st;
	const struct kb_build *there = &w->source->text.build, *here = &w->gen->text.build;
	if (strcmp(there->model, here->model) != 0 || there->dim != here->dim) {
		gen_close(w->source);
		w->source = NULL;
	}
	return ST_OK;
}

status kb_rebuild_open(struct mem_scope *parent, const char *root, const char *name,
		       const struct kb_build *build, struct kb_writer **ret_writer,
		       struct fault *reterr)
{
	struct kb_writer *w;
	status st = writer_lock(parent, root, name, &w, reterr);
	if (st != ST_OK)
		return st;
	if (w->layout.rebuild != 0)
		st = gen_open(w->scope, w->kb, w->layout.rebuild, &w->gen, reterr);
	if (is_damage(st))
		st = ST_OK; /* what cannot be read is begun anew */
	if (w->gen != NULL && !same_build(&w->gen->text.build, build)) {
		gen_close(w->gen);
		w->gen = NULL;
	}
	if (st == ST_OK && w->gen == NULL)
		st = rebuild_start(w, build, reterr);
	if (st == ST_OK)
		st = source_open(w, reterr);
	if (st != ST_OK) {
		kb_writer_close(w);
		return st;
	}
	*ret_writer = w;
	return ST_OK;
}

/* Files that were deleted while the rebuild lay unfinished must not come back with it. */
static status deleted_drop(struct kb_writer *w, struct gen *current, struct fault *reterr)
{
	CLEANUP(db_finalizep) struct sqlite3_stmt *names = NULL;
	struct buf name;
	bool row = true;
	status st = db_prepare(&w->gen->text.db,
			       "SELECT name FROM files WHERE name>?1 ORDER BY name"
			       " LIMIT 1",
			       &names, reterr);
	buf_init(&name, w->scope, FILE_PATH_BYTES);
	while (st == ST_OK) {
		struct writer_found found[3] = {{.id = 0}};
		db_bind_text(names, 1, buf_span(&name));
		st = db_step(&w->gen->text.db, names, &row, reterr);
		if (st != ST_OK || !row)
			break;
		struct span next = db_column_text(names, 0);
		struct buf copy = name;
		buf_init(&name, w->scope, FILE_PATH_BYTES);
		if (!buf_add(&name, next))
			st = buf_check(&name, "a file's name", reterr);
		db_reset(names);
		buf_fini(&copy);
		for (int i = 0; st == ST_OK && i < 3; i++)
			st = writer_file_find(current, buf_span(&name), (enum kb_file_status)i,
					      &found[i], reterr);
		if (st == ST_OK && found[0].id == 0 && found[1].id == 0 && found[2].id == 0)
			st = writer_name_delete(w->gen, buf_span(&name), reterr);
	}
	buf_fini(&name);
	return st;
}

status kb_writer_switch(struct kb_writer *w, struct fault *reterr)
{
	struct gen *current = NULL;
	if (w->gen->number == w->layout.current || w->file.id != 0)
		return fault_set(reterr, ST_INVALID, "there is no finished rebuild to switch to");
	status st = gen_open(w->scope, w->kb, w->layout.current, &current, reterr);
	if (st == ST_OK)
		st = deleted_drop(w, current, reterr);
	else if (is_damage(st))
		st = ST_OK; /* that is what is being left behind */
	gen_close(current); /* its log is empty from here on: rollback needs no recovery */
	if (st == ST_OK)
		st = gen_index(w->gen, reterr);
	if (st != ST_OK)
		return st;
	struct layout next = {.current = w->gen->number, .previous = w->layout.current};
	st = layout_write(w->kb, &next, reterr);
	if (st != ST_OK) {
		struct layout found;
		if (layout_read(w->kb, &found, NULL) != ST_OK || found.current != next.current)
			return st;
	}
	w->layout = next;
	gen_close(w->source);
	w->source = NULL;
	layout_tidy(w->kb, &w->layout);
	return ST_OK;
}
