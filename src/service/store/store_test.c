#include "store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "mem/faults.h"
#include "rt/file.h"
#include "rt/thread.h"

static char folder[64];
static struct fault fault;

static struct store *open_store(void)
{
	struct store *s = NULL;
	if (store_open(mem_scope_root(), folder, &s, &fault) != ST_OK)
		fail_msg("%s", fault.text);
	return s;
}

static int setup(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/plimsoll-store-XXXXXX");
	return mkdtemp(folder) != NULL ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(mem_account_stat(mem_account_root()).live, 0);
	return dir_remove(folder, &fault) == ST_OK ? 0 : -1;
}

static struct job add(struct store *s, const char *file)
{
	struct job job = {.kb = "guide", .kind = "add", .total = 100};
	snprintf(job.file, sizeof(job.file), "%s", file);
	snprintf(job.path, sizeof(job.path), "temp/%s", file);
	assert_int_equal(store_job_add(s, &job, &fault), ST_OK);
	return job;
}

static void test_store__jobs_are_taken_in_order_and_once(void **state)
{
	(void)state;
	struct store *s = open_store();
	struct job a = add(s, "a.txt"), b = add(s, "乙.txt"), job;
	assert_true(b.id > a.id && a.id > 0);
	assert_int_equal(store_job_take(s, &job, &fault), ST_OK);
	assert_int_equal(job.id, a.id);
	assert_int_equal(job.state, JOB_RUNNING);
	assert_int_equal(job.attempts, 1);
	assert_int_equal(store_job_take(s, &job, &fault), ST_OK);
	assert_string_equal(job.file, "乙.txt");
	assert_string_equal(job.path, "temp/乙.txt");
	assert_int_equal(store_job_take(s, &job, &fault), ST_NOT_FOUND);
	store_close(s);
}

static void test_store__progress_and_end_are_kept(void **state)
{
	(void)state;
	struct store *s = open_store();
	struct job job = add(s, "a.txt");
	assert_int_equal(store_job_take(s, &job, &fault), ST_OK);
	job.done = 42;
	job.chunks = 7;
	job.state = JOB_FAILED;
	snprintf(job.error, sizeof(job.error), "it's broken");
	assert_int_equal(store_job_update(s, &job, &fault), ST_OK);
	store_close(s);
	s = open_store();
	struct job read = {0};
	assert_int_equal(store_job_get(s, job.id, &read, &fault), ST_OK);
	assert_int_equal(read.done, 42);
	assert_int_equal(read.total, 100);
	assert_int_equal(read.chunks, 7);
	assert_int_equal(read.state, JOB_FAILED);
	assert_string_equal(read.error, "it's broken");
	assert_string_equal(job_state_name(read.state), "failed");
	assert_int_equal(store_job_get(s, job.id + 1, &read, &fault), ST_NOT_FOUND);
	job.id += 1;
	assert_int_equal(store_job_update(s, &job, &fault), ST_NOT_FOUND);
	store_close(s);
}

static void test_store__a_dead_servers_jobs_run_again_three_times(void **state)
{
	(void)state;
	struct job job, added;
	struct store *s = open_store();
	added = add(s, "a.txt");
	for (uint32_t attempt = 1; attempt <= JOB_ATTEMPTS_MAX; attempt++) {
		assert_int_equal(store_jobs_recover(s, &fault), ST_OK);
		assert_int_equal(store_job_take(s, &job, &fault), ST_OK);
		assert_int_equal(job.attempts, attempt);
		store_close(s); /* as if the server had died here */
		s = open_store();
	}
	assert_int_equal(store_jobs_recover(s, &fault), ST_OK);
	assert_int_equal(store_job_take(s, &job, &fault), ST_NOT_FOUND);
	assert_int_equal(store_job_get(s, added.id, &job, &fault), ST_OK);
	assert_int_equal(job.state, JOB_FAILED);
	assert_true(strlen(job.error) > 0);
	store_close(s);
}

