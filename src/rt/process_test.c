#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "rt/clock.h"
#include "rt/file.h"
#include "rt/process.h"

/* ---- what the child does: this very program with a word ---- */

static int child_limits(void)
{
	struct rlimit space, cpu;
	sigset_t mask;
	(void)getrlimit(RLIMIT_AS, &space);
	(void)getrlimit(RLIMIT_CPU, &cpu);
	(void)sigprocmask(SIG_SETMASK, NULL, &mask);
	(void)printf("%llu %llu %d %d", (unsigned long long)space.rlim_cur,
		     (unsigned long long)cpu.rlim_cur, getpriority(PRIO_PROCESS, 0),
		     sigismember(&mask, SIGUSR1));
	return 0;
}

static int child_descriptors(void)
{
	int open_count = 0;
	for (int fd = 0; fd < 256; fd++)
		open_count += fcntl(fd, F_GETFD) >= 0;
	return open_count;
}

static int child_main(int argc, char **argv)
{
	const char *word = argv[1];
	if (strcmp(word, "exit") == 0)
		return argc > 2 && strcmp(argv[2], "seven") == 0 ? 7 : 1;
	if (strcmp(word, "abort") == 0)
		return raise(SIGKILL);
	if (strcmp(word, "limits") == 0)
		return child_limits();
	if (strcmp(word, "descriptors") == 0)
		return child_descriptors();
	if (strcmp(word, "echo") == 0) {
		for (int c; (c = getchar()) != EOF;)
			(void)putchar(c);
		(void)fprintf(stderr, "done");
		return 0;
	}
	if (strcmp(word, "deaf") == 0)
		(void)signal(SIGTERM, SIG_IGN);
	if (write(STDOUT_FILENO, "x", 1) != 1) /* ready */
		return 1;
	for (;;)
		(void)pause();
}

/* ---- the tests ---- */

static struct process start(const char *word, const char *more, struct process_options o)
{
	const char *argv[] = {"child", word, more, NULL};
	struct process p = {0};
	struct fault fault = {0};
	o.argv = argv;
	if (process_start(&o, &p, &fault) != ST_OK)
		fail_msg("%s", fault.text);
	return p;
}

static size_t read_end(int fd, char *into, size_t bytes)
{
	size_t got = 0;
	assert_int_equal(fd_read(fd, into, bytes - 1, &got, NULL), ST_OK);
	into[got] = '\0';
	return got;
}

static void test_process__exit_codes_and_signals(void **state)
{
	(void)state;
	int code;
	struct process p = start("exit", "seven", (struct process_options){.stdin_fd = -1});
	assert_int_equal(p.stdout_fd, -1);
	assert_int_equal(process_wait(&p, &code, NULL), ST_OK);
	assert_int_equal(code, 7);
	assert_int_equal(p.pid, 0);
	process_end(&p, false);
	p = start("abort", NULL, (struct process_options){.stdin_fd = -1});
	assert_int_equal(process_wait(&p, &code, NULL), ST_OK);
	assert_int_equal(code, 128 + SIGKILL);
}

static void test_process__pipes_carry_text(void **state)
{
	(void)state;
	int ends[2], code;
	char text[64];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	struct process p =
		start("echo", NULL,
		      (struct process_options){
			      .stdin_fd = ends[0], .pipe_stdout = true, .pipe_stderr = true});
	assert_int_equal(fd_write(ends[1], SPAN("hello child"), NULL), ST_OK);
	fd_closep(&ends[1]);
	assert_int_equal(read_end(p.stdout_fd, text, sizeof text), 11);
	assert_string_equal(text, "hello child");
	(void)read_end(p.stderr_fd, text, sizeof text);
	assert_string_equal(text, "done");
	assert_int_equal(process_wait(&p, &code, NULL), ST_OK);
	assert_int_equal(code, 0);
	process_end(&p, false);
	assert_int_equal(p.stdout_fd, -1);
	process_end(&p, false); /* twice is allowed */
	fd_closep(&ends[0]);
}

static void test_process__the_child_gets_no_other_descriptor(void **state)
{
	(void)state;
	int code, stray = open("/dev/null", O_RDONLY); /* without O_CLOEXEC, as a library might */
	assert_true(stray >= 0);
	struct process p = start("descriptors", NULL,
				 (struct process_options){.stdin_fd = -1, .pipe_stdout = true});
	assert_int_equal(process_wait(&p, &code, NULL), ST_OK);
	assert_int_equal(code, 3);
	process_end(&p, true);
	(void)close(stray);
}

