#include "doc/wire.h"

#include "base/assert.h"
#include "base/size.h"
#include "base/utf8.h"
#include "rt/file.h"

enum { BUFFER_BYTES = WIRE_FRAME_BYTES + sizeof(struct wire_head) };

/* ---- child ---- */

status wire_writer_init(struct wire_writer *w, struct mem_scope *scope, int fd,
			struct fault *reterr)
{
	*w = (struct wire_writer){.fd = fd, .data = mem_new_array(scope, char, BUFFER_BYTES)};
	if (w->data == NULL)
		return fault_set(reterr, mem_refusal(), "no memory to report");
	return ST_OK;
}

status wire_flush(struct wire_writer *w, struct fault *reterr)
{
	status st = fd_write(w->fd, (struct span){w->data, w->bytes}, reterr);
	w->bytes = 0;
	return st;
}

static void put(struct wire_writer *w, const void *data, size_t bytes)
{
	if (bytes > 0)
		memcpy(w->data + w->bytes, data, bytes);
	w->bytes += bytes;
}

/* Room for a frame, and its head. */
static status frame_begin(struct wire_writer *w, enum wire_kind kind, size_t bytes,
			  struct fault *reterr)
{
	ASSERT(bytes <= WIRE_FRAME_BYTES);
	struct wire_head head = {kind, (uint32_t)bytes};
	status st = ST_OK;
	if (w->bytes + sizeof(head) + bytes > BUFFER_BYTES)
		st = wire_flush(w, reterr);
	if (st == ST_OK)
		put(w, &head, sizeof(head));
	return st;
}

status wire_write_chunk(struct wire_writer *w, const struct doc_chunk *chunk, struct fault *reterr)
{
	struct wire_chunk fixed = {
		.start = chunk->start,
		.end = chunk->end,
		.file_at = chunk->file_at,
		.page = chunk->page,
		.doc_id_bytes = (uint32_t)chunk->doc_id.bytes,
		.title_bytes = (uint32_t)chunk->title.bytes,
		.heading_bytes = (uint32_t)chunk->heading.bytes,
		.context_bytes = (uint32_t)chunk->context.bytes,
		.text_bytes = (uint32_t)chunk->text.bytes,
	};
	const struct span parts[] = {chunk->doc_id, chunk->title, chunk->heading, chunk->context,
				     chunk->text};
	size_t bytes = sizeof(fixed);
	for (size_t i = 0; i < ARRAY_COUNT(parts); i++)
		bytes += parts[i].bytes;
	status st = frame_begin(w, WIRE_CHUNK, bytes, reterr);
	if (st != ST_OK)
		return st;
	put(w, &fixed, sizeof(fixed));
	for (size_t i = 0; i < ARRAY_COUNT(parts); i++)
		put(w, parts[i].data, parts[i].bytes);
	w->chunks++;
	return ST_OK;
}

status wire_write_text(struct wire_writer *w, struct span text, struct fault *reterr)
{
	while (text.bytes > 0) {
		size_t bytes = text.bytes > WIRE_TEXT_BYTES ? utf8_floor(text, WIRE_TEXT_BYTES)
							    : text.bytes;
		status st = frame_begin(w, WIRE_TEXT, bytes, reterr);
		if (st != ST_OK)
			return st;
		put(w, text.data, bytes);
		text = span_slice(text, bytes, text.bytes);
	}
	return ST_OK;
}

status wire_write_fault(struct wire_writer *w, const struct fault *fault, struct fault *reterr)
{
	struct span text = span_of(fault_text(fault));
	uint32_t code = fault->code;
	status st = frame_begin(w, WIRE_FAULT, sizeof(code) + text.bytes, reterr);
	if (st != ST_OK)
		return st;
	put(w, &code, sizeof(code));
	put(w, text.data, text.bytes);
	return wire_flush(w, reterr);
}

status wire_write_end(struct wire_writer *w, struct fault *reterr)
{
	status st = frame_begin(w, WIRE_END, sizeof(w->chunks), reterr);
	if (st != ST_OK)
		return st;
	put(w, &w->chunks, sizeof(w->chunks));
	return wire_flush(w, reterr);
}

/* ---- parent ---- */

status wire_reader_init(struct wire_reader *r, struct mem_scope *scope, struct fault *reterr)
{
	*r = (struct wire_reader){.data = mem_new_array(scope, char, BUFFER_BYTES)};
	if (r->data == NULL)
		return fault_set(reterr, mem_refusal(), "no memory to read from the parser");
	return ST_OK;
}

char *wire_room(struct wire_reader *r, size_t *ret_bytes)
{
	if (r->at > 0) {
		memmove(r->data, r->data + r->at, r->bytes - r->at);
		r->bytes -= r->at;
		r->at = 0;
	}
	*ret_bytes = BUFFER_BYTES - r->bytes;
	return r->data + r->bytes;
}

void wire_filled(struct wire_reader *r, size_t bytes)
{
	ASSERT(bytes <= BUFFER_BYTES - r->bytes);
	r->bytes += bytes;
}

/* UTF-8 without control characters other than white space. */
static bool is_clean(struct span s)
{
	for (size_t i = 0; i < s.bytes; i++) {
		unsigned char c = (unsigned char)s.data[i];
		if ((c < 0x20 && !(c >= '\t' && c <= '\r')) || c == 0x7F)
			return false;
	}
	return utf8_is_valid(s);
}

