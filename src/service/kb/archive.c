/* Members, in this order:
 *
 *     plimsoll-kb          the format's number, "1\n"
 *     index/text.sqlite    a copy made by SQLite's backup, so that the log is in it
 *     index/vectors.i8     the first rows only (and the other row files), as the copy counts them
 *     content/NAME         each original of a ready file
 *
 * An import unpacks into a folder that nobody serves (".new-..." as kb_create() does), checks it by
 * opening it, and renames. */
#include "kb/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/size.h"
#include "kb/kb.h"
#include "kb/layout.h"
#include "kb/textdb.h"
#include "rt/db.h"
#include "rt/file.h"

#define MARK "plimsoll-kb"
#define MARK_TEXT "1\n"
enum { BLOCK_BYTES = 64 * 1024 };

static const char *const index_files[] = {"text.sqlite", "vectors.i8", "vectors.f16",
					  "lengths.u16"};

static status archive_fault(struct archive *a, const char *what, const char *path,
			    struct fault *reterr)
{
	const char *text = archive_error_string(a);
	return fault_set(reterr, archive_errno(a) == ENOSPC ? ST_LIMIT : ST_IO, "%s '%s': %s", what,
			 path, text != NULL ? text : "unknown error");
}

/* ---- export ---- */

struct export
{
	struct archive *archive;
	const char *path; /* of the archive, for faults */
	const char *kb;   /* folder */
	const struct cancel *cancel;
};

static status member_begin(struct export *e, const char *member, uint64_t bytes,
			   struct fault *reterr)
{
	struct archive_entry *entry = archive_entry_new();
	if (entry == NULL)
		return fault_set(reterr, ST_OOM, "no memory for an archive member");
	archive_entry_set_pathname_utf8(entry, member);
	archive_entry_set_size(entry, (la_int64_t)bytes);
	archive_entry_set_filetype(entry, AE_IFREG);
	archive_entry_set_perm(entry, 0644);
	int code = archive_write_header(e->archive, entry);
	archive_entry_free(entry);
	return code == ARCHIVE_OK ? ST_OK
				  : archive_fault(e->archive, "cannot write", e->path, reterr);
}

static status member_write(struct export *e, struct span data, struct fault *reterr)
{
	if (cancel_is_set(e->cancel))
		return fault_set(reterr, ST_CANCELLED, "stopped");
	la_ssize_t n = archive_write_data(e->archive, data.data, data.bytes);
	if (n != (la_ssize_t)data.bytes)
		return archive_fault(e->archive, "cannot write", e->path, reterr);
	return ST_OK;
}

static status add_file(struct export *e, const char *path, const char *member, struct fault *reterr)
{
	CLEANUP(fd_closep) int fd = -1;
	char block[BLOCK_BYTES];
	uint64_t bytes = 0, done = 0;
	status st = fd_open(path, O_RDONLY, 0, &fd, reterr);
	if (st == ST_OK)
		st = fd_size(fd, &bytes, reterr);
	if (st == ST_OK)
		st = member_begin(e, member, bytes, reterr);
	while (st == ST_OK && done < bytes) {
		size_t got = 0;
		st = fd_read(fd, block,
			     (size_t)(bytes - done < BLOCK_BYTES ? bytes - done : BLOCK_BYTES),
			     &got, reterr);
		if (st == ST_OK && got == 0)
			st = fault_set(reterr, ST_INVALID, "'%s' became shorter while it was read",
				       path);
		if (st == ST_OK)
			st = member_write(e, (struct span){block, got}, reterr);
		done += got;
	}
	return st;
}

/* A copy of the database with everything that its log holds. */
static status copy_database(const char *from, const char *to, struct fault *reterr)
{
	struct db source = {0}, target = {0};
	struct db_options reading = {.cache_bytes = MIB, .busy_ms = 5000};
	struct db_options making = {.create = true, .cache_bytes = MIB, .busy_ms = 5000};
	status st = db_open(from, &reading, &source, reterr);
	if (st == ST_OK)
		st = db_open(to, &making, &target, reterr);
	if (st == ST_OK)
		st = db_run(&target, "PRAGMA journal_mode=DELETE", reterr);
	if (st == ST_OK) {
		sqlite3_backup *backup =
			sqlite3_backup_init(target.handle, "main", source.handle, "main");
		int code = backup != NULL ? sqlite3_backup_step(backup, -1)
					  : sqlite3_errcode(target.handle);
		(void)sqlite3_backup_finish(backup);
		if (code != SQLITE_DONE)
			st = db_fault(&target, code, "copying the index", reterr);
	}
	db_close(&source);
	db_close(&target);
	return st;
}

