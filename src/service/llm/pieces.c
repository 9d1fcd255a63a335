#include "llm/pieces.h"

#include "base/size.h"
#include "base/utf8.h"

status pieces_init(struct pieces *p, struct mem_scope *scope, const struct llm_request *request,
		   size_t text_bytes_max, struct fault *reterr)
{
	if (request->stop_count > LLM_STOPS_MAX)
		return fault_set(reterr, ST_INVALID,
				 "%zu stop strings were given; at most %d are read",
				 request->stop_count, LLM_STOPS_MAX);
	for (size_t i = 0; i < request->stop_count; i++) {
		size_t bytes = request->stop[i].bytes;
		if (bytes < 1 || bytes > PIECES_STOP_BYTES_MAX)
			return fault_set(reterr, ST_INVALID,
					 "stop string %zu has %zu bytes; it can have 1 to %d",
					 i + 1, bytes, PIECES_STOP_BYTES_MAX);
	}
	p->stop = request->stop;
	p->stop_count = request->stop_count;
	buf_init(&p->held, scope, PIECES_HELD_BYTES_MAX);
	buf_init(&p->text, scope, text_bytes_max);
	return ST_OK;
}

/* Where the earliest stop string begins in s; s.bytes when there is none. */
static size_t stop_find(const struct pieces *p, struct span s)
{
	size_t first = s.bytes;
	for (size_t i = 0; i < p->stop_count && s.bytes > 0; i++) {
		const char *hit = memmem(s.data, s.bytes, p->stop[i].data, p->stop[i].bytes);
		if (hit != NULL && (size_t)(hit - s.data) < first)
			first = (size_t)(hit - s.data);
	}
	return first;
}

/* Where a suffix of s begins that could still become a stop string; s.bytes when there is none. */
static size_t stop_may_begin(const struct pieces *p, struct span s)
{
	size_t first = s.bytes;
	for (size_t i = 0; i < p->stop_count; i++) {
		size_t longest = p->stop[i].bytes - 1;
		size_t at = s.bytes > longest ? s.bytes - longest : 0;
		for (; at < first; at++) {
			if (memcmp(s.data + at, p->stop[i].data, s.bytes - at) == 0)
				first = at;
		}
	}
	return first;
}

/* How many bytes the code point takes that begins with this byte; 1 for a malformed one. */
static size_t point_bytes(unsigned char lead)
{
	if (lead >= 0xC2 && lead <= 0xDF)
		return 2;
	if (lead >= 0xE0 && lead <= 0xEF)
		return 3;
	return lead >= 0xF0 && lead <= 0xF4 ? 4 : 1;
}

/* Where half a code point begins at the end of s; s.bytes when s ends with a whole one. */
static size_t half_point_begins(struct span s)
{
	for (size_t back = 1; back < UTF8_BYTES_MAX && back <= s.bytes; back++) {
		unsigned char c = (unsigned char)s.data[s.bytes - back];
		if ((c & 0xC0) != 0x80)
			return point_bytes(c) > back ? s.bytes - back : s.bytes;
	}
	return s.bytes;
}

bool pieces_clean(struct span s, struct buf *out)
{
	size_t good = 0;
	for (size_t at = 0; at < s.bytes;) {
		uint32_t point;
		size_t length = utf8_decode(s, at, &point);
		if (point == UTF8_REPLACEMENT && length == 1) {
			buf_add(out, span_slice(s, good, at));
			buf_add(out, SPAN("\xEF\xBF\xBD"));
			good = at + 1;
		}
		at += length;
	}
	return buf_add(out, span_slice(s, good, s.bytes));
}

/* Move the first `bytes` held ones to the text. */
static status release(struct pieces *p, size_t bytes, struct fault *reterr)
{
	(void)pieces_clean(span_slice(buf_span(&p->held), 0, bytes), &p->text);
	buf_consume(&p->held, bytes);
	return buf_check(&p->text, "the generated text", reterr);
}

status pieces_add(struct pieces *p, struct span bytes, bool *ret_stopped, struct fault *reterr)
{
	buf_add(&p->held, bytes);
	status st = buf_check(&p->held, "a piece of the generated text", reterr);
	if (st != ST_OK)
		return st;
	struct span held = buf_span(&p->held);
	size_t stop = stop_find(p, held);
	if (stop < held.bytes) {
		buf_truncate(&p->held, stop);
		st = pieces_end(p, reterr);
		if (st == ST_OK)
			*ret_stopped = true;
		return st;
	}
	size_t sure = size_min(stop_may_begin(p, held), half_point_begins(held));
	st = release(p, sure, reterr);
	if (st == ST_OK)
		*ret_stopped = false;
	return st;
}

status pieces_end(struct pieces *p, struct fault *reterr)
{
	status st = release(p, half_point_begins(buf_span(&p->held)), reterr);
	buf_clear(&p->held);
	return st;
}
