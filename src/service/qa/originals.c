#include "qa/originals.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/size.h"

#define INCOMING ".incoming-"
#define REMOVAL INCOMING "removal" /* holds the name of a file that is being removed */
enum { COPY_BYTES = 64 * 1024, SHA_PART = 32 /* hex digits of the hash in a temporary name */ };

bool original_name_is_valid(struct span name)
{
	if (name.bytes == 0 || name.bytes >= ORIGINAL_NAME_BYTES)
		return false;
	for (size_t from = 0; from <= name.bytes;) {
		const char *slash = memchr(name.data + from, '/', name.bytes - from);
		size_t to = slash != NULL ? (size_t)(slash - name.data) : name.bytes;
		struct span part = span_slice(name, from, to);
		if (!file_name_is_safe(part) || span_starts_with(part, SPAN(INCOMING)))
			return false;
		from = to + 1;
	}
	return true;
}

static status content_path(const char *kb_root, const char *kb, const char *name,
			   char ret_path[FILE_PATH_BYTES], struct fault *reterr)
{
	int n = snprintf(ret_path, FILE_PATH_BYTES, "%s/%s/content/%s", kb_root, kb, name);
	if (n < 0 || n >= FILE_PATH_BYTES)
		return fault_set(reterr, ST_LIMIT, "the path of '%s' is longer than %d bytes", name,
				 FILE_PATH_BYTES - 1);
	return ST_OK;
}

status original_path(const char *kb_root, const char *kb, const char *name,
		     char ret_path[FILE_PATH_BYTES], struct fault *reterr)
{
	if (!original_name_is_valid(span_of(name)))
		return fault_set(
			reterr, ST_INVALID,
			"'%.100s' cannot be a file name here: use up to %d bytes of UTF-8 without "
			"'..', control characters or empty parts",
			name, ORIGINAL_NAME_BYTES - 1);
	return content_path(kb_root, kb, name, ret_path, reterr);
}

static status temporary_path(const char *kb_root, const char *kb, const char *sha256,
			     char ret_path[FILE_PATH_BYTES], struct fault *reterr)
{
	char name[sizeof INCOMING + SHA_PART];
	(void)snprintf(name, sizeof name, INCOMING "%.*s", SHA_PART, sha256);
	return content_path(kb_root, kb, name, ret_path, reterr);
}

static status copy_bytes(int from, int to, const struct cancel *cancel, struct sha256_stream *hash,
			 uint64_t *ret_bytes, struct fault *reterr)
{
	char block[COPY_BYTES];
	uint64_t total = 0;
	for (size_t got = sizeof block; got == sizeof block; total += got) {
		if (cancel_is_set(cancel))
			return fault_set(reterr, ST_CANCELLED, "stopped");
		status st = fd_read(from, block, sizeof block, &got, reterr);
		if (st == ST_OK)
			st = sha256_update(hash, (struct span){block, got}, reterr);
		if (st == ST_OK)
			st = fd_write(to, (struct span){block, got}, reterr);
		if (st != ST_OK)
			return st;
	}
	*ret_bytes = total;
	return ST_OK;
}

