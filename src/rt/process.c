#include "rt/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "rt/clock.h"
#include "rt/file.h"

enum { TERM_GRACE_MS = 5000, POLL_MS = 5, EXEC_FAILED = 127 };

/* Descriptors of a start; -1: none. */
struct pipes {
	int in, out_read, out_write, err_read, err_write;
	int report_read, report_write; /* carries errno of a failed start; closed by a good exec */
};

static void pipes_close(struct pipes *p)
{
	fd_closep(&p->in);
	fd_closep(&p->out_read);
	fd_closep(&p->out_write);
	fd_closep(&p->err_read);
	fd_closep(&p->err_write);
	fd_closep(&p->report_read);
	fd_closep(&p->report_write);
}

static bool pipe_make(bool wanted, int *ret_read, int *ret_write)
{
	int ends[2];
	if (!wanted)
		return true;
	if (pipe2(ends, O_CLOEXEC) != 0)
		return false;
	*ret_read = ends[0];
	*ret_write = ends[1];
	return true;
}

static bool limit(int resource, uint64_t max)
{
	struct rlimit both = {.rlim_cur = (rlim_t)max, .rlim_max = (rlim_t)max};
	return max == 0 || setrlimit((__rlimit_resource_t)resource, &both) == 0;
}

/* Between fork and exec only calls that are safe after fork in a threaded process. */
static bool child_prepare(const struct process_options *o, const struct pipes *p, pid_t parent)
{
	sigset_t none;
	(void)sigemptyset(&none);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
		return false;
	if (dup2(p->in >= 0 ? p->in : o->stdin_fd, STDIN_FILENO) < 0)
		return false;
	if (p->out_write >= 0 && dup2(p->out_write, STDOUT_FILENO) < 0)
		return false;
	if (p->err_write >= 0 && dup2(p->err_write, STDERR_FILENO) < 0)
		return false;
	if (close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC) != 0 && errno != ENOSYS)
		return false;
	(void)signal(SIGPIPE, SIG_DFL);
	if (sigprocmask(SIG_SETMASK, &none, NULL) != 0)
		return false;
	if (o->nice != 0) {
		errno = 0;
		if (nice(o->nice) == -1 && errno != 0)
			return false;
	}
#ifndef PLIMSOLL_SANITIZED /* sanitizers reserve terabytes of address space */
	if (!limit(RLIMIT_AS, o->address_bytes_max))
		return false;
#endif
	return limit(RLIMIT_CPU, o->cpu_seconds_max);
}

__attribute__((noreturn)) static void child_run(const struct process_options *o,
						const struct pipes *p, pid_t parent)
{
	/* execv() changes nothing: its missing const is history. */
	union {
		const char *const *in;
		char *const *out;
	} argv = {.in = o->argv};
	if (child_prepare(o, p, parent))
		(void)execv("/proc/self/exe", argv.out);
	int why = errno;
	ssize_t written = write(p->report_write, &why, sizeof why);
	_exit(written == (ssize_t)sizeof why ? EXEC_FAILED : EXEC_FAILED - 1);
}

/* 0: exec worked, else the child's errno. */
static int child_report(int fd)
{
	int why = 0;
	ssize_t got;
	do
		got = read(fd, &why, sizeof why);
	while (got < 0 && errno == EINTR);
	return got == (ssize_t)sizeof why ? (why != 0 ? why : EIO) : 0;
}

static bool pipes_open(const struct process_options *o, struct pipes *p)
{
	if (o->stdin_fd < 0)
		p->in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return (o->stdin_fd >= 0 || p->in >= 0) &&
	       pipe_make(o->pipe_stdout, &p->out_read, &p->out_write) &&
	       pipe_make(o->pipe_stderr, &p->err_read, &p->err_write) &&
	       pipe_make(true, &p->report_read, &p->report_write);
}

status process_start(const struct process_options *options, struct process *ret_process,
		     struct fault *reterr)
{
	CLEANUP(pipes_close) struct pipes p = {-1, -1, -1, -1, -1, -1, -1};
	if (!pipes_open(options, &p))
		return fault_errno(reterr, ST_IO, "cannot make pipes for a child process");
	pid_t parent = getpid();
	pid_t pid = fork();
	if (pid < 0)
		return fault_errno(reterr, errno == ENOMEM ? ST_OOM : ST_IO,
				   "cannot start a child process");
	if (pid == 0)
		child_run(options, &p, parent);
	fd_closep(&p.report_write);
	int why = child_report(p.report_read);
	if (why != 0) {
		(void)waitpid(pid, NULL, 0);
		errno = why;
		return fault_errno(reterr, ST_IO, "cannot start '%s'", options->argv[0]);
	}
	*ret_process = (struct process){pid, p.out_read, p.err_read};
	p.out_read = p.err_read = -1;
	return ST_OK;
}

static int exit_code(int wait_status)
{
	return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

status process_wait(struct process *p, int *ret_exit, struct fault *reterr)
{
	int how;
	pid_t ended;
	do
		ended = waitpid(p->pid, &how, 0);
	while (ended < 0 && errno == EINTR);
	if (ended < 0)
		return fault_errno(reterr, ST_IO, "cannot wait for child process %d", (int)p->pid);
	p->pid = 0;
	*ret_exit = exit_code(how);
	return ST_OK;
}

/* True once the child is reaped (or was never ours). */
static bool is_reaped(pid_t pid)
{
	pid_t ended;
	do
		ended = waitpid(pid, NULL, WNOHANG);
	while (ended < 0 && errno == EINTR);
	return ended != 0;
}

void process_end(struct process *p, bool now)
{
	if (p->pid > 0) {
		uint64_t deadline = clock_ms() + TERM_GRACE_MS;
		(void)kill(p->pid, now ? SIGKILL : SIGTERM);
		while (!is_reaped(p->pid)) {
			struct timespec pause = {.tv_nsec = POLL_MS * 1000000};
			if (clock_ms() >= deadline)
				(void)kill(p->pid, SIGKILL);
			(void)nanosleep(&pause, NULL);
		}
	}
	p->pid = 0;
	fd_closep(&p->stdout_fd);
	fd_closep(&p->stderr_fd);
}
