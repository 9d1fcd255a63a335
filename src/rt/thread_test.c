#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "mem/faults.h"
#include "rt/thread.h"

static struct mem_scope *scope;

static int setup(void **state)
{
	(void)state;
	scope = mem_scope_open(mem_scope_root(), "threads", 0);
	return scope == NULL;
}

static int teardown(void **state)
{
	(void)state;
	int left = mem_scope_live(scope) != 0;
	mem_scope_close(scope);
	return left;
}

static void sleep_ms(long ms)
{
	struct timespec pause = {.tv_nsec = ms * 1000000};
	(void)nanosleep(&pause, NULL);
}

struct seen {
	char name[16];
	bool signals_blocked;
	size_t stack_bytes;
};

static void *look_around(void *context)
{
	struct seen *seen = context;
	sigset_t mask;
	pthread_attr_t attributes;
	sleep_ms(20); /* the name is given by the starter, just after the start */
	(void)pthread_getname_np(pthread_self(), seen->name, sizeof seen->name);
	(void)pthread_sigmask(SIG_SETMASK, NULL, &mask);
	seen->signals_blocked = sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGINT) == 1;
	(void)pthread_getattr_np(pthread_self(), &attributes);
	(void)pthread_attr_getstacksize(&attributes, &seen->stack_bytes);
	(void)pthread_attr_destroy(&attributes);
	return NULL;
}

static void test_thread__has_name_mask_and_stack(void **state)
{
	(void)state;
	struct seen seen = {.name = ""};
	pthread_t thread;
	sigset_t mask;
	assert_int_equal(thread_start("a-long-name-that-is-cut", look_around, &seen, &thread, NULL),
			 ST_OK);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_string_equal(seen.name, "a-long-name-tha");
	assert_true(seen.signals_blocked);
	assert_true(seen.stack_bytes >= THREAD_STACK_BYTES);
	(void)pthread_sigmask(SIG_SETMASK, NULL, &mask);
	assert_int_equal(sigismember(&mask, SIGTERM), 0); /* the starter's own mask is as it was */
}

/* Jobs that wait at a gate, and count. */
struct gate {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool open;
	size_t running, ran, cancelled;
};

static struct gate gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void gate_reset(bool open)
{
	gate.open = open;
	gate.running = gate.ran = gate.cancelled = 0;
}

static void gate_open(void)
{
	pthread_mutex_lock(&gate.lock);
	gate.open = true;
	pthread_cond_broadcast(&gate.changed);
	pthread_mutex_unlock(&gate.lock);
}

static void wait_running(size_t count)
{
	pthread_mutex_lock(&gate.lock);
	while (gate.running < count)
		pthread_cond_wait(&gate.changed, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
}

static void job(void *context, bool cancelled)
{
	(void)context;
	pthread_mutex_lock(&gate.lock);
	gate.cancelled += cancelled;
	gate.running += !cancelled;
	pthread_cond_broadcast(&gate.changed);
	while (!cancelled && !gate.open)
		pthread_cond_wait(&gate.changed, &gate.lock);
	gate.ran += !cancelled;
	pthread_mutex_unlock(&gate.lock);
}

static void test_pool__runs_every_job_once(void **state)
{
	(void)state;
	struct pool *pool;
	size_t added = 0;
	gate_reset(true);
	assert_int_equal(pool_open(scope, "pool", 4, 8, &pool, NULL), ST_OK);
	while (added < 1000) {
		status st = pool_add(pool, job, NULL, NULL);
		added += st == ST_OK;
		if (st == ST_BUSY)
			sleep_ms(1);
	}
	while (pool_queued(pool) > 0)
		sleep_ms(1);
	pool_close(pool);
	assert_int_equal(gate.ran, 1000);
	assert_int_equal(gate.cancelled, 0);
}

static void test_pool__a_full_queue_refuses_at_once(void **state)
{
	(void)state;
	struct pool *pool;
	struct fault fault;
	gate_reset(false);
	assert_int_equal(pool_open(scope, "pool", 2, 3, &pool, NULL), ST_OK);
	assert_int_equal(pool_add(pool, job, NULL, NULL), ST_OK);
	assert_int_equal(pool_add(pool, job, NULL, NULL), ST_OK);
	wait_running(2);
	size_t live = mem_scope_live(scope);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pool_add(pool, job, NULL, NULL), ST_OK);
	assert_int_equal(pool_queued(pool), 3);
	assert_int_equal(pool_add(pool, job, NULL, &fault), ST_BUSY);
	assert_non_null(strstr(fault.text, "3 jobs"));
	assert_int_equal(mem_scope_live(scope), live); /* nothing is allocated per job */
	gate_open();
	while (pool_queued(pool) > 0)
		sleep_ms(1);
	pool_close(pool);
	assert_int_equal(gate.ran, 5);
}

static void *close_pool(void *context)
{
	pool_close(context);
	return NULL;
}

static void test_pool__close_ends_the_running_and_cancels_the_queued(void **state)
{
	(void)state;
	struct pool *pool;
	pthread_t closer;
	gate_reset(false);
	assert_int_equal(pool_open(scope, "pool", 1, 10, &pool, NULL), ST_OK);
	assert_int_equal(pool_add(pool, job, NULL, NULL), ST_OK);
	wait_running(1);
	for (int i = 0; i < 10; i++)
		assert_int_equal(pool_add(pool, job, NULL, NULL), ST_OK);
	assert_int_equal(pthread_create(&closer, NULL, close_pool, pool), 0);
	for (bool all = false; !all;
	     sleep_ms(1)) { /* the queued hear of it while the first still runs */
		pthread_mutex_lock(&gate.lock);
		all = gate.cancelled == 10;
		pthread_mutex_unlock(&gate.lock);
	}
	assert_int_equal(pool_add(pool, job, NULL, NULL), ST_CANCELLED);
	gate_open();
	assert_int_equal(pthread_join(closer, NULL), 0);
	assert_int_equal(gate.ran, 1);
	pool_close(NULL);
}

static void test_pool__each_allocation_refused(void **state)
{
	(void)state;
	uint64_t n = 1;
	for (;; n++) {
		struct pool *pool = NULL;
		mem_fault_arm(MEM_FAULT_ALLOC, n, false);
		status st = pool_open(scope, "pool", 2, 2, &pool, NULL);
		bool fired = mem_fault_fired(MEM_FAULT_ALLOC) > 0;
		mem_fault_disarm(MEM_FAULT_ALLOC);
		assert_int_equal(st, fired ? ST_OOM : ST_OK);
		pool_close(pool);
		assert_int_equal(mem_scope_live(scope), 0);
		if (!fired)
			break;
	}
	assert_int_equal(n, 5);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_thread__has_name_mask_and_stack),
		T(test_pool__runs_every_job_once),
		T(test_pool__a_full_queue_refuses_at_once),
		T(test_pool__close_ends_the_running_and_cancels_the_queued),
		T(test_pool__each_allocation_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
