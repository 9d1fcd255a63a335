#include "kb/testing.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/size.h"
#include "kb/reader.h"
#include "rt/file.h"

static struct fault fault;

static struct kb_writer *writer(void)
{
	struct kb_writer *w = NULL;
	OK(kb_writer_open(mem_scope_root(), testing_root, "a", &w, &fault));
	return w;
}

static struct kb *reader(void)
{
	struct kb *kb = NULL;
	OK(kb_open(mem_scope_root(), testing_root, "a", &kb, &fault));
	return kb;
}

static void expect_found(struct kb *kb, const char *file, uint32_t version, uint32_t index,
			 bool found)
{
	char got[TESTING_TEXT_BYTES], want[TESTING_TEXT_BYTES];
	testing_text(file, version, index, want);
	OK(testing_find(kb, file, version, index, got, &fault));
	if (found)
		assert_string_equal(got, want);
	else
		assert_string_not_equal(got, want);
}

static void expect_counts(struct kb *kb, uint64_t files, uint64_t chunks)
{
	struct kb_info info;
	OK(kb_info(kb, &info, &fault));
	assert_int_equal(info.files, files);
	assert_int_equal(info.chunks, chunks);
}

static void make(void)
{
	OK(kb_create(testing_root, "a", "描述", &testing_build, &fault));
}

static void test_kb_name__letters_of_all_scripts(void **state)
{
	(void)state;
	static const char *const good[] = {
		"a",  "手册", "guide-2_b",
		"_x", "Ünï",  "0123456789012345678901234567890123456789012345678901234567890_2"};
	static const char *const bad[] = {
		"",     "-a",
		".",    "..",
		"a/b",  "a b",
		"a.b",  "a\n",
		"\xff", "01234567890123456789012345678901234567890123456789012345678901234",
		"😀",    ".hidden",
		"a\\b"};
	for (size_t i = 0; i < ARRAY_COUNT(good); i++)
		assert_true(kb_name_is_valid(span_of(good[i])));
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
		assert_false(kb_name_is_valid(span_of(bad[i])));
	assert_int_equal(kb_create(testing_root, "../x", "", &testing_build, &fault), ST_INVALID);
	struct kb *kb; /* the longest ones work, too */
	char longest[64] = "";
	for (int i = 0; i < 21; i++)
		memcpy(longest + 3 * i, "库", 4);
	const char *const names[] = {good[ARRAY_COUNT(good) - 1], longest};
	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		OK(kb_create(testing_root, names[i], "", &testing_build, &fault));
		OK(kb_open(mem_scope_root(), testing_root, names[i], &kb, &fault));
		kb_close(kb);
	}
}

static status count_name(void *context, const char *name, struct fault *reterr)
{
	(void)reterr;
	assert_true(kb_name_is_valid(span_of(name)));
	++*(int *)context;
	return ST_OK;
}

static void test_kb_create__list_and_delete(void **state)
{
	(void)state;
	int count = 0;
	char nowhere[TESTING_TEXT_BYTES];
	struct kb_info info;
	(void)snprintf(nowhere, sizeof nowhere, "%s/none", testing_root);
	OK(kb_list(nowhere, count_name, &count, &fault));
	make();
	assert_int_equal(kb_create(testing_root, "a", "", &testing_build, &fault), ST_EXISTS);
	OK(kb_create(testing_root, "手册", "", &testing_build_text, &fault));
	OK(kb_list(testing_root, count_name, &count, &fault));
	assert_int_equal(count, 2);
	struct kb *kb = reader();
	OK(kb_info(kb, &info, &fault));
	assert_string_equal(info.name, "a");
	assert_string_equal(info.description, "描述");
	assert_string_equal(info.build.model, "test-model");
	assert_int_equal(info.build.dim, TESTING_DIM);
	assert_int_equal(info.generation, 1);
	expect_found(kb, "x", 1, 1, false); /* empty */
	struct kb_writer *w = writer();
	assert_int_equal(kb_delete(testing_root, "a", &fault), ST_BUSY);
	assert_non_null(strstr(fault.text, "process "));
	kb_writer_close(w);
	OK(kb_delete(testing_root, "a", &fault));
	assert_int_equal(kb_delete(testing_root, "a", &fault), ST_NOT_FOUND);
	assert_int_equal(testing_find(kb, "x", 1, 1, nowhere, &fault), ST_NOT_FOUND);
	kb_close(kb);
	assert_int_equal(kb_open(mem_scope_root(), testing_root, "a", &kb, &fault), ST_NOT_FOUND);
	assert_int_equal(kb_writer_open(mem_scope_root(), testing_root, "a", &w, &fault),
			 ST_NOT_FOUND);
	count = 0;
	OK(kb_list(testing_root, count_name, &count, &fault));
	assert_int_equal(count, 1);
}

