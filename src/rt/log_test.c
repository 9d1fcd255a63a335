#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"
#include "rt/log.h"

enum { READ_BYTES = 65536 };
static int ends[2], former;
static char text[READ_BYTES];

static int setup(void **state)
{
	(void)state;
	former = dup(STDERR_FILENO);
	return pipe(ends) != 0 || dup2(ends[1], STDERR_FILENO) < 0;
}

static int teardown(void **state)
{
	(void)state;
	log_set_level(LOG_INFO);
	(void)close(ends[0]);
	return 0;
}

/* Standard error as it was before, and what was written meanwhile. */
static size_t taken(void)
{
	size_t bytes = 0;
	(void)dup2(former, STDERR_FILENO);
	(void)close(former);
	(void)close(ends[1]);
	for (ssize_t got; (got = read(ends[0], text + bytes, READ_BYTES - 1 - bytes)) > 0;)
		bytes += (size_t)got;
	text[bytes] = '\0';
	return bytes;
}

static void test_log__one_line_with_time_level_and_area(void **state)
{
	(void)state;
	errno = ENOENT;
	log_line(LOG_INFO, "http", "%s %d", "hello", 42);
	int kept = errno;
	(void)taken();
	assert_int_equal(kept, ENOENT);
	assert_int_equal(text[4], '-');
	assert_int_equal(text[19], 'Z');
	assert_string_equal(text + 20, " info    http: hello 42\n");
}

static void test_log__levels_are_kept(void **state)
{
	(void)state;
	log_line(LOG_DEBUG, "x", "not shown");
	log_set_level(LOG_ERROR);
	log_line(LOG_WARNING, "x", "not shown");
	log_set_level(LOG_DEBUG);
	log_line(LOG_DEBUG, "x", "shown");
	(void)taken();
	assert_null(strstr(text, "not shown"));
	assert_non_null(strstr(text, "debug   x: shown\n"));
}

static void test_log__control_characters_cannot_forge_lines(void **state)
{
	(void)state;
	log_line(LOG_ERROR, "x", "a\nb\rc\x1b[31md\x7f 中文");
	(void)taken();
	assert_non_null(strstr(text, "x: a?b?c?[31md? 中文\n"));
}

static void test_log__long_lines_are_cut_at_a_code_point(void **state)
{
	(void)state;
	char big[4096];
	for (size_t i = 0; i + 3 < sizeof big; i += 3)
		memcpy(big + i, "知", 4);
	for (int pad = 0; pad < 3; pad++)
		log_line(LOG_INFO, "x", "%.*s%s", pad, "aa", big);
	size_t bytes = taken();
	char *line = text;
	for (int i = 0; i < 3; i++) {
		char *end = strchr(line, '\n');
		assert_non_null(end);
		assert_in_range(end - line + 1, 1020, 1024);
		assert_true(utf8_is_valid((struct span){line, (size_t)(end - line)}));
		line = end + 1;
	}
	assert_ptr_equal(line, text + bytes);
}

static void *write_lines(void *context)
{
	for (int i = 0; i < 50; i++)
		log_line(LOG_INFO, "thread", "%s%s", (const char *)context,
			 "0123456789012345678901234567890");
	return NULL;
}

static void test_log__lines_of_threads_never_mix(void **state)
{
	(void)state;
	static char names[4][2] = {"a", "b", "c", "d"};
	pthread_t threads[4];
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_lines, names[i]), 0);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	(void)taken();
	int lines = 0;
	for (char *line = text; *line != '\0'; lines++) {
		char *end = strchr(line, '\n');
		assert_non_null(end);
		assert_int_equal(end - line, 20 + 17 + 32);
		line = end + 1;
	}
	assert_int_equal(lines, 200);
}

static void test_log__a_closed_stderr_is_nobodys_failure(void **state)
{
	(void)state;
	(void)close(STDERR_FILENO);
	errno = EAGAIN;
	log_line(LOG_ERROR, "x", "nobody hears");
	int kept = errno;
	(void)taken();
	assert_int_equal(kept, EAGAIN);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_log__one_line_with_time_level_and_area),
		T(test_log__levels_are_kept),
		T(test_log__control_characters_cannot_forge_lines),
		T(test_log__long_lines_are_cut_at_a_code_point),
		T(test_log__lines_of_threads_never_mix),
		T(test_log__a_closed_stderr_is_nobodys_failure),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