static status nonsense(struct fault *reterr, const char *what)
{
	return fault_set(reterr, ST_INVALID,
			 "the parser of this file misbehaved and was stopped: %s", what);
}

/* The next `bytes` of the payload as a label or text. */
static bool part_take(struct span *payload, uint32_t bytes, size_t bytes_max, struct span *ret)
{
	if (bytes > bytes_max || bytes > payload->bytes)
		return false;
	*ret = span_slice(*payload, 0, bytes);
	*payload = span_slice(*payload, bytes, payload->bytes);
	return is_clean(*ret);
}

static bool offsets_are_sound(const struct wire_reader *r, const struct wire_chunk *fixed,
			      struct span doc_id)
{
	bool same = span_equal(doc_id, (struct span){r->doc_id, r->doc_id_bytes}) && r->chunks > 0;
	return fixed->start <= fixed->end && fixed->file_at >= r->file_at &&
	       (!same || (fixed->start >= r->start && fixed->end >= r->end));
}

static status chunk_read(struct wire_reader *r, struct span payload, struct doc_chunk *ret_chunk,
			 struct fault *reterr)
{
	struct wire_chunk fixed;
	if (payload.bytes < sizeof(fixed))
		return nonsense(reterr, "a short passage");
	memcpy(&fixed, payload.data, sizeof(fixed));
	payload = span_slice(payload, sizeof(fixed), payload.bytes);
	struct doc_chunk chunk = {.page = fixed.page,
				  .start = fixed.start,
				  .end = fixed.end,
				  .file_at = fixed.file_at};
	if (!part_take(&payload, fixed.doc_id_bytes, WIRE_LABEL_BYTES, &chunk.doc_id) ||
	    !part_take(&payload, fixed.title_bytes, WIRE_LABEL_BYTES, &chunk.title) ||
	    !part_take(&payload, fixed.heading_bytes, WIRE_LABEL_BYTES, &chunk.heading) ||
	    !part_take(&payload, fixed.context_bytes, WIRE_LABEL_BYTES, &chunk.context) ||
	    !part_take(&payload, fixed.text_bytes, WIRE_TEXT_BYTES, &chunk.text) ||
	    payload.bytes != 0 || chunk.text.bytes == 0)
		return nonsense(reterr, "a passage that is no clean text");
	if (!offsets_are_sound(r, &fixed, chunk.doc_id))
		return nonsense(reterr, "offsets that go backwards");
	r->start = fixed.start;
	r->end = fixed.end;
	r->file_at = fixed.file_at;
	memcpy(r->doc_id, chunk.doc_id.data, chunk.doc_id.bytes);
	r->doc_id_bytes = chunk.doc_id.bytes;
	r->chunks++;
	*ret_chunk = chunk;
	return ST_OK;
}

static status fault_read(struct span payload, struct fault *ret_fault, struct fault *reterr)
{
	uint32_t code;
	if (payload.bytes < sizeof(code))
		return nonsense(reterr, "a short fault");
	memcpy(&code, payload.data, sizeof(code));
	struct span text = span_slice(payload, sizeof(code), payload.bytes);
	bool known =
		code == ST_UNSUPPORTED || code == ST_INVALID || code == ST_LIMIT || code == ST_IO;
	if (!known || !is_clean(text) || text.bytes >= FAULT_TEXT_BYTES)
		return nonsense(reterr, "an unknown fault");
	fault_set(ret_fault, (status)code, "%.*s", SPAN_ARG(text));
	return ST_OK;
}

static status frame_read(struct wire_reader *r, uint32_t kind, struct span payload,
			 struct wire_frame *ret_frame, struct fault *reterr)
{
	uint64_t chunks;
	ret_frame->kind = (enum wire_kind)kind;
	switch (kind) {
	case WIRE_CHUNK:
		return chunk_read(r, payload, &ret_frame->chunk, reterr);
	case WIRE_TEXT:
		ret_frame->text = payload;
		return is_clean(payload) ? ST_OK : nonsense(reterr, "text that is not clean");
	case WIRE_FAULT:
		return fault_read(payload, &ret_frame->fault, reterr);
	case WIRE_END:
		if (payload.bytes == sizeof(chunks)) {
			memcpy(&chunks, payload.data, sizeof(chunks));
			if (chunks == r->chunks)
				return ST_OK;
		}
		return nonsense(reterr, "a wrong count");
	default:
		return nonsense(reterr, "an unknown frame");
	}
}

status wire_next(struct wire_reader *r, bool *ret_found, struct wire_frame *ret_frame,
		 struct fault *reterr)
{
	struct wire_head head;
	*ret_found = false;
	if (r->bytes - r->at < sizeof(head))
		return ST_OK;
	memcpy(&head, r->data + r->at, sizeof(head));
	if (head.bytes > WIRE_FRAME_BYTES)
		return nonsense(reterr, "a frame larger than its ceiling");
	if (r->bytes - r->at < sizeof(head) + head.bytes)
		return ST_OK;
	struct span payload = {r->data + r->at + sizeof(head), head.bytes};
	r->at += sizeof(head) + head.bytes;
	*ret_found = true;
	return frame_read(r, head.kind, payload, ret_frame, reterr);
}
