#include "doc/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/size.h"
#include "rt/file.h"

static status limit_set(int resource, uint64_t soft, uint64_t hard, struct fault *reterr)
{
	struct rlimit both = {.rlim_cur = (rlim_t)soft, .rlim_max = (rlim_t)hard};
	if (setrlimit((__rlimit_resource_t)resource, &both) != 0)
		return fault_errno(reterr, ST_IO, "cannot limit the parser (resource %d)",
				   resource);
	return ST_OK;
}

#ifndef PLIMSOLL_SANITIZED
/* Bytes of address space in use: the first field of statm counts pages. */
static status address_bytes(uint64_t *ret_bytes, struct fault *reterr)
{
	CLEANUP(fd_closep) int fd = -1;
	char text[64] = "";
	size_t bytes;
	unsigned long long pages = 0;
	status st = fd_open("/proc/self/statm", O_RDONLY, 0, &fd, reterr);
	if (st == ST_OK)
		st = fd_read(fd, text, sizeof(text) - 1, &bytes, reterr);
	if (st != ST_OK)
		return st;
	for (const char *c = text; *c >= '0' && *c <= '9'; c++)
		pages = pages * 10 + (unsigned)(*c - '0');
	*ret_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
	return ST_OK;
}
#endif

status sandbox_limit(uint64_t memory_max, uint32_t cpu_seconds_max, struct fault *reterr)
{
	if (close_range(STDERR_FILENO + 1, ~0u, 0) != 0 && errno != ENOSYS)
		return fault_errno(reterr, ST_IO, "cannot close descriptors");
	status st = ST_OK;
#ifndef PLIMSOLL_SANITIZED
	uint64_t now;
	st = address_bytes(&now, reterr);
	if (st == ST_OK)
		st = limit_set(RLIMIT_AS, now + memory_max, now + memory_max, reterr);
#else
	(void)memory_max;
#endif
	/* One second between SIGXCPU, which the parent can tell from other deaths, and SIGKILL. */
	if (st == ST_OK)
		st = limit_set(RLIMIT_CPU, cpu_seconds_max, (uint64_t)cpu_seconds_max + 1, reterr);
	if (st == ST_OK)
		st = limit_set(RLIMIT_CORE, 0, 0, reterr);
	if (st == ST_OK)
		st = limit_set(RLIMIT_FSIZE, 0, 0, reterr);
	return st;
}

/* Deny the file system. A kernel without Landlock leaves that to seccomp. */
static void landlock_enter(void)
{
	struct landlock_ruleset_attr none = {.handled_access_fs =
						     LANDLOCK_ACCESS_FS_MAKE_SYM * 2 - 1};
	long fd = syscall(SYS_landlock_create_ruleset, &none, sizeof(none), 0);
	if (fd < 0)
		return;
	(void)syscall(SYS_landlock_restrict_self, fd, 0);
	(void)close((int)fd);
}

static const int ALLOWED[] = {
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(readv),
	SCMP_SYS(writev),
	SCMP_SYS(pread64),
	SCMP_SYS(lseek),
	SCMP_SYS(fstat),
	SCMP_SYS(close),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(brk),
	SCMP_SYS(madvise),
	SCMP_SYS(futex),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(getrandom),
	SCMP_SYS(sched_yield),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(gettid),
	SCMP_SYS(getpid),
#ifdef PLIMSOLL_SANITIZED
	SCMP_SYS(sigaltstack),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(prctl),
	SCMP_SYS(getrlimit),
	SCMP_SYS(prlimit64),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(ioctl),
	SCMP_SYS(nanosleep),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(gettimeofday),
#endif
};

/* An error instead of death: libraries try these and can do without. */
static const int REFUSED[] = {SCMP_SYS(clone),  SCMP_SYS(clone3), SCMP_SYS(sysinfo),
			      SCMP_SYS(getcpu), SCMP_SYS(rseq),   SCMP_SYS(set_robust_list)};

static int filter_fill(scmp_filter_ctx filter)
{
	int st = 0;
	for (size_t i = 0; st == 0 && i < ARRAY_COUNT(ALLOWED); i++)
		st = seccomp_rule_add(filter, SCMP_ACT_ALLOW, ALLOWED[i], 0);
	for (size_t i = 0; st == 0 && i < ARRAY_COUNT(REFUSED); i++)
		st = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), REFUSED[i], 0);
	/* How newer C libraries do fstat(). */
	if (st == 0)
		st = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 1,
				      SCMP_A3(SCMP_CMP_EQ, AT_EMPTY_PATH));
	/* Memory, but none that can run. */
	const int mappers[] = {SCMP_SYS(mmap), SCMP_SYS(mprotect)};
	for (size_t i = 0; st == 0 && i < ARRAY_COUNT(mappers); i++)
		st = seccomp_rule_add(filter, SCMP_ACT_ALLOW, mappers[i], 1,
				      SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	return st;
}

status sandbox_enter(struct fault *reterr)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return fault_errno(reterr, ST_IO, "cannot give up privileges");
	landlock_enter();
	status st = limit_set(RLIMIT_NOFILE, 3, 3, reterr);
	if (st != ST_OK)
		return st;
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	if (filter == NULL)
		return fault_set(reterr, ST_OOM, "no memory for the sandbox");
	int failed = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	if (failed == 0)
		failed = filter_fill(filter);
	if (failed == 0)
		failed = seccomp_load(filter);
	seccomp_release(filter);
	if (failed != 0)
		return fault_set(reterr, ST_IO, "cannot enter the sandbox: seccomp error %d",
				 -failed);
	return ST_OK;
}
