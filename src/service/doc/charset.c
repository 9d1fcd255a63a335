#include "doc/charset.h"

#include <errno.h>
#include <iconv.h>
#include <stdio.h>
#include <strings.h>
#include <uchardet/uchardet.h>

#include "base/assert.h"
#include "base/size.h"
#include "base/utf8.h"

/* What uchardet may answer and pages may claim. Old names stand for the superset that is really
 * used: gb2312 for GB18030, iso-8859-1 for windows-1252, shift_jis for CP932. */
static const struct {
	const char *iconv;
	const char *names; /* lower case, spaces around each */
} TABLES[CHARSET_TABLES] = {
	{"GB18030",
	 " gb18030 gbk gb2312 gb_2312-80 gb2312-80 cp936 x-gbk chinese euc-cn hz-gb-2312 "},
	{"BIG5-HKSCS", " big5 big5-hkscs cp950 x-x-big5 "},
	{"CP932", " shift_jis shift-jis sjis cp932 windows-31j x-sjis ms_kanji "},
	{"EUC-JP", " euc-jp x-euc-jp "},
	{"ISO-2022-JP", " iso-2022-jp "},
	{"CP949", " uhc euc-kr cp949 ks_c_5601-1987 ksc5601 windows-949 korean "},
	{"EUC-TW", " euc-tw "},
	{"WINDOWS-1252", " windows-1252 iso-8859-1 latin1 iso-8859-15 cp1252 "},
	{"WINDOWS-1251", " windows-1251 cp1251 "},
	{"KOI8-R", " koi8-r koi8-u "},
	{"IBM866", " ibm866 cp866 "},
	{"IBM855", " ibm855 "},
	{"ISO-8859-5", " iso-8859-5 "},
	{"WINDOWS-1250", " windows-1250 cp1250 "},
	{"ISO-8859-2", " iso-8859-2 latin2 "},
	{"WINDOWS-1253", " windows-1253 cp1253 "},
	{"ISO-8859-7", " iso-8859-7 "},
	{"WINDOWS-1254", " windows-1254 iso-8859-9 cp1254 "},
	{"WINDOWS-1255", " windows-1255 iso-8859-8 cp1255 "},
	{"WINDOWS-1256", " windows-1256 iso-8859-6 cp1256 "},
	{"WINDOWS-1257", " windows-1257 iso-8859-13 iso-8859-4 cp1257 "},
	{"WINDOWS-1258", " windows-1258 viscii "},
	{"TIS-620", " tis-620 iso-8859-11 windows-874 "},
	{"ISO-8859-3", " iso-8859-3 "},
	{"ISO-8859-10", " iso-8859-10 "},
	{"ISO-8859-16", " iso-8859-16 "},
	{"MAC-CYRILLIC", " mac-cyrillic x-mac-cyrillic maccyrillic "},
};

enum { FLUSH_BYTES = 16 };
enum { TABLE_GB18030 = 0, TABLE_FIRST_WESTERN = 7, TABLE_WINDOWS_1252 = 7 };

static size_t table_find(const char *name)
{
	char padded[64];
	int bytes = snprintf(padded, sizeof(padded), " %s ", name);
	if (bytes < 3 || (size_t)bytes >= sizeof(padded))
		return CHARSET_TABLES;
	for (size_t i = 0; i < CHARSET_TABLES; i++) {
		if (strcasestr(TABLES[i].names, padded) != NULL)
			return i;
	}
	return CHARSET_TABLES;
}

const char *charset_name(const struct charset *charset)
{
	static const char *const names[] = {"UTF-8", "UTF-16LE", "UTF-16BE", "UTF-32LE",
					    "UTF-32BE"};
	return charset->kind == CHARSET_TABLE ? TABLES[charset->table].iconv : names[charset->kind];
}

/* ---- UTF-8 ---- */

struct utf8_count {
	size_t right, wrong; /* bytes of well-formed longer sequences, and of malformed ones */
};

/* A sequence that the end of the piece may have cut: wrong only if nothing follows. */
static bool is_cut(struct span s, size_t at)
{
	unsigned char lead = (unsigned char)s.data[at];
	size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
	if (lead < 0xC2 || lead > 0xF4 || s.bytes - at >= length)
		return false;
	for (size_t i = at + 1; i < s.bytes; i++) {
		if (((unsigned char)s.data[i] & 0xC0) != 0x80)
			return false;
	}
	return true;
}

