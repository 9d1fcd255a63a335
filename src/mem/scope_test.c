#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/size.h"
#include "mem/scope.h"

/* Each test works in a scope of its own, and leaves nothing in it or at the root. */
struct fixture {
	struct mem_scope *scope;
	struct mem_account_stat root;
};

static struct fixture shared;

static int setup(void **state)
{
	shared.root = mem_account_stat(mem_account_root());
	shared.scope = mem_scope_open(mem_scope_root(), "test", 0);
	*state = shared.scope;
	return shared.scope == NULL;
}

static int teardown(void **state)
{
	mem_scope_close(*state);
	struct mem_account_stat after = mem_account_stat(mem_account_root());
	return after.live != shared.root.live || after.count != shared.root.count;
}

static size_t live_of(struct mem_scope *scope)
{
	return mem_account_stat(mem_scope_account(scope)).live;
}

static bool is_zero(const void *data, size_t bytes)
{
	const unsigned char *p = data;
	for (size_t i = 0; i < bytes; i++) {
		if (p[i] != 0)
			return false;
	}
	return true;
}

static void test_scope__blocks_are_zeroed_and_charged(void **state)
{
	struct mem_scope *scope = mem_scope_open(*state, "blocks", 0);
	for (size_t n = 0; n < 300; n += 7) {
		char *block = mem_new_array(scope, char, n);
		assert_non_null(block);
		assert_true(is_zero(block, n));
		assert_int_equal((uintptr_t)block % 16, 0);
		memset(block, 0xAA, n);
	}
	assert_int_equal(mem_account_stat(mem_scope_account(scope)).count, 43);
	assert_int_equal(live_of(scope), mem_scope_live(scope));
	mem_scope_close(scope);
}

static void test_scope__alignment_is_what_was_asked(void **state)
{
	struct mem_scope *scope = *state;
	for (size_t align = 1; align <= 4096; align *= 2) {
		for (size_t n = 1; n < 4; n++) {
			size_t before = mem_scope_live(scope);
			char *block = mem_new_aligned(scope, char, n * 100, align);
			assert_non_null(block);
			assert_int_equal((uintptr_t)block % align, 0);
			assert_true(is_zero(block, n * 100));
			memset(block, 0x55, n * 100);
			assert_in_range(mem_scope_live(scope) - before, n * 100,
					n * 100 + 64 + align);
			if (n == 2) {
				mem_free(block);
				assert_int_equal(mem_scope_live(scope), before);
			}
		}
	}
}

static void test_scope__sizes_that_wrap_are_refused(void **state)
{
	struct mem_scope *scope = *state;
	assert_null(mem_new_array(scope, uint64_t, SIZE_MAX / 4));
	assert_int_equal(mem_refusal(), ST_BUDGET);
	assert_null(mem_new_array(scope, char, SIZE_MAX));
	assert_null(mem_new_array(scope, char, (size_t)PTRDIFF_MAX));
	assert_null(mem_new_aligned(scope, char, SIZE_MAX - 100, 4096));
	assert_null(mem_copy_text(scope, ((struct span){"x", SIZE_MAX})));
	assert_int_equal(mem_scope_live(scope), 0);
}

static void test_scope__more_than_the_machine_has_is_oom(void **state)
{
#ifdef PLIMSOLL_SANITIZED
	skip(); /* the sanitizer's allocator ends the program instead of answering NULL */
#endif
	struct mem_scope *scope = *state;
	assert_null(mem_new_array(scope, char, (size_t)1 << 60));
	assert_int_equal(mem_refusal(), ST_OOM);
	assert_int_equal(mem_scope_live(scope), 0);
	assert_int_equal(live_of(scope), 0);
}

