#include "qa/originals.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/originals-XXXXXX";
static char kb_root[64];

static int make_folder(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL)
		return -1;
	(void)snprintf(kb_root, sizeof kb_root, "%s/kb", folder);
	char content[128];
	(void)snprintf(content, sizeof content, "%s/book/content", kb_root);
	return dir_make(content, NULL) == ST_OK ? 0 : -1;
}

static int remove_folder(void **state)
{
	(void)state;
	return dir_remove(folder, NULL) == ST_OK ? 0 : -1;
}

static void test_original_name__refuses_what_leaves_the_folder(void **state)
{
	(void)state;
	static const char *const good[] = {"a.md", "folder/a.md", "指南/第一章.txt", "a b.txt",
					   "..a"};
	static const char *const bad[] = {
		"",  "/a",    "a/",   "a//b",        "../a",          "a/../b",
		".", "a/./b", "a\nb", ".incoming-x", "a/.incoming-x", "\xff\xfe"};
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		assert_true(original_name_is_valid(span_of(good[i])));
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(original_name_is_valid(span_of(bad[i])));
	char path[FILE_PATH_BYTES];
	struct fault fault = {0};
	assert_int_equal(original_path(kb_root, "book", "../../etc/passwd", path, &fault),
			 ST_INVALID);
	assert_string_not_equal(fault_text(&fault), "");
}

static void test_original__comes_in_settles_and_goes_with_its_folder(void **state)
{
	(void)state;
	char source[128], path[FILE_PATH_BYTES];
	struct original file = {.name = "part/one.txt"};
	(void)snprintf(source, sizeof source, "%s/source.txt", folder);
	assert_int_equal(file_replace(source, SPAN("hello"), NULL), ST_OK);
	assert_int_equal(original_copy_in(kb_root, "book", source, NULL, &file, NULL), ST_OK);
	assert_int_equal(file.bytes, 5);
	assert_string_equal(file.sha256,
			    "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
	assert_int_equal(original_settle(kb_root, "book", &file, NULL), ST_OK);
	assert_int_equal(original_path(kb_root, "book", "part/one.txt", path, NULL), ST_OK);
	assert_string_equal(path, file.path);
	assert_true(file_exists(path));
	assert_int_equal(original_remove(kb_root, "book", "part/one.txt", NULL), ST_OK);
	assert_false(file_exists(path));
	(void)snprintf(path, sizeof path, "%s/book/content/part", kb_root);
	assert_false(file_exists(path));
	(void)snprintf(path, sizeof path, "%s/book/content", kb_root);
	assert_true(file_exists(path));
}

static void test_original__a_removal_that_was_cut_off_is_finished(void **state)
{
	(void)state;
	char source[128], path[FILE_PATH_BYTES];
	struct original file = {.name = "gone.txt"};
	struct kb_build text_only = {.chunk_chars = 240};
	struct kb *kb;
	(void)snprintf(source, sizeof source, "%s/source.txt", folder);
	assert_int_equal(file_replace(source, SPAN("hello"), NULL), ST_OK);
	assert_int_equal(kb_create(kb_root, "cut", "", &text_only, NULL), ST_OK);
	assert_int_equal(kb_open(mem_scope_root(), kb_root, "cut", &kb, NULL), ST_OK);
	assert_int_equal(original_sweep(kb_root, "cut", kb, NULL), ST_OK);
	assert_int_equal(original_copy_in(kb_root, "cut", source, NULL, &file, NULL), ST_OK);
	assert_int_equal(original_settle(kb_root, "cut", &file, NULL), ST_OK);
	assert_int_equal(original_note_removal(kb_root, "cut", "gone.txt", NULL), ST_OK);
	assert_int_equal(original_sweep(kb_root, "cut", kb, NULL), ST_OK);
	assert_false(file_exists(file.path));
	(void)snprintf(path, sizeof path, "%s/cut/content/.incoming-removal", kb_root);
	assert_false(file_exists(path));
	kb_close(kb);
}

static void test_original_copy_in__leaves_nothing_when_it_fails(void **state)
{
	(void)state;
	struct original file = {.name = "a.txt"};
	struct fault fault = {0};
	char leftover[128];
	assert_int_equal(
		original_copy_in(kb_root, "book", "/nonexistent/file", NULL, &file, &fault),
		ST_NOT_FOUND);
	assert_int_equal(original_copy_in(kb_root, "book", folder, NULL, &file, &fault),
			 ST_INVALID);
	struct cancel stop = {true};
	char source[128];
	(void)snprintf(source, sizeof source, "%s/source.txt", folder);
	assert_int_equal(file_replace(source, SPAN("hello"), NULL), ST_OK);
	assert_int_equal(original_copy_in(kb_root, "book", source, &stop, &file, &fault),
			 ST_CANCELLED);
	(void)snprintf(leftover, sizeof leftover, "%s/book/content/.incoming-copy", kb_root);
	assert_false(file_exists(leftover));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_original_name__refuses_what_leaves_the_folder),
		cmocka_unit_test(test_original__comes_in_settles_and_goes_with_its_folder),
		cmocka_unit_test(test_original__a_removal_that_was_cut_off_is_finished),
		cmocka_unit_test(test_original_copy_in__leaves_nothing_when_it_fails),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
