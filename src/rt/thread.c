#include "rt/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "base/assert.h"

#ifdef PLIMSOLL_SANITIZED
enum { STACK_BYTES = 8 * THREAD_STACK_BYTES }; /* red zones make frames several times larger */
#else
enum { STACK_BYTES = THREAD_STACK_BYTES };
#endif

enum { THREAD_NAME_BYTES = 16 };

struct job {
	pool_job_fn *run;
	void *context;
};

struct pool {
	struct mem_scope *scope;
	pthread_mutex_t lock; /* all below */
	pthread_cond_t wake;
	struct job *queue; /* ring: `queued` jobs from `first` on */
	size_t queue_max, queued, first;
	pthread_t *threads;
	size_t thread_count;
	bool stopping;
};

status thread_start(const char *name, void *(*run)(void *), void *context, pthread_t *ret_thread,
		    struct fault *reterr)
{
	pthread_attr_t attributes;
	pthread_t thread;
	sigset_t all, former;
	char shown[THREAD_NAME_BYTES];
	(void)sigfillset(&all);
	int why = pthread_attr_init(&attributes);
	if (why == 0) {
		why = pthread_attr_setstacksize(&attributes, STACK_BYTES);
		(void)pthread_sigmask(SIG_SETMASK, &all, &former);
		if (why == 0)
			why = pthread_create(&thread, &attributes, run, context);
		(void)pthread_sigmask(SIG_SETMASK, &former, NULL);
		(void)pthread_attr_destroy(&attributes);
	}
	if (why != 0) {
		errno = why;
		return fault_errno(reterr, why == EAGAIN || why == ENOMEM ? ST_OOM : ST_IO,
				   "cannot start thread '%s'", name);
	}
	(void)snprintf(shown, sizeof shown, "%.15s", name);
	(void)pthread_setname_np(thread, shown);
	*ret_thread = thread;
	return ST_OK;
}

static void *pool_work(void *context)
{
	struct pool *p = context;
	pthread_mutex_lock(&p->lock);
	for (;;) {
		while (p->queued == 0 && !p->stopping)
			pthread_cond_wait(&p->wake, &p->lock);
		if (p->stopping)
			break;
		struct job job = p->queue[p->first];
		p->first = (p->first + 1) % p->queue_max;
		p->queued--;
		pthread_mutex_unlock(&p->lock);
		job.run(job.context, false);
		pthread_mutex_lock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

status pool_open(struct mem_scope *parent, const char *name, size_t threads, size_t queue_max,
		 struct pool **ret_pool, struct fault *reterr)
{
	ASSERT(threads > 0);
	ASSERT(queue_max > 0);
	struct mem_scope *scope = mem_scope_open(parent, name, 0);
	struct pool *p = scope != NULL ? mem_new(scope, struct pool) : NULL;
	if (p != NULL) {
		p->queue = mem_new_array(scope, struct job, queue_max);
		p->threads = mem_new_array(scope, pthread_t, threads);
	}
	if (p == NULL || p->queue == NULL || p->threads == NULL) {
		status why = mem_refusal();
		mem_scope_close(scope);
		return fault_set(reterr, why, "no memory for %zu threads '%s'", threads, name);
	}
	p->scope = scope;
	p->queue_max = queue_max;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->wake, NULL);
	while (p->thread_count < threads) {
		status st = thread_start(name, pool_work, p, &p->threads[p->thread_count], reterr);
		if (st != ST_OK) {
			pool_close(p);
			return st;
		}
		p->thread_count++;
	}
	*ret_pool = p;
	return ST_OK;
}

status pool_add(struct pool *pool, pool_job_fn *run, void *context, struct fault *reterr)
{
	status st = ST_OK;
	pthread_mutex_lock(&pool->lock);
	if (pool->stopping) {
		st = ST_CANCELLED;
	} else if (pool->queued == pool->queue_max) {
		st = ST_BUSY;
	} else {
		size_t last = (pool->first + pool->queued) % pool->queue_max;
		pool->queue[last] = (struct job){run, context};
		pool->queued++;
		pthread_cond_signal(&pool->wake);
	}
	pthread_mutex_unlock(&pool->lock);
	if (st == ST_BUSY)
		return fault_set(reterr, st, "the queue of %zu jobs is full; try again later",
				 pool->queue_max);
	return st == ST_OK ? st : fault_set(reterr, st, "the program is stopping");
}

size_t pool_queued(const struct pool *pool)
{
	union {
		const struct pool *in;
		struct pool *out;
	} p = {.in = pool}; /* only the lock changes */
	pthread_mutex_lock(&p.out->lock);
	size_t queued = pool->queued;
	pthread_mutex_unlock(&p.out->lock);
	return queued;
}

void pool_close(struct pool *pool)
{
	if (pool == NULL)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->stopping = true;
	pthread_cond_broadcast(&pool->wake);
	/* No thread takes from the queue any more: those who wait for dropped jobs hear of it now,
	 * not after the longest running job. */
	while (pool->queued > 0) {
		struct job job = pool->queue[pool->first];
		pool->first = (pool->first + 1) % pool->queue_max;
		pool->queued--;
		pthread_mutex_unlock(&pool->lock);
		job.run(job.context, true);
		pthread_mutex_lock(&pool->lock);
	}
	pthread_mutex_unlock(&pool->lock);
	for (size_t i = 0; i < pool->thread_count; i++)
		(void)pthread_join(pool->threads[i], NULL);
	pthread_cond_destroy(&pool->wake);
	pthread_mutex_destroy(&pool->lock);
	mem_scope_close(pool->scope);
}
