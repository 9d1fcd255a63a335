#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"
#include "kb/gen.h"
#include "kb/layout.h"
#include "rt/text.h"

bool kb_name_is_valid(struct span name)
{
	if (name.bytes == 0 || name.bytes >= KB_NAME_BYTES || !utf8_is_valid(name) ||
	    name.data[0] == '-')
		return false;
	for (size_t at = 0; at < name.bytes;) {
		uint32_t point;
		at += utf8_decode(name, at, &point);
		if (!text_is_word(point) && point != '-' && point != '_')
			return false;
	}
	return true;
}

static status name_check(const char *name, struct fault *reterr)
{
	if (kb_name_is_valid(span_of(name)))
		return ST_OK;
	return fault_set(reterr, ST_INVALID,
			 "'%.80s' cannot be a knowledge base's name: use 1 to %d bytes of letters, "
			 "digits, '-' and '_', not beginning with '-'",
			 name, KB_NAME_BYTES - 1);
}

static status build_check(const struct kb_build *build, const char *description,
			  struct fault *reterr)
{
	if (build->dim > KB_DIM_MAX || (build->model[0] == '\0') != (build->dim == 0))
		return fault_set(reterr, ST_INVALID, "a model of %u dimensions cannot be used",
				 build->dim);
	if (strlen(description) >= sizeof((struct kb_info *)0)->description ||
	    !utf8_is_valid(span_of(description)))
		return fault_set(reterr, ST_INVALID,
				 "the description is longer than 255 bytes or not UTF-8");
	return ST_OK;
}

/* A whole knowledge base without documents, in a folder that nobody serves. */
static status skeleton_make(const char *folder, const char *description,
			    const struct kb_build *build, struct fault *reterr)
{
	struct gen *g;
	status st = dir_make(folder, reterr);
	if (st == ST_OK)
		st = gen_create(mem_scope_root(), folder, 1, build, description, &g, reterr);
	if (st != ST_OK)
		return st;
	gen_close(g);
	return layout_write(folder, &(struct layout){.current = 1}, reterr);
}

static status create_locked(const char *root, const char *name, const char *description,
			    const struct kb_build *build, struct fault *reterr)
{
	char final[FILE_PATH_BYTES], beside[FILE_PATH_BYTES], hidden[KB_NAME_BYTES + 8];
	(void)snprintf(hidden, sizeof hidden, ".new-%s", name);
	status st = layout_kb(final, root, name, reterr);
	if (st == ST_OK)
		st = path_join(beside, root, hidden, reterr);
	if (st == ST_OK && file_exists(final))
		st = fault_set(reterr, ST_EXISTS, "there is a knowledge base '%s' already", name);
	if (st == ST_OK)
		st = dir_remove(beside, reterr);
	if (st != ST_OK)
		return st;
	st = skeleton_make(beside, description, build, reterr);
	if (st == ST_OK) {
		st = file_rename(beside, final, reterr);
		if (st != ST_OK && !file_exists(beside)) /* renamed, but perhaps not for long */
			layout_discard(final);
	}
	if (st != ST_OK)
		layout_discard(beside);
	return st;
}

status kb_create(const char *root, const char *name, const char *description,
		 const struct kb_build *build, struct fault *reterr)
{
	CLEANUP(fd_closep) int lock = -1;
	description = description != NULL ? description : "";
	status st = name_check(name, reterr);
	if (st == ST_OK)
		st = build_check(build, description, reterr);
	if (st == ST_OK)
		st = dir_make(root, reterr);
	if (st == ST_OK)
		st = layout_lock(root, ".lock", true, &lock, reterr);
	return st == ST_OK ? create_locked(root, name, description, build, reterr) : st;
}

status kb_delete(const char *root, const char *name, struct fault *reterr)
{
	CLEANUP(fd_closep) int root_lock = -1, lock = -1;
	char kb[FILE_PATH_BYTES], gone[FILE_PATH_BYTES], hidden[KB_NAME_BYTES + 32];
	struct layout layout;
	(void)snprintf(hidden, sizeof hidden, ".gone-%d-%s", (int)getpid(), name);
	status st = name_check(name, reterr);
	if (st == ST_OK)
		st = layout_kb(kb, root, name, reterr);
	if (st == ST_OK)
		st = path_join(gone, root, hidden, reterr);
	if (st == ST_OK)
		st = layout_read(kb, &layout, reterr);
	if (st == ST_CORRUPT)
		st = ST_OK; /* what is damaged can be deleted */
	if (st == ST_OK)
		st = layout_lock(root, ".lock", true, &root_lock, reterr);
	if (st == ST_OK)
		st = layout_lock(kb, "lock", false, &lock, reterr);
	if (st == ST_OK)
		st = dir_remove(gone, reterr);
	if (st == ST_OK)
		st = file_rename(kb, gone, reterr);
	/* From here on it is deleted; what cannot be removed now, the next sweep removes. */
	if (st == ST_OK)
		layout_discard(gone);
	return st;
}