static void test_process__limits_are_set_before_it_runs(void **state)
{
	(void)state;
	char text[64];
	sigset_t blocked, former;
	(void)sigemptyset(&blocked);
	(void)sigaddset(&blocked, SIGUSR1);
	(void)sigprocmask(SIG_BLOCK, &blocked, &former);
	int nice_here = getpriority(PRIO_PROCESS, 0), code;
	struct process p = start("limits", NULL,
				 (struct process_options){.stdin_fd = -1,
							  .pipe_stdout = true,
							  .address_bytes_max = (uint64_t)512 << 20,
							  .cpu_seconds_max = 33,
							  .nice = nice_here < 19 ? 1 : 0});
	(void)sigprocmask(SIG_SETMASK, &former, NULL);
	(void)read_end(p.stdout_fd, text, sizeof text);
	assert_int_equal(process_wait(&p, &code, NULL), ST_OK);
	process_end(&p, false);
	unsigned long long space, cpu;
	int nice_there, masked;
	assert_int_equal(sscanf(text, "%llu %llu %d %d", &space, &cpu, &nice_there, &masked), 4);
#ifndef PLIMSOLL_SANITIZED
	assert_int_equal(space, (uint64_t)512 << 20);
#endif
	assert_int_equal(cpu, 33);
	assert_int_equal(nice_there, nice_here < 19 ? nice_here + 1 : nice_here);
	assert_int_equal(masked, 0);
}

static void test_process__end_stops_it(void **state)
{
	(void)state;
	char ready[2];
	struct process p =
		start("wait", NULL, (struct process_options){.stdin_fd = -1, .pipe_stdout = true});
	pid_t pid = p.pid;
	assert_int_equal(read(p.stdout_fd, ready, 1), 1);
	uint64_t before = clock_ms();
	process_end(&p, false);
	assert_true(clock_ms() - before < 2000);
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(errno, ESRCH);
	p = start("deaf", NULL, (struct process_options){.stdin_fd = -1, .pipe_stdout = true});
	assert_int_equal(read(p.stdout_fd, ready, 1), 1);
	before = clock_ms();
	process_end(&p, true); /* now: no grace for those who do not listen */
	assert_true(clock_ms() - before < 2000);
}

static void test_process__one_that_cannot_start_says_why(void **state)
{
	(void)state;
	const char *argv[] = {"child", "exit", NULL};
	struct process p = {.pid = 77};
	struct fault fault;
	struct process_options o = {.argv = argv, .stdin_fd = 200}; /* not open */
	assert_int_equal(process_start(&o, &p, &fault), ST_IO);
	assert_non_null(strstr(fault.text, "'child'"));
	assert_int_equal(fault.sys_errno, EBADF);
	assert_int_equal(p.pid, 77);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* and nothing is left to reap */
}

static void test_process__dies_with_its_parent(void **state)
{
	(void)state;
	char text[16];
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	pid_t middle = fork();
	if (middle == 0) {
		struct process p =
			start("wait", NULL,
			      (struct process_options){.stdin_fd = -1, .pipe_stdout = true});
		bool told = read(p.stdout_fd, text, 1) == 1 &&
			    write(ends[1], &p.pid, sizeof p.pid) == (ssize_t)sizeof p.pid;
		_exit(told ? 0 : 1); /* without process_end() */
	}
	pid_t child;
	assert_int_equal(read(ends[0], &child, sizeof child), (ssize_t)sizeof child);
	assert_int_equal(waitpid(middle, NULL, 0), middle);
	bool gone = false;
	for (int i = 0; i < 200 && !gone;
	     i++) { /* gone, or a zombie that only its new parent can reap */
		char path[64], state_text[512] = "";
		(void)snprintf(path, sizeof path, "/proc/%d/stat", (int)child);
		FILE *f = fopen(path, "r");
		size_t got = f != NULL ? fread(state_text, 1, sizeof state_text - 1, f) : 0;
		gone = got == 0 || strstr(state_text, ") Z") != NULL;
		if (f != NULL)
			(void)fclose(f);
		struct timespec wait = {.tv_nsec = 10000000};
		(void)nanosleep(&wait, NULL);
	}
	assert_true(gone);
	(void)close(ends[0]);
	(void)close(ends[1]);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return child_main(argc, argv);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_process__exit_codes_and_signals),
		cmocka_unit_test(test_process__pipes_carry_text),
		cmocka_unit_test(test_process__the_child_gets_no_other_descriptor),
		cmocka_unit_test(test_process__limits_are_set_before_it_runs),
		cmocka_unit_test(test_process__end_stops_it),
		cmocka_unit_test(test_process__one_that_cannot_start_says_why),
		cmocka_unit_test(test_process__dies_with_its_parent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
