#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "embed/lane.h"

static int places[2];

static void test_lane__refuses_when_too_many_wait(void **state)
{
	(void)state;
	struct lane lane;
	struct fault fault;
	void *a = NULL, *b = NULL, *c = NULL;
	lane_init(&lane, 0);
	lane_add(&lane, &places[0]);
	lane_add(&lane, &places[1]);
	assert_int_equal(lane_take(&lane, NULL, &a, &fault), ST_OK);
	assert_int_equal(lane_take(&lane, NULL, &b, &fault), ST_OK);
	assert_ptr_not_equal(a, b);
	assert_int_equal(lane_take(&lane, NULL, &c, &fault), ST_BUSY);
	assert_null(c);
	lane_give(&lane, a);
	assert_int_equal(lane_take(&lane, NULL, &c, &fault), ST_OK);
	assert_ptr_equal(a, c);
	lane_give(&lane, b);
	lane_give(&lane, c);
	lane_fini(&lane);
}

static void test_lane__a_waiting_call_can_be_cancelled(void **state)
{
	(void)state;
	struct lane lane;
	struct fault fault;
	struct cancel cancel = {true};
	void *a = NULL, *b = NULL;
	lane_init(&lane, 1);
	lane_add(&lane, &places[0]);
	assert_int_equal(lane_take(&lane, &cancel, &a, &fault), ST_OK); /* it need not wait */
	assert_int_equal(lane_take(&lane, &cancel, &b, &fault), ST_CANCELLED);
	assert_null(b);
	lane_give(&lane, a);
	lane_fini(&lane);
}

struct waiter {
	struct lane *lane;
	status st;
	void *place;
};

static void *wait_for_a_place(void *context)
{
	struct waiter *w = context;
	struct fault fault;
	w->st = lane_take(w->lane, NULL, &w->place, &fault);
	return NULL;
}

static void test_lane__a_waiting_call_gets_what_another_gives_back(void **state)
{
	(void)state;
	struct lane lane;
	struct fault fault;
	struct waiter w = {.lane = &lane, .st = ST_IO};
	pthread_t thread;
	void *a = NULL;
	lane_init(&lane, 1);
	lane_add(&lane, &places[0]);
	assert_int_equal(lane_take(&lane, NULL, &a, &fault), ST_OK);
	assert_int_equal(pthread_create(&thread, NULL, wait_for_a_place, &w), 0);
	for (uint32_t waiting = 0; waiting == 0;) {
		pthread_mutex_lock(&lane.lock);
		waiting = lane.waiting;
		pthread_mutex_unlock(&lane.lock);
	}
	lane_give(&lane, a);
	pthread_join(thread, NULL);
	assert_int_equal(w.st, ST_OK);
	assert_ptr_equal(w.place, &places[0]);
	lane_give(&lane, w.place);
	lane_fini(&lane);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lane__refuses_when_too_many_wait),
		cmocka_unit_test(test_lane__a_waiting_call_can_be_cancelled),
		cmocka_unit_test(test_lane__a_waiting_call_gets_what_another_gives_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
