/* rt/buf.h -- a byte buffer that grows up to a ceiling given to its constructor.
 *
 *     struct buf b;
 *     buf_init(&b, scope, 64 * KIB);
 *     buf_add(&b, SPAN("hello "));
 *     buf_printf(&b, "%d", 42);
 *     if (b.refused != ST_OK) ...            one check at the end; adds after a refusal do nothing
 *     use(buf_span(&b));
 *     buf_fini(&b);                          optional: the scope frees it as well
 *
 * Invariants  bytes <= capacity <= bytes_max; data is NUL-terminated after every successful add
 *             (the terminator is not counted). refused sticks: ST_LIMIT at the ceiling, or why mem/
 *             said no; the content is then what it was before the refused add.
 * Threads     One at a time. */
#ifndef RT_BUF_H
#define RT_BUF_H

#include <stdarg.h>
#include <stdbool.h>

#include "base/span.h"
#include "base/status.h"
#include "mem/scope.h"

struct buf {
	struct mem_scope *scope;
	char *data; /* NULL while empty and never grown */
	size_t bytes, capacity, bytes_max;
	status refused;
};

void buf_init(struct buf *b, struct mem_scope *scope, size_t bytes_max);
void buf_fini(struct buf *b);  /* frees, and may be called twice */
void buf_clear(struct buf *b); /* keeps the storage, forgets content and refusal */

bool buf_add(struct buf *b, struct span s);
bool buf_add_byte(struct buf *b, char c);
bool buf_add_text(struct buf *b, const char *text);
bool buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool buf_vprintf(struct buf *b, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));
/* Room for at least `bytes` more; *ret_room points to it. Follow with buf_commit(). */
bool buf_reserve(struct buf *b, size_t bytes, char **ret_room);
void buf_commit(struct buf *b, size_t bytes);
/* Drop the first `bytes` (<= b->bytes): for streams. */
void buf_consume(struct buf *b, size_t bytes);
void buf_truncate(struct buf *b, size_t bytes);

static inline struct span buf_span(const struct buf *b)
{
	return (struct span){b->data != NULL ? b->data : "", b->bytes};
}

/* ST_OK, or the refusal written into reterr as "WHAT is larger than N bytes" and the like. */
MUST_CHECK status buf_check(const struct buf *b, const char *what, struct fault *reterr);

#endif