static void test_kb_writer__a_file_is_visible_when_ready(void **state)
{
	(void)state;
	uint64_t done = 99;
	make();
	struct kb *kb = reader();
	struct kb_writer *w = writer(), *second;
	assert_int_equal(kb_writer_open(mem_scope_root(), testing_root, "a", &second, &fault),
			 ST_BUSY);
	OK(kb_writer_file_begin(w, "x.txt", "1", 100, &done, &fault));
	assert_int_equal(done, 0);
	OK(testing_add(w, "x.txt", 1, 0, 200, &fault));
	expect_found(kb, "x.txt", 1, 3, false);
	expect_counts(kb, 0, 0);
	OK(kb_writer_file_end(w, &fault));
	expect_counts(kb, 1, 200);
	for (uint32_t i = 0; i < 200; i += 13)
		expect_found(kb, "x.txt", 1, i, true);
	OK(testing_file(w, "y.txt", 1, 70, &fault));
	expect_found(kb, "y.txt", 1, 69, true);
	OK(kb_writer_file_delete(w, "x.txt", &fault));
	expect_found(kb, "x.txt", 1, 3, false);
	expect_found(kb, "y.txt", 1, 3, true);
	expect_counts(kb, 1, 70);
	assert_int_equal(kb_writer_file_delete(w, "x.txt", &fault), ST_NOT_FOUND);
	kb_writer_close(w);
	kb_close(kb);
}

static void test_kb_writer__replaces_a_file_in_one_step(void **state)
{
	(void)state;
	make();
	struct kb *kb = reader();
	struct kb_writer *w = writer();
	uint64_t done;
	struct kb_file file;
	OK(testing_file(w, "x", 1, 30, &fault));
	OK(kb_writer_file_begin(w, "x", "2", 10, &done, &fault));
	OK(testing_add(w, "x", 2, 0, 20, &fault));
	expect_found(kb, "x", 1, 5, true);
	expect_found(kb, "x", 2, 5, false);
	OK(kb_writer_file_fail(w, "the disk is on fire", &fault));
	expect_found(kb, "x", 1, 5, true);
	OK(kb_writer_find(w, "x", mem_scope_root(), &file, &fault));
	assert_int_equal(file.status, KB_FILE_READY);
	assert_string_equal(file.error.data, "the disk is on fire");
	OK(testing_file(w, "x", 3, 25, &fault));
	expect_found(kb, "x", 1, 5, false);
	expect_found(kb, "x", 3, 24, true);
	expect_counts(kb, 1, 25);
	OK(kb_writer_find(w, "x", mem_scope_root(), &file, &fault));
	assert_int_equal(file.error.bytes, 0);
	assert_int_equal(file.chunks, 25);
	kb_writer_close(w);
	kb_close(kb);
	mem_scope_reset(mem_scope_root());
}

static status collect_file(void *context, const struct kb_file *file, struct fault *reterr)
{
	(void)reterr;
	char *out = context;
	size_t used = strlen(out);
	(void)snprintf(out + used, 512 - used, "%.*s %d %llu %.*s;", SPAN_ARG(file->file),
		       (int)file->status, (unsigned long long)file->chunks, (int)file->error.bytes,
		       file->error.data != NULL ? file->error.data : "");
	return ST_OK;
}

