#include "kb/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/size.h"

enum { TEXT_BYTES = 256 };

status layout_kb(char out[FILE_PATH_BYTES], const char *root, const char *name,
		 struct fault *reterr)
{
	return path_join(out, root, name, reterr);
}

status layout_generation(char out[FILE_PATH_BYTES], const char *kb, uint32_t number,
			 struct fault *reterr)
{
	char folder[32];
	(void)snprintf(folder, sizeof folder, "gen-%u", number);
	return path_join(out, kb, folder, reterr);
}

/* "gen-12" is 12; 0 for anything else. */
static uint32_t number_of(struct span name)
{
	if (!span_starts_with(name, SPAN("gen-")))
		return 0;
	uint64_t number = 0;
	for (size_t i = 4; i < name.bytes; i++) {
		if (name.data[i] < '0' || name.data[i] > '9' || number > UINT32_MAX / 10)
			return 0;
		number = number * 10 + (uint64_t)(name.data[i] - '0');
	}
	return number <= UINT32_MAX ? (uint32_t)number : 0;
}

static bool layout_parse(struct span text, struct layout *ret_layout)
{
	struct layout l = {0, 0, 0};
	while (text.bytes > 0) {
		const char *end = memchr(text.data, '\n', text.bytes);
		if (end == NULL)
			return false;
		struct span line = span_slice(text, 0, (size_t)(end - text.data));
		text = span_slice(text, line.bytes + 1, text.bytes);
		uint32_t *to = &l.current;
		if (span_starts_with(line, SPAN("previous "))) {
			to = &l.previous;
			line = span_slice(line, 9, line.bytes);
		} else if (span_starts_with(line, SPAN("rebuild "))) {
			to = &l.rebuild;
			line = span_slice(line, 8, line.bytes);
		}
		if (*to != 0 || (*to = number_of(line)) == 0)
			return false;
	}
	*ret_layout = l;
	return l.current != 0;
}

status layout_read(const char *kb, struct layout *ret_layout, struct fault *reterr)
{
	char path[FILE_PATH_BYTES], text[TEXT_BYTES];
	CLEANUP(fd_closep) int fd = -1;
	size_t got = 0;
	status st = path_join(path, kb, "current", reterr);
	if (st == ST_OK)
		st = fd_open(path, O_RDONLY, 0, &fd, reterr);
	if (st == ST_NOT_FOUND)
		return fault_set(reterr, ST_NOT_FOUND, "there is no knowledge base '%s'",
				 path_base(kb).data);
	if (st == ST_OK)
		st = fd_read(fd, text, sizeof text, &got, reterr);
	if (st == ST_OK && !layout_parse((struct span){text, got}, ret_layout))
		st = fault_set(reterr, ST_CORRUPT, "'%s' does not name a generation", path);
	return st;
}

status layout_write(const char *kb, const struct layout *layout, struct fault *reterr)
{
	char path[FILE_PATH_BYTES], text[TEXT_BYTES];
	int n = snprintf(text, sizeof text, "gen-%u\n", layout->current);
	if (layout->previous != 0)
		n += snprintf(text + n, sizeof text - (size_t)n, "previous gen-%u\n",
			      layout->previous);
	if (layout->rebuild != 0)
		n += snprintf(text + n, sizeof text - (size_t)n, "rebuild gen-%u\n",
			      layout->rebuild);
	status st = path_join(path, kb, "current", reterr);
	if (st == ST_OK)
		st = file_replace(path, (struct span){text, (size_t)n}, reterr);
	return st;
}

static status busy(int fd, const char *folder, struct fault *reterr)
{
	char pid[16] = {0};
	size_t got = 0;
	if (fd_read_at(fd, 0, pid, sizeof pid - 1, &got, NULL) != ST_OK || got == 0)
		return fault_set(reterr, ST_BUSY, "another process is writing to '%s'",
				 path_base(folder).data);
	pid[strcspn(pid, "\n")] = '\0';
	return fault_set(reterr, ST_BUSY,
			 "process %s is writing to '%s'; try again when it is done", pid,
			 path_base(folder).data);
}

