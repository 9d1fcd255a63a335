#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "mem/account.h"

static struct mem_account *open_account(struct mem_account *parent, const char *name)
{
	struct mem_account *account = mem_account_open(parent, name);
	assert_non_null(account);
	return account;
}

static size_t live_of(const struct mem_account *account)
{
	return mem_account_stat(account).live;
}

static void test_account__names_form_a_tree(void **state)
{
	(void)state;
	struct mem_account *kb = open_account(mem_account_root(), "kb");
	struct mem_account *book = open_account(kb, "handbook");
	struct mem_account *index = open_account(book, "index");
	assert_string_equal(mem_account_stat(index).name, "kb.handbook.index");
	assert_string_equal(mem_account_stat(mem_account_root()).name, "");
	assert_ptr_equal(mem_account_find("kb.handbook.index"), index);
	assert_ptr_equal(mem_account_find("kb"), kb);
	assert_ptr_equal(mem_account_find(""), mem_account_root());
	assert_null(mem_account_find("kb.handbook.nothing"));
	assert_ptr_equal(open_account(kb, "handbook"), book); /* shared */
	mem_account_close(book);
	mem_account_close(book);
	mem_account_close(index);
	mem_account_close(kb);
	mem_account_close(NULL);
}

static void test_account__a_charge_counts_in_all_ancestors(void **state)
{
	(void)state;
	struct mem_account *a = open_account(mem_account_root(), "a");
	struct mem_account *b = open_account(a, "b"), *c = open_account(a, "c");
	size_t root_before = live_of(mem_account_root());
	assert_true(mem_account_charge(b, 100));
	assert_true(mem_account_charge(c, 50));
	assert_int_equal(live_of(a), 150);
	assert_int_equal(live_of(b), 100);
	assert_int_equal(mem_account_stat(a).count, 2);
	assert_int_equal(live_of(mem_account_root()), root_before + 150);
	assert_true(mem_account_recharge(b, 100, 10));
	assert_true(mem_account_recharge(c, 50, 90));
	assert_int_equal(live_of(a), 100);
	assert_int_equal(mem_account_stat(a).peak, 150);
	assert_int_equal(mem_account_stat(a).count, 2);
	mem_account_credit(b, 10);
	mem_account_credit(c, 90);
	assert_int_equal(live_of(a), 0);
	assert_int_equal(mem_account_stat(a).count, 0);
	assert_int_equal(live_of(mem_account_root()), root_before);
	mem_account_close(b);
	mem_account_close(c);
	mem_account_close(a);
}

static void test_account__hard_line_refuses_and_changes_nothing(void **state)
{
	(void)state;
	struct mem_account *a = open_account(mem_account_root(), "hard");
	struct mem_account *b = open_account(a, "below"), *other = open_account(a, "other");
	mem_account_set_lines(a, 0, 100);
	assert_true(mem_account_charge(other, 40));
	assert_true(mem_account_charge(b, 60)); /* exactly at the line */
	struct mem_account_stat before = mem_account_stat(b),
				root = mem_account_stat(mem_account_root());
	assert_false(mem_account_charge(b, 1));
	assert_false(mem_account_charge(b, SIZE_MAX));
	assert_false(mem_account_recharge(b, 60, 61));
	struct mem_account_stat after = mem_account_stat(b);
	assert_memory_equal(&before, &after,
			    sizeof before); /* the line is above: not even a refusal */
	assert_int_equal(mem_account_stat(a).refusals, 3);
	assert_int_equal(mem_account_stat(a).peak, 100);
	assert_int_equal(mem_account_stat(mem_account_root()).live, root.live);
	assert_int_equal(mem_account_stat(mem_account_root()).peak, root.peak);
	mem_account_credit(other, 40);
	assert_true(mem_account_charge(b, 40));
	mem_account_credit(b, 40);
	mem_account_credit(b, 60);
	mem_account_close(other);
	mem_account_close(b);
	mem_account_close(a);
}

/* A cache for the tests: sheds when told, and remembers what it was told. */
struct cache {
	struct mem_account *account;
	size_t held, calls, live, soft;
	bool stubborn, nested;
};

static void cache_shed(void *context, size_t live, size_t soft)
{
	struct cache *c = context;
	c->calls++;
	c->live = live;
	c->soft = soft;
	if (c->nested) { /* what a hook allocates calls no hook */
		assert_true(mem_account_charge(c->account, 1));
		mem_account_credit(c->account, 1);
	}
	if (!c->stubborn && c->held > 0) {
		mem_account_credit(c->account, c->held);
		c->held = 0;
	}
}