static struct utf8_count utf8_statistics(struct span head, bool whole)
{
	struct utf8_count count = {0};
	for (size_t at = 0; at < head.bytes;) {
		if ((unsigned char)head.data[at] < 0x80) {
			at++;
			continue;
		}
		uint32_t point;
		size_t bytes = utf8_decode(head, at, &point);
		if (bytes > 1)
			count.right += bytes;
		else if (!whole && is_cut(head, at))
			break;
		else
			count.wrong++;
		at += bytes;
	}
	return count;
}

/* Control characters other than white space; NUL too. */
static bool is_control(uint32_t point)
{
	return (point < 0x20 && !(point >= '\t' && point <= '\r')) ||
	       (point >= 0x7F && point < 0xA0);
}

/* Eight bytes at once: none above 0x7E and none below 0x20? */
static bool is_plain_word(const char *p)
{
	uint64_t word;
	memcpy(&word, p, sizeof(word));
	const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
	bool low = ((word - ones * 0x20) & ~word & highs) != 0;
	bool high = ((word | (word + ones)) & highs) != 0; /* 0x7F + 1 sets the high bit */
	return !low && !high;
}

bool charset_is_clean(struct span in, bool last, size_t *ret_used)
{
	size_t at = 0;
	while (at < in.bytes) {
		if (in.bytes - at >= 8 && is_plain_word(in.data + at)) {
			at += 8;
			continue;
		}
		unsigned char c = (unsigned char)in.data[at];
		if (c < 0x80) {
			if (is_control(c))
				return false;
			at++;
			continue;
		}
		uint32_t point;
		size_t bytes = utf8_decode(in, at, &point);
		if (bytes == 1) {
			if (last || !is_cut(in, at))
				return false;
			break;
		}
		if (is_control(point))
			return false;
		at += bytes;
	}
	*ret_used = at;
	return true;
}

/* Control characters become as many spaces as they had bytes, so offsets stay those of the file. */
static size_t utf8_convert(struct span in, bool last, char *out, size_t room, size_t *ret_used)
{
	size_t at = 0, filled = 0;
	while (at < in.bytes && room - filled >= UTF8_BYTES_MAX) {
		uint32_t point;
		size_t bytes = utf8_decode(in, at, &point);
		bool wrong = bytes == 1 && (unsigned char)in.data[at] >= 0x80;
		if (wrong && !last && is_cut(in, at))
			break;
		if (wrong) {
			filled += utf8_encode(UTF8_REPLACEMENT, out + filled);
		} else if (is_control(point)) {
			memset(out + filled, ' ', bytes);
			filled += bytes;
		} else {
			memcpy(out + filled, in.data + at, bytes);
			filled += bytes;
		}
		at += bytes;
	}
	*ret_used = at;
	return filled;
}

/* ---- UTF-16 and UTF-32 ---- */

static uint32_t unit_read(const unsigned char *p, size_t width, bool little)
{
	uint32_t unit = 0;
	for (size_t i = 0; i < width; i++)
		unit |= (uint32_t)p[i] << 8 * (little ? i : width - 1 - i);
	return unit;
}

static bool is_high_surrogate(uint32_t unit)
{
	return unit >= 0xD800 && unit < 0xDC00;
}

static bool is_low_surrogate(uint32_t unit)
{
	return unit >= 0xDC00 && unit < 0xE000;
}

static size_t wide_convert(const struct charset *charset, struct span in, bool last, char *out,
			   size_t room, size_t *ret_used)
{
	bool little = charset->kind == CHARSET_UTF16_LE || charset->kind == CHARSET_UTF32_LE;
	bool half = charset->kind == CHARSET_UTF16_LE || charset->kind == CHARSET_UTF16_BE;
	size_t width = half ? 2 : 4, at = 0, filled = 0;
	const unsigned char *p = (const unsigned char *)in.data;
	while (in.bytes - at >= width && room - filled >= UTF8_BYTES_MAX) {
		uint32_t point = unit_read(p + at, width, little);
		size_t bytes = width;
		if (half && is_high_surrogate(point)) {
			if (in.bytes - at < 4 && !last)
				break;
			uint32_t low = in.bytes - at >= 4 ? unit_read(p + at + 2, 2, little) : 0;
			bool pair = is_low_surrogate(low);
			point = pair ? 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00)
				     : UTF8_REPLACEMENT;
			bytes = pair ? 4 : 2;
		}
		filled += utf8_encode(is_control(point) ? ' ' : point, out + filled);
		at += bytes;
	}
	if (last && in.bytes - at < width && at < in.bytes && room - filled >= UTF8_BYTES_MAX) {
		filled += utf8_encode(UTF8_REPLACEMENT, out + filled);
		at = in.bytes;
	}
	*ret_used = at;
	return filled;
}

