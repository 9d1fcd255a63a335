#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/size.h"
#include "mem/faults.h"
#include "rt/buf.h"

static struct mem_scope *scope;

static int setup(void **state)
{
	(void)state;
	scope = mem_scope_open(mem_scope_root(), "buf", 0);
	return scope == NULL;
}

static int teardown(void **state)
{
	(void)state;
	int left = mem_scope_live(scope) != 0; /* each test ends its buffers itself */
	mem_scope_close(scope);
	return left;
}

static void test_buf__grows_and_stays_ended(void **state)
{
	(void)state;
	struct buf b;
	buf_init(&b, scope, 64 * KIB);
	assert_string_equal(buf_span(&b).data, "");
	for (int i = 0; i < 1000; i++) {
		assert_true(buf_add(&b, SPAN("hello ")));
		assert_true(buf_add_byte(&b, 'w'));
		assert_true(buf_add_text(&b, "orld"));
		assert_true(buf_printf(&b, " %d\n", i));
		assert_int_equal(b.data[b.bytes], '\0');
		assert_true(b.bytes <= b.capacity && b.capacity <= b.bytes_max);
	}
	assert_true(span_starts_with(buf_span(&b), SPAN("hello world 0\nhello world 1\n")));
	assert_int_equal(buf_check(&b, "text", NULL), ST_OK);
	buf_fini(&b);
	buf_fini(&b);
}

static void test_buf__an_empty_add_is_allowed(void **state)
{
	(void)state;
	struct buf b;
	buf_init(&b, scope, 0);
	assert_true(buf_add(&b, (struct span){NULL, 0}));
	assert_true(buf_printf(&b, "%s", ""));
	assert_string_equal(buf_span(&b).data, "");
	assert_false(buf_add_byte(&b, 'x'));
	buf_fini(&b);
}

static void test_buf__the_ceiling_refuses_and_sticks(void **state)
{
	(void)state;
	struct buf b;
	struct fault fault;
	buf_init(&b, scope, 10);
	assert_true(buf_add_text(&b, "1234567890")); /* exactly full */
	assert_false(buf_add_byte(&b, 'x'));
	assert_string_equal(b.data, "1234567890");
	buf_truncate(&b, 3);
	assert_false(buf_add_byte(&b, 'x')); /* the refusal sticks, though there is room again */
	assert_false(buf_printf(&b, "%d", 1));
	assert_string_equal(b.data, "123");
	assert_int_equal(buf_check(&b, "the answer", &fault), ST_LIMIT);
	assert_string_equal(fault.text, "the answer is larger than 10 bytes");
	buf_clear(&b);
	assert_true(buf_add_byte(&b, 'y'));
	assert_string_equal(b.data, "y");
	buf_fini(&b);
}

static void test_buf__printf_too_long_changes_nothing(void **state)
{
	(void)state;
	struct buf b;
	buf_init(&b, scope, 8);
	assert_true(buf_add_text(&b, "abc"));
	assert_false(buf_printf(&b, "%s", "123456"));
	assert_string_equal(b.data, "abc");
	assert_int_equal(b.bytes, 3);
	buf_fini(&b);
	buf_init(&b, scope, 8);
	assert_true(buf_printf(&b, "%s", "12345678"));
	assert_string_equal(b.data, "12345678");
	buf_fini(&b);
}

static void test_buf__sizes_that_wrap_are_refused(void **state)
{
	(void)state;
	struct buf b;
	char *room;
	buf_init(&b, scope, SIZE_MAX - 1);
	assert_true(buf_add_text(&b, "abc"));
	assert_false(buf_reserve(&b, SIZE_MAX, &room));
	assert_int_equal(b.refused, ST_LIMIT);
	assert_string_equal(b.data, "abc");
	buf_fini(&b);
}

static void test_buf__reserve_and_commit(void **state)
{
	(void)state;
	struct buf b;
	char *room;
	buf_init(&b, scope, 100);
	assert_true(buf_reserve(&b, 50, &room));
	memcpy(room, "abcdef", 6);
	buf_commit(&b, 6);
	assert_string_equal(b.data, "abcdef");
	buf_consume(&b, 2);
	assert_string_equal(b.data, "cdef");
	buf_consume(&b, 0);
	buf_consume(&b, 4);
	assert_string_equal(b.data, "");
	buf_fini(&b);
	buf_consume(&b, 0); /* also of an empty one */
	buf_truncate(&b, 0);
}

static void test_buf__near_a_line_it_grows_by_what_is_needed(void **state)
{
	(void)state;
	struct mem_scope *tight = mem_scope_open(scope, "tight", 2500);
	struct buf b;
	buf_init(&b, tight, 64 * KIB);
	char *room;
	assert_true(buf_reserve(&b, 1000, &room));
	buf_commit(&b, 1000);
	assert_true(buf_reserve(&b, 200, &room)); /* 2000 would not fit beside 1000: 1200 does */
	buf_commit(&b, 200);
	assert_false(buf_reserve(&b, 60 * KIB, &room));
	assert_int_equal(b.refused, ST_BUDGET);
	assert_int_equal(b.bytes, 1200);
	struct fault fault;
	assert_int_equal(buf_check(&b, "a page", &fault), ST_BUDGET);
	assert_non_null(strstr(fault.text, "a page"));
	mem_scope_close(tight);
}

static void test_buf__refused_memory_changes_nothing(void **state)
{
	(void)state;
	struct buf b;
	buf_init(&b, scope, 64 * KIB);
	assert_true(buf_add_text(&b, "before"));
	size_t fill = b.capacity - b.bytes + 1;
	mem_fault_arm(MEM_FAULT_ALLOC, 1, true);
	for (size_t i = 0; i + 1 < fill; i++)
		assert_true(buf_add_byte(&b, '.')); /* fits without memory */
	assert_false(buf_add_byte(&b, '.'));
	mem_fault_disarm(MEM_FAULT_ALLOC);
	assert_int_equal(b.refused, ST_OOM);
	assert_int_equal(b.bytes, 6 + fill - 1);
	assert_int_equal(b.data[b.bytes], '\0');
	buf_fini(&b);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_buf__grows_and_stays_ended),
		T(test_buf__an_empty_add_is_allowed),
		T(test_buf__the_ceiling_refuses_and_sticks),
		T(test_buf__printf_too_long_changes_nothing),
		T(test_buf__sizes_that_wrap_are_refused),
		T(test_buf__reserve_and_commit),
		T(test_buf__near_a_line_it_grows_by_what_is_needed),
		T(test_buf__refused_memory_changes_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
