#include "doc/doc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/size.h"
#include "doc/chunker.h"
#include "doc/format.h"
#include "doc/wire.h"
#include "doc/worker.h"
#include "mem/faults.h"
#include "rt/clock.h"
#include "rt/file.h"
#include "rt/process.h"

enum {
	POLL_MS = 20, /* how soon a cancel is seen */
	CPU_SECONDS_BASE = 8,
	CPU_BYTES_A_SECOND = 2 * 1024 * 1024, /* the slowest we put up with */
	IDLE_SECONDS_BASE = 60,
	NUMBER_BYTES = 24,
};

/* One parse, seen from the parent. */
struct run {
	const struct doc_options *options;
	struct span name; /* of the file, for passages without an id of their own */
	doc_chunk_fn *on_chunk;
	doc_text_fn *on_text;
	void *context;
	struct process process;
	struct wire_reader reader;
	uint32_t cpu_seconds;
	bool ended;
};

bool doc_is_supported(const char *name)
{
	return format_of_name(span_of(name)) != FORMAT_NONE;
}

/* Open for reading, and nothing but a regular file: a pipe or a device could block for ever. */
static status open_regular(const char *path, int *ret_fd, uint64_t *ret_bytes, struct fault *reterr)
{
	CLEANUP(fd_closep) int fd = -1;
	struct stat info;
	status st = fd_open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, &fd, reterr);
	if (st != ST_OK)
		return st;
	if (fstat(fd, &info) != 0)
		return fault_errno(reterr, ST_IO, "cannot look at '%s'", path);
	if (!S_ISREG(info.st_mode))
		return fault_set(reterr, ST_INVALID, "'%s' is not a regular file", path);
	*ret_bytes = (uint64_t)info.st_size;
	*ret_fd = fd;
	fd = -1;
	return ST_OK;
}

static status child_start(struct run *r, enum doc_format format, int fd, struct fault *reterr)
{
	const struct doc_options *o = r->options;
	uint32_t chars = o->chunk_chars != 0 ? o->chunk_chars : DOC_CHUNK_CHARS;
	uint32_t twice = chars <= CHUNKER_CHARS_MAX / 2 ? 2 * chars : CHUNKER_CHARS_MAX;
	uint32_t chars_max = o->chunk_chars_max != 0 ? o->chunk_chars_max : twice;
	uint64_t memory = o->memory_max != 0 ? o->memory_max : DOC_MEMORY_MAX;
	if (chars > chars_max || chars_max > CHUNKER_CHARS_MAX)
		return fault_set(reterr, ST_INVALID,
				 "chunks of %u characters, at most %u: the ceiling must be "
				 "the larger one and at most %d",
				 chars, chars_max, CHUNKER_CHARS_MAX);
	char texts[WORKER_ARGS][NUMBER_BYTES] = {{0}};
	(void)snprintf(texts[WORKER_ARG_FORMAT], NUMBER_BYTES, "%d", (int)format);
	(void)snprintf(texts[WORKER_ARG_CHARS], NUMBER_BYTES, "%u", chars);
	(void)snprintf(texts[WORKER_ARG_CHARS_MAX], NUMBER_BYTES, "%u", chars_max);
	(void)snprintf(texts[WORKER_ARG_MEMORY], NUMBER_BYTES, "%llu", (unsigned long long)memory);
	(void)snprintf(texts[WORKER_ARG_CPU], NUMBER_BYTES, "%u", r->cpu_seconds);
	const char *argv[WORKER_ARGS + 1] = {"plimsoll", WORKER_VERB};
	for (size_t i = WORKER_ARG_FORMAT; i < WORKER_ARGS; i++)
		argv[i] = texts[i];
	argv[WORKER_ARG_MODE] = r->on_text != NULL ? WORKER_MODE_TEXT : WORKER_MODE_CHUNKS;
	struct process_options process = {
		.argv = argv,
		.stdin_fd = fd,
		.pipe_stdout = true,
		.nice = 0,
	};
	return process_start(&process, &r->process, reterr);
}

/* Wait until the pipe has something to say; ST_CANCELLED, or ST_LIMIT when the child only sits. */
static status child_await(struct run *r, struct fault *reterr)
{
	uint64_t limit_ms = clock_ms() + 1000u * (IDLE_SECONDS_BASE + 4ull * r->cpu_seconds);
	for (;;) {
		if (cancel_is_set(r->options->cancel))
			return fault_set(reterr, ST_CANCELLED, "cancelled");
		struct pollfd wait = {.fd = r->process.stdout_fd, .events = POLLIN};
		int ready = poll(&wait, 1, POLL_MS);
		if (ready > 0)
			return ST_OK;
		if (ready < 0 && errno != EINTR)
			return fault_errno(reterr, ST_IO, "cannot wait for the parser");
		if (clock_ms() > limit_ms)
			return fault_set(reterr, ST_LIMIT,
					 "the parser made no progress for too long");
	}
}

static status frame_handle(struct run *r, struct wire_frame *frame, struct fault *reterr)
{
	if (r->ended)
		return fault_set(reterr, ST_INVALID,
				 "the parser of this file misbehaved and was stopped: "
				 "it went on after its end");
	switch (frame->kind) {
	case WIRE_CHUNK:
		if (r->on_chunk == NULL)
			break;
		if (frame->chunk.doc_id.bytes == 0)
			frame->chunk.doc_id = r->name;
		return r->on_chunk(r->context, &frame->chunk, reterr);
	case WIRE_TEXT:
		if (r->on_text == NULL)
			break;
		return r->on_text(r->context, frame->text, reterr);
	case WIRE_FAULT:
		r->ended = true;
		if (reterr != NULL)
			*reterr = frame->fault;
		return frame->fault.code;
	case WIRE_END:
		r->ended = true;
		return ST_OK;
	}
	return fault_set(reterr, ST_INVALID,
			 "the parser of this file misbehaved and was stopped: "
			 "it said what was not asked");
}

