/* base/utf8.h -- reading and checking UTF-8 (RFC 3629: no overlong forms, no surrogates).
 *
 * Pure functions over spans; none allocates, none reads past the span. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

enum { UTF8_BYTES_MAX = 4 };
#define UTF8_REPLACEMENT ((uint32_t)0xFFFD)

/* Decode the code point at offset at (< s.bytes). Stores it in *ret_point and returns its length
 * in bytes; a malformed sequence gives UTF8_REPLACEMENT and length 1. */
size_t utf8_decode(struct span s, size_t at, uint32_t *ret_point);

/* Write point into out and return its length 1..4; an invalid point is written as U+FFFD. */
size_t utf8_encode(uint32_t point, char out[UTF8_BYTES_MAX]);

bool utf8_is_valid(struct span s);

/* The greatest offset <= at that does not cut a code point. */
size_t utf8_floor(struct span s, size_t at);

/* Code points in s; a malformed byte counts as one. */
size_t utf8_count(struct span s);

/* Offset in bytes of the code point number `index`; s.bytes when there are fewer. */
size_t utf8_offset(struct span s, size_t index);

/* Scripts that are written without spaces and are searched by pairs of characters. */
bool utf8_is_han(uint32_t point);             /* CJK ideographs, all extensions, 々 〇 */
bool utf8_is_unspaced_script(uint32_t point); /* Han, Hiragana, Katakana, Hangul, Bopomofo */

#endif
