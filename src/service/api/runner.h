/* api/runner.h -- private to api/: one thread that takes jobs from store/ and runs each in a child.
 *
 * A child that dies (crash, memory limit) is tried again, JOB_ATTEMPTS_MAX times in all; a file
 * that cannot be read fails at once. While another process writes to the knowledge base the job
 * waits without losing an attempt. The upload stays until its job is finished: the child gets a
 * second link to it, and may move that away.
 *
 * Threads  All functions may be called from any thread. */
#ifndef API_RUNNER_H
#define API_RUNNER_H

#include "api/inside.h"

/* Recovers the jobs of a server that died, and sweeps uploads that no job needs. */
MUST_CHECK status runner_open(struct api *api, struct runner **ret_runner, struct fault *reterr);
/* The running job goes back into the queue. NULL is allowed. */
void runner_close(struct runner *runner);
/* There is a new job. */
void runner_wake(struct runner *runner);
/* Stop this job if it is the running one. */
void runner_cancel(struct runner *runner, int64_t id);

#endif