static bool same_state(const struct stat *a, const struct stat *b, uint64_t bytes)
{
	return a->st_size == b->st_size && (uint64_t)b->st_size == bytes &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static status copy_and_hash(const char *source, const char *target, const struct cancel *cancel,
			    struct original *inout, struct fault *reterr)
{
	CLEANUP(fd_closep) int from = -1;
	CLEANUP(fd_closep) int to = -1;
	CLEANUP(sha256_fini) struct sha256_stream hash = {0};
	struct stat before, after;
	status st = fd_open(source, O_RDONLY | O_NONBLOCK, 0, &from, reterr);
	if (st != ST_OK)
		return st;
	if (fstat(from, &before) != 0)
		return fault_errno(reterr, ST_IO, "cannot read '%s'", source);
	if (!S_ISREG(before.st_mode))
		return fault_set(reterr, ST_INVALID, "'%s' is not an ordinary file", source);
	st = fd_open(target, O_WRONLY | O_CREAT | O_TRUNC, 0600, &to, reterr);
	if (st == ST_OK)
		st = sha256_init(&hash, reterr);
	uint64_t bytes = 0;
	if (st == ST_OK)
		st = copy_bytes(from, to, cancel, &hash, &bytes, reterr);
	if (st == ST_OK)
		st = fd_sync(to, reterr);
	struct sha256 digest;
	if (st == ST_OK)
		st = sha256_final(&hash, &digest, reterr);
	if (st != ST_OK)
		return st;
	if (fstat(from, &after) != 0 || !same_state(&before, &after, bytes))
		return fault_set(reterr, ST_INVALID,
				 "'%s' changed while it was read: add it again when it is complete",
				 source);
	sha256_hex(&digest, inout->sha256);
	inout->bytes = bytes;
	return ST_OK;
}

status original_copy_in(const char *kb_root, const char *kb, const char *source,
			const struct cancel *cancel, struct original *inout, struct fault *reterr)
{
	char copy[FILE_PATH_BYTES];
	status st = content_path(kb_root, kb, INCOMING "copy", copy, reterr);
	if (st != ST_OK)
		return st;
	st = copy_and_hash(source, copy, cancel, inout, reterr);
	if (st == ST_OK)
		st = temporary_path(kb_root, kb, inout->sha256, inout->path, reterr);
	if (st == ST_OK)
		st = file_rename(copy, inout->path, reterr);
	if (st != ST_OK)
		(void)unlink(copy);
	return st;
}

status original_move_in(const char *kb_root, const char *kb, const char *source,
			struct original *inout, struct fault *reterr)
{
	struct sha256 digest;
	status st = sha256_of_file(source, &digest, &inout->bytes, reterr);
	if (st != ST_OK)
		return st;
	sha256_hex(&digest, inout->sha256);
	st = temporary_path(kb_root, kb, inout->sha256, inout->path, reterr);
	return st == ST_OK ? file_rename(source, inout->path, reterr) : st;
}

status original_settle(const char *kb_root, const char *kb, struct original *inout,
		       struct fault *reterr)
{
	char target[FILE_PATH_BYTES];
	status st = original_path(kb_root, kb, inout->name, target, reterr);
	if (st != ST_OK)
		return st;
	char *slash = strrchr(target, '/');
	*slash = '\0';
	st = dir_make(target, reterr);
	*slash = '/';
	if (st == ST_OK)
		st = file_rename(inout->path, target, reterr);
	if (st == ST_OK)
		memcpy(inout->path, target, sizeof target);
	return st;
}

status original_note_removal(const char *kb_root, const char *kb, const char *name,
			     struct fault *reterr)
{
	char note[FILE_PATH_BYTES];
	status st = content_path(kb_root, kb, REMOVAL, note, reterr);
	return st == ST_OK ? file_replace(note, span_of(name), reterr) : st;
}

status original_remove(const char *kb_root, const char *kb, const char *name, struct fault *reterr)
{
	char path[FILE_PATH_BYTES], content[FILE_PATH_BYTES];
	status st = original_path(kb_root, kb, name, path, reterr);
	if (st == ST_OK)
		st = content_path(kb_root, kb, "", content, reterr);
	if (st == ST_OK)
		st = file_remove(path, reterr);
	if (st != ST_OK)
		return st;
	/* Folders that are empty now; rmdir refuses the first that is not. */
	size_t stop = strlen(content) - 1;
	for (char *slash = strrchr(path, '/'); (size_t)(slash - path) > stop;
	     slash = strrchr(path, '/')) {
		*slash = '\0';
		if (rmdir(path) != 0)
			break;
	}
	st = content_path(kb_root, kb, REMOVAL, path, reterr);
	return st == ST_OK ? file_remove(path, reterr) : st;
}

struct sweep {
	const char *kb_root, *kb_name;
	struct kb *kb;
};

struct pending_search {
	const char *sha_part;
	bool found;
};

static status match_pending(void *context, const struct kb_file *file, struct fault *reterr)
{
	(void)reterr;
	struct pending_search *search = context;
	if (file->status == KB_FILE_PENDING &&
	    strncmp(file->sha256, search->sha_part, SHA_PART) == 0)
		search->found = true;
	return ST_OK;
}

struct name_search {
	struct span name;
	bool found;
};

static status match_name(void *context, const struct kb_file *file, struct fault *reterr)
{
	(void)reterr;
	struct name_search *search = context;
	search->found |= file->status == KB_FILE_READY && span_equal(file->file, search->name);
	return ST_OK;
}

/* The index still has the file: nothing was removed. Else the original goes now. */
static status finish_removal(const struct sweep *s, const char *note, struct fault *reterr)
{
	char name[ORIGINAL_NAME_BYTES];
	size_t bytes = 0;
	CLEANUP(fd_closep) int fd = -1;
	status st = fd_open(note, O_RDONLY, 0, &fd, reterr);
	if (st == ST_OK)
		st = fd_read(fd, name, sizeof name - 1, &bytes, reterr);
	if (st != ST_OK)
		return st;
	name[bytes] = '\0';
	struct name_search search = {.name = {name, bytes}};
	if (original_name_is_valid(search.name))
		st = kb_files(s->kb, match_name, &search, reterr);
	else
		search.found = true; /* damaged: it names nothing */
	if (st != ST_OK)
		return st;
	return search.found ? file_remove(note, reterr)
			    : original_remove(s->kb_root, s->kb_name, name, reterr);
}

static status sweep_one(void *context, const char *relative, bool is_folder, struct fault *reterr)
{
	const struct sweep *s = context;
	if (is_folder || strncmp(relative, INCOMING, sizeof INCOMING - 1) != 0)
		return ST_OK;
	struct pending_search search = {.sha_part = relative + sizeof INCOMING - 1};
	char path[FILE_PATH_BYTES];
	status st = content_path(s->kb_root, s->kb_name, relative, path, reterr);
	if (st == ST_OK && strcmp(relative, REMOVAL) == 0)
		return finish_removal(s, path, reterr);
	if (st == ST_OK && strlen(search.sha_part) == SHA_PART)
		st = kb_files(s->kb, match_pending, &search, reterr);
	if (st == ST_OK && !search.found)
		st = file_remove(path, reterr);
	return st;
}

status original_sweep(const char *kb_root, const char *kb_name, struct kb *kb, struct fault *reterr)
{
	char content[FILE_PATH_BYTES];
	status st = content_path(kb_root, kb_name, "", content, reterr);
	struct sweep sweep = {kb_root, kb_name, kb};
	if (st == ST_OK)
		st = dir_make(content, reterr);
	return st == ST_OK ? dir_walk(content, false, sweep_one, &sweep, reterr) : st;
}
