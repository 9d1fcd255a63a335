#include "rt/text.h"

#include <utf8proc.h>

#include "base/size.h"
#include "base/utf8.h"
#include "text_simplified.inc"

enum {
	RUN_BYTES = 240,                 /* one call of utf8proc at most */
	RUN_POINTS = RUN_BYTES / 3 * 18, /* U+FDFA, three bytes, decomposes to 18 characters */
	BLOCK_BYTES = 1024,
};

uint32_t text_simplify(uint32_t point)
{
	if (point <= 0xFFFF) {
		uint32_t to = simple_pages[simple_page_of[point >> 8]][point & 0xFF];
		if (to != 1)
			return to != 0 ? to : point;
	} else if (!utf8_is_han(point)) {
		return point;
	}
	size_t low = 0, high = ARRAY_COUNT(simple_pairs) - 1;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (simple_pairs[middle][0] < point)
			low = middle + 1;
		else
			high = middle;
	}
	return simple_pairs[low][0] == point ? simple_pairs[low][1] : point;
}

bool text_is_word(uint32_t point)
{
	if (point < 0x80)
		return (point >= '0' && point <= '9') ||
		       ((point | 0x20) >= 'a' && (point | 0x20) <= 'z');
	utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)point);
	return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_MN) ||
	       category == UTF8PROC_CATEGORY_MC ||
	       (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO);
}

/* Characters whose NFKC case fold is one known character, whatever stands before them; all that
 * could change them is a combining mark behind, and that is not among them. Nearly all Chinese and
 * English text consists of these, so it never sees utf8proc. 0: not one of them. */
static uint32_t quick_fold(uint32_t point)
{
	if (point < 0x80)
		return point >= 'A' && point <= 'Z' ? point + 32 : point;
	if (point >= 0x4E00 && point <= 0x9FFF)
		return text_simplify(point);
	if (point >= 0xFF01 && point <= 0xFF5E) {
		uint32_t ascii = point - 0xFF01 + '!';
		return ascii >= 'A' && ascii <= 'Z' ? ascii + 32 : ascii;
	}
	if (point == 0x3000)
		return ' ';
	if ((point >= 0x3001 && point <= 0x3003) || (point >= 0x3008 && point <= 0x3011) ||
	    (point >= 0x3041 && point <= 0x3096) || (point >= 0x30A1 && point <= 0x30FA) ||
	    point == 0x30FC || point == 0x2018 || point == 0x2019 || point == 0x201C ||
	    point == 0x201D)
		return point;
	return 0;
}

/* Fold a longest stretch of quick characters from *at on. The last one before another character is
 * left to the slow way, as a mark behind it may change it. */
static bool fold_quick(struct span s, size_t *at, struct buf *out)
{
	char block[BLOCK_BYTES + UTF8_BYTES_MAX];
	size_t used = 0, used_before = 0, i = *at, last = i;
	while (i < s.bytes) {
		uint32_t point;
		size_t length = utf8_decode(s, i, &point);
		uint32_t folded = quick_fold(point);
		if (folded == 0 && point != 0) {
			i = last;
			used = used_before;
			break;
		}
		if (used >= BLOCK_BYTES) {
			if (!buf_add(out, (struct span){block, used}))
				return false;
			used = 0;
		}
		used_before = used;
		last = i;
		used += utf8_encode(folded, block + used);
		i += length;
	}
	*at = i;
	return used == 0 || buf_add(out, (struct span){block, used});
}

static bool starts_anew(uint32_t point)
{
	bool jamo = (point >= 0x1160 && point <= 0x11FF) || point == 0xFF9E || point == 0xFF9F;
	return !jamo && utf8proc_get_property((utf8proc_int32_t)point)->combining_class == 0;
}

/* Copy one run for utf8proc, made valid: up to the next quick character, or to the last place
 * before RUN_BYTES where nothing composes across. Returns where it ended. */
static size_t run_take(struct span s, size_t at, char run[RUN_BYTES], size_t *ret_bytes)
{
	size_t used = 0, cut_at = 0, cut_used = 0;
	for (size_t i = at; i < s.bytes;) {
		uint32_t point;
		size_t length = utf8_decode(s, i, &point);
		if (i > at && starts_anew(point)) {
			cut_at = i;
			cut_used = used;
			if (quick_fold(point) != 0)
				break;
		}
		if (used + UTF8_BYTES_MAX > RUN_BYTES) {
			if (cut_at == 0) {
				cut_at = i;
				cut_used = used;
			}
			break;
		}
		used += utf8_encode(point, run + used);
		i += length;
		if (i == s.bytes) {
			cut_at = i;
			cut_used = used;
		}
	}
	*ret_bytes = cut_used;
	return cut_at;
}

static bool fold_slow(struct span s, size_t *at, struct buf *out)
{
	static const utf8proc_option_t OPTIONS =
		(utf8proc_option_t)(UTF8PROC_STABLE | UTF8PROC_COMPAT | UTF8PROC_COMPOSE |
				    UTF8PROC_CASEFOLD | UTF8PROC_IGNORE);
	char run[RUN_BYTES];
	utf8proc_int32_t points[RUN_POINTS];
	size_t bytes;
	*at = run_take(s, *at, run, &bytes);
	utf8proc_ssize_t count =
		utf8proc_decompose((const utf8proc_uint8_t *)run, (utf8proc_ssize_t)bytes, points,
				   RUN_POINTS, OPTIONS);
	if (count < 0 || count > RUN_POINTS) /* cannot be: the run is valid and short */
		return buf_add(out, (struct span){run, bytes});
	count = utf8proc_normalize_utf32(points, count, OPTIONS);
	for (utf8proc_ssize_t i = 0; i < count; i++) {
		char one[UTF8_BYTES_MAX];
		size_t length = utf8_encode(text_simplify((uint32_t)points[i]), one);
		if (!buf_add(out, (struct span){one, length}))
			return false;
	}
	return true;
}

bool text_fold(struct span s, struct buf *out)
{
	size_t at = 0;
	bool ok = out->refused == ST_OK;
	while (ok && at < s.bytes) {
		ok = fold_quick(s, &at, out);
		if (ok && at < s.bytes)
			ok = fold_slow(s, &at, out);
	}
	return ok;
}