static void test_scope__large_arrays_touch_no_page(void **state)
{
#ifdef PLIMSOLL_SANITIZED
	skip();
#endif
	struct mem_scope *scope = *state;
	unsigned long before = 0, after = 0, size;
	FILE *f = fopen("/proc/self/statm", "r");
	assert_int_equal(fscanf(f, "%lu %lu", &size, &before), 2);
	(void)fclose(f);
	assert_non_null(mem_new_array(scope, char, 256 * MIB));
	assert_non_null(mem_new_aligned(scope, char, 256 * MIB, 64));
	f = fopen("/proc/self/statm", "r");
	assert_int_equal(fscanf(f, "%lu %lu", &size, &after), 2);
	(void)fclose(f);
	assert_true(after < before + 1024); /* pages: 4 MiB at most of 512 */
}

static void test_scope__budgets_nest(void **state)
{
	struct mem_scope *outer = mem_scope_open(*state, "outer", 10000);
	struct mem_scope *inner = mem_scope_open(outer, "inner", 0);
	struct mem_scope *tight = mem_scope_open(inner, "tight", 1000);
	assert_int_equal(mem_scope_max(outer), 10000);
	size_t outer_before = mem_scope_live(outer), root = live_of(mem_scope_root());
	assert_null(mem_new_array(tight, char, 1000)); /* headers count */
	assert_int_equal(mem_refusal(), ST_BUDGET);
	assert_null(mem_new_array(inner, char, 20000)); /* refused by the one around it */
	assert_int_equal(mem_scope_live(outer), outer_before);
	assert_int_equal(mem_scope_live(tight), 0);
	assert_int_equal(live_of(mem_scope_root()), root);
	assert_non_null(mem_new_array(tight, char, 900));
	assert_non_null(mem_new_array(inner, char, 5000));
	assert_null(mem_new_array(outer, char, 5000));
	mem_scope_reset(inner);
	assert_non_null(mem_new_array(outer, char, 5000));
	mem_scope_close(outer);
	assert_int_equal(mem_scope_live(*state), 0);
}

static void test_scope__a_budget_can_be_used_to_its_last_byte(void **state)
{
	struct mem_scope *probe = mem_scope_open(*state, "probe", 0);
	assert_non_null(mem_new_array(probe, char, 1));
	size_t header = mem_scope_live(probe) - 1;
	mem_scope_close(probe);
	struct mem_scope *exact = mem_scope_open(*state, "exact", header + 500);
	assert_null(mem_new_array(exact, char, 501));
	char *block = mem_new_array(exact, char, 500);
	assert_non_null(block);
	assert_null(mem_new_array(exact, char, 0));
	mem_free(block);
	assert_non_null(mem_new_array(exact, char, 500));
	mem_scope_close(exact);
}

static void test_scope__lines_of_the_account_refuse(void **state)
{
	struct mem_scope *scope = mem_scope_open(*state, "lined", 0);
	mem_account_set_lines(mem_scope_account(scope), 0, 1000);
	assert_null(mem_new_array(scope, char, 1000));
	assert_int_equal(mem_refusal(), ST_BUDGET);
	assert_int_equal(mem_scope_live(scope), 0);
	assert_int_equal(mem_account_stat(mem_scope_account(scope)).refusals, 1);
	assert_null(mem_scope_open(scope, "child", 0) ? mem_new_array(scope, char, 900) : NULL);
	mem_account_set_lines(mem_scope_account(scope), 0, 0);
	mem_scope_close(scope);
}

static void test_scope__a_scope_that_does_not_fit_is_refused(void **state)
{
	struct mem_scope *small = mem_scope_open(*state, "small", 16);
	assert_null(mem_scope_open(small, "child", 0));
	assert_int_equal(mem_refusal(), ST_BUDGET);
	assert_null(mem_scope_open(*state, "dotted.name", 0));
	assert_int_equal(mem_refusal(), ST_BUDGET);
	assert_int_equal(mem_scope_live(small), 0);
	mem_scope_close(small);
	assert_int_equal(mem_scope_live(*state), 0);
}

