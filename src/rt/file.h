/* rt/file.h -- files and folders: every read and write of own code goes through here, so that the
 * fault layer can make the Nth one fail (mem/faults.h).
 *
 * Errors   ST_NOT_FOUND, ST_EXISTS, ST_LIMIT (larger than asked for, disk or quota full),
 *          ST_INVALID (a directory where a file should be...), else ST_IO; the fault names the path
 *          and errno.
 * Threads  No shared state. All descriptors are O_CLOEXEC. */
#ifndef RT_FILE_H
#define RT_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/span.h"
#include "base/status.h"
#include "mem/scope.h"

enum { FILE_PATH_BYTES = 4096, FILE_NAME_BYTES = 256 }; /* with terminator */

void fd_closep(int *fd); /* for CLEANUP(); ignores -1 */

MUST_CHECK status fd_open(const char *path, int flags, mode_t mode, int *ret_fd,
			  struct fault *reterr);
/* Read until `bytes` are there or the file ends; *ret_bytes tells how many. */
MUST_CHECK status fd_read(int fd, void *into, size_t bytes, size_t *ret_bytes,
			  struct fault *reterr);
MUST_CHECK status fd_read_at(int fd, uint64_t at, void *into, size_t bytes, size_t *ret_bytes,
			     struct fault *reterr);
MUST_CHECK status fd_write(int fd, struct span data, struct fault *reterr);
MUST_CHECK status fd_write_at(int fd, uint64_t at, struct span data, struct fault *reterr);
MUST_CHECK status fd_sync(int fd, struct fault *reterr);
MUST_CHECK status fd_size(int fd, uint64_t *ret_bytes, struct fault *reterr);

/* The whole file, terminated, in scope; ST_LIMIT when it is larger than bytes_max. */
MUST_CHECK status file_read(struct mem_scope *scope, const char *path, size_t bytes_max,
			    struct span *ret_text, struct fault *reterr);
/* Write to a temporary name beside path, sync, rename, sync the folder: all or nothing. */
MUST_CHECK status file_replace(const char *path, struct span data, struct fault *reterr);
/* Rename and make it durable; replaces a file at `to`. */
MUST_CHECK status file_rename(const char *from, const char *to, struct fault *reterr);
MUST_CHECK status file_remove(const char *path, struct fault *reterr); /* absent is ST_OK */
bool file_exists(const char *path);

/* A read-only mapping of the whole file. The descriptor is not kept. */
struct file_map {
	const unsigned char *data;
	size_t bytes;
};
MUST_CHECK status file_map_open(const char *path, struct file_map *ret_map, struct fault *reterr);
void file_map_close(struct file_map *map); /* may be called twice */

MUST_CHECK status dir_make(const char *path,
			   struct fault *reterr); /* with parents; present is ST_OK */
MUST_CHECK status dir_sync(const char *path, struct fault *reterr);
/* Delete a folder and all below it; follows no link; absent is ST_OK. */
MUST_CHECK status dir_remove(const char *path, struct fault *reterr);
/* Call visit for each entry below path, in byte order of the names, links and special files left
 * out, depth at most 64. relative is the path below `path`. visit returns ST_OK to go on. */
typedef status dir_visit_fn(void *context, const char *relative, bool is_folder,
			    struct fault *reterr);
MUST_CHECK status dir_walk(const char *path, bool into_folders, dir_visit_fn *visit, void *context,
			   struct fault *reterr);

/* A name that can be one path component: 1..255 bytes of valid UTF-8, no '/', no control character,
 * not "." or "..". */
bool file_name_is_safe(struct span name);
/* "a/b" of two parts into out (FILE_PATH_BYTES); ST_LIMIT when too long. */
MUST_CHECK status path_join(char out[FILE_PATH_BYTES], const char *a, const char *b,
			    struct fault *reterr);
struct span path_base(const char *path); /* what follows the last '/' */

#endif
