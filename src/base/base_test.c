#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/size.h"
#include "base/span.h"
#include "base/status.h"
#include "base/utf8.h"

static void test_status__names_texts_and_codes(void **state)
{
	(void)state;
	assert_string_equal(status_name(ST_OK), "OK");
	assert_string_equal(status_name(ST_BUDGET), "BUDGET");
	assert_string_equal(status_text(ST_NOT_FOUND), "not found");
	assert_int_equal(status_http(ST_CANCELLED), 499);
	assert_int_equal(status_http(ST_BUDGET), 503);
	assert_string_equal(status_name((status)999), "UNKNOWN");
	assert_string_equal(status_text((status)999), "unknown status");
	assert_int_equal(status_http((status)999), 500);
}

static void test_fault__null_is_allowed(void **state)
{
	(void)state;
	assert_int_equal(fault_set(NULL, ST_LIMIT, "%d", 1), ST_LIMIT);
	assert_int_equal(fault_errno(NULL, ST_IO, "%d", 1), ST_IO);
}

static void test_fault__keeps_the_sentence(void **state)
{
	(void)state;
	struct fault f = {0};
	assert_int_equal(fault_set(&f, ST_INVALID, "bad %s", "name"), ST_INVALID);
	assert_int_equal(f.code, ST_INVALID);
	assert_int_equal(f.sys_errno, 0);
	assert_string_equal(fault_text(&f), "bad name");
	f.text[0] = '\0';
	assert_string_equal(fault_text(&f), "bad input");
}

static void test_fault__appends_errno(void **state)
{
	(void)state;
	struct fault f;
	errno = ENOSPC;
	assert_int_equal(fault_errno(&f, ST_LIMIT, "cannot write '%s'", "x"), ST_LIMIT);
	assert_int_equal(f.sys_errno, ENOSPC);
	assert_string_equal(f.text, "cannot write 'x': No space left on device");
}

static void test_fault__cuts_at_a_code_point(void **state)
{
	(void)state;
	for (int pad = 0; pad < 4; pad++) {
		char text[600] = {0};
		memset(text, 'a', (size_t)pad);
		for (size_t at = (size_t)pad; at + 4 < sizeof text; at += 3)
			memcpy(text + at, "知", 3);
		struct fault f;
		(void)fault_set(&f, ST_INVALID, "%s", text);
		size_t bytes = strlen(f.text);
		assert_in_range(bytes, FAULT_TEXT_BYTES - 8, FAULT_TEXT_BYTES - 1);
		assert_true(utf8_is_valid((struct span){f.text, bytes}));
		assert_string_equal(f.text + bytes - 3, "...");
	}
}

static void test_fault__a_sentence_that_just_fits_is_whole(void **state)
{
	(void)state;
	char text[FAULT_TEXT_BYTES];
	memset(text, 'b', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	struct fault f;
	(void)fault_set(&f, ST_INVALID, "%s", text);
	assert_string_equal(f.text, text);
}

static void test_assert__prints_and_aborts(void **state)
{
	(void)state;
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		if (freopen("/dev/null", "w", stderr) == NULL)
			_exit(1);
		(void)signal(SIGABRT, SIG_DFL);
		ASSERT(child != 0);
		_exit(0);
	}
	int how;
	assert_int_equal(waitpid(child, &how, 0), child);
	assert_true(WIFSIGNALED(how));
	assert_int_equal(WTERMSIG(how), SIGABRT);
}

static void test_size__refuses_to_wrap(void **state)
{
	(void)state;
	size_t r = 7;
	assert_false(size_add(SIZE_MAX, 1, &r));
	assert_false(size_mul(SIZE_MAX / 2, 3, &r));
	assert_int_equal(r, 7);
	assert_true(size_add(SIZE_MAX - 1, 1, &r));
	assert_true(r == SIZE_MAX);
	assert_true(size_mul(0, SIZE_MAX, &r));
	assert_int_equal(r, 0);
	assert_int_equal(size_round_up(0, 16), 0);
	assert_int_equal(size_round_up(1, 16), 16);
	assert_int_equal(size_round_up(16, 16), 16);
	assert_int_equal(size_min(3, 4), 3);
	assert_int_equal(size_max(3, 4), 4);
}

static void test_span__slices_are_clamped(void **state)
{
	(void)state;
	struct span s = SPAN("abcdef");
	assert_true(span_equal(span_slice(s, 1, 3), SPAN("bc")));
	assert_true(span_equal(span_slice(s, 4, 99), SPAN("ef")));
	assert_int_equal(span_slice(s, 5, 2).bytes, 0);
	assert_int_equal(span_slice(s, 99, 100).bytes, 0);
	assert_int_equal(span_slice((struct span){NULL, 0}, 1, 2).bytes, 0);
	assert_int_equal(span_of(NULL).bytes, 0);
}

static void test_span__compares_and_trims(void **state)
{
	(void)state;
	assert_true(span_equal((struct span){NULL, 0}, SPAN("")));
	assert_false(span_equal(SPAN("a"), SPAN("b")));
	assert_true(span_starts_with(SPAN("abc"), SPAN("ab")));
	assert_true(span_starts_with(SPAN("abc"), SPAN("")));
	assert_false(span_starts_with(SPAN("a"), SPAN("ab")));
	assert_true(span_equal(span_trim(SPAN(" \t\r\n\f\vx y\n ")), SPAN("x y")));
	assert_int_equal(span_trim(SPAN(" \n ")).bytes, 0);
	struct span with_nul = {"\0 \0", 3};
	assert_int_equal(span_trim(with_nul).bytes, 3); /* NUL is no white space */
}

