/* embed/lane.h -- a fixed number of workspaces, and a bounded line of calls that wait for one.
 *
 * The engine has one lane for queries and one for passages, so that neither waits for the other.
 *
 * Threads  All functions but init and fini. Who waits is served in no particular order.
 * Limits   waiting_max calls wait; one more is refused at once with ST_BUSY. */
#ifndef EMBED_LANE_H
#define EMBED_LANE_H

#include <pthread.h>
#include <stdint.h>

#include "base/status.h"
#include "rt/cancel.h"

enum { LANE_PLACES_MAX = 64, LANE_CANCEL_POLL_MS = 50 };

struct lane {
	pthread_mutex_t lock;
	pthread_cond_t freed;
	void *idle[LANE_PLACES_MAX];
	uint32_t idle_count, place_count;
	uint32_t waiting, waiting_max;
};

void lane_init(struct lane *lane, uint32_t waiting_max);
/* Every place must be idle. */
void lane_fini(struct lane *lane);

/* One place more; before the first lane_take(). */
void lane_add(struct lane *lane, void *place);

/* An idle place, at once or when one becomes free. ST_BUSY: too many wait already. ST_CANCELLED:
 * within LANE_CANCEL_POLL_MS after cancel (NULL allowed) is set. */
MUST_CHECK status lane_take(struct lane *lane, const struct cancel *cancel, void **ret_place,
			    struct fault *reterr);
void lane_give(struct lane *lane, void *place);

#endif
