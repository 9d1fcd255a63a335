#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <time.h>

#include "rt/cancel.h"
#include "rt/clock.h"

static void assert_shown(int64_t unix_s, const char *expected)
{
	char text[CLOCK_TEXT_BYTES];
	clock_text(unix_s, text);
	assert_string_equal(text, expected);
}

static void test_clock__shows_utc(void **state)
{
	(void)state;
	assert_shown(0, "1970-01-01T00:00:00Z");
	assert_shown(1767323045, "2026-01-02T03:04:05Z");
	assert_shown(951782400, "2000-02-29T00:00:00Z");
	assert_shown(-1, "1969-12-31T23:59:59Z");
	assert_shown(253402300799, "9999-12-31T23:59:59Z");
	assert_shown(INT64_MAX, "9999-12-31T23:59:59Z");
	assert_shown(-62167219200, "0000-01-01T00:00:00Z");
	assert_shown(INT64_MIN, "0000-01-01T00:00:00Z");
}

static void test_clock__goes_forward(void **state)
{
	(void)state;
	uint64_t before = clock_ns(), ms = clock_ms();
	struct timespec pause = {.tv_nsec = 2000000};
	assert_int_equal(nanosleep(&pause, NULL), 0);
	assert_true(clock_ns() >= before + 2000000);
	assert_true(clock_ms() > ms);
	assert_true(clock_unix_s() >= time(NULL) - 1);
}

static void test_cancel__is_a_flag(void **state)
{
	(void)state;
	struct cancel cancel = {false};
	assert_false(cancel_is_set(NULL));
	assert_false(cancel_is_set(&cancel));
	cancel_set(&cancel);
	assert_true(cancel_is_set(&cancel));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clock__shows_utc),
		cmocka_unit_test(test_clock__goes_forward),
		cmocka_unit_test(test_cancel__is_a_flag),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
