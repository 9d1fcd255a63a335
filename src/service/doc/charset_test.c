/* Bytes to text: what is detected, and that pieces of any size give the same text. */
#include <iconv.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/size.h"
#include "base/utf8.h"
#include "doc/source.h"
#include "rt/buf.h"
#include "rt/file.h"

static const char ZH[] = "数据安全，是指通过采取必要措施，确保数据处于有效保护和合法利用的状态。\n"
			 "任何组织、个人收集数据，应当采取合法、正当的方式。2021年6月10日。\n";
static const char TW[] = "資料安全，是指通過採取必要措施，確保資料處於有效保護和合法利用的狀態。\n"
			 "任何組織、個人收集資料，應當採取合法、正當的方式。\n";
static const char JA[] =
	"太平洋戦争を前に、日本やドイツ政府の政治、軍事の機密情報をソ連に伝えた。\n";
static const char KO[] = "글자를 볼 수 없을 것이다. 데이터 보안은 필요한 조치를 말한다.\n";

/* text, UTF-8, in another charset. */
static struct span encode(const char *charset, const char *text, char *out, size_t room)
{
	iconv_t to = iconv_open(charset, "UTF-8");
	assert_true(to != (iconv_t)-1);
	union {
		const char *in;
		char *arg;
	} from = {.in = text};
	size_t left = strlen(text), space = room;
	char *at = out;
	assert_true(iconv(to, &from.arg, &left, &at, &space) != (size_t)-1);
	iconv_close(to);
	return (struct span){out, room - space};
}

static struct charset detect(struct charset_tables *tables, struct span bytes, bool html)
{
	struct charset found = {0};
	struct fault fault;
	charset_preload(tables, bytes);
	assert_int_equal(charset_detect(tables, bytes, true, html, &found, &fault), ST_OK);
	return found;
}

/* Convert in pieces of `step` bytes, as source.c does. */
static struct span decode(const struct charset *charset, const struct charset_tables *tables,
			  struct span in, size_t step, char *out, size_t room)
{
	size_t filled = 0, at = charset->mark_bytes, end = at;
	while (at < in.bytes) {
		end = size_min(end + step, in.bytes);
		size_t used;
		filled += charset_convert(charset, tables, span_slice(in, at, end), end == in.bytes,
					  out + filled, room - filled, &used);
		at += used;
	}
	return (struct span){out, filled};
}

static void check(const char *charset, const char *text, const char *name, bool html)
{
	char bytes[2048], out[8192];
	struct charset_tables tables;
	struct span in = encode(charset, text, bytes, sizeof(bytes));
	struct charset found = detect(&tables, in, html);
	if (strcmp(charset_name(&found), name) != 0)
		fail_msg("%s is taken for %s", charset, charset_name(&found));
	for (size_t step = 1; step < 40; step++) {
		struct span got = decode(&found, &tables, in, step, out, sizeof(out));
		if (!span_equal(got, span_of(text)))
			fail_msg("%s in steps of %zu: %.*s", charset, step, SPAN_ARG(got));
	}
	charset_unload(&tables);
}

static void test_charset__is_found_from_the_bytes(void **state)
{
	(void)state;
	check("UTF-8", ZH, "UTF-8", false);
	check("GB18030", ZH, "GB18030", false);
	check("GBK", "你好", "GB18030", false);
	check("BIG5", TW, "BIG5-HKSCS", false);
	check("SHIFT_JIS", JA, "CP932", false);
	check("EUC-JP", JA, "EUC-JP", false);
	check("EUC-KR", KO, "CP949", false);
	check("UTF-16LE", ZH, "UTF-16LE", false);
	check("UTF-16BE", ZH, "UTF-16BE", false);
	check("UTF-16LE", "plain words, without a mark\n", "UTF-16LE", false);
	check("ISO-8859-1", "doação, espécie, négócios; año, niño, señor\n", "WINDOWS-1252", false);
}

static void test_charset__a_mark_decides(void **state)
{
	(void)state;
	static const struct {
		const char *mark, *charset;
		size_t bytes;
	} marks[] = {{"\xEF\xBB\xBF", "UTF-8", 3},
		     {"\xFF\xFE", "UTF-16LE", 2},
		     {"\xFE\xFF", "UTF-16BE", 2},
		     {"\xFF\xFE\0\0", "UTF-32LE", 4},
		     {"\0\0\xFE\xFF", "UTF-32BE", 4}};
	for (size_t i = 0; i < ARRAY_COUNT(marks); i++) {
		char bytes[2048], out[4096];
		struct charset_tables tables;
		memcpy(bytes, marks[i].mark, marks[i].bytes);
		struct span in = encode(marks[i].charset, "中文 \xF0\x9F\x98\x80 text",
					bytes + marks[i].bytes, sizeof(bytes) - marks[i].bytes);
		in = (struct span){bytes, in.bytes + marks[i].bytes};
		struct charset found = detect(&tables, in, false);
		assert_string_equal(charset_name(&found), marks[i].charset);
		assert_int_equal(found.mark_bytes, marks[i].bytes);
		assert_true(span_equal(decode(&found, &tables, in, 3, out, sizeof(out)),
				       SPAN("中文 \xF0\x9F\x98\x80 text")));
	}
}

static void test_charset__a_page_may_name_it(void **state)
{
	(void)state;
	check("GBK", "<html><head><meta charset=\"gb2312\"></head><body>著作权</body></html>",
	      "GB18030", true);
	check("ISO-8859-2",
	      "<meta http-equiv=x content='text/html; charset=ISO-8859-2'>Zażółć gęślą jaźń",
	      "ISO-8859-2", true);
}

