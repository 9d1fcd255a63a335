/* Prints the one-to-one character mappings of OpenCC's t2s configuration as C tables. Runs on the
 * build machine only; its output is included by rt/text.c.
 *
 * A page is 256 characters of the basic plane; pages without mappings share page 0, all zero. A
 * mapping from or to another plane stands in a sorted list of pairs; in a page it is marked by
 * 1. */
#include <opencc.h>

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

#include "base/utf8.h"

enum { PAGES = 256, PAGE = 256, PAIRS_MAX = 8192 };

static uint16_t pages[PAGES][PAGE];
static uint32_t pairs[PAIRS_MAX][2];
static unsigned pair_count;

static uint32_t simplified(opencc_t converter, uint32_t point)
{
	char in[UTF8_BYTES_MAX];
	char out[64];
	uint32_t result;
	size_t bytes = utf8_encode(point, in);
	size_t got = opencc_convert_utf8_to_buffer(converter, in, bytes, out);
	if (got == 0 || got == (size_t)-1)
		return point;
	size_t length = utf8_decode((struct span){out, got}, 0, &result);
	return length == got ? result : point;
}

static int collect(opencc_t converter)
{
	for (uint32_t point = 0x80; point < 0x33480; point++) {
		if (!utf8_is_han(point))
			continue;
		uint32_t to = simplified(converter, point);
		if (to == point)
			continue;
		if (point <= 0xFFFF && to <= 0xFFFF) {
			pages[point >> 8][point & 0xFF] = (uint16_t)to;
			continue;
		}
		if (pair_count == PAIRS_MAX)
			return 1;
		if (point <= 0xFFFF)
			pages[point >> 8][point & 0xFF] = 1;
		pairs[pair_count][0] = point;
		pairs[pair_count++][1] = to;
	}
	return 0;
}

static void print_page(const uint16_t *page)
{
	printf("\t{");
	for (unsigned i = 0; i < PAGE; i++)
		printf("%" PRIu16 "%s", page[i], i + 1 < PAGE ? "," : "},\n");
}

int main(void)
{
	opencc_t converter = opencc_open("t2s.json");
	if (converter == (opencc_t)-1) {
		(void)fprintf(stderr, "OpenCC cannot open t2s.json: %s\n", opencc_error());
		return 1;
	}
	if (collect(converter) != 0) {
		(void)fprintf(stderr, "more than %d pairs\n", PAIRS_MAX);
		return 1;
	}
	unsigned used = 1;
	uint8_t page_of[PAGES] = {0};
	static const uint16_t empty[PAGE];
	printf("static const uint16_t simple_pages[][%d] = {\n", PAGE);
	print_page(empty);
	for (unsigned p = 0; p < PAGES; p++) {
		unsigned any = 0;
		for (unsigned i = 0; i < PAGE; i++)
			any |= pages[p][i];
		if (any == 0)
			continue;
		page_of[p] = (uint8_t)used++;
		print_page(pages[p]);
	}
	printf("};\nstatic const uint8_t simple_page_of[%d] = {", PAGES);
	for (unsigned p = 0; p < PAGES; p++)
		printf("%u%s", page_of[p], p + 1 < PAGES ? "," : "};\n");
	printf("static const uint32_t simple_pairs[][2] = {\n");
	for (unsigned i = 0; i < pair_count; i++)
		printf("\t{%" PRIu32 ",%" PRIu32 "},\n", pairs[i][0], pairs[i][1]);
	printf("\t{UINT32_MAX,0}\n};\n");
	(void)opencc_close(converter);
	return ferror(stdout) ? 1 : 0;
}