static status add_index(struct export *e, const char *generation, struct fault *reterr)
{
	char path[FILE_PATH_BYTES], copy[FILE_PATH_BYTES], member[64];
	for (size_t i = 0; i < ARRAY_COUNT(index_files); i++) {
		(void)snprintf(member, sizeof member, "index/%s", index_files[i]);
		status st = path_join(path, generation, index_files[i], reterr);
		if (st == ST_OK && i == 0) {
			st = path_join(copy, e->kb, "current.export.tmp", reterr);
			if (st == ST_OK)
				st = copy_database(path, copy, reterr);
			if (st == ST_OK)
				st = add_file(e, copy, member, reterr);
			(void)unlink(copy);
		} else if (st == ST_OK && file_exists(path)) {
			st = add_file(e, path, member, reterr);
		}
		if (st != ST_OK)
			return st;
	}
	return ST_OK;
}

static status add_original(void *context, const struct kb_file *file, struct fault *reterr)
{
	struct export *e = context;
	char path[FILE_PATH_BYTES], member[FILE_PATH_BYTES];
	if (file->status != KB_FILE_READY)
		return ST_OK;
	int n = snprintf(member, sizeof member, "content/%.*s", SPAN_ARG(file->file));
	if (n < 0 || (size_t)n >= sizeof member)
		return fault_set(reterr, ST_LIMIT, "a file name is too long for an archive");
	status st = path_join(path, e->kb, member, reterr);
	if (st == ST_OK && !file_exists(path))
		return ST_OK; /* a KB that was filled through kb.h alone has no originals */
	return st == ST_OK ? add_file(e, path, member, reterr) : st;
}

static status export_members(struct export *e, struct mem_scope *scratch, const char *root,
			     const char *name, struct fault *reterr)
{
	struct layout layout;
	char generation[FILE_PATH_BYTES];
	struct kb *kb = NULL;
	status st = layout_read(e->kb, &layout, reterr);
	if (st == ST_OK)
		st = layout_generation(generation, e->kb, layout.current, reterr);
	if (st == ST_OK)
		st = member_begin(e, MARK, strlen(MARK_TEXT), reterr);
	if (st == ST_OK)
		st = member_write(e, SPAN(MARK_TEXT), reterr);
	if (st == ST_OK)
		st = add_index(e, generation, reterr);
	if (st == ST_OK)
		st = kb_open(scratch, root, name, &kb, reterr);
	if (st == ST_OK)
		st = kb_files(kb, add_original, e, reterr);
	kb_close(kb);
	return st;
}

status kb_export(struct mem_scope *scratch, const char *root, const char *name, const char *path,
		 const struct cancel *cancel, struct fault *reterr)
{
	char kb[FILE_PATH_BYTES], part[FILE_PATH_BYTES];
	CLEANUP(fd_closep) int lock = -1;
	struct layout layout;
	status st = layout_kb(kb, root, name, reterr);
	if (st == ST_OK && !kb_name_is_valid(span_of(name)))
		st = fault_set(reterr, ST_INVALID, "'%.60s' cannot be the name of a knowledge base",
			       name);
	if (st == ST_OK)
		st = layout_read(kb, &layout, reterr);
	if (st == ST_OK)
		st = layout_lock(kb, "lock", false, &lock, reterr);
	int n = snprintf(part, sizeof part, "%s.part", path);
	if (st == ST_OK && (n < 0 || (size_t)n >= sizeof part))
		st = fault_set(reterr, ST_LIMIT, "the path of the archive is too long");
	if (st != ST_OK)
		return st;
	struct export e = {
		.archive = archive_write_new(), .path = path, .kb = kb, .cancel = cancel};
	if (e.archive == NULL)
		return fault_set(reterr, ST_OOM, "no memory to write an archive");
	if (archive_write_set_format_pax_restricted(e.archive) != ARCHIVE_OK ||
	    archive_write_open_filename(e.archive, part) != ARCHIVE_OK)
		st = archive_fault(e.archive, "cannot write", part, reterr);
	if (st == ST_OK)
		st = export_members(&e, scratch, root, name, reterr);
	if (archive_write_close(e.archive) != ARCHIVE_OK && st == ST_OK)
		st = archive_fault(e.archive, "cannot write", part, reterr);
	(void)archive_write_free(e.archive);
	if (st == ST_OK)
		st = file_rename(part, path, reterr);
	if (st != ST_OK)
		(void)unlink(part);
	return st;
}