static void test_kb_files__tells_how_each_stands(void **state)
{
	(void)state;
	char list[512] = "";
	uint64_t done;
	make();
	struct kb_writer *w = writer();
	OK(testing_file(w, "dir/b.md", 1, 3, &fault));
	OK(kb_writer_file_begin(w, "c.pdf", "1", 10, &done, &fault));
	OK(testing_add(w, "c.pdf", 1, 0, 2, &fault));
	OK(kb_writer_file_fail(w, "no text in it", &fault));
	OK(kb_writer_file_begin(w, "a.txt", "1", 10, &done, &fault));
	OK(testing_add(w, "a.txt", 1, 0, 9, &fault));
	OK(kb_writer_file_begin(w, "dir/b.md", "2", 10, &done, &fault));
	kb_writer_close(w);
	struct kb *kb = reader();
	OK(kb_files(kb, collect_file, list, &fault));
	assert_string_equal(list, "a.txt 0 9 ;c.pdf 2 0 no text in it;dir/b.md 1 3 ;");
	kb_close(kb);
}

static void test_kb_writer__resumes_a_pending_file(void **state)
{
	(void)state;
	uint64_t done;
	make();
	struct kb_writer *w = writer();
	OK(kb_writer_file_begin(w, "x", "1", 10, &done, &fault));
	OK(testing_add(w, "x", 1, 0, 100, &fault));
	kb_writer_close(w);
	w = writer();
	OK(testing_file(w, "y", 1, 10, &fault)); /* another one lies between */
	OK(kb_writer_file_begin(w, "x", "1", 10, &done, &fault));
	assert_int_equal(done, 100);
	OK(testing_add(w, "x", 1, 100, 150, &fault));
	OK(kb_writer_file_end(w, &fault));
	struct kb *kb = reader();
	expect_counts(kb, 2, 160);
	expect_found(kb, "x", 1, 99, true);
	expect_found(kb, "x", 1, 100, true);
	expect_found(kb, "y", 1, 9, true);
	OK(kb_writer_file_begin(w, "z", "1", 10, &done, &fault));
	OK(testing_add(w, "z", 1, 0, 10, &fault));
	OK(kb_writer_file_begin(w, "z", "2", 10, &done, &fault)); /* changed: from the start */
	assert_int_equal(done, 0);
	OK(testing_add(w, "z", 2, 0, 5, &fault));
	OK(kb_writer_file_end(w, &fault));
	expect_counts(kb, 3, 165);
	kb_writer_close(w);
	kb_close(kb);
}

static void test_kb_neighbours__in_order_across_a_resume(void **state)
{
	(void)state;
	struct mem_scope *scratch = mem_scope_open(mem_scope_root(), "t", 0);
	char sha[65], text[TESTING_TEXT_BYTES], want[TESTING_TEXT_BYTES];
	uint64_t done;
	make();
	(void)snprintf(sha, sizeof sha, "%064x", 1);
	struct kb_writer *w = writer();
	OK(kb_writer_file_begin(w, "x", sha, 10, &done, &fault));
	OK(testing_add(w, "x", 1, 0, 5, &fault));
	OK(testing_file(w, "y", 1, 4, &fault));
	OK(testing_file(w, "x", 1, 10, &fault));
	struct kb *kb = reader();
	testing_text("x", 1, 4, text);
	struct kb_query q = {.text = span_of(text), .hits_max = 1};
	struct kb_hits hits, around;
	OK(kb_search(kb, &q, scratch, &hits, &fault));
	assert_int_equal(hits.hits[0].position, 4);
	OK(kb_neighbours(kb, hits.hits[0].chunk, 2, 3, scratch, &around, &fault));
	assert_int_equal(around.count, 6);
	for (uint32_t i = 0; i < 6; i++) {
		testing_text("x", 1, 2 + i, want);
		assert_int_equal(around.hits[i].position, 2 + i);
		assert_string_equal(around.hits[i].text.data, want);
	}
	OK(kb_neighbours(kb, hits.hits[0].chunk, 200, 200, scratch, &around, &fault));
	assert_int_equal(around.count, 10);
	OK(kb_writer_file_delete(w, "x", &fault));
	assert_int_equal(kb_neighbours(kb, hits.hits[0].chunk, 1, 1, scratch, &around, &fault),
			 ST_NOT_FOUND);
	kb_writer_close(w);
	kb_close(kb);
	mem_scope_close(scratch);
}

