#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/size.h"
#include "rt/buf.h"
#include "rt/file.h"
#include "rt/file_io.h"

enum {
	DEPTH_MAX = 64,
	NAMES_BYTES_MAX = 64 * 1024 * 1024, /* names of all folders on the way down, together */
};

status dir_make(const char *path, struct fault *reterr)
{
	char part[FILE_PATH_BYTES];
	size_t bytes = strlen(path);
	if (bytes == 0 || bytes >= sizeof part)
		return fault_set(reterr, ST_INVALID, "a folder's path of %zu bytes is no path",
				 bytes);
	for (size_t i = 1; i <= bytes; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (io_fails() || (mkdir(part, 0777) != 0 && errno != EEXIST && errno != EISDIR))
			return io_fault(reterr, "make the folder", part);
	}
	struct stat about;
	if (stat(path, &about) != 0)
		return io_fault(reterr, "look at", path);
	if (!S_ISDIR(about.st_mode))
		return fault_set(reterr, ST_INVALID, "'%s' exists and is not a folder", path);
	return ST_OK;
}

status dir_sync(const char *path, struct fault *reterr)
{
	CLEANUP(fd_closep) int fd = -1;
	status st = fd_open(path, O_RDONLY | O_DIRECTORY, 0, &fd, reterr);
	return st == ST_OK ? fd_sync(fd, reterr) : st;
}

static void dir_closep(DIR **dir)
{
	if (*dir != NULL)
		(void)closedir(*dir);
	*dir = NULL;
}

/* Open the folder name below `at`; link_flag: O_NOFOLLOW or 0. NULL: errno says why. */
static DIR *open_below(int at, const char *name, int link_flag)
{
	int fd = io_fails() ? -1 : openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | link_flag);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (dir == NULL && fd >= 0)
		(void)close(fd);
	return dir;
}