static void test_account__soft_line_makes_caches_shed(void **state)
{
	(void)state;
	struct mem_account *a = open_account(mem_account_root(), "soft");
	struct mem_account *b = open_account(a, "requests");
	struct cache cache = {.account = open_account(a, "cache"), .held = 80, .nested = true};
	mem_account_set_lines(a, 100, 0);
	assert_true(mem_account_on_pressure(a, cache_shed, &cache));
	assert_true(mem_account_charge(cache.account, 80));
	assert_true(mem_account_charge(b, 20));
	assert_int_equal(cache.calls, 0); /* at the line is not above it */
	assert_true(mem_account_charge(b, 5));
	assert_int_equal(cache.calls, 1);
	assert_int_equal(cache.live, 105);
	assert_int_equal(cache.soft, 100);
	assert_int_equal(live_of(a), 25);
	cache.stubborn = true;
	assert_true(mem_account_charge(b, 100)); /* soft only: still granted */
	assert_true(mem_account_charge(b, 1));   /* and asked again while above */
	assert_int_equal(cache.calls, 3);
	mem_account_off_pressure(a, cache_shed, &cache);
	assert_true(mem_account_charge(b, 1));
	assert_int_equal(cache.calls, 3);
	mem_account_credit(b, 20), mem_account_credit(b, 5), mem_account_credit(b, 100);
	mem_account_credit(b, 1), mem_account_credit(b, 1);
	mem_account_close(cache.account);
	mem_account_close(b);
	mem_account_close(a);
}

static void test_account__hooks_may_make_room_at_the_hard_line(void **state)
{
	(void)state;
	struct mem_account *a = open_account(mem_account_root(), "room");
	struct cache cache = {.account = a, .held = 90};
	mem_account_set_lines(a, 95, 100);
	assert_true(mem_account_on_pressure(a, cache_shed, &cache));
	assert_true(mem_account_charge(a, 90));
	assert_false(mem_account_charge(a, 101)); /* could never fit: nobody is asked */
	assert_int_equal(cache.calls, 0);
	assert_true(mem_account_charge(a, 50));
	assert_int_equal(cache.calls, 1);
	assert_int_equal(cache.live, 140);
	assert_int_equal(mem_account_stat(a).refusals, 1);
	cache.stubborn = true;
	assert_false(mem_account_charge(a, 51));
	assert_int_equal(live_of(a), 50);
	mem_account_off_pressure(a, cache_shed, &cache);
	mem_account_credit(a, 50);
	mem_account_close(a);
}

static void leave(void *context, size_t live, size_t soft)
{
	(void)live;
	(void)soft;
	mem_account_off_pressure(context, leave, context);
}

static void test_account__a_hook_may_take_itself_out(void **state)
{
	(void)state;
	struct mem_account *a = open_account(mem_account_root(), "leave");
	mem_account_set_lines(a, 1, 0);
	assert_true(mem_account_on_pressure(a, leave, a));
	assert_true(mem_account_charge(a, 2));
	mem_account_credit(a, 2);
	mem_account_close(a);
}

static void test_account__hooks_are_bounded(void **state)
{
	(void)state;
	struct mem_account *a = open_account(mem_account_root(), "hooks");
	struct cache caches[MEM_SHED_HOOKS_MAX + 1] = {{.stubborn = true}};
	for (size_t i = 0; i < MEM_SHED_HOOKS_MAX; i++)
		assert_true(mem_account_on_pressure(a, cache_shed, &caches[i]));
	assert_false(mem_account_on_pressure(a, cache_shed, &caches[MEM_SHED_HOOKS_MAX]));
	for (size_t i = 0; i < MEM_SHED_HOOKS_MAX; i++)
		mem_account_off_pressure(a, cache_shed, &caches[i]);
	assert_true(mem_account_on_pressure(a, cache_shed, &caches[0]));
	mem_account_off_pressure(a, cache_shed, &caches[0]);
	mem_account_close(a);
}

static void test_account__bad_names_are_refused(void **state)
{
	(void)state;
	char longest[MEM_NAME_BYTES + 1];
	memset(longest, 'x', sizeof longest);
	longest[MEM_NAME_BYTES] = '\0';
	assert_null(mem_account_open(mem_account_root(), longest));
	longest[MEM_NAME_BYTES - 1] = '\0';
	mem_account_close(open_account(mem_account_root(), longest));
	assert_null(mem_account_open(mem_account_root(), ""));
	assert_null(mem_account_open(mem_account_root(), "a.b"));
}

