/* rt/cancel.h -- a flag that says "stop": set by any thread or a signal handler, polled by the
 * work. Long work checks it at least every few milliseconds and returns ST_CANCELLED. */
#ifndef RT_CANCEL_H
#define RT_CANCEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct cancel {
	atomic_bool set;
};

static inline void cancel_set(struct cancel *c)
{
	atomic_store(&c->set, true);
}
/* NULL never cancels. */
static inline bool cancel_is_set(const struct cancel *c)
{
	return c != NULL && atomic_load_explicit(&c->set, memory_order_relaxed);
}

#endif