static void test_hash__spreads_and_repeats(void **state)
{
	(void)state;
	assert_true(hash_bytes(SPAN("abc")) == hash_bytes(SPAN("abc")));
	assert_true(hash_bytes(SPAN("abc")) != hash_bytes(SPAN("abd")));
	size_t used[256] = {0}, greatest = 0;
	for (uint64_t i = 0; i < 25600; i++) {
		size_t slot = hash_mix(i) & 255;
		used[slot]++;
		greatest = size_max(greatest, used[slot]);
	}
	assert_in_range(greatest, 100, 160); /* 100 on average */
}

static void test_utf8__every_code_point_goes_round(void **state)
{
	(void)state;
	for (uint32_t point = 0; point <= 0x10FFFF; point++) {
		char text[UTF8_BYTES_MAX];
		uint32_t back;
		size_t bytes = utf8_encode(point, text);
		bool surrogate = point >= 0xD800 && point <= 0xDFFF;
		assert_int_equal(utf8_decode((struct span){text, bytes}, 0, &back), bytes);
		assert_int_equal(back, surrogate ? UTF8_REPLACEMENT : point);
	}
	char text[UTF8_BYTES_MAX];
	assert_int_equal(utf8_encode(0x110000, text), 3);
	assert_memory_equal(text, "\xEF\xBF\xBD", 3);
}

/* Every sequence of two bytes, and all cut or overlong forms, against the definition. */
static void test_utf8__malformed_bytes_count_one(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"\x80",
		"\xBF",
		"\xC0\x80",
		"\xC1\xBF",
		"\xE0\x80\x80",
		"\xE0\x9F\xBF",
		"\xED\xA0\x80",
		"\xF0\x80\x80\x80",
		"\xF0\x8F\xBF\xBF",
		"\xF4\x90\x80\x80",
		"\xF5\x80\x80\x80",
		"\xFE",
		"\xFF",
		"\xC2",
		"\xE4\xB8",
		"\xF0\x9F\x98",
		"\xC2x",
		"\xE4\xB8x",
		"\xF0\x9F\x98x",
	};
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
		uint32_t point = 0;
		assert_int_equal(utf8_decode(span_of(bad[i]), 0, &point), 1);
		assert_int_equal(point, UTF8_REPLACEMENT);
		assert_false(utf8_is_valid(span_of(bad[i])));
	}
	assert_true(utf8_is_valid(SPAN("plain, 中文, \xF0\x9F\x98\x80, \0 too")));
	assert_true(utf8_is_valid((struct span){NULL, 0}));
}

static void test_utf8__floor_never_cuts(void **state)
{
	(void)state;
	struct span s = SPAN("a中\xF0\x9F\x98\x80z");
	static const size_t expected[] = {0, 1, 1, 1, 4, 4, 4, 4, 8, 9, 9};
	for (size_t at = 0; at < ARRAY_COUNT(expected); at++)
		assert_int_equal(utf8_floor(s, at), expected[at]);
	struct span tail = span_slice(s, 2, 4); /* continuation bytes only */
	assert_in_range(utf8_floor(tail, 1), 0, 1);
	struct span many = SPAN("\x80\x80\x80\x80\x80\x80\x80\x80");
	assert_in_range(utf8_floor(many, 6), 0, 6);
}

static void test_utf8__counts_and_offsets_agree(void **state)
{
	(void)state;
	struct span s = SPAN("a中\xFF\xF0\x9F\x98\x80z");
	assert_int_equal(utf8_count(s), 5);
	static const size_t starts[] = {0, 1, 4, 5, 9, 10, 10};
	for (size_t i = 0; i < ARRAY_COUNT(starts); i++)
		assert_int_equal(utf8_offset(s, i), starts[i]);
}

static void test_utf8__knows_scripts_without_spaces(void **state)
{
	(void)state;
	static const uint32_t han[] = {0x4E2D, 0x3400, 0x20000, 0x3005, 0x3007, 0xF900};
	static const uint32_t other[] = {0x3042, 0x30AB, 0xAC00, 0x3105, 0xFF71};
	static const uint32_t spaced[] = {'a', '1', 0x3002, 0xFF0C, 0x30FB, 0xE9, 0x1F600};
	for (size_t i = 0; i < ARRAY_COUNT(han); i++)
		assert_true(utf8_is_han(han[i]) && utf8_is_unspaced_script(han[i]));
	for (size_t i = 0; i < ARRAY_COUNT(other); i++)
		assert_true(!utf8_is_han(other[i]) && utf8_is_unspaced_script(other[i]));
	for (size_t i = 0; i < ARRAY_COUNT(spaced); i++)
		assert_false(utf8_is_unspaced_script(spaced[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status__names_texts_and_codes),
		cmocka_unit_test(test_fault__null_is_allowed),
		cmocka_unit_test(test_fault__keeps_the_sentence),
		cmocka_unit_test(test_fault__appends_errno),
		cmocka_unit_test(test_fault__cuts_at_a_code_point),
		cmocka_unit_test(test_fault__a_sentence_that_just_fits_is_whole),
		cmocka_unit_test(test_assert__prints_and_aborts),
		cmocka_unit_test(test_size__refuses_to_wrap),
		cmocka_unit_test(test_span__slices_are_clamped),
		cmocka_unit_test(test_span__compares_and_trims),
		cmocka_unit_test(test_hash__spreads_and_repeats),
		cmocka_unit_test(test_utf8__every_code_point_goes_round),
		cmocka_unit_test(test_utf8__malformed_bytes_count_one),
		cmocka_unit_test(test_utf8__floor_never_cuts),
		cmocka_unit_test(test_utf8__counts_and_offsets_agree),
		cmocka_unit_test(test_utf8__knows_scripts_without_spaces),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
