/* Files of any size in constant memory: the child's peak stays small, and so does this process.
 * Prints the speed; the bar is low, for busy machines. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/size.h"
#include "doc/doc.h"
#include "doc/worker.h"
#include "rt/buf.h"
#include "rt/clock.h"
#include "rt/file.h"

#ifdef PLIMSOLL_SANITIZED
enum { SHARE = 20 }; /* of the sizes below: shadow memory and speed tell nothing there */
#else
enum { SHARE = 1 };
#endif
enum { TEXT_MIB = 200, ROWS = 1000000, PAGE_MIB = 20, CHILD_KIB_MAX = 32 * 1024 };

struct seen {
	uint64_t chunks, bytes, end;
};

static status count_chunk(void *context, const struct doc_chunk *chunk, struct fault *reterr)
{
	struct seen *seen = context;
	(void)reterr;
	seen->chunks++;
	seen->bytes += chunk->text.bytes;
	seen->end = chunk->end;
	return ST_OK;
}

/* Parse the file and print how it went. The peak is that of the largest child so far. */
static struct seen run(const char *path, const char *name)
{
	struct seen seen = {0};
	struct fault fault = {0};
	uint64_t from = clock_ns(), size;
	CLEANUP(fd_closep) int fd = -1;
	assert_int_equal(fd_open(path, O_RDONLY, 0, &fd, &fault), ST_OK);
	assert_int_equal(fd_size(fd, &size, &fault), ST_OK);
	struct rusage before, after;
	assert_int_equal(getrusage(RUSAGE_CHILDREN, &before), 0);
	if (doc_parse(mem_scope_root(), path, name, NULL, count_chunk, &seen, &fault) != ST_OK)
		fail_msg("%s: %s", name, fault.text);
	assert_int_equal(getrusage(RUSAGE_CHILDREN, &after), 0);
	double seconds = (double)(clock_ns() - from) / 1e9;
	double cpu = (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec) +
		     (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec) / 1e6;
	double mib = (double)size / (double)MIB;
	print_message("%s: %.0f MiB, %llu passages, %.0f MiB/s (%.0f a CPU second of the child), "
		      "child %ld KiB\n",
		      name, mib, (unsigned long long)seen.chunks, mib / seconds, mib / (cpu + 1e-9),
		      after.ru_maxrss);
	assert_true(SHARE > 1 || after.ru_maxrss < CHILD_KIB_MAX);
	return seen;
}

static int file_make(char path[FILE_PATH_BYTES])
{
	(void)snprintf(path, FILE_PATH_BYTES, "/tmp/plimsoll-doc-XXXXXX");
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	return fd;
}

static void test_memory__a_long_text_streams(void **state)
{
	(void)state;
	static const char paragraph[] =
		"数据安全，是指通过采取必要措施，确保数据处于有效保护和合法利用的状态，以及具备保障"
		"持续安全状态的能力。"
		"国家建立数据分类分级保护制度，对数据实行分类分级保护。\n\n"
		"Memory that cannot grow: every byte has an account, and every account has a load "
		"line. "
		"At the soft line caches shed; at the hard line the request is refused.\n\n";
	char path[FILE_PATH_BYTES];
	struct fault fault;
	CLEANUP(fd_closep) int fd = file_make(path);
	struct buf block;
	buf_init(&block, mem_scope_root(), 2 * MIB);
	while (block.bytes < MIB)
		buf_add_text(&block, paragraph);
	for (int i = 0; i < TEXT_MIB / SHARE; i++)
		assert_int_equal(fd_write(fd, buf_span(&block), &fault), ST_OK);
	struct seen seen = run(path, "long.txt");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(seen.end, block.bytes * (TEXT_MIB / SHARE) - 2);
	buf_fini(&block);
}

static void test_memory__a_million_rows_stream(void **state)
{
	(void)state;
	char path[FILE_PATH_BYTES];
	struct fault fault;
	CLEANUP(fd_closep) int fd = file_make(path);
	struct buf rows;
	buf_init(&rows, mem_scope_root(), 4 * MIB);
	buf_add_text(&rows, "编号,名称,city,note\n");
	for (int i = 0; i < ROWS / SHARE; i++) {
		buf_printf(&rows, "%d,第%d行,Berlin,\"a note, quoted\"\n", i, i);
		if (rows.bytes > MIB || i + 1 == ROWS / SHARE) {
			assert_int_equal(fd_write(fd, buf_span(&rows), &fault), ST_OK);
			buf_clear(&rows);
		}
	}
	buf_fini(&rows);
	struct seen seen = run(path, "rows.csv");
	assert_int_equal(unlink(path), 0);
	assert_true(seen.chunks > ROWS / SHARE / 20);
}

static void test_memory__a_long_page_and_a_long_array_stream(void **state)
{
	(void)state;
	static const struct {
		const char *name, *before, *part, *after;
	} files[] = {
		{"page.html", "<html><body>",
		 "<div class=\"a\"><h2>Title</h2><p>Some <a href=\"x\">words</a>.</p></div>\n",
		 "</body></html>"},
		{"array.json", "[0", ",\n{\"name\":\"a name\",\"text\":\"some text of a record\"}",
		 "]"},
		{"records.jsonl", "",
		 "{\"id\":\"a\",\"title\":\"t\",\"text\":\"the text of a record\"}\n", ""},
	};
	for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
		char path[FILE_PATH_BYTES];
		struct fault fault;
		CLEANUP(fd_closep) int fd = file_make(path);
		struct buf block;
		buf_init(&block, mem_scope_root(), 2 * MIB);
		while (block.bytes < MIB)
			buf_add_text(&block, files[i].part);
		assert_int_equal(fd_write(fd, span_of(files[i].before), &fault), ST_OK);
		for (int n = 0; n < PAGE_MIB / SHARE; n++)
			assert_int_equal(fd_write(fd, buf_span(&block), &fault), ST_OK);
		assert_int_equal(fd_write(fd, span_of(files[i].after), &fault), ST_OK);
		buf_fini(&block);
		struct seen seen = run(path, files[i].name);
		assert_int_equal(unlink(path), 0);
		assert_true(seen.chunks > 100);
	}
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], WORKER_VERB) == 0)
		return doc_worker_main(argc, argv);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory__a_long_text_streams),
		cmocka_unit_test(test_memory__a_million_rows_stream),
		cmocka_unit_test(test_memory__a_long_page_and_a_long_array_stream),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