/* Does head read as UTF-16 of this byte order? It must be made of likely characters, and hold a
 * space, a line end or a Chinese stop: bytes that 8-bit text does not have in those pairs. */
static bool is_wide_text(struct span head, bool little)
{
	size_t units = head.bytes / 2, likely = 0, proof = 0;
	for (size_t i = 0; i < units; i++) {
		uint32_t u = unit_read((const unsigned char *)head.data + 2 * i, 2, little);
		likely += (u >= 0x20 && u < 0x7F) || u == '\n' || u == '\r' || u == '\t' ||
			  (u >= 0x4E00 && u <= 0x9FFF) || (u >= 0x3000 && u <= 0x30FF) ||
			  (u >= 0xFF01 && u <= 0xFF5E) || (u >= 0xAC00 && u <= 0xD7A3) ||
			  (u >= 0xA0 && u <= 0x4FF) || (u >= 0x2010 && u <= 0x2026);
		proof += u == ' ' || u == '\n' || u == 0x3002 || u == 0xFF0C || u == 0x3001;
	}
	return units >= 2 && likely * 20 >= units * 19 && proof > 0;
}

/* ---- detection ---- */

static bool find_mark(struct span head, struct charset *ret)
{
	const struct {
		struct span mark;
		enum charset_kind kind;
	} marks[] = {
		{SPAN("\xEF\xBB\xBF"), CHARSET_UTF8},     {SPAN("\xFF\xFE\0\0"), CHARSET_UTF32_LE},
		{SPAN("\0\0\xFE\xFF"), CHARSET_UTF32_BE}, {SPAN("\xFF\xFE"), CHARSET_UTF16_LE},
		{SPAN("\xFE\xFF"), CHARSET_UTF16_BE},
	};
	for (size_t i = 0; i < ARRAY_COUNT(marks); i++) {
		if (span_starts_with(head, marks[i].mark)) {
			*ret = (struct charset){.kind = marks[i].kind,
						.mark_bytes = marks[i].mark.bytes};
			return true;
		}
	}
	return false;
}

/* All that needs no table. */
static bool find_unicode(struct span head, bool whole, struct charset *ret)
{
	if (find_mark(head, ret))
		return true;
	bool nul = memchr(head.data, '\0', head.bytes) != NULL;
	struct utf8_count count = utf8_statistics(head, whole);
	if (nul || count.wrong > 0) {
		for (int little = 1; little >= 0; little--) {
			if (is_wide_text(head, little != 0)) {
				ret->kind = little != 0 ? CHARSET_UTF16_LE : CHARSET_UTF16_BE;
				return true;
			}
		}
	}
	return count.right >= count.wrong;
}

/* The charset named in the first bytes of a page: <meta charset=x>, content="text/html; charset=x",
 * <?xml encoding="x"?>. */
static size_t find_claim(struct span head)
{
	static const char *const keys[] = {"charset=", "encoding="};
	char text[2048];
	size_t bytes = size_min(head.bytes, sizeof(text) - 1);
	memcpy(text, head.data, bytes);
	for (size_t i = 0; i < bytes; i++)
		text[i] = text[i] == '\0' ? ' ' : text[i];
	text[bytes] = '\0';
	for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
		const char *at = strcasestr(text, keys[i]);
		if (at == NULL)
			continue;
		at += strlen(keys[i]);
		at += strspn(at, "\"' ");
		char name[40];
		size_t length = strcspn(at, "\"' />;?\r\n\t");
		if (length == 0 || length >= sizeof(name))
			continue;
		memcpy(name, at, length);
		name[length] = '\0';
		return table_find(name);
	}
	return CHARSET_TABLES;
}

static size_t find_by_statistics(struct span head)
{
	size_t table = CHARSET_TABLES;
	uchardet_t detector = uchardet_new();
	if (detector != NULL && uchardet_handle_data(detector, head.data, head.bytes) == 0) {
		uchardet_data_end(detector);
		table = table_find(uchardet_get_charset(detector));
	}
	if (detector != NULL)
		uchardet_delete(detector);
	return table;
}

/* In Western text a byte above 0x7F stands alone among letters; in GBK they come in pairs. */
static bool pairs_up(struct span head)
{
	size_t pairs = 0;
	for (size_t at = 0; at < head.bytes;) {
		unsigned char a = (unsigned char)head.data[at];
		if (a < 0x80) {
			at++;
			continue;
		}
		unsigned char b = at + 1 < head.bytes ? (unsigned char)head.data[at + 1] : 0;
		bool plain = a >= 0xA1 && a <= 0xF7 && b >= 0xA1;
		if (!plain && at + 1 < head.bytes)
			return false;
		pairs += plain;
		at += 2;
	}
	return pairs > 0;
}

