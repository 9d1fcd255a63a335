#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/size.h"
#include "mem/faults.h"
#include "rt/buf.h"
#include "rt/file.h"

static char folder[] = "/tmp/plimsoll-file-XXXXXX";
static struct mem_scope *scope;

static int setup(void **state)
{
	(void)state;
	memcpy(folder + sizeof folder - 7, "XXXXXX", 6);
	scope = mem_scope_open(mem_scope_root(), "test", 0);
	return scope == NULL || mkdtemp(folder) == NULL;
}

static int teardown(void **state)
{
	(void)state;
	int failed = dir_remove(folder, NULL) != ST_OK || file_exists(folder);
	mem_scope_close(scope);
	return failed;
}

static const char *at(const char *name)
{
	static char paths[4][FILE_PATH_BYTES];
	static size_t next;
	char *path = paths[next++ % 4];
	assert_int_equal(path_join(path, folder, name, NULL), ST_OK);
	return path;
}

static void put(const char *name, const char *text)
{
	assert_int_equal(file_replace(at(name), span_of(text), NULL), ST_OK);
}

static struct span get(const char *name)
{
	struct span text = {NULL, 0};
	assert_int_equal(file_read(scope, at(name), MIB, &text, NULL), ST_OK);
	return text;
}

/* Names in the folder, a line each, as a text. */
static status note(void *context, const char *relative, bool is_folder, struct fault *reterr)
{
	(void)reterr;
	return buf_printf(context, "%s%s\n", relative, is_folder ? "/" : "") ? ST_OK : ST_LIMIT;
}

static const char *listing(const char *path, bool into_folders)
{
	static struct buf out;
	buf_init(&out, scope, 64 * KIB);
	struct fault fault = {0};
	if (dir_walk(path, into_folders, note, &out, &fault) != ST_OK)
		fail_msg("%s", fault.text);
	return buf_span(&out).data;
}

static void test_file__reads_whole_and_ended(void **state)
{
	(void)state;
	put("a", "hello");
	struct span text = get("a");
	assert_true(span_equal(text, SPAN("hello")));
	assert_int_equal(text.data[5], '\0');
	put("empty", "");
	assert_int_equal(get("empty").bytes, 0);
}

static void test_file__what_is_no_file_is_refused(void **state)
{
	(void)state;
	struct span text = {NULL, 7};
	struct fault fault;
	put("a", "123456");
	assert_int_equal(file_read(scope, at("a"), 5, &text, &fault), ST_LIMIT);
	assert_int_equal(file_read(scope, at("none"), 5, &text, &fault), ST_NOT_FOUND);
	assert_non_null(strstr(fault.text, "none"));
	assert_int_equal(file_read(scope, folder, 5, &text, &fault), ST_INVALID);
	assert_int_equal(file_read(scope, at("a/b"), 5, &text, &fault), ST_NOT_FOUND);
	assert_int_equal(mkfifo(at("pipe"), 0600), 0);
	assert_int_equal(file_read(scope, at("pipe"), 5, &text, &fault),
			 ST_INVALID); /* does not block */
	assert_int_equal(file_read(scope, "/dev/zero", 5, &text, &fault), ST_INVALID);
	assert_int_equal(symlink("loop", at("loop")), 0);
	assert_int_equal(file_read(scope, at("loop"), 5, &text, &fault), ST_INVALID);
	assert_int_equal(text.bytes, 7);
	assert_int_equal(mem_scope_live(scope), 0);
}

static void test_file__replace_keeps_permissions_and_leaves_nothing(void **state)
{
	(void)state;
	struct stat about;
	put("a", "one");
	assert_int_equal(chmod(at("a"), 0600), 0);
	put("a", "two, longer");
	assert_true(span_equal(get("a"), SPAN("two, longer")));
	assert_int_equal(stat(at("a"), &about), 0);
	assert_int_equal(about.st_mode & 07777, 0600);
	assert_string_equal(listing(folder, true), "a\n");
	struct fault fault;
	assert_int_equal(file_replace(at("no/such"), SPAN("x"), &fault), ST_NOT_FOUND);
}

static void test_file__a_failed_replace_changes_nothing(void **state)
{
	(void)state;
	put("a", "before");
	for (uint64_t n = 1;; n++) {
		mem_fault_arm(MEM_FAULT_IO, n, false);
		status st = file_replace(at("a"), SPAN("after"), NULL);
		bool fired = mem_fault_fired(MEM_FAULT_IO) > 0;
		mem_fault_disarm(MEM_FAULT_IO);
		struct span now = get("a");
		assert_true(span_equal(now, SPAN("before")) || span_equal(now, SPAN("after")));
		assert_string_equal(listing(folder, true), "a\n"); /* no temporary name stays */
		if (!fired) {
			assert_int_equal(st, ST_OK);
			assert_int_equal(
				n, 7); /* open, write, sync, rename, open and sync the folder */
			break;
		}
		assert_int_equal(st, ST_IO);
	}
}

