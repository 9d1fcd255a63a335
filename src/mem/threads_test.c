/* Many threads at once. The sums must come out exactly; the tsan preset finds what sums do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "mem/scope.h"

enum { THREADS = 8, ROUNDS = 2000, KEPT = 16 };

struct work {
	struct mem_scope *scope;
	unsigned number;
	size_t granted, refused;
};

static void run_all(void *(*run)(void *), struct work works[THREADS])
{
	pthread_t threads[THREADS];
	for (unsigned i = 0; i < THREADS; i++) {
		works[i].number = i;
		assert_int_equal(pthread_create(&threads[i], NULL, run, &works[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void *allocate_and_free(void *context)
{
	struct work *w = context;
	char *kept[KEPT] = {NULL};
	for (unsigned i = 0; i < ROUNDS; i++) {
		char **slot = &kept[(i * 7 + w->number) % KEPT];
		mem_free(*slot);
		*slot = mem_new_array(w->scope, char, 1 + (i * 37 + w->number) % 500);
		if (*slot != NULL) {
			memset(*slot, (int)w->number, 1);
			w->granted++;
		} else {
			w->refused++;
		}
	}
	for (size_t i = 0; i < KEPT; i++)
		mem_free(kept[i]);
	return NULL;
}

static void test_threads__one_scope_for_all(void **state)
{
	(void)state;
	struct mem_scope *scope = mem_scope_open(mem_scope_root(), "shared", 0);
	struct work works[THREADS];
	for (size_t i = 0; i < THREADS; i++)
		works[i] = (struct work){.scope = scope};
	run_all(allocate_and_free, works);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(works[i].refused, 0);
	assert_int_equal(mem_scope_live(scope), 0);
	assert_int_equal(mem_account_stat(mem_scope_account(scope)).count, 0);
	mem_scope_close(scope);
}

static void test_threads__a_budget_is_never_crossed(void **state)
{
	(void)state;
	enum { BUDGET = 3500 }; /* less than one thread alone would hold */
	struct mem_scope *scope = mem_scope_open(mem_scope_root(), "tight", BUDGET);
	struct work works[THREADS];
	size_t refused = 0;
	for (size_t i = 0; i < THREADS; i++)
		works[i] = (struct work){.scope = scope};
	run_all(allocate_and_free, works);
	for (size_t i = 0; i < THREADS; i++)
		refused += works[i].refused;
	assert_true(refused > 0);
	assert_true(mem_account_stat(mem_scope_account(scope)).peak <= BUDGET);
	assert_int_equal(mem_scope_live(scope), 0);
	mem_scope_close(scope);
}

/* Half of the threads ask for what never fits; the others must not notice. */
static void *greedy_and_modest(void *context)
{
	struct work *w = context;
	for (unsigned i = 0; i < ROUNDS; i++) {
		size_t bytes = w->number % 2 ? 90 * KIB : 64;
		char *block = mem_new_array(w->scope, char, bytes);
		w->refused += block == NULL;
		mem_free(block);
	}
	return NULL;
}

static void test_threads__a_refused_giant_harms_nobody(void **state)
{
	(void)state;
	struct mem_scope *scope = mem_scope_open(mem_scope_root(), "giants", 0);
	mem_account_set_lines(mem_scope_account(scope), 0, 80 * KIB);
	struct work works[THREADS];
	for (size_t i = 0; i < THREADS; i++)
		works[i] = (struct work){.scope = scope};
	run_all(greedy_and_modest, works);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(works[i].refused, i % 2 ? ROUNDS : 0);
	mem_account_set_lines(mem_scope_account(scope), 0, 0);
	mem_scope_close(scope);
}

static void *open_and_close(void *context)
{
	struct work *w = context;
	for (unsigned i = 0; i < ROUNDS / 4; i++) {
		char name[MEM_NAME_BYTES];
		(void)snprintf(name, sizeof name, "kb%u", (i + w->number) % 13);
		struct mem_scope *scope = mem_scope_open(w->scope, name, 4096);
		struct mem_scope *step = scope != NULL ? mem_scope_open(scope, "step", 0) : NULL;
		w->granted += step != NULL && mem_new_array(step, char, 100) != NULL;
		mem_scope_close(scope);
	}
	return NULL;
}

static void *read_the_books(void *context)
{
	atomic_bool *stop = context;
	static struct mem_account_stat accounts[MEM_ACCOUNTS_MAX];
	struct mem_site_stat sites[16];
	while (!atomic_load(stop)) {
		(void)mem_account_list(accounts, MEM_ACCOUNTS_MAX);
		(void)mem_site_list(sites, 16);
		(void)mem_type_list(sites, 16);
		(void)mem_account_find("shared.kb3");
	}
	return NULL;
}

static void test_threads__scopes_come_and_go_while_the_books_are_read(void **state)
{
	(void)state;
	struct mem_scope *scope = mem_scope_open(mem_scope_root(), "shared", 0);
	struct work works[THREADS];
	atomic_bool stop = false;
	pthread_t reader;
	assert_int_equal(pthread_create(&reader, NULL, read_the_books, &stop), 0);
	for (size_t i = 0; i < THREADS; i++)
		works[i] = (struct work){.scope = scope};
	run_all(open_and_close, works);
	atomic_store(&stop, true);
	assert_int_equal(pthread_join(reader, NULL), 0);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(works[i].granted, ROUNDS / 4);
	assert_int_equal(mem_scope_live(scope), 0);
	mem_scope_close(scope);
}

/* A cache whose hook is registered and taken out again while others allocate over the soft line. */
struct mortal {
	atomic_bool alive;
};

static atomic_uint shed_calls, shed_after_death;

static void mortal_shed(void *context, size_t live, size_t soft)
{
	struct mortal *m = context;
	(void)live;
	(void)soft;
	atomic_fetch_add(&shed_calls, 1);
	if (!atomic_load(&m->alive))
		atomic_fetch_add(&shed_after_death, 1);
}

static void *come_and_go(void *context)
{
	struct work *w = context;
	struct mem_account *account = mem_scope_account(w->scope);
	if (w->number % 2)
		return allocate_and_free(w);
	for (unsigned i = 0; i < ROUNDS / 10; i++) {
		struct mortal m = {.alive = true};
		if (mem_account_on_pressure(account, mortal_shed, &m)) {
			char *block = mem_new_array(w->scope, char,
						    100); /* calls the hook at least once */
			mem_free(block);
			mem_account_off_pressure(account, mortal_shed, &m);
			atomic_store(&m.alive, false);
		}
	}
	return NULL;
}

static void test_threads__no_hook_runs_after_it_was_taken_out(void **state)
{
	(void)state;
	struct mem_scope *scope = mem_scope_open(mem_scope_root(), "pressed", 0);
	mem_account_set_lines(mem_scope_account(scope), 1, 0);
	struct work works[THREADS];
	for (size_t i = 0; i < THREADS; i++)
		works[i] = (struct work){.scope = scope};
	run_all(come_and_go, works);
	assert_true(atomic_load(&shed_calls) > 0);
	assert_int_equal(atomic_load(&shed_after_death), 0);
	mem_account_set_lines(mem_scope_account(scope), 0, 0);
	mem_scope_close(scope);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads__one_scope_for_all),
		cmocka_unit_test(test_threads__a_budget_is_never_crossed),
		cmocka_unit_test(test_threads__a_refused_giant_harms_nobody),
		cmocka_unit_test(test_threads__scopes_come_and_go_while_the_books_are_read),
		cmocka_unit_test(test_threads__no_hook_runs_after_it_was_taken_out),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