/* All frames that are complete. */
static status frames_handle(struct run *r, struct fault *reterr)
{
	for (;;) {
		struct wire_frame frame = {0};
		bool found;
		status st = wire_next(&r->reader, &found, &frame, reterr);
		if (st != ST_OK || !found)
			return st;
		st = frame_handle(r, &frame, reterr);
		if (st != ST_OK)
			return st;
		if (cancel_is_set(r->options->cancel))
			return fault_set(reterr, ST_CANCELLED, "cancelled");
	}
}

/* Not fd_read(): that would wait until the buffer is full. */
static ssize_t pipe_read(int fd, char *to, size_t room)
{
	if (mem_fault_hit(MEM_FAULT_IO)) {
		errno = EIO;
		return -1;
	}
	return read(fd, to, room);
}

static status frames_read(struct run *r, struct fault *reterr)
{
	for (;;) {
		status st = child_await(r, reterr);
		if (st != ST_OK)
			return st;
		size_t room;
		char *to = wire_room(&r->reader, &room);
		ssize_t got = pipe_read(r->process.stdout_fd, to, room);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fault_errno(reterr, ST_IO, "cannot read from the parser");
		if (got == 0)
			return ST_OK;
		wire_filled(&r->reader, (size_t)got);
		st = frames_handle(r, reterr);
		if (st != ST_OK)
			return st;
	}
}

/* The child is gone without having said how it went. */
static status explain_death(const struct run *r, int code, struct fault *reterr)
{
	switch (code - 128) {
	case SIGXCPU:
		return fault_set(reterr, ST_LIMIT, "parsing takes more than %u s of processor time",
				 r->cpu_seconds);
	case SIGKILL:
		return fault_set(reterr, ST_LIMIT,
				 "the parser was killed: out of memory or of processor time");
	case SIGSYS:
		return fault_set(reterr, ST_INVALID,
				 "the parser tried what its sandbox forbids and was stopped");
	default:
		if (code > 128)
			return fault_set(reterr, ST_INVALID,
					 "the parser crashed on this file (signal %d)", code - 128);
		return fault_set(reterr, ST_IO,
				 "the parser did not start or broke off (exit code %d)", code);
	}
}

static status run_child(struct run *r, struct fault *reterr)
{
	status st = frames_read(r, reterr);
	int code = 0;
	/* One that ended its output may still sit there; one that died without a word is explained.
	 */
	if (st != ST_OK || r->ended)
		(void)kill(r->process.pid, SIGKILL);
	bool silent = st == ST_OK && !r->ended;
	status waited = process_wait(&r->process, &code, st == ST_OK ? reterr : NULL);
	if (silent && waited == ST_OK)
		st = explain_death(r, code, reterr);
	process_end(&r->process, true);
	return st != ST_OK ? st : waited;
}

static status doc_run(struct mem_scope *scratch, const char *path, struct run *r,
		      struct fault *reterr)
{
	static const struct doc_options defaults = {0};
	if (r->options == NULL)
		r->options = &defaults;
	enum doc_format format = format_of_name(r->name);
	if (format == FORMAT_NONE)
		return fault_set(reterr, ST_UNSUPPORTED,
				 "the format of '%.100s' is not supported (supported: txt, log, "
				 "md, html, csv, "
				 "tsv, json, jsonl)",
				 path_base(r->name.data).data);
	CLEANUP(fd_closep) int fd = -1;
	uint64_t bytes = 0;
	status st = open_regular(path, &fd, &bytes, reterr);
	if (st != ST_OK)
		return st;
	uint64_t cpu = CPU_SECONDS_BASE + bytes / CPU_BYTES_A_SECOND;
	r->cpu_seconds = r->options->cpu_seconds_max != 0 ? r->options->cpu_seconds_max
							  : (uint32_t)(cpu < 86400 ? cpu : 86400);
	struct mem_scope *scope = mem_scope_open(scratch, "doc", 0);
	if (scope == NULL)
		return fault_set(reterr, mem_refusal(), "no memory to parse '%.100s'",
				 r->name.data);
	st = wire_reader_init(&r->reader, scope, reterr);
	if (st == ST_OK)
		st = child_start(r, format, fd, reterr);
	if (st == ST_OK)
		st = run_child(r, reterr);
	mem_scope_close(scope);
	return st;
}

status doc_parse(struct mem_scope *scratch, const char *path, const char *name,
		 const struct doc_options *options, doc_chunk_fn *visit, void *context,
		 struct fault *reterr)
{
	struct run r = {
		.options = options, .name = span_of(name), .on_chunk = visit, .context = context};
	return doc_run(scratch, path, &r, reterr);
}

status doc_text(struct mem_scope *scratch, const char *path, const char *name,
		const struct doc_options *options, doc_text_fn *visit, void *context,
		struct fault *reterr)
{
	struct run r = {
		.options = options, .name = span_of(name), .on_text = visit, .context = context};
	return doc_run(scratch, path, &r, reterr);
}