static void test_file__rename_and_remove(void **state)
{
	(void)state;
	put("a", "A");
	put("b", "B");
	assert_int_equal(file_rename(at("a"), at("b"), NULL), ST_OK);
	assert_false(file_exists(at("a")));
	assert_true(span_equal(get("b"), SPAN("A")));
	assert_int_equal(file_rename(at("a"), at("b"), NULL), ST_NOT_FOUND);
	assert_int_equal(file_remove(at("b"), NULL), ST_OK);
	assert_int_equal(file_remove(at("b"), NULL), ST_OK); /* absent is fine */
	assert_int_not_equal(file_remove(folder, NULL), ST_OK);
}

static void test_fd__reads_and_writes_at_places(void **state)
{
	(void)state;
	CLEANUP(fd_closep) int fd = -1;
	char into[16] = "";
	size_t got = 0;
	uint64_t size = 0;
	assert_int_equal(fd_open(at("f"), O_RDWR | O_CREAT, 0600, &fd, NULL), ST_OK);
	assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
	assert_int_equal(fd_write(fd, SPAN("0123456789"), NULL), ST_OK);
	assert_int_equal(fd_write_at(fd, 3, SPAN("xyz"), NULL), ST_OK);
	assert_int_equal(fd_read_at(fd, 2, into, 5, &got, NULL), ST_OK);
	assert_int_equal(got, 5);
	assert_string_equal(into, "2xyz6");
	assert_int_equal(fd_read_at(fd, 8, into, 5, &got, NULL), ST_OK);
	assert_int_equal(got, 2); /* the file ends */
	assert_int_equal(fd_read(fd, into, 5, &got, NULL), ST_OK);
	assert_int_equal(got, 0);
	assert_int_equal(fd_size(fd, &size, NULL), ST_OK);
	assert_int_equal(size, 10);
	assert_int_equal(fd_sync(fd, NULL), ST_OK);
	assert_int_equal(fd_read_at(fd, UINT64_MAX, into, 5, &got, NULL), ST_INVALID);
	assert_int_equal(fd_write_at(fd, (uint64_t)INT64_MAX, SPAN("xy"), NULL), ST_INVALID);
	fd_closep(&fd);
	assert_int_equal(fd, -1);
	assert_int_equal(fd_read(-1, into, 5, &got, NULL), ST_IO);
	assert_int_equal(fd_size(-1, &size, NULL), ST_IO);
	assert_int_equal(fd_open(folder, O_WRONLY, 0, &fd, NULL), ST_INVALID);
}

static void test_fd__a_full_disk_is_a_limit(void **state)
{
	(void)state;
	CLEANUP(fd_closep) int fd = -1;
	struct fault fault;
	if (fd_open("/dev/full", O_WRONLY, 0, &fd, NULL) != ST_OK)
		skip();
	assert_int_equal(fd_write(fd, SPAN("x"), &fault), ST_LIMIT);
	assert_non_null(strstr(fault.text, "No space left"));
}

static void test_map__shows_the_file(void **state)
{
	(void)state;
	struct file_map map = {NULL, 0};
	put("m", "mapped");
	assert_int_equal(file_map_open(at("m"), &map, NULL), ST_OK);
	assert_int_equal(map.bytes, 6);
	assert_memory_equal(map.data, "mapped", 6);
	file_map_close(&map);
	file_map_close(&map);
	put("m", "");
	assert_int_equal(file_map_open(at("m"), &map, NULL), ST_OK);
	assert_int_equal(map.bytes, 0);
	file_map_close(&map);
	assert_int_equal(file_map_open(folder, &map, NULL), ST_INVALID);
	assert_int_equal(file_map_open(at("none"), &map, NULL), ST_NOT_FOUND);
}