static void test_kb_writer__knows_vectors_by_text(void **state)
{
	(void)state;
	char text[TESTING_TEXT_BYTES];
	float expected[TESTING_DIM], got[TESTING_DIM];
	make();
	struct kb_writer *w = writer();
	OK(testing_file(w, "x", 1, 80, &fault));
	testing_text("x", 1, 70, text);
	testing_vector(span_of(text), expected);
	struct kb_new_chunk c = {.doc_id = SPAN("other"),
				 .title = SPAN("Title of x"),
				 .heading = SPAN("Chapter"),
				 .text = span_of(text)};
	OK(kb_writer_known_vector(w, &c, got, &fault));
	for (size_t i = 0; i < TESTING_DIM; i++)
		assert_true(got[i] - expected[i] < 1e-3F && expected[i] - got[i] < 1e-3F);
	c.heading = SPAN("Another chapter");
	assert_int_equal(kb_writer_known_vector(w, &c, got, &fault), ST_NOT_FOUND);
	kb_writer_close(w);
}

static void test_kb_search__each_arm_and_bad_questions(void **state)
{
	(void)state;
	struct mem_scope *scratch = mem_scope_open(mem_scope_root(), "t", 0);
	char text[TESTING_TEXT_BYTES];
	float vector[TESTING_DIM];
	struct kb_hits hits;
	make();
	struct kb_writer *w = writer();
	OK(testing_file(w, "x", 1, 500, &fault));
	kb_writer_close(w);
	struct kb *kb = reader();
	testing_text("x", 1, 321, text);
	testing_vector(span_of(text), vector);
	struct kb_query q = {.text = span_of(text), .vector = vector, .hits_max = 3};
	for (enum kb_arm arm = KB_HYBRID; arm <= KB_TEXT; arm++) {
		q.arm = arm;
		OK(kb_search(kb, &q, scratch, &hits, &fault));
		/* every word but two is in all chunks, so by words alone there is one hit */
		assert_int_equal(hits.count, arm == KB_TEXT ? 1 : 3);
		assert_string_equal(hits.hits[0].text.data, text);
		assert_string_equal(hits.hits[0].file.data, "x");
		assert_string_equal(hits.hits[0].title.data, "Title of x");
		assert_int_equal(hits.hits[0].page, 322);
		assert_int_equal(hits.hits[0].start, 32100);
		assert_int_equal(hits.hits[0].position, 321);
		for (size_t i = 0; i < hits.count; i++)
			assert_true(hits.hits[i].score >= 0 &&
				    hits.hits[i].score <= hits.hits[0].score);
		assert_true(hits.hits[0].score <= 1);
	}
	q.text = SPAN("知識庫的第321段落"); /* traditional, and not the stored words around it */
	OK(kb_search(kb, &q, scratch, &hits, &fault));
	assert_string_equal(hits.hits[0].text.data, text);
	q.text = SPAN("the of \" OR * NEAR( ' -- 😀 \xff");
	OK(kb_search(kb, &q, scratch, &hits, &fault));
	assert_int_equal(hits.count, 0);
	q.hits_max = 0;
	assert_int_equal(kb_search(kb, &q, scratch, &hits, &fault), ST_INVALID);
	q.hits_max = KB_HITS_MAX;
	q.arm = KB_VECTOR;
	OK(kb_search(kb, &q, scratch, &hits, &fault));
	assert_int_equal(hits.count, KB_HITS_MAX);
	q.vector = NULL;
	assert_int_equal(kb_search(kb, &q, scratch, &hits, &fault), ST_INVALID);
	kb_close(kb);
	mem_scope_close(scratch);
}

static void test_kb_search__full_text_only(void **state)
{
	(void)state;
	OK(kb_create(testing_root, "a", NULL, &testing_build_text, &fault));
	struct kb_writer *w = writer();
	OK(testing_file(w, "x", 1, 300, &fault));
	OK(testing_file(w, "y", 1, 5, &fault));
	OK(kb_writer_file_delete(w, "y", &fault));
	OK(kb_writer_compact(w, true, NULL, &fault));
	struct kb *kb = reader();
	expect_found(kb, "x", 1, 200, true);
	expect_found(kb, "y", 1, 2, false);
	float vector[TESTING_DIM] = {1};
	struct kb_new_chunk c = {.doc_id = SPAN("d"), .text = SPAN("t"), .vector = vector};
	uint64_t done;
	OK(kb_writer_file_begin(w, "z", "1", 1, &done, &fault));
	assert_int_equal(kb_writer_add(w, &c, 1, &fault), ST_INVALID);
	kb_writer_close(w);
	kb_close(kb);
}