static void test_charset__wrong_bytes_become_replacements(void **state)
{
	(void)state;
	char out[256];
	struct charset_tables tables;
	struct span in =
		SPAN("前面\xFF\xFE的 \xC0\xAF \xED\xA0\x80 字\xE4\xB8\n后\x01面\xC2\x85\xE4");
	struct charset found = detect(&tables, in, false);
	assert_int_equal(found.kind, CHARSET_UTF8);
	for (size_t step = 1; step < 12; step++) {
		struct span got = decode(&found, &tables, in, step, out, sizeof(out));
		assert_true(utf8_is_valid(got));
		assert_true(span_equal(
			got,
			SPAN("前面\uFFFD\uFFFD的 \uFFFD\uFFFD \uFFFD\uFFFD\uFFFD 字\uFFFD\uFFFD\n"
			     "后 面  \uFFFD")));
	}
}

static void test_charset__nothing_is_held_back_at_the_end(void **state)
{
	(void)state;
	char out[64];
	size_t used;
	struct charset_tables tables;
	struct span in = SPAN("a\x88\x66"); /* Ê of Big5-HKSCS, which a macron may follow */
	charset_preload(&tables, in);
	struct charset big5 = {.kind = CHARSET_TABLE, .table = 1};
	assert_string_equal(charset_name(&big5), "BIG5-HKSCS");
	for (int i = 0; i < 2; i++) {
		size_t bytes = charset_convert(&big5, &tables, in, true, out, sizeof(out), &used);
		assert_int_equal(used, 3);
		assert_true(span_equal((struct span){out, bytes}, SPAN("aÊ")));
	}
	charset_unload(&tables);
}

static void test_charset__clean_text_needs_no_copy(void **state)
{
	(void)state;
	size_t used;
	assert_true(charset_is_clean(SPAN("plain text\twith\r\nlines \x7E\n"), true, &used));
	assert_int_equal(used, 25);
	assert_true(charset_is_clean(SPAN("0123456789 数据\xE4\xB8"), false, &used));
	assert_int_equal(used, 17);
	assert_false(charset_is_clean(SPAN("0123456789 数据\xE4\xB8"), true, &used));
	assert_false(charset_is_clean(SPAN("01234567\x01 abcdefg"), true, &used));
	assert_false(charset_is_clean(SPAN("01234567\x7F abcdefg"), true, &used));
	assert_false(charset_is_clean(SPAN("\xC2\x85"), true, &used));
}

/* A file in this charset, longer than a step, read back as text through source.h. */
static void check_source(const char *charset, struct span tail, struct span tail_text)
{
	struct mem_scope *scope = mem_scope_open(mem_scope_root(), "source", 0);
	struct fault fault;
	struct buf file, text, got;
	buf_init(&file, scope, 8 * MIB);
	buf_init(&text, scope, 8 * MIB);
	buf_init(&got, scope, 8 * MIB);
	char bytes[2048], filler_bytes[8];
	struct span part = encode(charset, TW, bytes, sizeof(bytes));
	struct span filler = encode(charset, "x", filler_bytes, sizeof(filler_bytes));
	while (file.bytes + part.bytes + tail.bytes <= 3 * CHARSET_HEAD_BYTES) {
		buf_add(&file, part);
		buf_add_text(&text, TW);
	}
	while (file.bytes + tail.bytes < 3 * CHARSET_HEAD_BYTES) {
		buf_add(&file, filler);
		buf_add_byte(&text, 'x');
	}
	buf_add(&file, tail);
	buf_add(&text, tail_text);
	CLEANUP(fd_closep) int fd = memfd_create("source", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fd_write_at(fd, 0, buf_span(&file), &fault), ST_OK);
	struct source *source = NULL;
	assert_int_equal(source_open(scope, fd, &source, &fault), ST_OK);
	assert_int_equal(source_detect(source, FORMAT_TEXT, &fault), ST_OK);
	struct span piece = {0};
	do {
		assert_int_equal(source_next(source, &piece, &fault), ST_OK);
		buf_add(&got, piece);
	} while (piece.bytes > 0);
	assert_true(span_equal(buf_span(&got), buf_span(&text)));
	assert_int_equal(*source_file_at(source), file.bytes);
	source_close(source);
	mem_scope_close(scope);
}

static void test_charset__a_long_file_comes_in_pieces_without_a_seam(void **state)
{
	(void)state;
	check_source("UTF-8", SPAN("end"), SPAN("end"));
	check_source("BIG5", SPAN("end"), SPAN("end"));
	check_source("BIG5", SPAN("\x88\x66"), SPAN("Ê"));
	check_source("UTF-16BE", SPAN("\0x"), SPAN("x"));
}

static void test_charset__binary_data_is_no_text(void **state)
{
	(void)state;
	struct charset_tables tables = {0};
	struct charset found;
	struct fault fault;
	char zeros[100] = "ab";
	assert_int_equal(charset_detect(&tables, (struct span){zeros, sizeof(zeros)}, true, false,
					&found, &fault),
			 ST_UNSUPPORTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_charset__is_found_from_the_bytes),
		cmocka_unit_test(test_charset__a_mark_decides),
		cmocka_unit_test(test_charset__a_page_may_name_it),
		cmocka_unit_test(test_charset__wrong_bytes_become_replacements),
		cmocka_unit_test(test_charset__nothing_is_held_back_at_the_end),
		cmocka_unit_test(test_charset__clean_text_needs_no_copy),
		cmocka_unit_test(test_charset__a_long_file_comes_in_pieces_without_a_seam),
		cmocka_unit_test(test_charset__binary_data_is_no_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