struct listing {
	const char *root;
	kb_list_fn *visit;
	void *context;
};

static status list_visit(void *context, const char *relative, bool is_folder, struct fault *reterr)
{
	struct listing *l = context;
	char kb[FILE_PATH_BYTES], current[FILE_PATH_BYTES];
	if (!is_folder || !kb_name_is_valid(span_of(relative)))
		return ST_OK;
	status st = layout_kb(kb, l->root, relative, reterr);
	if (st == ST_OK)
		st = path_join(current, kb, "current", reterr);
	return st == ST_OK && file_exists(current) ? l->visit(l->context, relative, reterr) : st;
}

status kb_list(const char *root, kb_list_fn *visit, void *context, struct fault *reterr)
{
	struct listing l = {root, visit, context};
	return file_exists(root) ? dir_walk(root, false, list_visit, &l, reterr) : ST_OK;
}

/* The lock is taken only where there is something to remove, so that looking after a crash keeps no
 * writer from its work. */
static status kb_sweep_one(const char *root, const char *name, struct fault *reterr)
{
	CLEANUP(fd_closep) int lock = -1;
	char kb[FILE_PATH_BYTES];
	struct layout layout;
	bool any = false;
	status st = layout_kb(kb, root, name, reterr);
	if (st == ST_OK)
		st = layout_read(kb, &layout, reterr);
	if (st == ST_NOT_FOUND || st == ST_CORRUPT)
		return ST_OK; /* no knowledge base, or one that must not be touched */
	if (st == ST_OK)
		st = layout_has_remains(kb, &layout, &any, reterr);
	if (st != ST_OK || !any)
		return st;
	st = layout_lock(kb, "lock", false, &lock, reterr);
	if (st == ST_BUSY)
		return ST_OK; /* its writer has swept it, or is making what we saw */
	if (st == ST_OK)
		st = layout_read(kb, &layout, reterr);
	return st == ST_OK ? layout_sweep(kb, &layout, reterr) : st;
}

static status sweep_visit(void *context, const char *relative, bool is_folder, struct fault *reterr)
{
	const char *root = context;
	char path[FILE_PATH_BYTES];
	struct span name = span_of(relative);
	if (!is_folder)
		return ST_OK;
	if (kb_name_is_valid(name))
		return kb_sweep_one(root, relative, reterr);
	if (!span_starts_with(name, SPAN(".new-")) && !span_starts_with(name, SPAN(".gone-")))
		return ST_OK;
	status st = path_join(path, root, relative, reterr);
	return st == ST_OK ? dir_remove(path, reterr) : st;
}

status kb_sweep(const char *root, struct fault *reterr)
{
	CLEANUP(fd_closep) int lock = -1;
	if (!file_exists(root))
		return ST_OK;
	status st = layout_lock(root, ".lock", false, &lock, reterr);
	if (st == ST_BUSY)
		return ST_OK; /* one is being made or deleted: the next start sweeps */
	union {
		const char *in;
		void *out;
	} context = {.in = root};
	return st == ST_OK ? dir_walk(root, false, sweep_visit, context.out, reterr) : st;
}

status kb_rollback(const char *root, const char *name, struct fault *reterr)
{
	CLEANUP(fd_closep) int lock = -1;
	char kb[FILE_PATH_BYTES];
	struct layout l;
	status st = name_check(name, reterr);
	if (st == ST_OK)
		st = layout_kb(kb, root, name, reterr);
	if (st == ST_OK)
		st = layout_read(kb, &l, reterr);
	if (st == ST_OK)
		st = layout_lock(kb, "lock", false, &lock, reterr);
	if (st == ST_OK)
		st = layout_read(kb, &l, reterr);
	if (st == ST_OK && l.previous == 0)
		st = fault_set(reterr, ST_NOT_FOUND, "'%s' has no generation to go back to", name);
	if (st != ST_OK)
		return st;
	/* The two change places, so that a rollback can be taken back. */
	struct layout back = {.current = l.previous, .previous = l.current, .rebuild = l.rebuild};
	return layout_write(kb, &back, reterr);
}
