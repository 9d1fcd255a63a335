#include "doc/outline.h"

#include <strings.h>

#include "base/size.h"
#include "base/utf8.h"
#include "doc/cut.h"

enum { SHORT_WEIGHT = 40 * CUT_WIDE, DIGITS_MAX = 9 };

bool outline_atx(struct span line, uint32_t *ret_level, struct span *ret_text)
{
	size_t at = 0;
	while (at < line.bytes && at < 3 && line.data[at] == ' ')
		at++;
	size_t hashes = 0;
	while (at + hashes < line.bytes && line.data[at + hashes] == '#')
		hashes++;
	if (hashes == 0 || hashes > 6)
		return false;
	at += hashes;
	if (at < line.bytes && line.data[at] != ' ' && line.data[at] != '\t')
		return false;
	struct span text = span_trim(span_slice(line, at, line.bytes));
	struct span open = text;
	while (open.bytes > 0 && open.data[open.bytes - 1] == '#')
		open.bytes--;
	if (open.bytes == 0 || open.data[open.bytes - 1] == ' ')
		text = span_trim(open);
	*ret_level = (uint32_t)hashes;
	*ret_text = text;
	return true;
}

/* The length of a Chinese or Arabic number at `at`; 0 when there is none. */
static size_t number_bytes(struct span line, size_t at)
{
	static const uint32_t digits[] = {0x96F6, 0x3007, 0x4E00, 0x4E8C, 0x4E09,
					  0x56DB, 0x4E94, 0x516D, 0x4E03, 0x516B,
					  0x4E5D, 0x5341, 0x767E, 0x5343, 0x4E24};
	size_t from = at, count = 0;
	while (at < line.bytes && count < DIGITS_MAX) {
		uint32_t point;
		size_t bytes = utf8_decode(line, at, &point);
		bool digit = (point >= '0' && point <= '9') || (point >= 0xFF10 && point <= 0xFF19);
		for (size_t i = 0; i < ARRAY_COUNT(digits); i++)
			digit = digit || point == digits[i];
		if (!digit)
			break;
		at += bytes;
		count++;
	}
	return at - from;
}

/* "第" number, then the point that names the kind of part; 0 when line does not begin so. *ret_end
 * is the offset behind it. */
static uint32_t part_of(struct span line, size_t *ret_end)
{
	struct span first = SPAN("第");
	size_t at = first.bytes;
	if (!span_starts_with(line, first))
		return 0;
	while (at < line.bytes && line.data[at] == ' ')
		at++;
	size_t bytes = number_bytes(line, at);
	at += bytes;
	while (at < line.bytes && line.data[at] == ' ')
		at++;
	if (bytes == 0 || at >= line.bytes)
		return 0;
	uint32_t point;
	*ret_end = at + utf8_decode(line, at, &point);
	return point;
}

bool outline_is_short(struct span line)
{
	return line.bytes > 0 && line.bytes <= (size_t)SHORT_WEIGHT * UTF8_BYTES_MAX &&
	       cut_weight(line) <= SHORT_WEIGHT && !cut_ends_sentence(line);
}

/* Digits, a capital or a Roman number, and then no letter? */
static bool is_counted(struct span rest)
{
	size_t at = 0;
	while (at < rest.bytes && ((rest.data[at] >= '0' && rest.data[at] <= '9') ||
				   memchr("IVXLC", rest.data[at], 5) != NULL))
		at++;
	if (at == 0 && rest.bytes > 0 && rest.data[0] >= 'A' && rest.data[0] <= 'Z')
		at = 1;
	return at > 0 && (at == rest.bytes || memchr(" .:", rest.data[at], 3) != NULL);
}

static bool english_chapter(struct span line, uint32_t *ret_level)
{
	static const struct {
		const char *word;
		uint32_t level;
	} words[] = {{"part ", 1}, {"chapter ", 2}, {"section ", 3}, {"appendix ", 2}};
	bool capital = line.bytes > 0 && line.data[0] >= 'A' && line.data[0] <= 'Z';
	for (size_t i = 0; capital && i < ARRAY_COUNT(words); i++) {
		struct span word = span_of(words[i].word);
		if (line.bytes > word.bytes && strncasecmp(line.data, word.data, word.bytes) == 0) {
			*ret_level = words[i].level;
			return is_counted(span_slice(line, word.bytes, line.bytes));
		}
	}
	return false;
}

/* What follows 第三章: nothing, a blank or a colon, as in a heading and not in a sentence. */
static bool is_set_off(struct span rest)
{
	return rest.bytes == 0 || rest.data[0] == ' ' || rest.data[0] == '\t' ||
	       span_starts_with(rest, SPAN("　")) || span_starts_with(rest, SPAN("："));
}

bool outline_chapter(struct span line, bool alone, uint32_t *ret_level)
{
	line = cut_trim(line);
	if (!outline_is_short(line))
		return false;
	size_t end = 0;
	uint32_t part = part_of(line, &end);
	bool fits = part != 0 && (alone || is_set_off(span_slice(line, end, line.bytes)));
	switch (part) {
	case 0x7F16: /* 编 */
	case 0x7BC7: /* 篇 */
	case 0x5377: /* 卷 */
	case 0x90E8: /* 部 */
		*ret_level = 1;
		return fits;
	case 0x7AE0: /* 章 */
	case 0x56DE: /* 回 */
		*ret_level = 2;
		return fits;
	case 0x8282: /* 节 */
		*ret_level = 3;
		return fits;
	default:
		return alone && english_chapter(line, ret_level);
	}
}

bool outline_numbered(struct span line, uint32_t *ret_level)
{
	line = cut_trim(line);
	if (!outline_is_short(line))
		return false;
	struct span bracket = SPAN("（");
	bool open = span_starts_with(line, bracket);
	size_t at = open ? bracket.bytes : 0;
	size_t bytes = number_bytes(line, at);
	if (bytes == 0)
		return false;
	struct span rest = span_slice(line, at + bytes, line.bytes);
	if (open || span_starts_with(rest, SPAN("、"))) {
		*ret_level = open ? 5 : 4;
		return open ? span_starts_with(rest, SPAN("）"))
			    : line.data[0] < '0' || line.data[0] > '9';
	}
	/* 2.1, 2.1.3: one number alone is more often a list item. */
	uint32_t dots = 0;
	while (rest.bytes > 1 && rest.data[0] == '.' && rest.data[1] >= '0' &&
	       rest.data[1] <= '9') {
		rest = span_slice(rest, 1, rest.bytes);
		rest = span_slice(rest, number_bytes(rest, 0), rest.bytes);
		dots++;
	}
	*ret_level = 3 + dots;
	return dots > 0 && dots < 4 && rest.bytes > 1 && rest.data[0] == ' ';
}

bool outline_list_item(struct span line, uint32_t *ret_indent)
{
	size_t at = 0;
	uint32_t columns = 0;
	for (; at < line.bytes && (line.data[at] == ' ' || line.data[at] == '\t'); at++)
		columns += line.data[at] == '\t' ? 4 : 1;
	size_t digits = 0;
	while (at + digits < line.bytes && digits < DIGITS_MAX && line.data[at + digits] >= '0' &&
	       line.data[at + digits] <= '9')
		digits++;
	at += digits;
	if (at >= line.bytes || strchr(digits > 0 ? ".)" : "-*+", line.data[at]) == NULL ||
	    line.data[at] == '\0')
		return false;
	*ret_indent = columns;
	return at + 1 == line.bytes || line.data[at + 1] == ' ' || line.data[at + 1] == '\t';
}
