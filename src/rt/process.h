/* rt/process.h -- child processes of our own program: started with pipes, bounded, always reaped.
 *
 * A child is this very executable with other arguments (/proc/self/exe), so no path is looked up.
 * It gets only the descriptors named here, an empty signal mask and, where asked, limits on memory
 * and CPU time set before exec. It dies with its parent; more exactly (PR_SET_PDEATHSIG) with the
 * thread that called process_start(): start children from threads that live as long as they do. */
#ifndef RT_PROCESS_H
#define RT_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/status.h"

struct process_options {
	const char *const *argv; /* argv[0] is the display name; ends with NULL */
	int stdin_fd;            /* -1: /dev/null */
	bool pipe_stdout;        /* else inherited */
	bool pipe_stderr;
	uint64_t address_bytes_max; /* RLIMIT_AS; 0 = unlimited */
	uint32_t cpu_seconds_max;   /* RLIMIT_CPU; 0 = unlimited */
	int nice;                   /* added to the priority */
};

struct process {
	pid_t pid;                /* 0 once reaped */
	int stdout_fd, stderr_fd; /* read ends, -1 when not piped; closed by process_end() */
};

MUST_CHECK status process_start(const struct process_options *options, struct process *ret_process,
				struct fault *reterr);
/* Wait for the end. *ret_exit is the exit code, or 128 + signal. */
MUST_CHECK status process_wait(struct process *p, int *ret_exit, struct fault *reterr);
/* SIGTERM (or SIGKILL with `now`), wait, close the pipes. May be called twice. */
void process_end(struct process *p, bool now);

#endif