static void test_account__depth_is_bounded_and_long_paths_are_cut(void **state)
{
	(void)state;
	struct mem_account *chain[MEM_ACCOUNT_DEPTH_MAX];
	char name[MEM_NAME_BYTES];
	memset(name, 'n', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	chain[0] = mem_account_root();
	size_t depth = 1;
	for (; depth < MEM_ACCOUNT_DEPTH_MAX; depth++)
		chain[depth] = open_account(chain[depth - 1], name);
	assert_null(mem_account_open(chain[depth - 1], name));
	assert_int_equal(strlen(mem_account_stat(chain[depth - 1]).name), MEM_PATH_BYTES - 1);
	while (--depth > 0)
		mem_account_close(chain[depth]);
}

static size_t row_of(const struct mem_account_stat *list, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(list[i].name, name) == 0)
			return i;
	}
	return SIZE_MAX;
}

static void test_account__list_has_parents_first(void **state)
{
	(void)state;
	static struct mem_account_stat list[MEM_ACCOUNTS_MAX];
	struct mem_account *a = open_account(mem_account_root(), "list");
	struct mem_account *b = open_account(a, "x"), *c = open_account(b, "y");
	assert_true(mem_account_charge(c, 7));
	size_t count = mem_account_list(list, MEM_ACCOUNTS_MAX);
	assert_int_equal(row_of(list, count, ""), 0);
	assert_true(row_of(list, count, "list") < row_of(list, count, "list.x"));
	assert_true(row_of(list, count, "list.x") < row_of(list, count, "list.x.y"));
	assert_true(row_of(list, count, "list.x.y") < count);
	assert_int_equal(list[row_of(list, count, "list")].live, 7);
	assert_int_equal(mem_account_list(list, 1), count); /* says how many there are */
	mem_account_credit(c, 7);
	mem_account_close(c);
	mem_account_close(b);
	mem_account_close(a);
	count = mem_account_list(list, MEM_ACCOUNTS_MAX);
	assert_true(row_of(list, count, "list.x.y") ==
		    SIZE_MAX); /* nobody's and empty: not listed */
}

/* Names that come and go for ever need no more slots than are in use at once. */
static void test_account__slots_are_used_again(void **state)
{
	(void)state;
	for (int round = 0; round < 3 * MEM_ACCOUNTS_MAX; round++) {
		char name[MEM_NAME_BYTES];
		(void)snprintf(name, sizeof name, "kb%d", round);
		struct mem_account *kb = open_account(mem_account_root(), name);
		struct mem_account *index = open_account(kb, "index");
		assert_int_equal(mem_account_stat(index).peak,
				 0); /* nothing of the former tenant */
		mem_account_set_lines(index, 5, 10);
		assert_true(mem_account_charge(index, 10));
		mem_account_credit(index, 10);
		mem_account_close(index);
		mem_account_close(kb);
	}
}

static void test_account__a_slot_in_use_is_never_given_away(void **state)
{
	(void)state;
	static struct mem_account *all[MEM_ACCOUNTS_MAX];
	struct mem_account *holder = open_account(mem_account_root(), "holder");
	assert_true(mem_account_charge(holder, 3));
	mem_account_close(holder); /* closed, but three bytes are still out */
	size_t count = 0;
	for (; count < MEM_ACCOUNTS_MAX; count++) {
		char name[MEM_NAME_BYTES];
		(void)snprintf(name, sizeof name, "full%zu", count);
		all[count] = mem_account_open(mem_account_root(), name);
		if (all[count] == NULL)
			break;
		assert_ptr_not_equal(all[count], holder);
	}
	assert_in_range(count, MEM_ACCOUNTS_MAX - 8, MEM_ACCOUNTS_MAX - 2);
	assert_string_equal(mem_account_stat(holder).name, "holder");
	assert_ptr_equal(mem_account_open(mem_account_root(), "full7"),
			 all[7]); /* sharing still works */
	mem_account_close(all[7]);
	mem_account_credit(holder, 3);
	assert_ptr_equal(mem_account_open(mem_account_root(), "tenant"), holder);
	mem_account_close(holder);
	while (count-- > 0)
		mem_account_close(all[count]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_account__names_form_a_tree),
		cmocka_unit_test(test_account__a_charge_counts_in_all_ancestors),
		cmocka_unit_test(test_account__hard_line_refuses_and_changes_nothing),
		cmocka_unit_test(test_account__soft_line_makes_caches_shed),
		cmocka_unit_test(test_account__hooks_may_make_room_at_the_hard_line),
		cmocka_unit_test(test_account__a_hook_may_take_itself_out),
		cmocka_unit_test(test_account__hooks_are_bounded),
		cmocka_unit_test(test_account__bad_names_are_refused),
		cmocka_unit_test(test_account__depth_is_bounded_and_long_paths_are_cut),
		cmocka_unit_test(test_account__list_has_parents_first),
		cmocka_unit_test(test_account__slots_are_used_again),
		cmocka_unit_test(test_account__a_slot_in_use_is_never_given_away),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
