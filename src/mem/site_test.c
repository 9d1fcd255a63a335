#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "mem/scope.h"
#include "mem/site.h"

struct blob {
	char bytes[100];
};
struct other {
	int x;
};

enum { ROWS = 64 };

/* Finds the row, or one of zeros. */
static struct mem_site_stat row(size_t (*list)(struct mem_site_stat *, size_t), const char *type,
				int line)
{
	struct mem_site_stat rows[ROWS];
	size_t count = list(rows, ROWS);
	for (size_t i = 0; i < count; i++) {
		if (strcmp(rows[i].type, type) == 0 && rows[i].line == line)
			return rows[i];
	}
	return (struct mem_site_stat){.file = ""};
}

static void test_site__counts_are_exact(void **state)
{
	(void)state;
	struct mem_scope *scope = mem_scope_open(mem_scope_root(), "sites", 0);
	struct blob *kept[10];
	int line = 0;
	for (size_t i = 0; i < 10; i++) {
		kept[i] = mem_new(scope, struct blob), line = __LINE__;
		assert_non_null(kept[i]);
	}
	struct mem_site_stat full = row(mem_site_list, "struct blob", line);
	assert_int_equal(full.count, 10);
	assert_int_equal(full.live, mem_scope_live(scope));
	assert_true(full.live >= 10 * sizeof(struct blob));
	assert_non_null(strstr(full.file, "site_test.c"));
	for (size_t i = 0; i < 7; i++)
		mem_free(kept[i]);
	struct mem_site_stat after = row(mem_site_list, "struct blob", line);
	assert_int_equal(after.count, 3);
	assert_int_equal(after.live * 10, full.live * 3);
	assert_int_equal(after.peak, full.live);
	assert_int_equal(after.total, 10);
	mem_scope_close(scope);
	after = row(mem_site_list, "struct blob", line);
	assert_int_equal(after.count, 0);
	assert_int_equal(after.live, 0);
}

static void test_site__types_sum_their_lines(void **state)
{
	(void)state;
	struct mem_scope *scope = mem_scope_open(mem_scope_root(), "types", 0);
	assert_non_null(mem_new(scope, struct other));
	assert_non_null(mem_new(scope, struct other));
	assert_non_null(mem_new_array(scope, struct other, 100));
	struct mem_site_stat sum = row(mem_type_list, "struct other", 0);
	assert_int_equal(sum.count, 3);
	assert_int_equal(sum.total, 3);
	assert_int_equal(sum.live, mem_scope_live(scope));
	assert_string_equal(sum.file, "");
	mem_scope_close(scope);
	assert_int_equal(row(mem_type_list, "struct other", 0).live, 0);
}

static void test_site__lists_are_sorted_and_bounded(void **state)
{
	(void)state;
	struct mem_scope *scope = mem_scope_open(mem_scope_root(), "sorted", 0);
	assert_non_null(mem_new_array(scope, char, 10));
	assert_non_null(mem_new_array(scope, char, 100000));
	assert_non_null(mem_new_array(scope, char, 1000));
	struct mem_site_stat rows[ROWS];
	size_t count = mem_site_list(rows, ROWS);
	for (size_t i = 1; i < count; i++)
		assert_true(rows[i - 1].live >= rows[i].live);
	struct mem_site_stat top[2];
	assert_int_equal(mem_site_list(top, 2), 2);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(top[i].live, rows[i].live);
		assert_ptr_equal(top[i].type, rows[i].type);
	}
	assert_int_equal(mem_site_list(top, 0), 0);
	assert_int_equal(mem_type_list(top, 1), 1);
	assert_string_equal(top[0].type, "char");
	mem_scope_close(scope);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_site__counts_are_exact),
		cmocka_unit_test(test_site__types_sum_their_lines),
		cmocka_unit_test(test_site__lists_are_sorted_and_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