static bool is_binary(struct span head)
{
	size_t control = 0, nul = 0;
	for (size_t i = 0; i < head.bytes; i++) {
		unsigned char c = (unsigned char)head.data[i];
		nul += c == 0;
		control += c != 0 && c != 0x1B && c < 0x20 && is_control(c);
	}
	return nul * 4 > head.bytes || (control > 8 && control * 10 > head.bytes);
}

status charset_detect(const struct charset_tables *tables, struct span head, bool whole, bool html,
		      struct charset *ret_charset, struct fault *reterr)
{
	struct charset found = {.kind = CHARSET_UTF8};
	bool unicode = find_unicode(head, whole, &found);
	if ((!unicode || found.kind == CHARSET_UTF8) && is_binary(head))
		return fault_set(
			reterr, ST_UNSUPPORTED,
			"the content is binary data, not text: this format is not supported");
	if (!unicode && tables->loaded) {
		found.kind = CHARSET_TABLE;
		found.table = html ? find_claim(head) : CHARSET_TABLES;
		if (found.table == CHARSET_TABLES)
			found.table = find_by_statistics(head);
		if (found.table >= TABLE_FIRST_WESTERN && pairs_up(head))
			found.table = TABLE_GB18030;
		if (found.table == CHARSET_TABLES)
			found.table = TABLE_WINDOWS_1252;
		if (tables->opened[found.table] == (iconv_t)-1)
			return fault_set(
				reterr, ST_UNSUPPORTED,
				"the text is in %s, and this system has no converter for it",
				TABLES[found.table].iconv);
	}
	*ret_charset = found;
	return ST_OK;
}

void charset_preload(struct charset_tables *tables, struct span head)
{
	struct charset found;
	*tables = (struct charset_tables){0};
	if (find_unicode(head, head.bytes < CHARSET_HEAD_BYTES, &found))
		return;
	for (size_t i = 0; i < CHARSET_TABLES; i++)
		tables->opened[i] = iconv_open("UTF-8", TABLES[i].iconv);
	tables->loaded = true;
}

void charset_unload(struct charset_tables *tables)
{
	for (size_t i = 0; tables->loaded && i < CHARSET_TABLES; i++) {
		if (tables->opened[i] != (iconv_t)-1)
			iconv_close(tables->opened[i]);
	}
	tables->loaded = false;
}

/* ---- conversion ---- */

static size_t table_convert(iconv_t table, struct span in, bool last, char *out, size_t room,
			    size_t *ret_used)
{
	/* iconv takes char **, but does not write through it. */
	union {
		const char *in;
		char *arg;
	} from = {.in = in.data};
	size_t left = in.bytes, space = room - FLUSH_BYTES;
	char *to = out;
	while (left > 0) {
		size_t made = iconv(table, &from.arg, &left, &to, &space);
		if (made != (size_t)-1 || errno == E2BIG)
			break;
		bool cut = errno == EINVAL;
		if ((cut && !last) || space < UTF8_BYTES_MAX)
			break;
		size_t bytes = utf8_encode(UTF8_REPLACEMENT, to);
		to += bytes;
		space -= bytes;
		from.in++;
		left--;
	}
	*ret_used = in.bytes - left;
	/* Some converters hold a character back, in case a mark follows it; and the next file must
	 * find the converter as new. */
	space += FLUSH_BYTES;
	if (last && left == 0)
		(void)iconv(table, NULL, NULL, &to, &space);
	size_t filled = room - space;
	for (size_t i = 0; i < filled; i++) {
		if (is_control((unsigned char)out[i]) && (unsigned char)out[i] < 0x80)
			out[i] = ' ';
	}
	return filled;
}

size_t charset_convert(const struct charset *charset, const struct charset_tables *tables,
		       struct span in, bool last, char *out, size_t room, size_t *ret_used)
{
	ASSERT(room >= CHARSET_ROOM_BYTES);
	if (charset->kind == CHARSET_UTF8)
		return utf8_convert(in, last, out, room, ret_used);
	if (charset->kind != CHARSET_TABLE)
		return wide_convert(charset, in, last, out, room, ret_used);
	return table_convert(tables->opened[charset->table], in, last, out, room, ret_used);
}
