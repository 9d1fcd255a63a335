#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "mem/faults.h"
#include "mem/scope.h"

static void test_faults__unarmed_never_fires(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++)
		assert_false(mem_fault_hit(MEM_FAULT_IO));
}

static void test_faults__the_nth_fails_once(void **state)
{
	(void)state;
	mem_fault_arm(MEM_FAULT_IO, 3, false);
	assert_false(mem_fault_hit(MEM_FAULT_IO));
	assert_false(mem_fault_hit(MEM_FAULT_ALLOC)); /* another counter */
	assert_false(mem_fault_hit(MEM_FAULT_IO));
	assert_int_equal(mem_fault_fired(MEM_FAULT_IO), 0);
	assert_true(mem_fault_hit(MEM_FAULT_IO));
	assert_false(mem_fault_hit(MEM_FAULT_IO));
	assert_int_equal(mem_fault_fired(MEM_FAULT_IO), 1);
	mem_fault_disarm(MEM_FAULT_IO);
}

static void test_faults__forever_goes_on_until_disarmed(void **state)
{
	(void)state;
	mem_fault_arm(MEM_FAULT_ALLOC, 2, true);
	assert_false(mem_fault_hit(MEM_FAULT_ALLOC));
	for (int i = 0; i < 5; i++)
		assert_true(mem_fault_hit(MEM_FAULT_ALLOC));
	assert_int_equal(mem_fault_fired(MEM_FAULT_ALLOC), 5);
	mem_fault_disarm(MEM_FAULT_ALLOC);
	assert_false(mem_fault_hit(MEM_FAULT_ALLOC));
}

static void test_faults__the_environment_arms(void **state)
{
	(void)state;
	static const char *const bad[] = {"alloc",  "alloc:",     "alloc:0",
					  "disk:1", "io:1:often", "io:x"};
	(void)unsetenv("PLIMSOLL_FAULT");
	assert_true(mem_fault_from_environment());
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		(void)setenv("PLIMSOLL_FAULT", bad[i], 1);
		assert_false(mem_fault_from_environment());
		assert_false(mem_fault_hit(MEM_FAULT_IO));
	}
	(void)setenv("PLIMSOLL_FAULT", "io:2", 1);
	assert_true(mem_fault_from_environment());
	assert_false(mem_fault_hit(MEM_FAULT_IO));
	assert_true(mem_fault_hit(MEM_FAULT_IO));
	assert_false(mem_fault_hit(MEM_FAULT_IO));
	(void)setenv("PLIMSOLL_FAULT", "io:1:forever", 1);
	assert_true(mem_fault_from_environment());
	assert_true(mem_fault_hit(MEM_FAULT_IO));
	assert_true(mem_fault_hit(MEM_FAULT_IO));
	mem_fault_disarm(MEM_FAULT_IO);
	(void)unsetenv("PLIMSOLL_FAULT");
}

static void count_call(void *context)
{
	++*(int *)context;
}

/* Work with every kind of allocation there is; ends early at the first refusal. */
static status work(struct mem_scope *parent, int *closed)
{
	CLEANUP(mem_scope_closep)
	struct mem_scope *scope = mem_scope_open(parent, "work", 64 * 1024);
	if (scope == NULL)
		return mem_refusal();
	int *numbers = mem_new_array(scope, int, 10);
	if (numbers == NULL)
		return mem_refusal();
	int *more = mem_resize_array(scope, int, numbers, 1000);
	if (more == NULL)
		return mem_refusal();
	if (mem_copy_text(scope, SPAN("hello")) == NULL ||
	    mem_new_aligned(scope, char, 9, 256) == NULL)
		return mem_refusal();
	status st = mem_on_close(scope, count_call, closed);
	if (st != ST_OK)
		return st;
	CLEANUP(mem_scope_closep) struct mem_scope *step = mem_scope_open(scope, "step", 0);
	if (step == NULL || mem_new(step, double) == NULL)
		return mem_refusal();
	return ST_OK;
}

static void fail_in_turn(bool forever)
{
	struct mem_scope *parent = mem_scope_open(mem_scope_root(), "parent", 0);
	assert_non_null(parent);
	uint64_t n = 1;
	for (;; n++) {
		int closed = 0;
		mem_fault_arm(MEM_FAULT_ALLOC, n, forever);
		status st = work(parent, &closed);
		bool fired = mem_fault_fired(MEM_FAULT_ALLOC) > 0;
		mem_fault_disarm(MEM_FAULT_ALLOC);
		assert_int_equal(mem_scope_live(parent), 0);
		assert_int_equal(mem_account_stat(mem_scope_account(parent)).live, 0);
		assert_int_equal(st, fired ? ST_OOM : ST_OK);
		if (!fired) {
			assert_int_equal(closed, 1);
			break;
		}
	}
	assert_int_equal(n, 9); /* eight allocations, and the run in which all of them work */
	mem_scope_close(parent);
}

static void test_faults__each_allocation_fails_once(void **state)
{
	(void)state;
	fail_in_turn(false);
}

static void test_faults__each_allocation_fails_for_good(void **state)
{
	(void)state;
	fail_in_turn(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_faults__unarmed_never_fires),
		cmocka_unit_test(test_faults__the_nth_fails_once),
		cmocka_unit_test(test_faults__forever_goes_on_until_disarmed),
		cmocka_unit_test(test_faults__the_environment_arms),
		cmocka_unit_test(test_faults__each_allocation_fails_once),
		cmocka_unit_test(test_faults__each_allocation_fails_for_good),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