static void test_scope__free_gives_back_early(void **state)
{
	struct mem_scope *scope = *state;
	char *first = mem_new_array(scope, char, 100), *second = mem_new_array(scope, char, 200);
	size_t both = mem_scope_live(scope);
	mem_free(first);
	assert_int_equal(both - mem_scope_live(scope), both - 100 - mem_scope_live(scope) + 100);
	assert_true(mem_scope_live(scope) < both);
	mem_freep(&second);
	assert_int_equal(mem_scope_live(scope), 0);
	mem_free(NULL);
}

static void test_scope__a_double_free_is_caught(void **state)
{
#ifdef PLIMSOLL_SANITIZED
	skip(); /* the sanitizer reports it first */
#endif
	struct mem_scope *scope = *state;
	pid_t child = fork();
	if (child == 0) {
		if (freopen("/dev/null", "w", stderr) == NULL)
			_exit(1);
		(void)signal(SIGABRT, SIG_DFL);
		char *block = mem_new_array(scope, char, 5000);
		char *again = block;
		mem_free(block);
		mem_free(again);
		_exit(0);
	}
	int how;
	assert_int_equal(waitpid(child, &how, 0), child);
	assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGABRT);
}

static void test_scope__arrays_grow_and_shrink(void **state)
{
	struct mem_scope *scope = *state;
	int *array = mem_resize_array(scope, int, NULL, 4);
	assert_non_null(array);
	for (int i = 0; i < 4; i++)
		array[i] = i + 1;
	array = mem_resize_array(scope, int, array, 1000);
	assert_non_null(array);
	assert_int_equal(array[3], 4);
	assert_true(is_zero(array + 4, 996 * sizeof *array));
	array = mem_resize_array(scope, int, array, 2);
	assert_int_equal(array[1], 2);
	assert_int_equal(mem_account_stat(mem_scope_account(scope)).count, 1);
	size_t before = mem_scope_live(scope);
	assert_null(mem_resize_array(scope, int, array, SIZE_MAX / 2));
	assert_int_equal(array[0], 1); /* the old one is as it was */
	assert_int_equal(mem_scope_live(scope), before);
	mem_free(array);
}

static void test_scope__text_is_copied_and_ended(void **state)
{
	struct mem_scope *scope = *state;
	const char *line = "hello world";
	assert_string_equal(mem_copy_text(scope, ((struct span){line, 5})), "hello");
	assert_string_equal(mem_copy_text(scope, ((struct span){NULL, 0})), "");
}

/* Hooks write their letter here. */
static char trace[32];
static size_t trace_bytes;
static struct mem_scope *trace_scope;

static void note(void *letter)
{
	trace[trace_bytes++] = *(const char *)letter;
	trace[trace_bytes] = '\0';
}

static void note_and_free(void *block)
{
	note(block);
	mem_free(block);
}

static void open_more(void *letter)
{
	note(letter);
	struct mem_scope *child = mem_scope_open(trace_scope, "late", 0);
	static char late[] = "L";
	if (child == NULL || mem_on_close(child, note, late) != ST_OK ||
	    mem_on_close(trace_scope, note, late) != ST_OK)
		trace[trace_bytes++] = '!';
}

static void test_scope__hooks_run_latest_first_children_before(void **state)
{
	static char letters[] = "ABCD";
	struct mem_scope *scope = mem_scope_open(*state, "hooks", 0);
	struct mem_scope *child = mem_scope_open(scope, "child", 0);
	trace_bytes = 0;
	assert_int_equal(mem_on_close(scope, note, &letters[0]), ST_OK);
	assert_int_equal(mem_on_close(scope, note, &letters[1]), ST_OK);
	assert_int_equal(mem_on_close(child, note, &letters[2]), ST_OK);
	char *own = mem_copy_text(scope, SPAN("D"));
	assert_int_equal(mem_on_close(scope, note_and_free, own), ST_OK);
	mem_scope_reset(scope);
	assert_string_equal(trace, "CDBA");
	assert_int_equal(mem_scope_live(scope), 0);
	mem_scope_reset(scope); /* each runs once */
	assert_string_equal(trace, "CDBA");
	assert_int_equal(mem_on_close(scope, note, &letters[0]), ST_OK); /* still usable */
	mem_scope_close(scope);
	assert_string_equal(trace, "CDBAA");
}