static void test_store__cancel_is_at_once_only_for_waiting_jobs(void **state)
{
	(void)state;
	struct store *s = open_store();
	struct job a = add(s, "a.txt"), b = add(s, "b.txt"), job;
	bool needed = false;
	assert_int_equal(store_job_take(s, &job, &fault), ST_OK);
	assert_int_equal(store_job_cancel(s, a.id, &job, &fault), ST_OK);
	assert_int_equal(job.state, JOB_RUNNING);
	assert_int_equal(store_job_needs(s, "temp/b.txt", &needed, &fault), ST_OK);
	assert_true(needed);
	assert_int_equal(store_job_cancel(s, b.id, &job, &fault), ST_OK);
	assert_int_equal(job.state, JOB_CANCELLED);
	assert_int_equal(store_job_take(s, &job, &fault), ST_NOT_FOUND);
	assert_int_equal(store_job_needs(s, "temp/b.txt", &needed, &fault), ST_OK);
	assert_false(needed);
	assert_int_equal(store_job_cancel(s, 99, &job, &fault), ST_NOT_FOUND);
	store_close(s);
}

static void test_store__finished_jobs_are_bounded(void **state)
{
	(void)state;
	struct store *s = open_store();
	struct job first = add(s, "first"), job;
	assert_int_equal(store_job_cancel(s, first.id, &job, &fault), ST_OK);
	for (int i = 0; i < JOB_KEEP_MAX + 5; i++) {
		struct job next = add(s, "next");
		assert_int_equal(store_job_cancel(s, next.id, &job, &fault), ST_OK);
	}
	add(s, "last");
	assert_int_equal(store_job_get(s, first.id, &job, &fault), ST_NOT_FOUND);
	assert_int_equal(store_job_get(s, first.id + 10, &job, &fault), ST_OK);
	store_close(s);
}

static void *take_all(void *context)
{
	size_t taken = 0;
	struct job job;
	while (store_job_take(context, &job, NULL) == ST_OK)
		taken++;
	return (void *)taken;
}

static void test_store__two_threads_never_take_the_same_job(void **state)
{
	(void)state;
	struct store *s = open_store();
	for (int i = 0; i < 50; i++)
		add(s, "x");
	pthread_t threads[2];
	size_t total = 0;
	for (int i = 0; i < 2; i++)
		assert_int_equal(thread_start("take", take_all, s, &threads[i], &fault), ST_OK);
	for (int i = 0; i < 2; i++) {
		void *taken;
		pthread_join(threads[i], &taken);
		total += (size_t)taken;
	}
	assert_int_equal(total, 50);
	store_close(s);
}

/* Each I/O fails in turn while a job is added: an error, and then either the job is whole or
 * absent. */
static void test_store__every_io_may_fail(void **state)
{
	(void)state;
	struct store *s = open_store();
	struct job before = add(s, "before");
	for (uint64_t n = 1; n < 200; n++) {
		mem_fault_arm(MEM_FAULT_IO, n, false);
		struct job job = {.kb = "k", .kind = "add", .file = "f", .path = "p"};
		status st = store_job_add(s, &job, &fault);
		uint64_t fired = mem_fault_fired(MEM_FAULT_IO);
		mem_fault_disarm(MEM_FAULT_IO);
		struct job read;
		if (st == ST_OK)
			assert_int_equal(store_job_get(s, job.id, &read, &fault), ST_OK);
		assert_int_equal(store_job_get(s, before.id, &read, &fault), ST_OK);
		assert_string_equal(read.file, "before");
		if (fired == 0)
			break;
		assert_true(n < 199);
	}
	store_close(s);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_store__jobs_are_taken_in_order_and_once),
		TEST(test_store__progress_and_end_are_kept),
		TEST(test_store__a_dead_servers_jobs_run_again_three_times),
		TEST(test_store__cancel_is_at_once_only_for_waiting_jobs),
		TEST(test_store__finished_jobs_are_bounded),
		TEST(test_store__two_threads_never_take_the_same_job),
		TEST(test_store__every_io_may_fail),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