static void expect_known(struct kb_writer *w, const char *file, uint32_t version, uint32_t index,
			 bool known)
{
	char text[TESTING_TEXT_BYTES], title[64];
	float got[TESTING_DIM];
	(void)snprintf(title, sizeof title, "Title of %s", file);
	testing_text(file, version, index, text);
	struct kb_new_chunk c = {
		.title = span_of(title), .heading = SPAN("Chapter"), .text = span_of(text)};
	assert_int_equal(kb_writer_known_vector(w, &c, got, &fault), known ? ST_OK : ST_NOT_FOUND);
}

static size_t generations(void)
{
	char path[FILE_PATH_BYTES];
	size_t count = 0;
	for (int i = 1; i < 40; i++) {
		(void)snprintf(path, sizeof path, "%s/a/gen-%d", testing_root, i);
		count += file_exists(path);
	}
	return count;
}

static void test_kb_compact__drops_the_dead_and_keeps_the_rest(void **state)
{
	(void)state;
	uint64_t done;
	struct kb_info info;
	make();
	struct kb *kb = reader();
	struct kb_writer *w = writer();
	OK(testing_file(w, "x", 1, 150, &fault));
	OK(testing_file(w, "y", 1, 500, &fault));
	OK(kb_writer_file_begin(w, "p", "1", 10, &done, &fault));
	OK(testing_add(w, "p", 1, 0, 77, &fault));
	OK(testing_file(w, "z", 1, 90, &fault));
	OK(testing_file(w, "x", 2, 151, &fault));
	OK(kb_writer_compact(w, false, NULL, &fault)); /* not worth it yet */
	OK(kb_info(kb, &info, &fault));
	assert_int_equal(info.generation, 1);
	OK(kb_writer_file_delete(w, "y", &fault));
	struct cancel cancel = {.set = true};
	assert_int_equal(kb_writer_compact(w, false, &cancel, &fault), ST_CANCELLED);
	assert_int_equal(generations(), 1);
	OK(kb_writer_compact(w, false, NULL, &fault));
	OK(kb_info(kb, &info, &fault));
	assert_int_equal(info.generation, 2);
	assert_int_equal(generations(), 1);
	expect_counts(kb, 2, 241);
	for (uint32_t i = 0; i < 151; i += 10)
		expect_found(kb, "x", 2, i, true);
	expect_found(kb, "z", 1, 89, true);
	expect_found(kb, "y", 1, 8, false);
	OK(kb_writer_file_begin(w, "p", "1", 10, &done, &fault)); /* a pending one survives */
	assert_int_equal(done, 77);
	OK(testing_add(w, "p", 1, 77, 80, &fault));
	OK(kb_writer_file_end(w, &fault));
	expect_found(kb, "p", 1, 76, true);
	expect_found(kb, "p", 1, 79, true);
	kb_writer_close(w);
	kb_close(kb);
}

static void test_kb_rebuild__switch_and_rollback(void **state)
{
	(void)state;
	struct kb_build wide = testing_build;
	struct kb_info info;
	make();
	struct kb *kb = reader();
	struct kb_writer *w = writer(), *r;
	OK(testing_file(w, "x", 1, 60, &fault));
	OK(testing_file(w, "y", 1, 60, &fault));
	kb_writer_close(w);
	assert_int_equal(kb_rollback(testing_root, "a", &fault), ST_NOT_FOUND);
	wide.chunk_chars = 500;
	OK(kb_rebuild_open(mem_scope_root(), testing_root, "a", &wide, &r, &fault));
	OK(testing_file(r, "x", 2, 20, &fault));
	expect_found(kb, "x", 1, 7, true);
	expect_known(r, "y", 1, 5, true); /* with the same model, vectors are taken over */
	kb_writer_close(r);
	/* deleted while the rebuild is unfinished: must not come back */
	w = writer();
	OK(kb_writer_file_delete(w, "x", &fault));
	OK(testing_file(w, "z", 1, 3, &fault));
	kb_writer_close(w);
	OK(kb_rebuild_open(mem_scope_root(), testing_root, "a", &wide, &r, &fault));
	struct kb_file file;
	OK(kb_writer_find(r, "x", mem_scope_root(), &file, &fault)); /* resumed */
	OK(testing_file(r, "y", 2, 20, &fault));
	OK(kb_writer_switch(r, &fault));
	OK(kb_info(kb, &info, &fault));
	assert_int_equal(info.build.chunk_chars, 500);
	assert_string_equal(info.description, "描述");
	expect_found(kb, "y", 2, 19, true);
	expect_found(kb, "y", 1, 19, false);
	expect_found(kb, "x", 2, 19, false);
	OK(testing_file(r, "y", 3, 21, &fault)); /* the writer goes on in what is now current */
	kb_writer_close(r);
	assert_int_equal(generations(), 2);
	OK(kb_rollback(testing_root, "a", &fault));
	expect_found(kb, "y", 1, 19, true);
	OK(kb_rollback(testing_root, "a", &fault));
	expect_found(kb, "y", 3, 19, true);
	/* another build throws an unfinished one away */
	OK(kb_rebuild_open(mem_scope_root(), testing_root, "a", &wide, &r, &fault));
	kb_writer_close(r);
	assert_int_equal(generations(), 3);
	OK(kb_rebuild_open(mem_scope_root(), testing_root, "a", &testing_build_text, &r, &fault));
	kb_writer_close(r);
	assert_int_equal(generations(), 3);
	kb_close(kb);
	mem_scope_reset(mem_scope_root());
}

