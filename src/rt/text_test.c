#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <utf8proc.h>

#include "base/size.h"
#include "base/utf8.h"
#include "rt/text.h"

static void expect_fold(const char *from, const char *to)
{
	struct buf b;
	buf_init(&b, mem_scope_root(), 1 * MIB);
	assert_true(text_fold(span_of(from), &b));
	assert_string_equal(b.data != NULL ? b.data : "", to);
	buf_fini(&b);
}

static void test_text_fold__makes_spellings_equal(void **state)
{
	(void)state;
	expect_fold("", "");
	expect_fold("Hello, WORLD", "hello, world");
	expect_fold("ＡＢＣ１２３！　ｘ", "abc123! x");
	expect_fold("記憶體與資料庫", "记忆体与资料库");
	expect_fold("龍馬精神 臺灣", "龙马精神 台湾");
	expect_fold("Ångström CAFÉ Straße", "ångström café strasse");
	expect_fold("e\xCC\x81"
		    "x cafe\xCC\x81",
		    "éx café"); /* a mark behind a quick letter */
	expect_fold("か\xE3\x82\x99ガ ｶﾞ", "がガ ガ");
	expect_fold("ﬁne ① ㎏ Ⅳ", "fine 1 kg iv");
	expect_fold("so\xC2\xAD"
		    "ft",
		    "soft");
	expect_fold("ПРИВЕТ Ελλάς", "привет ελλάσ");
	expect_fold("\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB", "한"); /* jamo compose */
}

static void test_text_fold__takes_any_bytes(void **state)
{
	(void)state;
	expect_fold("a\xFF"
		    "b",
		    "a\xEF\xBF\xBD"
		    "b");
	expect_fold("\xE4\xB8", "\xEF\xBF\xBD\xEF\xBF\xBD");
	struct buf b;
	buf_init(&b, mem_scope_root(), 1 * MIB);
	assert_true(text_fold((struct span){"a\0b", 3}, &b));
	assert_true(span_equal(buf_span(&b), (struct span){"a\0b", 3}));
	buf_fini(&b);
}

/* The same fold by utf8proc alone, simplified. */
static void fold_plainly(struct span s, struct buf *out)
{
	static const utf8proc_option_t OPTIONS =
		(utf8proc_option_t)(UTF8PROC_STABLE | UTF8PROC_COMPAT | UTF8PROC_COMPOSE |
				    UTF8PROC_CASEFOLD | UTF8PROC_IGNORE);
	utf8proc_int32_t points[256];
	utf8proc_ssize_t count = utf8proc_decompose(
		(const utf8proc_uint8_t *)s.data, (utf8proc_ssize_t)s.bytes, points, 256, OPTIONS);
	assert_in_range(count, 0, 256);
	count = utf8proc_normalize_utf32(points, count, OPTIONS);
	for (utf8proc_ssize_t i = 0; i < count; i++) {
		char one[UTF8_BYTES_MAX];
		size_t length = utf8_encode(text_simplify((uint32_t)points[i]), one);
		assert_true(buf_add(out, (struct span){one, length}));
	}
}

static void test_text_fold__agrees_with_utf8proc_everywhere(void **state)
{
	(void)state;
	struct buf theirs, ours;
	buf_init(&theirs, mem_scope_root(), 1 * KIB);
	buf_init(&ours, mem_scope_root(), 1 * KIB);
	for (uint32_t point = 1; point < 0x32000; point++) {
		if (point >= 0xD800 && point < 0xE000)
			continue;
		char one[UTF8_BYTES_MAX + 2] = {'Q'};
		size_t length = 1 + utf8_encode(point, one + 1);
		one[length++] = 'Z';
		buf_clear(&theirs);
		buf_clear(&ours);
		fold_plainly((struct span){one, length}, &theirs);
		assert_true(text_fold((struct span){one, length}, &ours));
		assert_string_equal(ours.data, theirs.data);
	}
	buf_fini(&theirs);
	buf_fini(&ours);
}

static void test_text_fold__long_runs_are_cut_between_characters(void **state)
{
	(void)state;
	struct buf in, out, once;
	buf_init(&in, mem_scope_root(), 1 * MIB);
	buf_init(&out, mem_scope_root(), 1 * MIB);
	buf_init(&once, mem_scope_root(), 1 * MIB);
	for (int i = 0; i < 5000; i++)
		assert_true(buf_add(&in, SPAN("ÅA\xCC\x8A")));
	for (int i = 0; i < 10000; i++)
		assert_true(buf_add(&once, SPAN("å")));
	assert_true(text_fold(buf_span(&in), &out));
	assert_true(span_equal(buf_span(&out), buf_span(&once)));
	buf_clear(&in);
	for (int i = 0; i < 5000; i++)
		assert_true(buf_add(&in, SPAN("\xCC\x81")));
	assert_true(text_fold(buf_span(&in), &out));
	buf_fini(&in);
	buf_fini(&out);
	buf_fini(&once);
}

static void test_text_fold__says_when_there_is_no_room(void **state)
{
	(void)state;
	struct buf b;
	buf_init(&b, mem_scope_root(), 4);
	assert_false(text_fold(SPAN("abcdefgh"), &b));
	assert_int_equal(b.refused, ST_LIMIT);
	buf_fini(&b);
}

static void test_text_simplify__maps_single_characters(void **state)
{
	(void)state;
	assert_int_equal(text_simplify(0x8A18), 0x8BB0); /* 記 记 */
	assert_int_equal(text_simplify(0x8BB0), 0x8BB0);
	assert_int_equal(text_simplify('a'), 'a');
	assert_int_equal(text_simplify(0x1F600), 0x1F600);
	assert_int_equal(text_simplify(177958), 177963); /* beyond the basic plane */
}

static void test_text_is_word__knows_letters_and_digits(void **state)
{
	(void)state;
	assert_true(text_is_word('a') && text_is_word('Z') && text_is_word('7'));
	assert_true(text_is_word(0xE9) && text_is_word(0x4E2D) && text_is_word(0x301));
	assert_false(text_is_word(' ') || text_is_word('-') || text_is_word('@') ||
		     text_is_word('['));
	assert_false(text_is_word(0x3002) || text_is_word(0x1F600) || text_is_word(0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text_fold__makes_spellings_equal),
		cmocka_unit_test(test_text_fold__takes_any_bytes),
		cmocka_unit_test(test_text_fold__agrees_with_utf8proc_everywhere),
		cmocka_unit_test(test_text_fold__long_runs_are_cut_between_characters),
		cmocka_unit_test(test_text_fold__says_when_there_is_no_room),
		cmocka_unit_test(test_text_simplify__maps_single_characters),
		cmocka_unit_test(test_text_is_word__knows_letters_and_digits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