status layout_lock(const char *folder, const char *name, bool wait, int *ret_fd,
		   struct fault *reterr)
{
	char path[FILE_PATH_BYTES], text[16];
	CLEANUP(fd_closep) int fd = -1;
	status st = path_join(path, folder, name, reterr);
	if (st == ST_OK)
		st = fd_open(path, O_RDWR | O_CREAT, 0644, &fd, reterr);
	if (st != ST_OK)
		return st;
	int failed;
	do
		failed = flock(fd, LOCK_EX | (wait ? 0 : LOCK_NB));
	while (failed != 0 && errno == EINTR);
	if (failed != 0 && errno == EWOULDBLOCK)
		return busy(fd, folder, reterr);
	if (failed != 0)
		return fault_errno(reterr, ST_IO, "cannot lock '%s'", path);
	/* Fifteen digits and spaces in one write: a reader never sees half a pid. */
	(void)snprintf(text, sizeof text, "%-14d\n", (int)getpid());
	st = fd_write_at(fd, 0, (struct span){text, strlen(text)}, reterr);
	if (st != ST_OK)
		return st;
	*ret_fd = fd;
	fd = -1;
	return ST_OK;
}

struct sweep {
	const char *kb;
	const struct layout *layout;
	uint32_t highest;
	bool any;
};

static bool is_named(const struct layout *l, uint32_t number)
{
	return number == l->current || number == l->previous || number == l->rebuild;
}

/* Renamed first, so that no reader opens a generation of which half is gone. */
static status generation_remove(const char *kb, uint32_t number, struct fault *reterr)
{
	char path[FILE_PATH_BYTES], gone[FILE_PATH_BYTES], name[32];
	(void)snprintf(name, sizeof name, "gone-%u", number);
	status st = layout_generation(path, kb, number, reterr);
	if (st == ST_OK)
		st = path_join(gone, kb, name, reterr);
	if (st == ST_OK)
		st = dir_remove(gone, reterr);
	if (st == ST_OK)
		st = file_rename(path, gone, reterr);
	if (st == ST_OK)
		st = dir_remove(gone, reterr);
	return st;
}

static bool is_remains(struct span name)
{
	bool temporary = name.bytes > 4 &&
			 span_equal(span_slice(name, name.bytes - 4, name.bytes), SPAN(".tmp"));
	return span_starts_with(name, SPAN("gone-")) ||
	       (temporary && span_starts_with(name, SPAN("current.")));
}

static status sweep_visit(void *context, const char *relative, bool is_folder, struct fault *reterr)
{
	struct sweep *s = context;
	char path[FILE_PATH_BYTES];
	uint32_t number = number_of(span_of(relative));
	if (is_folder && number != 0)
		return is_named(s->layout, number) ? ST_OK
						   : generation_remove(s->kb, number, reterr);
	if (!is_remains(span_of(relative)))
		return ST_OK;
	status st = path_join(path, s->kb, relative, reterr);
	if (st == ST_OK)
		st = is_folder ? dir_remove(path, reterr) : file_remove(path, reterr);
	return st;
}

status layout_sweep(const char *kb, const struct layout *layout, struct fault *reterr)
{
	struct sweep s = {.kb = kb, .layout = layout};
	return dir_walk(kb, false, sweep_visit, &s, reterr);
}

static status remains_visit(void *context, const char *relative, bool is_folder,
			    struct fault *reterr)
{
	(void)reterr;
	struct sweep *s = context;
	uint32_t number = number_of(span_of(relative));
	s->any |= is_folder && number != 0 ? !is_named(s->layout, number)
					   : is_remains(span_of(relative));
	return ST_OK;
}

status layout_has_remains(const char *kb, const struct layout *layout, bool *ret_any,
			  struct fault *reterr)
{
	struct sweep s = {.kb = kb, .layout = layout};
	status st = dir_walk(kb, false, remains_visit, &s, reterr);
	if (st == ST_OK)
		*ret_any = s.any;
	return st;
}

void layout_tidy(const char *kb, const struct layout *layout)
{
	status swept = layout_sweep(kb, layout, NULL);
	(void)swept;
}

void layout_discard(const char *folder)
{
	status removed = dir_remove(folder, NULL);
	(void)removed;
}

static status highest_visit(void *context, const char *relative, bool is_folder,
			    struct fault *reterr)
{
	(void)is_folder;
	(void)reterr;
	struct sweep *s = context;
	uint32_t number = number_of(span_of(relative));
	s->highest = number > s->highest ? number : s->highest;
	return ST_OK;
}

status layout_next(const char *kb, const struct layout *layout, uint32_t *ret_number,
		   struct fault *reterr)
{
	struct sweep s = {.kb = kb, .highest = layout->current};
	s.highest = layout->previous > s.highest ? layout->previous : s.highest;
	s.highest = layout->rebuild > s.highest ? layout->rebuild : s.highest;
	status st = dir_walk(kb, false, highest_visit, &s, reterr);
	if (st == ST_OK && s.highest == UINT32_MAX)
		st = fault_set(reterr, ST_LIMIT, "no generation number is left");
	if (st == ST_OK)
		*ret_number = s.highest + 1;
	return st;
}
