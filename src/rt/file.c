#include "rt/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/size.h"
#include "base/utf8.h"
#include "mem/faults.h"
#include "rt/file_io.h"

status io_fault(struct fault *reterr, const char *verb, const char *path)
{
	status st = ST_IO;
	switch (errno) {
	case ENOENT:
	case ENOTDIR:
		st = ST_NOT_FOUND;
		break;
	case EEXIST:
	case ENOTEMPTY:
		st = ST_EXISTS;
		break;
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		st = ST_LIMIT;
		break;
	case EISDIR:
	case ENAMETOOLONG:
	case ELOOP:
	case EINVAL:
		st = ST_INVALID;
		break;
	case ENOMEM:
		st = ST_OOM;
		break;
	default:
		break;
	}
	return fault_errno(reterr, st, "cannot %s '%s'", verb, path);
}

bool io_fails(void)
{
	if (!mem_fault_hit(MEM_FAULT_IO))
		return false;
	errno = EIO;
	return true;
}

void fd_closep(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

status fd_open(const char *path, int flags, mode_t mode, int *ret_fd, struct fault *reterr)
{
	int fd = -1;
	if (!io_fails()) {
		do
			fd = open(path, flags | O_CLOEXEC, mode);
		while (fd < 0 && errno == EINTR);
	}
	if (fd < 0)
		return io_fault(reterr, "open", path);
	*ret_fd = fd;
	return ST_OK;
}

/* One loop for both forms: at < 0 reads where the descriptor stands. */
static status read_all(int fd, int64_t at, void *into, size_t bytes, size_t *ret_bytes,
		       struct fault *reterr)
{
	size_t done = 0;
	while (done < bytes) {
		char *to = (char *)into + done;
		ssize_t got = -1;
		if (!io_fails())
			got = at < 0 ? read(fd, to, bytes - done)
				     : pread(fd, to, bytes - done, (off_t)at + (off_t)done);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EISDIR)
			return fault_errno(reterr, ST_INVALID, "cannot read");
		if (got < 0)
			return fault_errno(reterr, ST_IO, "cannot read");
		if (got == 0)
			break;
		done += (size_t)got;
	}
	*ret_bytes = done;
	return ST_OK;
}

status fd_read(int fd, void *into, size_t bytes, size_t *ret_bytes, struct fault *reterr)
{
	return read_all(fd, -1, into, bytes, ret_bytes, reterr);
}

status fd_read_at(int fd, uint64_t at, void *into, size_t bytes, size_t *ret_bytes,
		  struct fault *reterr)
{
	if (at > INT64_MAX || bytes > INT64_MAX - at)
		return fault_set(reterr, ST_INVALID, "cannot read: offset out of range");
	return read_all(fd, (int64_t)at, into, bytes, ret_bytes, reterr);
}

static status write_all(int fd, int64_t at, struct span data, struct fault *reterr)
{
	size_t done = 0;
	while (done < data.bytes) {
		const char *from = data.data + done;
		ssize_t put = -1;
		if (!io_fails())
			put = at < 0 ? write(fd, from, data.bytes - done)
				     : pwrite(fd, from, data.bytes - done, (off_t)at + (off_t)done);
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0) {
			bool full = errno == ENOSPC || errno == EDQUOT || errno == EFBIG;
			return fault_errno(reterr, full ? ST_LIMIT : ST_IO, "cannot write");
		}
		done += (size_t)put;
	}
	return ST_OK;
}

status fd_write(int fd, struct span data, struct fault *reterr)
{
	return write_all(fd, -1, data, reterr);
}

status fd_write_at(int fd, uint64_t at, struct span data, struct fault *reterr)
{
	if (at > INT64_MAX || data.bytes > INT64_MAX - at)
		return fault_set(reterr, ST_INVALID, "cannot write: offset out of range");
	return write_all(fd, (int64_t)at, data, reterr);
}

status fd_sync(int fd, struct fault *reterr)
{
	if (io_fails() || fsync(fd) != 0) {
		bool full = errno == ENOSPC || errno == EDQUOT;
		return fault_errno(reterr, full ? ST_LIMIT : ST_IO, "cannot make a file durable");
	}
	return ST_OK;
}

status fd_size(int fd, uint64_t *ret_bytes, struct fault *reterr)
{
	struct stat about;
	if (io_fails() || fstat(fd, &about) != 0)
		return fault_errno(reterr, ST_IO, "cannot ask for a file's size");
	*ret_bytes = (uint64_t)about.st_size;
	return ST_OK;
}

/* Open for reading and refuse what is no regular file, which could block or never end. */
static status open_regular(const char *path, int *ret_fd, uint64_t *ret_bytes, struct fault *reterr)
{
	CLEANUP(fd_closep) int fd = -1;
	struct stat about;
	status st = fd_open(path, O_RDONLY | O_NONBLOCK, 0, &fd, reterr);
	if (st != ST_OK)
		return st;
	if (io_fails() || fstat(fd, &about) != 0)
		return io_fault(reterr, "look at", path);
	if (!S_ISREG(about.st_mode))
		return fault_set(reterr, ST_INVALID, "'%s' is not a regular file", path);
	*ret_bytes = (uint64_t)about.st_size;
	*ret_fd = fd;
	fd = -1;
	return ST_OK;
}

