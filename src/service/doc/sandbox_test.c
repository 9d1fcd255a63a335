/* What the sandbox forbids kills, and what parsers need goes on working. Each try runs in a fork.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/size.h"
#include "doc/sandbox.h"

enum { MEMORY = 64 * 1024 * 1024, CPU_SECONDS = 5, REFUSED = 3, DONE = 0 };

typedef int try_fn(void);

/* The exit code of run() in the sandbox, or 128 + signal. */
static int try_inside(try_fn *run)
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct fault fault;
		if (sandbox_limit(MEMORY, CPU_SECONDS, &fault) != ST_OK ||
		    sandbox_enter(&fault) != ST_OK)
			_exit(99);
		_exit(run());
	}
	int how;
	assert_int_equal(waitpid(pid, &how, 0), pid);
	return WIFSIGNALED(how) ? 128 + WTERMSIG(how) : WEXITSTATUS(how);
}

static int try_open(void)
{
	return (int)syscall(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY, 0);
}

static int try_stat(void)
{
	struct stat info;
	return (int)syscall(SYS_newfstatat, AT_FDCWD, "/etc/passwd", &info, 0);
}

static int try_socket(void)
{
	return (int)syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
}

static int try_exec(void)
{
	char *const argv[] = {NULL};
	return (int)syscall(SYS_execve, "/bin/true", argv, argv);
}

static int try_kill(void)
{
	return (int)syscall(SYS_kill, getppid(), 0);
}

static int try_code(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return page == MAP_FAILED;
}

static int try_thread(void)
{
	return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) == -1 && errno == EPERM ? REFUSED : 1;
}

static int try_work(void)
{
	static const size_t bytes = 32 * 1024 * 1024;
	char *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return 1;
	memset(memory, 1, bytes);
	struct stat info;
	if (munmap(memory, bytes) != 0 || fstat(STDIN_FILENO, &info) != 0)
		return 2;
	return write(STDOUT_FILENO, "", 0) == 0 ? DONE : 4;
}

static int try_much_memory(void)
{
	size_t bytes = (size_t)2 * MEMORY;
	return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
			       MAP_FAILED
		       ? REFUSED
		       : 1;
}

static void test_sandbox__kills_whoever_reaches_outside(void **state)
{
	(void)state;
	try_fn *const tries[] = {try_open, try_stat, try_socket, try_exec, try_kill, try_code};
	for (size_t i = 0; i < ARRAY_COUNT(tries); i++) {
		int code = try_inside(tries[i]);
		if (code != 128 + SIGSYS)
			fail_msg("try %zu ended with %d", i, code);
	}
}

static void test_sandbox__makes_no_second_process(void **state)
{
	(void)state;
	assert_int_equal(try_inside(try_thread), REFUSED);
}

static void test_sandbox__lets_parsers_work(void **state)
{
	(void)state;
	assert_int_equal(try_inside(try_work), DONE);
}

static void test_sandbox__limits_memory(void **state)
{
	(void)state;
#ifdef PLIMSOLL_SANITIZED
	print_message("skipped: sanitizers need the address space\n");
	skip();
#endif
	assert_int_equal(try_inside(try_much_memory), REFUSED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sandbox__kills_whoever_reaches_outside),
		cmocka_unit_test(test_sandbox__makes_no_second_process),
		cmocka_unit_test(test_sandbox__lets_parsers_work),
		cmocka_unit_test(test_sandbox__limits_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
