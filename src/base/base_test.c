#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/size.h"
#include "base/span.h"
#include "base/status.h"
#include "base/utf8.h"

static void test_status__names_texts_and_codes(void **state)
{
	(void)state;
	assert_string_equal(status_name(ST_BUDGET), "BUDGET");
	assert_string_equal(status_text(ST_NOT_FOUND), "not found");
	assert_int_equal(status_http(ST_CANCELLED), 499);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_status__names_texts_and_codes)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
