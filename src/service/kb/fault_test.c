/* Every allocation and every I/O of a knowledge base fails in turn, once and for good: each time
 * the caller gets a status, all memory is given back, and what was stored before is there. */
#include "kb/testing.h"

#include <stdio.h>
#include <string.h>

#include "mem/account.h"
#include "mem/faults.h"
#include "rt/file.h"

static struct fault fault;

enum { FAULTS_MAX = 20000 };

typedef status work_fn(struct fault *reterr);

static status work_create(struct fault *reterr)
{
	status st = kb_create(testing_root, "fresh", "d", &testing_build, reterr);
	return st == ST_OK ? kb_delete(testing_root, "fresh", reterr) : st;
}

static status with_writer(status (*work)(struct kb_writer *w, struct fault *reterr),
			  struct fault *reterr)
{
	struct kb_writer *w;
	status st = kb_writer_open(mem_scope_root(), testing_root, "a", &w, reterr);
	if (st != ST_OK)
		return st;
	st = work(w, reterr);
	kb_writer_close(w);
	return st;
}

static status add(struct kb_writer *w, struct fault *reterr)
{
	return testing_file(w, "fresh", 1, 70, reterr);
}

static status replace(struct kb_writer *w, struct fault *reterr)
{
	return testing_file(w, "changing", 2, 10, reterr);
}

static status fail_file(struct kb_writer *w, struct fault *reterr)
{
	uint64_t done;
	status st = kb_writer_file_begin(w, "bad", "1", 1, &done, reterr);
	if (st == ST_OK)
		st = testing_add(w, "bad", 1, 0, 9, reterr);
	return st == ST_OK ? kb_writer_file_fail(w, "unreadable", reterr) : st;
}

static status drop(struct kb_writer *w, struct fault *reterr)
{
	status st = kb_writer_file_delete(w, "changing", reterr);
	return st == ST_NOT_FOUND ? ST_OK : st;
}

static status compact(struct kb_writer *w, struct fault *reterr)
{
	return kb_writer_compact(w, true, NULL, reterr);
}

static status work_add(struct fault *reterr)
{
	return with_writer(add, reterr);
}
static status work_replace(struct fault *reterr)
{
	return with_writer(replace, reterr);
}
static status work_fail(struct fault *reterr)
{
	return with_writer(fail_file, reterr);
}
static status work_drop(struct fault *reterr)
{
	return with_writer(drop, reterr);
}
static status work_compact(struct fault *reterr)
{
	return with_writer(compact, reterr);
}

static status work_rebuild(struct fault *reterr)
{
	struct kb_writer *w;
	struct kb_build build = testing_build;
	build.chunk_chars++;
	status st = kb_rebuild_open(mem_scope_root(), testing_root, "a", &build, &w, reterr);
	if (st != ST_OK)
		return st;
	st = testing_file(w, "stable", 1, 40, reterr);
	if (st == ST_OK)
		st = testing_file(w, "changing", 1, 40, reterr);
	if (st == ST_OK)
		st = kb_writer_switch(w, reterr);
	kb_writer_close(w);
	return st;
}

static status work_search(struct fault *reterr)
{
	struct kb *kb;
	struct kb_info info;
	char got[TESTING_TEXT_BYTES], want[TESTING_TEXT_BYTES];
	status st = kb_open(mem_scope_root(), testing_root, "a", &kb, reterr);
	if (st != ST_OK)
		return st;
	st = testing_find(kb, "stable", 1, 9, got, reterr);
	if (st == ST_OK)
		st = kb_info(kb, &info, reterr);
	kb_close(kb);
	testing_text("stable", 1, 9, want);
	if (st == ST_OK && strcmp(got, want) != 0)
		return fault_set(reterr, ST_CORRUPT, "found '%s'", got);
	return st;
}

/* What was stored before is served, whatever failed since. */
static void check_stored(void)
{
	testing_ok(work_search(&fault), &fault);
}

static void prepare(void)
{
	struct kb_writer *w;
	OK(kb_create(testing_root, "a", "", &testing_build, &fault));
	OK(kb_writer_open(mem_scope_root(), testing_root, "a", &w, &fault));
	OK(testing_file(w, "stable", 1, 40, &fault));
	OK(testing_file(w, "changing", 1, 40, &fault));
	kb_writer_close(w);
}

static void fail_each(work_fn *work, enum mem_fault_kind kind, bool forever)
{
	uint64_t n = 1, step = 1, refused = 0;
	for (; n < FAULTS_MAX; n += step) {
		struct mem_account_stat before = mem_account_stat(mem_account_root());
		mem_fault_arm(kind, n, forever);
		fault = (struct fault){.code = ST_OK};
		status st = work(&fault);
		uint64_t fired = mem_fault_fired(kind);
		mem_fault_disarm(kind);
		struct mem_account_stat after = mem_account_stat(mem_account_root());
		assert_int_equal(after.live, before.live);
		assert_int_equal(after.count, before.count);
		if (st != ST_OK) {
			refused++;
			assert_int_equal(fault.code, st);
			assert_true(fault.text[0] != '\0');
		}
		if (fired == 0) {
			OK(st);
			break;
		}
		if (n % 8 == 0)
			check_stored();
		if (work == work_create) { /* its second half may not have come to pass */
			status gone = kb_delete(testing_root, "fresh", NULL);
			assert_true(gone == ST_OK || gone == ST_NOT_FOUND);
		}
		/* The first ones one by one, then ever wider: the rest repeats itself. */
		step = n < 60 ? 1 : n / 20;
	}
	assert_true(n < FAULTS_MAX);
	assert_true(refused > 5);
	check_stored();
}

static void fail_all(work_fn *work)
{
	prepare();
	fail_each(work, MEM_FAULT_ALLOC, false);
	fail_each(work, MEM_FAULT_ALLOC, true);
	fail_each(work, MEM_FAULT_IO, false);
	fail_each(work, MEM_FAULT_IO, true);
	OK(kb_sweep(testing_root, &fault));
}

#define FAULT_TEST(name)                                                                           \
	static void test_kb_faults__##name(void **state)                                           \
	{                                                                                          \
		(void)state;                                                                       \
		fail_all(work_##name);                                                             \
	}
FAULT_TEST(create)
FAULT_TEST(add)
FAULT_TEST(replace)
FAULT_TEST(fail)
FAULT_TEST(drop)
FAULT_TEST(compact)
FAULT_TEST(rebuild)
FAULT_TEST(search)

#define TEST(name)                                                                                 \
	cmocka_unit_test_setup_teardown(test_kb_faults__##name, testing_begin, testing_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(create), TEST(add),     TEST(replace), TEST(fail),
		TEST(drop),   TEST(compact), TEST(rebuild), TEST(search),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
