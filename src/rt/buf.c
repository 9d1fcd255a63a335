#include "rt/buf.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/size.h"

enum { CAPACITY_FIRST = 64 };

void buf_init(struct buf *b, struct mem_scope *scope, size_t bytes_max)
{
	ASSERT(bytes_max < SIZE_MAX);
	*b = (struct buf){.scope = scope, .bytes_max = bytes_max, .refused = ST_OK};
}

void buf_fini(struct buf *b)
{
	mem_free(b->data);
	b->data = NULL;
	b->bytes = b->capacity = 0;
}

void buf_clear(struct buf *b)
{
	b->bytes = 0;
	b->refused = ST_OK;
	if (b->data != NULL)
		b->data[0] = '\0';
}

static bool resize(struct buf *b, size_t capacity)
{
	char *data = mem_resize_array(b->scope, char, b->data, capacity + 1);
	if (data == NULL)
		return false;
	b->data = data;
	b->capacity = capacity;
	return true;
}

/* Doubling first; when a line is near, exactly what is needed. */
static bool make_room(struct buf *b, size_t more)
{
	size_t need;
	if (b->refused != ST_OK)
		return false;
	if (!size_add(b->bytes, more, &need) || need > b->bytes_max) {
		b->refused = ST_LIMIT;
		return false;
	}
	if (b->data != NULL && need <= b->capacity)
		return true;
	size_t doubled = size_max(size_max(b->capacity, CAPACITY_FIRST / 2), need / 2) * 2;
	doubled = size_min(size_max(doubled, need), b->bytes_max);
	if (resize(b, doubled) || (need < doubled && resize(b, need)))
		return true;
	b->refused = mem_refusal();
	return false;
}

bool buf_add(struct buf *b, struct span s)
{
	if (!make_room(b, s.bytes))
		return false;
	if (s.bytes > 0)
		memcpy(b->data + b->bytes, s.data, s.bytes);
	b->bytes += s.bytes;
	b->data[b->bytes] = '\0';
	return true;
}

bool buf_add_byte(struct buf *b, char c)
{
	return buf_add(b, (struct span){&c, 1});
}

bool buf_add_text(struct buf *b, const char *text)
{
	return buf_add(b, span_of(text));
}

bool buf_vprintf(struct buf *b, const char *format, va_list args)
{
	va_list again;
	va_copy(again, args);
	size_t room = b->data != NULL ? b->capacity - b->bytes + 1 : 0;
	char *at = b->data != NULL ? b->data + b->bytes : NULL;
	bool done = b->refused == ST_OK;
	int n = done ? vsnprintf(at, room, format, args) : -1;
	ASSERT(n >= 0 || !done);
	if (done && (size_t)n >= room) {
		if (at != NULL)
			*at = '\0';
		done = make_room(b, (size_t)n);
		if (done)
			(void)vsnprintf(b->data + b->bytes, (size_t)n + 1, format, again);
	}
	if (done)
		b->bytes += (size_t)n;
	va_end(again);
	return done;
}

bool buf_printf(struct buf *b, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	bool done = buf_vprintf(b, format, args);
	va_end(args);
	return done;
}

bool buf_reserve(struct buf *b, size_t bytes, char **ret_room)
{
	if (!make_room(b, bytes))
		return false;
	*ret_room = b->data + b->bytes;
	return true;
}

void buf_commit(struct buf *b, size_t bytes)
{
	ASSERT(bytes <= b->capacity - b->bytes);
	b->bytes += bytes;
	if (b->data != NULL)
		b->data[b->bytes] = '\0';
}

void buf_consume(struct buf *b, size_t bytes)
{
	ASSERT(bytes <= b->bytes);
	if (bytes == 0)
		return;
	b->bytes -= bytes;
	memmove(b->data, b->data + bytes, b->bytes + 1);
}

void buf_truncate(struct buf *b, size_t bytes)
{
	ASSERT(bytes <= b->bytes);
	b->bytes = bytes;
	if (b->data != NULL)
		b->data[bytes] = '\0';
}

status buf_check(const struct buf *b, const char *what, struct fault *reterr)
{
	if (b->refused == ST_OK)
		return ST_OK;
	if (b->refused == ST_LIMIT)
		return fault_set(reterr, ST_LIMIT, "%s is larger than %zu bytes", what,
				 b->bytes_max);
	return fault_set(reterr, b->refused, "no memory for %s: %s", what, status_text(b->refused));
}
