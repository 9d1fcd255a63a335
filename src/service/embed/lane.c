#include "embed/lane.h"

#include <time.h>

#include "base/assert.h"

void lane_init(struct lane *lane, uint32_t waiting_max)
{
	pthread_condattr_t attributes;
	*lane = (struct lane){.waiting_max = waiting_max};
	pthread_mutex_init(&lane->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&lane->freed, &attributes);
	pthread_condattr_destroy(&attributes);
}

void lane_fini(struct lane *lane)
{
	ASSERT(lane->waiting == 0);
	ASSERT(lane->idle_count == lane->place_count);
	pthread_cond_destroy(&lane->freed);
	pthread_mutex_destroy(&lane->lock);
}

void lane_add(struct lane *lane, void *place)
{
	ASSERT(lane->place_count < LANE_PLACES_MAX);
	lane->place_count++;
	lane->idle[lane->idle_count++] = place;
}

/* Wait for lane_give(), but no longer than one poll of the cancel flag. */
static void wait_a_little(struct lane *lane)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += LANE_CANCEL_POLL_MS * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_nsec -= 1000000000L;
		until.tv_sec++;
	}
	pthread_cond_timedwait(&lane->freed, &lane->lock, &until);
}

status lane_take(struct lane *lane, const struct cancel *cancel, void **ret_place,
		 struct fault *reterr)
{
	status st = ST_OK;
	pthread_mutex_lock(&lane->lock);
	if (lane->idle_count == 0 && lane->waiting >= lane->waiting_max) {
		st = fault_set(reterr, ST_BUSY,
			       "%u texts are being embedded and %u wait: try again later",
			       lane->place_count, lane->waiting);
		goto out;
	}
	lane->waiting++;
	while (lane->idle_count == 0 && !cancel_is_set(cancel))
		wait_a_little(lane);
	lane->waiting--;
	if (lane->idle_count > 0)
		*ret_place = lane->idle[--lane->idle_count];
	else
		st = fault_set(reterr, ST_CANCELLED, "embedding was cancelled while it waited");
out:
	pthread_mutex_unlock(&lane->lock);
	return st;
}

void lane_give(struct lane *lane, void *place)
{
	pthread_mutex_lock(&lane->lock);
	ASSERT(lane->idle_count < lane->place_count);
	lane->idle[lane->idle_count++] = place;
	pthread_cond_signal(&lane->freed);
	pthread_mutex_unlock(&lane->lock);
}