/* ---- import ---- */

/* Where a member goes below the new folder; ST_INVALID for a name that the format does not know. */
static status member_target(const char *member, const char *folder, char out[FILE_PATH_BYTES],
			    struct fault *reterr)
{
	struct span name = span_of(member);
	bool known = false;
	char inside[FILE_PATH_BYTES];
	for (size_t i = 0; i < ARRAY_COUNT(index_files) && !known; i++) {
		(void)snprintf(inside, sizeof inside, "index/%s", index_files[i]);
		known = strcmp(member, inside) == 0;
		(void)snprintf(inside, sizeof inside, "gen-1/%s", index_files[i]);
	}
	if (!known && span_starts_with(name, SPAN("content/"))) {
		known = name.bytes > 8 && name.bytes < sizeof inside;
		for (size_t from = 8; known && from <= name.bytes;) {
			const char *slash = memchr(name.data + from, '/', name.bytes - from);
			size_t to = slash != NULL ? (size_t)(slash - name.data) : name.bytes;
			known = file_name_is_safe(span_slice(name, from, to));
			from = to + 1;
		}
		(void)snprintf(inside, sizeof inside, "%s", member);
	}
	if (!known)
		return fault_set(
			reterr, ST_INVALID,
			"the archive holds '%.100s', which no export of a knowledge base has",
			member);
	return path_join(out, folder, inside, reterr);
}

static status unpack_member(struct archive *a, const char *path, const struct cancel *cancel,
			    struct fault *reterr)
{
	char folder[FILE_PATH_BYTES], block[BLOCK_BYTES];
	CLEANUP(fd_closep) int fd = -1;
	(void)snprintf(folder, sizeof folder, "%s", path);
	*strrchr(folder, '/') = '\0';
	status st = dir_make(folder, reterr);
	if (st == ST_OK)
		st = fd_open(path, O_WRONLY | O_CREAT | O_EXCL, 0600, &fd, reterr);
	while (st == ST_OK) {
		if (cancel_is_set(cancel))
			return fault_set(reterr, ST_CANCELLED, "stopped");
		la_ssize_t n = archive_read_data(a, block, sizeof block);
		if (n < 0)
			return fault_set(reterr, ST_INVALID, "the archive is damaged: %s",
					 archive_error_string(a));
		if (n == 0)
			break;
		st = fd_write(fd, (struct span){block, (size_t)n}, reterr);
	}
	return st == ST_OK ? fd_sync(fd, reterr) : st;
}

static status check_mark(struct archive *a, struct archive_entry *entry, const char *path,
			 struct fault *reterr)
{
	char text[8];
	const char *name = archive_entry_pathname_utf8(entry);
	if (name != NULL && strcmp(name, MARK) == 0 &&
	    archive_read_data(a, text, sizeof text) == (la_ssize_t)strlen(MARK_TEXT) &&
	    memcmp(text, MARK_TEXT, strlen(MARK_TEXT)) == 0)
		return ST_OK;
	return fault_set(
		reterr, ST_INVALID,
		"'%s' is not an archive of `plimsoll kb export` that this version can read", path);
}