static void cut(const char *name, off_t bytes)
{
	char path[FILE_PATH_BYTES];
	(void)snprintf(path, sizeof path, "%s/a/gen-1/%s", testing_root, name);
	assert_int_equal(truncate(path, bytes), 0);
}

static void test_kb_open__tells_damage(void **state)
{
	(void)state;
	char got[TESTING_TEXT_BYTES], path[FILE_PATH_BYTES];
	struct kb_writer *w;
	make();
	w = writer();
	OK(testing_file(w, "x", 1, 100, &fault));
	kb_writer_close(w);
	struct kb *kb = reader(), *other;
	cut("vectors.i8", 1000);
	assert_int_equal(testing_find(kb, "x", 1, 1, got, &fault), ST_CORRUPT);
	assert_int_equal(kb_open(mem_scope_root(), testing_root, "a", &other, &fault), ST_CORRUPT);
	assert_int_equal(kb_writer_open(mem_scope_root(), testing_root, "a", &w, &fault),
			 ST_CORRUPT);
	kb_close(kb);
	/* a rebuild is the way out, as the fault says */
	OK(kb_rebuild_open(mem_scope_root(), testing_root, "a", &testing_build, &w, &fault));
	OK(testing_file(w, "x", 2, 10, &fault));
	OK(kb_writer_switch(w, &fault));
	kb_writer_close(w);
	kb = reader();
	expect_found(kb, "x", 2, 9, true);
	kb_close(kb);
	OK(kb_rollback(testing_root, "a", &fault));
	(void)snprintf(path, sizeof path, "%s/a/gen-1/text.sqlite", testing_root);
	int fd;
	OK(fd_open(path, O_WRONLY, 0, &fd, &fault));
	OK(fd_write(fd, SPAN("garbage garbage garbage"), &fault));
	fd_closep(&fd);
	assert_int_equal(kb_open(mem_scope_root(), testing_root, "a", &kb, &fault), ST_CORRUPT);
	OK(kb_rebuild_open(mem_scope_root(), testing_root, "a", &testing_build, &w, &fault));
	OK(testing_file(w, "x", 3, 10, &fault));
	OK(kb_writer_switch(w, &fault));
	kb_writer_close(w);
	kb = reader();
	expect_found(kb, "x", 3, 9, true);
	kb_close(kb);
	(void)snprintf(path, sizeof path, "%s/a/current", testing_root);
	OK(file_replace(path, SPAN("gen-x\n"), &fault));
	assert_int_equal(kb_open(mem_scope_root(), testing_root, "a", &kb, &fault), ST_CORRUPT);
	OK(kb_sweep(testing_root, &fault));
	OK(kb_delete(testing_root, "a", &fault));
}

