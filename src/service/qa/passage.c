#include "qa/passage.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/assert.h"
#include "base/size.h"
#include "rt/thread.h"

enum { SLICE_TEXTS = 16, THREADS_MAX = 64 };

struct shared_work {
	const struct passage_job *job;
	float *vectors;
	atomic_size_t next; /* first text that nobody has taken */
	struct cancel stop; /* set by the first failure */
	pthread_mutex_t lock;
	status st; /* the first failure, with its fault */
	struct fault fault;
};

static void work_fail(struct shared_work *w, status st, const struct fault *fault)
{
	pthread_mutex_lock(&w->lock);
	if (w->st == ST_OK) {
		w->st = st;
		w->fault = *fault;
	}
	pthread_mutex_unlock(&w->lock);
	cancel_set(&w->stop);
}

static void *work_run(void *context)
{
	struct shared_work *w = context;
	const struct passage_job *job = w->job;
	while (!cancel_is_set(&w->stop)) {
		size_t from = atomic_fetch_add(&w->next, SLICE_TEXTS);
		if (from >= job->count)
			break;
		struct embed_job slice = {.texts = job->texts + from,
					  .count = size_min(SLICE_TEXTS, job->count - from),
					  .kind = EMBED_PASSAGE,
					  .cancel = job->cancel};
		struct fault fault = {0};
		status st =
			embedder_embed(job->embedder, &slice,
				       w->vectors + from * job->embedder->info.dim, NULL, &fault);
		if (st != ST_OK)
			work_fail(w, st, &fault);
	}
	return NULL;
}

status passage_embed(const struct passage_job *job, float *ret_vectors, struct fault *reterr)
{
	ASSERT(job->threads >= 1);
	struct shared_work w = {
		.job = job, .vectors = ret_vectors, .lock = PTHREAD_MUTEX_INITIALIZER};
	size_t slices = (job->count + SLICE_TEXTS - 1) / SLICE_TEXTS;
	size_t wanted = size_min(size_min(job->threads, THREADS_MAX), slices);
	pthread_t helpers[THREADS_MAX];
	size_t started = 0;
	/* A thread that cannot be started is no failure: the others do its share. */
	while (started + 1 < wanted &&
	       thread_start("embed", work_run, &w, &helpers[started], NULL) == ST_OK)
		started++;
	(void)work_run(&w);
	for (size_t i = 0; i < started; i++)
		pthread_join(helpers[i], NULL);
	pthread_mutex_destroy(&w.lock);
	if (w.st != ST_OK && reterr != NULL)
		*reterr = w.fault;
	return w.st;
}