/* The next entry but "." and "..". NULL: the end (errno 0) or a failure (errno set). */
static struct dirent *next_entry(DIR *dir)
{
	struct dirent *entry;
	do {
		if (io_fails())
			return NULL;
		errno = 0;
		entry = readdir(dir);
	} while (entry != NULL &&
		 (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
	return entry;
}

enum entry_kind { KIND_FILE, KIND_FOLDER, KIND_OTHER };

static enum entry_kind kind_of(DIR *dir, const struct dirent *entry)
{
	struct stat about;
	if (entry->d_type == DT_REG)
		return KIND_FILE;
	if (entry->d_type == DT_DIR)
		return KIND_FOLDER;
	if (entry->d_type != DT_UNKNOWN ||
	    fstatat(dirfd(dir), entry->d_name, &about, AT_SYMLINK_NOFOLLOW) != 0)
		return KIND_OTHER;
	return S_ISREG(about.st_mode)   ? KIND_FILE
	       : S_ISDIR(about.st_mode) ? KIND_FOLDER
					: KIND_OTHER;
}

/* Deletion holds the folders on the way down open, and removes each once it is empty. */
struct removal {
	DIR *open[DEPTH_MAX];
	char names[DEPTH_MAX][FILE_NAME_BYTES]; /* names[i] lies in open[i - 1] */
	size_t depth;
};

static status removal_step(struct removal *r, const char *path, struct fault *reterr)
{
	DIR *here = r->open[r->depth - 1];
	struct dirent *entry = next_entry(here);
	if (entry == NULL && errno != 0)
		return io_fault(reterr, "read the folder", path);
	if (entry == NULL) {
		dir_closep(&r->open[--r->depth]);
		if (r->depth > 0 && (io_fails() || unlinkat(dirfd(r->open[r->depth - 1]),
							    r->names[r->depth], AT_REMOVEDIR) != 0))
			return io_fault(reterr, "remove a folder below", path);
		return ST_OK;
	}
	if (kind_of(here, entry) != KIND_FOLDER) {
		if (io_fails() || (unlinkat(dirfd(here), entry->d_name, 0) != 0 && errno != ENOENT))
			return io_fault(reterr, "remove a file below", path);
		return ST_OK;
	}
	if (r->depth == DEPTH_MAX)
		return fault_set(reterr, ST_LIMIT, "'%s' is nested deeper than %d", path,
				 DEPTH_MAX);
	(void)snprintf(r->names[r->depth], FILE_NAME_BYTES, "%s", entry->d_name);
	r->open[r->depth] = open_below(dirfd(here), entry->d_name, O_NOFOLLOW);
	if (r->open[r->depth] == NULL)
		return io_fault(reterr, "open a folder below", path);
	r->depth++;
	return ST_OK;
}

status dir_remove(const char *path, struct fault *reterr)
{
	struct removal r = {.depth = 1};
	r.open[0] = open_below(AT_FDCWD, path, O_NOFOLLOW);
	if (r.open[0] == NULL)
		return errno == ENOENT ? ST_OK : io_fault(reterr, "open the folder", path);
	status st = ST_OK;
	while (st == ST_OK && r.depth > 0)
		st = removal_step(&r, path, reterr);
	while (r.depth > 0)
		dir_closep(&r.open[--r.depth]);
	if (st == ST_OK && (io_fails() || (rmdir(path) != 0 && errno != ENOENT)))
		st = io_fault(reterr, "remove the folder", path);
	return st;
}

/* One folder of a walk: its entries, read at once and sorted. Each lies in `names` as one byte of
 * kind ('d' or 'f'), the name and a NUL; `order` holds where the names start. */
struct level {
	struct mem_scope *scope;
	struct buf names;
	uint32_t *order;
	size_t count, next;
	size_t prefix; /* bytes of `relative` that name this folder */
};

struct walk {
	struct mem_scope *scope;
	const char *path;
	struct level levels[DEPTH_MAX];
	size_t depth;
	char relative[FILE_PATH_BYTES];
};

static int by_bytes(const void *a, const void *b, void *names)
{
	const uint32_t *x = a, *y = b;
	return strcmp((const char *)names + *x, (const char *)names + *y);
}

static status level_fill(struct level *l, const char *full, struct fault *reterr)
{
	/* The start of a walk may be a link: the caller named it. What lies below may not. */
	CLEANUP(dir_closep) DIR *dir = open_below(AT_FDCWD, full, l->prefix > 0 ? O_NOFOLLOW : 0);
	if (dir == NULL)
		return io_fault(reterr, "open the folder", full);
	for (struct dirent *entry; (entry = next_entry(dir)) != NULL;) {
		enum entry_kind kind = kind_of(dir, entry);
		if (kind == KIND_OTHER)
			continue;
		(void)buf_add_byte(&l->names, kind == KIND_FOLDER ? 'd' : 'f');
		(void)buf_add(&l->names, (struct span){entry->d_name, strlen(entry->d_name) + 1});
		l->count++;
	}
	if (errno != 0)
		return io_fault(reterr, "read the folder", full);
	return buf_check(&l->names, "the list of names in a folder", reterr);
}

static status level_sort(struct level *l, struct fault *reterr)
{
	if (l->count == 0)
		return ST_OK;
	l->order = mem_new_array(l->scope, uint32_t, l->count);
	if (l->order == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for %zu names in a folder",
				 l->count);
	for (size_t i = 0, at = 0; i < l->count; i++) {
		l->order[i] = (uint32_t)at + 1;
		at += strlen(l->names.data + at) + 1;
	}
	qsort_r(l->order, l->count, sizeof *l->order, by_bytes, l->names.data);
	return ST_OK;
}

static status walk_enter(struct walk *w, struct fault *reterr)
{
	char full[FILE_PATH_BYTES];
	if (w->depth == DEPTH_MAX)
		return fault_set(reterr, ST_LIMIT, "'%s' is nested deeper than %d", w->path,
				 DEPTH_MAX);
	struct level *l = &w->levels[w->depth];
	status st = ST_OK;
	if (w->relative[0] == '\0')
		(void)snprintf(full, sizeof full, "%s", w->path);
	else
		st = path_join(full, w->path, w->relative, reterr);
	if (st != ST_OK)
		return st;
	*l = (struct level){.scope = mem_scope_open(w->scope, "folder", 0),
			    .prefix = strlen(w->relative)};
	if (l->scope == NULL)
		return fault_set(reterr, mem_refusal(), "no memory to list '%s'", full);
	w->depth++;
	buf_init(&l->names, l->scope, NAMES_BYTES_MAX);
	st = level_fill(l, full, reterr);
	return st == ST_OK ? level_sort(l, reterr) : st;
}

static status walk_step(struct walk *w, bool into_folders, dir_visit_fn *visit, void *context,
			struct fault *reterr)
{
	struct level *l = &w->levels[w->depth - 1];
	if (l->next == l->count) {
		mem_scope_close(l->scope);
		w->depth--;
		return ST_OK;
	}
	const char *name = l->names.data + l->order[l->next++];
	bool is_folder = name[-1] == 'd';
	size_t room = sizeof w->relative - l->prefix;
	int n = snprintf(w->relative + l->prefix, room, l->prefix > 0 ? "/%s" : "%s", name);
	if (n < 0 || (size_t)n >= room)
		return fault_set(reterr, ST_LIMIT, "a path below '%s' is too long", w->path);
	status st = visit(context, w->relative, is_folder, reterr);
	return st == ST_OK && is_folder && into_folders ? walk_enter(w, reterr) : st;
}

status dir_walk(const char *path, bool into_folders, dir_visit_fn *visit, void *context,
		struct fault *reterr)
{
	CLEANUP(mem_scope_closep)
	struct mem_scope *scope = mem_scope_open(mem_scope_root(), "walk", NAMES_BYTES_MAX);
	struct walk *w = scope != NULL ? mem_new(scope, struct walk) : NULL;
	if (w == NULL)
		return fault_set(reterr, mem_refusal(), "no memory to list '%s'", path);
	w->scope = scope;
	w->path = path;
	status st = walk_enter(w, reterr);
	while (st == ST_OK && w->depth > 0)
		st = walk_step(w, into_folders, visit, context, reterr);
	return st;
}