static void test_kb_writer__a_full_disk_leaves_everything_as_it_was(void **state)
{
	(void)state;
	struct rlimit before, low = {.rlim_cur = 300 * KIB};
	make();
	struct kb_writer *w = writer();
	OK(testing_file(w, "x", 1, 50, &fault));
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	low.rlim_max = before.rlim_max;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
	status st = testing_file(w, "big", 1, 20000, &fault);
	struct fault compacted_fault;
	status compacted = kb_writer_compact(w, true, NULL, &compacted_fault);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(st, ST_LIMIT);
	assert_int_equal(compacted, ST_INVALID); /* the file is still begun */
	struct kb *kb = reader();
	expect_found(kb, "x", 1, 7, true);
	expect_counts(kb, 1, 50);
	OK(testing_file(w, "big", 1, 2000, &fault)); /* goes on where it stopped */
	expect_counts(kb, 2, 2050);
	expect_found(kb, "big", 1, 1, true);
	expect_found(kb, "big", 1, 1999, true);
	kb_close(kb);
	kb_writer_close(w);
}

struct crowd {
	struct kb *kb;
	atomic_bool stop;
	atomic_int searches;
};

static void *search_on(void *context)
{
	struct crowd *c = context;
	struct fault f;
	char got[TESTING_TEXT_BYTES], want[TESTING_TEXT_BYTES];
	testing_text("x", 1, 9, want);
	while (!atomic_load(&c->stop)) {
		status st = testing_find(c->kb, "x", 1, 9, got, &f);
		if (st != ST_OK || strcmp(got, want) != 0) {
			(void)fprintf(stderr, "search: %s '%s'\n", fault_text(&f), got);
			return c;
		}
		atomic_fetch_add(&c->searches, 1);
	}
	return NULL;
}

static void test_kb_search__many_threads_while_a_writer_works(void **state)
{
	(void)state;
	pthread_t threads[6];
	make();
	struct kb_writer *w = writer();
	OK(testing_file(w, "x", 1, 50, &fault));
	struct crowd c = {.kb = reader()};
	for (size_t i = 0; i < ARRAY_COUNT(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, search_on, &c), 0);
	for (uint32_t v = 1; v <= 4; v++) {
		OK(testing_file(w, "y", v, 40 * v, &fault));
		OK(kb_writer_compact(w, v % 2 == 0, NULL, &fault));
		OK(kb_writer_file_delete(w, "y", &fault));
	}
	while (atomic_load(&c.searches) < 50)
		(void)usleep(1000);
	atomic_store(&c.stop, true);
	for (size_t i = 0; i < ARRAY_COUNT(threads); i++) {
		void *failed;
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	kb_close(c.kb);
	kb_writer_close(w);
}

static void test_kb_sweep__removes_what_nothing_names(void **state)
{
	(void)state;
	static const char *const remains[] = {".new-b/gen-1", ".gone-12-c", "a/gen-7", "a/gone-3"};
	char path[FILE_PATH_BYTES];
	make();
	for (size_t i = 0; i < ARRAY_COUNT(remains); i++) {
		(void)snprintf(path, sizeof path, "%s/%s", testing_root, remains[i]);
		OK(dir_make(path, &fault));
	}
	(void)snprintf(path, sizeof path, "%s/a/content", testing_root);
	OK(dir_make(path, &fault));
	OK(kb_sweep(testing_root, &fault));
	assert_true(file_exists(path));
	for (size_t i = 0; i < ARRAY_COUNT(remains); i++) {
		(void)snprintf(path, sizeof path, "%s/%s", testing_root, remains[i]);
		assert_false(file_exists(path));
	}
	struct kb *kb = reader();
	kb_close(kb);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, testing_begin, testing_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_kb_name__letters_of_all_scripts),
		TEST(test_kb_create__list_and_delete),
		TEST(test_kb_writer__a_file_is_visible_when_ready),
		TEST(test_kb_writer__replaces_a_file_in_one_step),
		TEST(test_kb_files__tells_how_each_stands),
		TEST(test_kb_writer__resumes_a_pending_file),
		TEST(test_kb_neighbours__in_order_across_a_resume),
		TEST(test_kb_writer__knows_vectors_by_text),
		TEST(test_kb_search__each_arm_and_bad_questions),
		TEST(test_kb_search__full_text_only),
		TEST(test_kb_compact__drops_the_dead_and_keeps_the_rest),
		TEST(test_kb_rebuild__switch_and_rollback),
		TEST(test_kb_open__tells_damage),
		TEST(test_kb_writer__a_full_disk_leaves_everything_as_it_was),
		TEST(test_kb_search__many_threads_while_a_writer_works),
		TEST(test_kb_sweep__removes_what_nothing_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
