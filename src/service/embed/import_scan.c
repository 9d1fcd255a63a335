#include "embed/import_scan.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/utf8.h"

enum { NUMBER_BYTES_MAX = 63 };

char scan_peek(struct scan *s)
{
	while (s->at < s->text.bytes && strchr(" \t\r\n", s->text.data[s->at]) != NULL &&
	       s->text.data[s->at] != '\0')
		s->at++;
	if (s->at == s->text.bytes)
		s->bad = true;
	return s->bad ? '\0' : s->text.data[s->at];
}

static bool expect(struct scan *s, char c)
{
	if (scan_peek(s) != c)
		s->bad = true;
	if (!s->bad)
		s->at++;
	return !s->bad;
}

bool scan_open(struct scan *s, char open)
{
	char close = open == '{' ? '}' : ']';
	if (!expect(s, open))
		return false;
	if (scan_peek(s) != close)
		return !s->bad;
	s->at++;
	return false;
}

bool scan_next(struct scan *s, char close)
{
	if (scan_peek(s) == ',') {
		s->at++;
		return !s->bad;
	}
	(void)expect(s, close);
	return false;
}

void scan_colon(struct scan *s)
{
	(void)expect(s, ':');
}

/* The raw text between the quotes. */
static struct span raw_string(struct scan *s, bool *ret_escaped)
{
	*ret_escaped = false;
	if (!expect(s, '"'))
		return (struct span){NULL, 0};
	size_t from = s->at;
	for (; s->at < s->text.bytes; s->at++) {
		char c = s->text.data[s->at];
		if (c == '"')
			return span_slice(s->text, from, s->at++);
		if (c == '\\') {
			*ret_escaped = true;
			s->at++;
		}
	}
	s->at = s->text.bytes; /* an escape may have stepped over the end */
	s->bad = true;
	return (struct span){NULL, 0};
}

/* Four hex digits; -1 when they are none. */
static long hex4(struct span text, size_t at)
{
	long value = 0;
	for (size_t i = at; i < at + 4; i++) {
		char c = i < text.bytes ? text.data[i] : '\0';
		if (c >= '0' && c <= '9')
			value = value * 16 + (c - '0');
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			value = value * 16 + ((c | 32) - 'a' + 10);
		else
			return -1;
	}
	return value;
}

/* \uXXXX at raw[*at] (behind the 'u'), a pair of surrogates as one; *at moves behind it. */
static long unicode_escape(struct span raw, size_t *at)
{
	long point = hex4(raw, *at);
	*at += 4;
	if (point >= 0xd800 && point < 0xdc00 && *at + 6 <= raw.bytes && raw.data[*at] == '\\' &&
	    raw.data[*at + 1] == 'u') {
		long low = hex4(raw, *at + 2);
		if (low >= 0xdc00 && low < 0xe000) {
			*at += 6;
			return 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
		}
	}
	return point;
}

struct span scan_string(struct scan *s, struct mem_scope *scope)
{
	static const char codes[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
	bool escaped;
	struct span raw = raw_string(s, &escaped);
	if (s->bad || !escaped)
		return raw;
	char *copy = mem_copy_text(scope, raw);
	size_t bytes = 0;
	for (size_t i = 0; copy != NULL && i < raw.bytes;) {
		if (raw.data[i] != '\\') {
			copy[bytes++] = raw.data[i++];
			continue;
		}
		char code = raw.data[i + 1]; /* raw_string() saw to it that there is one */
		const char *known = code != '\0' ? strchr(codes, code) : NULL;
		i += 2;
		if (known != NULL) {
			copy[bytes++] = meanings[known - codes];
			continue;
		}
		long point = code == 'u' ? unicode_escape(raw, &i) : -1;
		if (point < 0 || i > raw.bytes) {
			s->bad = true;
			break;
		}
		bytes += utf8_encode((uint32_t)point, copy + bytes);
	}
	if (copy == NULL)
		s->bad = true;
	return (struct span){copy, bytes};
}

double scan_number(struct scan *s)
{
	char digits[NUMBER_BYTES_MAX + 1], *end;
	size_t count = 0;
	(void)scan_peek(s);
	while (!s->bad && s->at < s->text.bytes && count < NUMBER_BYTES_MAX &&
	       strchr("+-0123456789.eE", s->text.data[s->at]) != NULL &&
	       s->text.data[s->at] != '\0')
		digits[count++] = s->text.data[s->at++];
	digits[count] = '\0';
	double value = strtod(digits, &end);
	if (count == 0 || *end != '\0')
		s->bad = true;
	return value;
}

struct span scan_skip(struct scan *s)
{
	(void)scan_peek(s);
	size_t from = s->at, depth = 0;
	bool escaped;
	do {
		char c = scan_peek(s);
		if (s->bad)
			break;
		if (c == '"') {
			(void)raw_string(s, &escaped);
			continue;
		}
		s->at++;
		if (c == '{' || c == '[')
			depth++;
		else if ((c == '}' || c == ']') && depth == 0)
			s->bad = true;
		else if (c == '}' || c == ']')
			depth--;
		else if (strchr(",:", c) == NULL) /* a number or a word: to its end */
			while (s->at < s->text.bytes &&
			       strchr(",:]} \t\r\n", s->text.data[s->at]) == NULL)
				s->at++;
	} while (!s->bad && depth > 0);
	return s->bad ? (struct span){NULL, 0} : span_slice(s->text, from, s->at);
}