status file_read(struct mem_scope *scope, const char *path, size_t bytes_max, struct span *ret_text,
		 struct fault *reterr)
{
	CLEANUP(fd_closep) int fd = -1;
	uint64_t size;
	size_t got;
	status st = open_regular(path, &fd, &size, reterr);
	if (st != ST_OK)
		return st;
	if (size > bytes_max || size >= SIZE_MAX)
		return fault_set(reterr, ST_LIMIT, "'%s' is larger than %zu bytes", path,
				 bytes_max);
	char *text = mem_new_array(scope, char, (size_t)size + 1);
	if (text == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for '%s'", path);
	st = fd_read(fd, text, (size_t)size, &got, reterr);
	if (st != ST_OK) {
		mem_free(text);
		return st;
	}
	*ret_text = (struct span){text, got}; /* shorter when the file was cut meanwhile */
	return ST_OK;
}

/* The folder of path, "." when it names none. */
static void folder_of(const char *path, char out[FILE_PATH_BYTES])
{
	size_t bytes = (size_t)(path_base(path).data - path);
	while (bytes > 1 && path[bytes - 1] == '/')
		bytes--;
	(void)snprintf(out, FILE_PATH_BYTES, "%.*s", bytes > 0 ? (int)bytes : 1,
		       bytes > 0 ? path : ".");
}

/* A file that is replaced keeps its permissions. */
static status write_beside(const char *path, const char *beside, struct span data,
			   struct fault *reterr)
{
	CLEANUP(fd_closep) int fd = -1;
	struct stat former;
	status st = fd_open(beside, O_WRONLY | O_CREAT | O_EXCL, 0644, &fd, reterr);
	if (st == ST_OK && stat(path, &former) == 0 && fchmod(fd, former.st_mode & 07777) != 0)
		st = io_fault(reterr, "set the permissions of", beside);
	if (st == ST_OK)
		st = fd_write(fd, data, reterr);
	if (st == ST_OK)
		st = fd_sync(fd, reterr);
	return st;
}

status file_replace(const char *path, struct span data, struct fault *reterr)
{
	static atomic_uint serial;
	char beside[FILE_PATH_BYTES];
	int n = snprintf(beside, sizeof beside, "%s.%d-%u.tmp", path, (int)getpid(),
			 atomic_fetch_add(&serial, 1));
	if (n < 0 || (size_t)n >= sizeof beside)
		return fault_set(reterr, ST_INVALID, "a path of %zu bytes is too long",
				 strlen(path));
	status st = write_beside(path, beside, data, reterr);
	if (st == ST_OK)
		st = file_rename(beside, path, reterr);
	if (st != ST_OK)
		(void)unlink(beside);
	return st;
}

status file_rename(const char *from, const char *to, struct fault *reterr)
{
	char folder[FILE_PATH_BYTES];
	if (io_fails() || rename(from, to) != 0)
		return io_fault(reterr, "rename to", to);
	folder_of(to, folder);
	return dir_sync(folder, reterr);
}

status file_remove(const char *path, struct fault *reterr)
{
	if (io_fails() || (unlink(path) != 0 && errno != ENOENT))
		return io_fault(reterr, "remove", path);
	return ST_OK;
}

bool file_exists(const char *path)
{
	struct stat about;
	return stat(path, &about) == 0;
}

status file_map_open(const char *path, struct file_map *ret_map, struct fault *reterr)
{
	CLEANUP(fd_closep) int fd = -1;
	uint64_t size;
	status st = open_regular(path, &fd, &size, reterr);
	if (st != ST_OK)
		return st;
	void *data = NULL;
	if (size > 0) {
		data = io_fails() ? MAP_FAILED
				  : mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, fd, 0);
		if (data == MAP_FAILED)
			return io_fault(reterr, "map", path);
	}
	*ret_map = (struct file_map){data, (size_t)size};
	return ST_OK;
}

void file_map_close(struct file_map *map)
{
	if (map->data != NULL) {
		union {
			const unsigned char *in;
			void *out;
		} whole = {.in = map->data};
		int failed = munmap(whole.out, map->bytes);
		ASSERT(failed == 0);
	}
	*map = (struct file_map){NULL, 0};
}

bool file_name_is_safe(struct span name)
{
	if (name.bytes == 0 || name.bytes >= FILE_NAME_BYTES || !utf8_is_valid(name))
		return false;
	if (span_equal(name, SPAN(".")) || span_equal(name, SPAN("..")))
		return false;
	for (size_t at = 0; at < name.bytes;) {
		uint32_t point;
		at += utf8_decode(name, at, &point);
		if (point < 0x20 || point == '/' || (point >= 0x7f && point < 0xa0))
			return false;
	}
	return true;
}

status path_join(char out[FILE_PATH_BYTES], const char *a, const char *b, struct fault *reterr)
{
	size_t first = strlen(a), second = strlen(b);
	bool slash = first > 0 && a[first - 1] != '/';
	if (first >= FILE_PATH_BYTES || second >= FILE_PATH_BYTES ||
	    first + slash + second >= FILE_PATH_BYTES)
		return fault_set(reterr, ST_LIMIT, "a path of %zu bytes is too long",
				 first + second);
	memmove(out, a, first);
	if (slash)
		out[first++] = '/';
	memcpy(out + first, b, second + 1);
	return ST_OK;
}

struct span path_base(const char *path)
{
	const char *slash = strrchr(path, '/');
	return span_of(slash != NULL ? slash + 1 : path);
}
