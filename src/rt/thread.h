/* rt/thread.h -- named threads, and a pool of them behind a bounded queue.
 *
 * Limits  A pool has a fixed number of threads and a queue of at most queue_max jobs: a further job
 *         is refused with ST_BUSY at once. Nothing is ever allocated per job.
 * Stop    pool_close() lets running jobs end, drops queued ones by calling them with
 *         cancelled = true, and joins the threads. */
#ifndef RT_THREAD_H
#define RT_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "mem/scope.h"

enum { THREAD_STACK_BYTES = 512 * 1024 };

/* Start a joinable thread with a name (cut to 15 bytes), all signals blocked and a stack of
 * THREAD_STACK_BYTES. */
MUST_CHECK status thread_start(const char *name, void *(*run)(void *), void *context,
			       pthread_t *ret_thread, struct fault *reterr);

typedef void pool_job_fn(void *context, bool cancelled);

struct pool;
MUST_CHECK status pool_open(struct mem_scope *parent, const char *name, size_t threads,
			    size_t queue_max, struct pool **ret_pool, struct fault *reterr);
MUST_CHECK status pool_add(struct pool *pool, pool_job_fn *run, void *context,
			   struct fault *reterr);
size_t pool_queued(const struct pool *pool);
void pool_close(struct pool *pool); /* NULL is allowed */

#endif