static status unpack_all(struct archive *a, const char *path, const char *folder,
			 const struct cancel *cancel, struct fault *reterr)
{
	status st = ST_OK;
	for (size_t count = 0; st == ST_OK; count++) {
		struct archive_entry *entry;
		char target[FILE_PATH_BYTES];
		int code = archive_read_next_header(a, &entry);
		if (code == ARCHIVE_EOF && count > 1)
			return ST_OK;
		if (code != ARCHIVE_OK)
			return fault_set(reterr, ST_INVALID, "'%s' is not a whole archive: %s",
					 path,
					 archive_error_string(a) != NULL ? archive_error_string(a)
									 : "it ends early");
		const char *name = archive_entry_pathname_utf8(entry);
		if (count == 0)
			st = check_mark(a, entry, path, reterr);
		else if (name == NULL || archive_entry_filetype(entry) != AE_IFREG ||
			 archive_entry_hardlink(entry) != NULL)
			st = fault_set(reterr, ST_INVALID,
				       "'%s' holds something that is no plain file", path);
		else
			st = member_target(name, folder, target, reterr);
		if (st == ST_OK && count > 0)
			st = unpack_member(a, target, cancel, reterr);
	}
	return st;
}

static status unpack(const char *path, const char *folder, const struct cancel *cancel,
		     struct fault *reterr)
{
	struct archive *a = archive_read_new();
	if (a == NULL)
		return fault_set(reterr, ST_OOM, "no memory to read an archive");
	status st = ST_OK;
	if (archive_read_support_format_tar(a) != ARCHIVE_OK ||
	    archive_read_open_filename(a, path, BLOCK_BYTES) != ARCHIVE_OK)
		st = fault_set(reterr, archive_errno(a) == ENOENT ? ST_NOT_FOUND : ST_INVALID,
			       "cannot read '%s': %s", path, archive_error_string(a));
	if (st == ST_OK)
		st = unpack_all(a, path, folder, cancel, reterr);
	(void)archive_read_free(a);
	return st;
}

/* Make the unpacked folder a knowledge base whose index can be opened. */
static status check_unpacked(struct mem_scope *scratch, const char *folder, struct fault *reterr)
{
	char path[FILE_PATH_BYTES];
	struct layout layout = {.current = 1};
	struct textdb index;
	status st = path_join(path, folder, "content", reterr);
	if (st == ST_OK)
		st = dir_make(path, reterr);
	if (st == ST_OK)
		st = layout_generation(path, folder, layout.current, reterr);
	if (st == ST_OK)
		st = textdb_open(&index, scratch, path, false, reterr);
	if (st != ST_OK)
		return st;
	textdb_close(&index);
	return layout_write(folder, &layout, reterr);
}

status kb_import(struct mem_scope *scratch, const char *root, const char *name, const char *path,
		 const struct cancel *cancel, struct fault *reterr)
{
	char target[FILE_PATH_BYTES], folder[FILE_PATH_BYTES], temporary[KB_NAME_BYTES + 16];
	CLEANUP(fd_closep) int lock = -1;
	if (!kb_name_is_valid(span_of(name)))
		return fault_set(reterr, ST_INVALID,
				 "'%.60s' cannot be the name of a knowledge base", name);
	(void)snprintf(temporary, sizeof temporary, ".new-%s", name);
	status st = path_join(target, root, name, reterr);
	if (st == ST_OK && file_exists(target))
		st = fault_set(reterr, ST_EXISTS, "there is a knowledge base '%s' already", name);
	if (st == ST_OK)
		st = path_join(folder, root, temporary, reterr);
	if (st == ST_OK) /* nobody makes, deletes or sweeps knowledge bases meanwhile */
		st = layout_lock(root, ".lock", true, &lock, reterr);
	if (st == ST_OK)
		st = dir_remove(folder, reterr);
	if (st == ST_OK)
		st = dir_make(folder, reterr);
	if (st != ST_OK)
		return st;
	st = unpack(path, folder, cancel, reterr);
	if (st == ST_OK)
		st = check_unpacked(scratch, folder, reterr);
	if (st == ST_OK && file_exists(target))
		st = fault_set(reterr, ST_EXISTS, "there is a knowledge base '%s' already", name);
	if (st == ST_OK)
		st = file_rename(folder, target, reterr);
	if (st != ST_OK && dir_remove(folder, NULL) != ST_OK)
		return st; /* the next sweep takes it */
	return st;
}