static void test_dir__make_walk_remove(void **state)
{
	(void)state;
	assert_int_equal(dir_make(at("x/y/z"), NULL), ST_OK);
	assert_int_equal(dir_make(at("x/y/z/"), NULL), ST_OK);
	put("x/b", "");
	put("x/a", "");
	put("x/y/f", "");
	put("中", "");
	put("Z", "");
	assert_int_equal(dir_make(at("x/a"), NULL), ST_INVALID);
	assert_int_not_equal(dir_make(at("x/a/b"), NULL), ST_OK);
	assert_int_equal(dir_make("", NULL), ST_INVALID);
	assert_string_equal(listing(folder, true), "Z\nx/\nx/a\nx/b\nx/y/\nx/y/f\nx/y/z/\n中\n");
	assert_string_equal(listing(folder, false), "Z\nx/\n中\n");
	assert_int_equal(dir_remove(at("x"), NULL), ST_OK);
	assert_int_equal(dir_remove(at("x"), NULL), ST_OK);
	assert_string_equal(listing(folder, true), "Z\n中\n");
	assert_int_equal(dir_walk(at("none"), true, note, NULL, NULL), ST_NOT_FOUND);
}

static void test_dir__links_are_not_followed(void **state)
{
	(void)state;
	assert_int_equal(dir_make(at("inside"), NULL), ST_OK);
	assert_int_equal(dir_make(at("outside"), NULL), ST_OK);
	put("outside/kept", "kept");
	assert_int_equal(symlink(at("outside"), at("inside/link")), 0);
	assert_int_equal(symlink("nowhere", at("inside/dangling")), 0);
	assert_int_equal(mkfifo(at("inside/pipe"), 0600), 0);
	assert_string_equal(listing(at("inside"), true), "");
	assert_string_equal(listing(at("inside/link"), true),
			    "kept\n"); /* but a start may be one */
	assert_int_equal(dir_remove(at("inside"), NULL), ST_OK);
	assert_true(span_equal(get("outside/kept"), SPAN("kept")));
	assert_int_equal(symlink(at("outside"), at("direct")), 0);
	assert_int_not_equal(dir_remove(at("direct"), NULL), ST_OK);
	assert_true(file_exists(at("outside/kept")));
	assert_int_equal(file_remove(at("direct"), NULL), ST_OK);
}

static void test_dir__depth_is_bounded(void **state)
{
	(void)state;
	char path[512] = "d";
	for (int depth = 1; depth < 70; depth++)
		(void)snprintf(path + strlen(path), sizeof path - strlen(path), "/d");
	assert_int_equal(dir_make(at(path), NULL), ST_OK);
	struct fault fault;
	struct buf out;
	buf_init(&out, scope, 64 * KIB);
	assert_int_equal(dir_walk(folder, true, note, &out, &fault), ST_LIMIT);
	assert_int_equal(dir_remove(folder, &fault), ST_LIMIT);
	assert_non_null(strstr(fault.text, "deeper than 64"));
	path[2 * 10 + 1] = '\0';
	assert_int_equal(dir_remove(at(path), NULL), ST_OK); /* so the rest is shallow enough */
	buf_fini(&out);
}

static status refuse(void *context, const char *relative, bool is_folder, struct fault *reterr)
{
	(void)relative;
	(void)is_folder;
	++*(int *)context;
	return fault_set(reterr, ST_CANCELLED, "enough");
}

static void test_dir__a_walk_stops_when_told(void **state)
{
	(void)state;
	struct fault fault;
	int calls = 0;
	put("a", ""), put("b", "");
	assert_int_equal(dir_walk(folder, true, refuse, &calls, &fault), ST_CANCELLED);
	assert_string_equal(fault.text, "enough");
	assert_int_equal(calls, 1);
}

static void test_dir__a_thousand_names_are_sorted(void **state)
{
	(void)state;
	for (int i = 0; i < 1000; i++) {
		char name[16];
		CLEANUP(fd_closep) int fd = -1;
		(void)snprintf(name, sizeof name, "%d", (i * 7919) % 1000);
		assert_int_equal(fd_open(at(name), O_WRONLY | O_CREAT, 0600, &fd, NULL), ST_OK);
	}
	const char *list = listing(folder, true), *end;
	char former[16] = "";
	size_t count = 0;
	for (; (end = strchr(list, '\n')) != NULL; list = end + 1, count++) {
		char name[16] = "";
		memcpy(name, list, (size_t)(end - list));
		assert_true(strcmp(former, name) < 0);
		memcpy(former, name, sizeof former);
	}
	assert_int_equal(count, 1000);
}

static void walk_fails_in_turn(enum mem_fault_kind kind, bool forever)
{
	struct mem_account_stat before = mem_account_stat(mem_account_root());
	for (uint64_t n = 1;; n++) {
		struct buf out;
		buf_init(&out, mem_scope_root(), 64 * KIB);
		mem_fault_arm(kind, n, forever);
		status st = dir_walk(folder, true, note, &out, NULL);
		bool fired = mem_fault_fired(kind) > 0;
		mem_fault_disarm(kind);
		buf_fini(&out);
		/* A buffer that may not double tries for what it needs: one refusal may be
		 * overcome. */
		if (kind != MEM_FAULT_ALLOC || forever || !fired)
			assert_int_equal(st == ST_OK, !fired);
		assert_int_equal(mem_account_stat(mem_account_root()).live, before.live);
		if (!fired)
			break;
	}
}

