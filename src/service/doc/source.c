#include "doc/source.h"

#include "base/assert.h"
#include "rt/file.h"

enum { CARRY_BYTES = 16, OUT_BYTES = 3 * CHARSET_HEAD_BYTES + 64 };

struct source {
	struct mem_scope *scope;
	struct charset_tables tables;
	struct charset charset;
	char *in;               /* CHARSET_HEAD_BYTES + CARRY_BYTES */
	char *out;              /* OUT_BYTES, made when a piece needs conversion */
	size_t in_at, in_bytes; /* what lies in `in` and is not handed out */
	int fd;
	bool ended, finished;
	uint64_t file_at;
};

static status source_fill(struct source *s, struct fault *reterr)
{
	memmove(s->in, s->in + s->in_at, s->in_bytes - s->in_at);
	s->in_bytes -= s->in_at;
	s->in_at = 0;
	if (s->ended || s->in_bytes > CARRY_BYTES)
		return ST_OK;
	size_t bytes;
	status st = fd_read(s->fd, s->in + s->in_bytes, CHARSET_HEAD_BYTES, &bytes, reterr);
	if (st != ST_OK)
		return st;
	s->in_bytes += bytes;
	s->file_at += bytes;
	s->ended = bytes < CHARSET_HEAD_BYTES;
	return ST_OK;
}

status source_open(struct mem_scope *parent, int fd, struct source **ret_source,
		   struct fault *reterr)
{
	struct mem_scope *scope = mem_scope_open(parent, "source", 0);
	if (scope == NULL)
		return fault_set(reterr, mem_refusal(), "no memory to read the file");
	status st = ST_OOM;
	struct source *s = mem_new(scope, struct source);
	char *in = s != NULL ? mem_new_array(scope, char, CHARSET_HEAD_BYTES + CARRY_BYTES) : NULL;
	if (in == NULL) {
		st = fault_set(reterr, mem_refusal(), "no memory to read the file");
		goto fail;
	}
	s->scope = scope;
	s->in = in;
	s->fd = fd;
	st = source_fill(s, reterr);
	if (st != ST_OK)
		goto fail;
	charset_preload(&s->tables, (struct span){s->in, s->in_bytes});
	*ret_source = s;
	return ST_OK;
fail:
	mem_scope_close(scope);
	return st;
}

void source_close(struct source *s)
{
	if (s == NULL)
		return;
	charset_unload(&s->tables);
	mem_scope_close(s->scope);
}

status source_detect(struct source *s, enum doc_format format, struct fault *reterr)
{
	struct span head = {s->in, s->in_bytes};
	status st = format_check(head, reterr);
	if (st == ST_OK)
		st = charset_detect(&s->tables, head, s->ended, format == FORMAT_HTML, &s->charset,
				    reterr);
	if (st == ST_OK)
		s->in_at = s->charset.mark_bytes;
	return st;
}

size_t source_mark_bytes(const struct source *s)
{
	return s->charset.kind == CHARSET_UTF8 ? s->charset.mark_bytes : 0;
}

status source_next(struct source *s, struct span *ret_piece, struct fault *reterr)
{
	struct span piece = {"", 0};
	while (piece.bytes == 0) {
		status st = source_fill(s, reterr);
		if (st != ST_OK)
			return st;
		/* Once more with nothing, for what a converter may hold back. */
		if (s->in_bytes == 0 && (s->finished || s->charset.kind != CHARSET_TABLE))
			break;
		s->finished = s->in_bytes == 0;
		struct span in = {s->in, s->in_bytes};
		size_t used;
		if (s->charset.kind == CHARSET_UTF8 && charset_is_clean(in, s->ended, &used)) {
			piece = (struct span){s->in, used};
		} else {
			if (s->out == NULL)
				s->out = mem_new_array(s->scope, char, OUT_BYTES);
			if (s->out == NULL)
				return fault_set(reterr, mem_refusal(),
						 "no memory to convert the text");
			size_t bytes = charset_convert(&s->charset, &s->tables, in, s->ended,
						       s->out, OUT_BYTES, &used);
			piece = (struct span){s->out, bytes};
		}
		/* A file that ends ran dry, or every byte of a step was used but a few. */
		ASSERT(used > 0 || s->finished || (!s->ended && in.bytes <= CARRY_BYTES));
		s->in_at = used;
	}
	*ret_piece = piece;
	return ST_OK;
}

const uint64_t *source_file_at(const struct source *s)
{
	return &s->file_at;
}