static void test_scope__what_hooks_open_ends_too(void **state)
{
	static char letter[] = "H";
	trace_scope = mem_scope_open(*state, "late_hooks", 0);
	trace_bytes = 0;
	assert_int_equal(mem_on_close(trace_scope, open_more, letter), ST_OK);
	mem_scope_close(trace_scope);
	assert_string_equal(trace, "HLL");
	assert_int_equal(mem_scope_live(*state), 0);
}

static void test_scope__closing_ends_a_deep_tree(void **state)
{
	struct mem_scope *scope = mem_scope_open(*state, "deep", 0), *at = scope;
	for (int i = 0; i < 5; i++) {
		struct mem_scope *left = mem_scope_open(at, "left", 0);
		struct mem_scope *right = mem_scope_open(at, "right", 0);
		assert_non_null(mem_new_array(left, char, 100));
		assert_non_null(mem_new_array(right, char, 100));
		at = i % 2 ? left : right;
	}
	mem_scope_close(scope);
	assert_int_equal(mem_scope_live(*state), 0);
}

static void test_scope__siblings_close_in_any_order(void **state)
{
	struct mem_scope *scopes[6];
	static const size_t order[] = {2, 0, 5, 3, 1, 4};
	for (size_t i = 0; i < 6; i++)
		scopes[i] = mem_scope_open(*state, "sibling", 0);
	for (size_t i = 0; i < 6; i++)
		mem_scope_closep(&scopes[order[i]]);
	assert_int_equal(mem_scope_live(*state), 0);
	mem_scope_close(NULL);
}

static void test_scope__the_same_name_shares_an_account(void **state)
{
	struct mem_scope *a = mem_scope_open(*state, "request", 0),
			 *b = mem_scope_open(*state, "request", 0);
	assert_ptr_equal(mem_scope_account(a), mem_scope_account(b));
	assert_non_null(mem_new_array(a, char, 100));
	assert_int_equal(mem_scope_live(b), 0); /* the account is shared, the scope is not */
	assert_true(live_of(b) > 100);
	mem_scope_close(a);
	assert_int_equal(live_of(b), 0);
	mem_scope_close(b);
}

#define SCOPE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCOPE_TEST(test_scope__blocks_are_zeroed_and_charged),
		SCOPE_TEST(test_scope__alignment_is_what_was_asked),
		SCOPE_TEST(test_scope__sizes_that_wrap_are_refused),
		SCOPE_TEST(test_scope__more_than_the_machine_has_is_oom),
		SCOPE_TEST(test_scope__large_arrays_touch_no_page),
		SCOPE_TEST(test_scope__budgets_nest),
		SCOPE_TEST(test_scope__a_budget_can_be_used_to_its_last_byte),
		SCOPE_TEST(test_scope__lines_of_the_account_refuse),
		SCOPE_TEST(test_scope__a_scope_that_does_not_fit_is_refused),
		SCOPE_TEST(test_scope__free_gives_back_early),
		SCOPE_TEST(test_scope__a_double_free_is_caught),
		SCOPE_TEST(test_scope__arrays_grow_and_shrink),
		SCOPE_TEST(test_scope__text_is_copied_and_ended),
		SCOPE_TEST(test_scope__hooks_run_latest_first_children_before),
		SCOPE_TEST(test_scope__what_hooks_open_ends_too),
		SCOPE_TEST(test_scope__closing_ends_a_deep_tree),
		SCOPE_TEST(test_scope__siblings_close_in_any_order),
		SCOPE_TEST(test_scope__the_same_name_shares_an_account),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