static void test_dir__each_failure_of_a_walk_is_told(void **state)
{
	(void)state;
	assert_int_equal(dir_make(at("x/y"), NULL), ST_OK);
	put("x/y/f", "");
	walk_fails_in_turn(MEM_FAULT_ALLOC, false);
	walk_fails_in_turn(MEM_FAULT_ALLOC, true);
	walk_fails_in_turn(MEM_FAULT_IO, false);
	walk_fails_in_turn(MEM_FAULT_IO, true);
}

static void test_dir__a_failed_removal_can_be_repeated(void **state)
{
	(void)state;
	for (uint64_t n = 1;; n++) {
		assert_int_equal(dir_make(at("r/s/t"), NULL), ST_OK);
		put("r/f", ""), put("r/s/g", "");
		mem_fault_arm(MEM_FAULT_IO, n, false);
		status st = dir_remove(at("r"), NULL);
		bool fired = mem_fault_fired(MEM_FAULT_IO) > 0;
		mem_fault_disarm(MEM_FAULT_IO);
		assert_int_equal(st == ST_OK, !fired);
		assert_int_equal(dir_remove(at("r"), NULL), ST_OK);
		assert_false(file_exists(at("r")));
		if (!fired)
			break;
	}
}

static void test_name__safe_names(void **state)
{
	(void)state;
	static const char *const good[] = {"a", "a b.txt", ".hidden", "...", "产品手册 v2.md",
					   "~", "-x"};
	static const char *const bad[] = {"",     ".",    "..",   "a/b",      "/",
					  "a\nb", "\x7f", "\xFF", "a\xC2\x80"};
	char longest[FILE_NAME_BYTES];
	for (size_t i = 0; i < ARRAY_COUNT(good); i++)
		assert_true(file_name_is_safe(span_of(good[i])));
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
		assert_false(file_name_is_safe(span_of(bad[i])));
	assert_false(file_name_is_safe((struct span){"a\0b", 3}));
	memset(longest, 'n', sizeof longest);
	assert_true(file_name_is_safe((struct span){longest, 255}));
	assert_false(file_name_is_safe((struct span){longest, 256}));
}

static void test_path__joins_and_bases(void **state)
{
	(void)state;
	char out[FILE_PATH_BYTES], big[FILE_PATH_BYTES];
	assert_int_equal(path_join(out, "a", "b", NULL), ST_OK);
	assert_string_equal(out, "a/b");
	assert_int_equal(path_join(out, "a/", "b", NULL), ST_OK);
	assert_string_equal(out, "a/b");
	assert_int_equal(path_join(out, "", "b", NULL), ST_OK);
	assert_string_equal(out, "b");
	memset(big, 'p', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	assert_int_equal(path_join(out, big, "b", NULL), ST_LIMIT);
	assert_int_equal(path_join(out, "b", big, NULL), ST_LIMIT);
	assert_string_equal(out, "b");
	big[sizeof big - 3] = '\0';
	assert_int_equal(path_join(out, big, "b", NULL), ST_OK);
	assert_int_equal(strlen(out), FILE_PATH_BYTES - 1);
	assert_true(span_equal(path_base("/a/b.txt"), SPAN("b.txt")));
	assert_true(span_equal(path_base("b.txt"), SPAN("b.txt")));
	assert_true(span_equal(path_base("a/"), SPAN("")));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_file__reads_whole_and_ended),
		T(test_file__what_is_no_file_is_refused),
		T(test_file__replace_keeps_permissions_and_leaves_nothing),
		T(test_file__a_failed_replace_changes_nothing),
		T(test_file__rename_and_remove),
		T(test_fd__reads_and_writes_at_places),
		T(test_fd__a_full_disk_is_a_limit),
		T(test_map__shows_the_file),
		T(test_dir__make_walk_remove),
		T(test_dir__links_are_not_followed),
		T(test_dir__depth_is_bounded),
		T(test_dir__a_walk_stops_when_told),
		T(test_dir__a_thousand_names_are_sorted),
		T(test_dir__each_failure_of_a_walk_is_told),
		T(test_dir__a_failed_removal_can_be_repeated),
		T(test_name__safe_names),
		T(test_path__joins_and_bases),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
