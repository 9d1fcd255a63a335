#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mem/scope.h"

static void test_scope__close_gives_everything_back(void **state)
{
	(void)state;
	struct mem_account *account = mem_account_root();
	size_t before = mem_account_stat(account).live;
	struct mem_scope *scope = mem_scope_open(mem_scope_root(), "t", 0);
	assert_non_null(scope);
	assert_non_null(mem_new_array(scope, int, 10));
	mem_scope_close(scope);
	assert_int_equal(mem_account_stat(account).live, before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_scope__close_gives_everything_back)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
