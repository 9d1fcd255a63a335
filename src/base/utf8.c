#include "base/utf8.h"

#include "base/assert.h"

static bool is_continuation(unsigned char byte)
{
	return (byte & 0xC0) == 0x80;
}

size_t utf8_decode(struct span s, size_t at, uint32_t *ret_point)
{
	ASSERT(at < s.bytes);
	const unsigned char *p = (const unsigned char *)s.data + at;
	size_t left = s.bytes - at;
	if (p[0] < 0x80) {
		*ret_point = p[0];
		return 1;
	}
	*ret_point = UTF8_REPLACEMENT;
	size_t length = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
	if (p[0] < 0xC2 || p[0] > 0xF4 || left < length)
		return 1;
	uint32_t point = p[0] & (0xFFu >> (length + 1));
	for (size_t i = 1; i < length; i++) {
		if (!is_continuation(p[i]))
			return 1;
		point = point << 6 | (p[i] & 0x3Fu);
	}
	static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
	if (point < least[length] || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF))
		return 1;
	*ret_point = point;
	return length;
}

size_t utf8_encode(uint32_t point, char out[UTF8_BYTES_MAX])
{
	if (point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF))
		point = UTF8_REPLACEMENT;
	if (point < 0x80) {
		out[0] = (char)point;
		return 1;
	}
	if (point < 0x800) {
		out[0] = (char)(0xC0 | point >> 6);
		out[1] = (char)(0x80 | (point & 0x3F));
		return 2;
	}
	if (point < 0x10000) {
		out[0] = (char)(0xE0 | point >> 12);
		out[1] = (char)(0x80 | (point >> 6 & 0x3F));
		out[2] = (char)(0x80 | (point & 0x3F));
		return 3;
	}
	out[0] = (char)(0xF0 | point >> 18);
	out[1] = (char)(0x80 | (point >> 12 & 0x3F));
	out[2] = (char)(0x80 | (point >> 6 & 0x3F));
	out[3] = (char)(0x80 | (point & 0x3F));
	return 4;
}

bool utf8_is_valid(struct span s)
{
	for (size_t at = 0; at < s.bytes;) {
		if ((unsigned char)s.data[at] < 0x80) {
			at++;
			continue;
		}
		uint32_t point;
		size_t length = utf8_decode(s, at, &point);
		if (length == 1)
			return false;
		at += length;
	}
	return true;
}

size_t utf8_floor(struct span s, size_t at)
{
	if (at >= s.bytes)
		return s.bytes;
	for (size_t back = 0; back < UTF8_BYTES_MAX && back < at; back++) {
		if (!is_continuation((unsigned char)s.data[at - back]))
			return at - back;
	}
	return is_continuation((unsigned char)s.data[at]) && at < UTF8_BYTES_MAX ? 0 : at;
}

size_t utf8_count(struct span s)
{
	size_t count = 0;
	for (size_t at = 0; at < s.bytes; count++) {
		uint32_t point;
		at += utf8_decode(s, at, &point);
	}
	return count;
}

size_t utf8_offset(struct span s, size_t index)
{
	size_t at = 0;
	for (; index > 0 && at < s.bytes; index--) {
		uint32_t point;
		at += utf8_decode(s, at, &point);
	}
	return at;
}

bool utf8_is_han(uint32_t point)
{
	return (point >= 0x4E00 && point <= 0x9FFF) || (point >= 0x3400 && point <= 0x4DBF) ||
	       (point >= 0x20000 && point <= 0x323AF) || (point >= 0xF900 && point <= 0xFAFF) ||
	       (point >= 0x2F800 && point <= 0x2FA1F) || point == 0x3005 || point == 0x3007;
}

bool utf8_is_unspaced_script(uint32_t point)
{
	return utf8_is_han(point) || (point >= 0x3041 && point <= 0x30FF && point != 0x30FB) ||
	       (point >= 0x31F0 && point <= 0x31FF) || (point >= 0xAC00 && point <= 0xD7A3) ||
	       (point >= 0x1100 && point <= 0x11FF) || (point >= 0x3105 && point <= 0x312F) ||
	       (point >= 0xFF66 && point <= 0xFF9F);
}
