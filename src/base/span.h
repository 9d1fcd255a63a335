/* base/span.h -- a view of bytes that somebody else owns.
 *
 * A span is not terminated and may hold NUL bytes. It never outlives what it points into.
 * SPAN("literal") makes one from a string literal, span_of(cstr) from a terminated string. */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct span {
	const char *data; /* may be NULL when bytes is 0 */
	size_t bytes;
};

#define SPAN(literal) ((struct span){"" literal, sizeof(literal) - 1})
/* For printf("%.*s", SPAN_ARG(s)). */
#define SPAN_ARG(s) (int)(s).bytes, (s).data

static inline struct span span_of(const char *text)
{
	return (struct span){text, text != NULL ? strlen(text) : 0};
}

static inline bool span_equal(struct span a, struct span b)
{
	return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.data, b.data, a.bytes) == 0);
}

/* The part from `from` up to, not including, `to`; both are clamped to the span. */
static inline struct span span_slice(struct span s, size_t from, size_t to)
{
	if (to > s.bytes)
		to = s.bytes;
	if (from >= to)
		return (struct span){
			s.data != NULL ? s.data + (from < s.bytes ? from : s.bytes) : NULL, 0};
	return (struct span){s.data + from, to - from};
}

static inline bool span_starts_with(struct span s, struct span prefix)
{
	return s.bytes >= prefix.bytes && span_equal(span_slice(s, 0, prefix.bytes), prefix);
}

/* White space (space, tab, CR, LF, FF, VT) taken off both ends. */
static inline struct span span_trim(struct span s)
{
	while (s.bytes > 0 && strchr(" \t\r\n\f\v", s.data[0]) != NULL && s.data[0] != '\0')
		s.data++, s.bytes--;
	while (s.bytes > 0 && s.data[s.bytes - 1] != '\0' &&
	       strchr(" \t\r\n\f\v", s.data[s.bytes - 1]) != NULL)
		s.bytes--;
	return s;
}

#endif
