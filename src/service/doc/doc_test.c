/* The whole way, through the child process: real files and hostile ones, limits, cancel, a child
 * that lies. This program is its own child: main() answers to "doc-worker". */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <utf8proc.h>

#include "base/size.h"
#include "base/utf8.h"
#include "doc/charset.h"
#include "doc/collect_test.h"
#include "doc/cut.h"
#include "doc/wire.h"
#include "doc/worker.h"
#include "mem/faults.h"
#include "rt/clock.h"
#include "rt/file.h"

enum { FIELDS_MAX = 12, SECONDS_MAX = 10 };

static const char EVIL[] = "PLIMSOLL_DOC_TEST_EVIL";
static char folder[] = "/tmp/plimsoll-doc-XXXXXX";

/* ---- helpers ---- */

static size_t open_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t count = 0;
	assert_non_null(dir);
	while (readdir(dir) != NULL)
		count++;
	(void)closedir(dir);
	return count;
}

/* Each test leaves as many descriptors and children as it found. */
static size_t descriptors_before;

static int setup(void **state)
{
	(void)state;
	descriptors_before = open_descriptors();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	(void)unsetenv(EVIL);
	assert_int_equal(open_descriptors(), descriptors_before);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	return 0;
}

static void write_file(char path[FILE_PATH_BYTES], const char *name, struct span content)
{
	struct fault fault;
	assert_int_equal(path_join(path, folder, name, &fault), ST_OK);
	CLEANUP(fd_closep) int fd = -1;
	assert_int_equal(fd_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd, &fault), ST_OK);
	assert_int_equal(fd_write(fd, content, &fault), ST_OK);
}

static status parse_file(struct collected *c, const char *path, const char *name,
			 const struct doc_options *options, struct fault *fault)
{
	status st = doc_parse(mem_scope_root(), path, name, options, collect_chunk, c, fault);
	assert_int_equal(st == ST_OK, fault->code == ST_OK);
	return st;
}

/* Parse content under this name with default options. */
static status parse_content(struct collected *c, const char *name, struct span content,
			    struct fault *fault)
{
	char path[FILE_PATH_BYTES];
	write_file(path, name, content);
	*fault = (struct fault){0};
	return parse_file(c, path, name, NULL, fault);
}

static bool data_path(char path[FILE_PATH_BYTES], const char *part)
{
	char root[FILE_PATH_BYTES];
	struct fault fault;
	const char *set = getenv("PLIMSOLL_TEST_DATA");
	if (set != NULL)
		(void)snprintf(root, sizeof(root), "%s", set);
	else
		(void)snprintf(root, sizeof(root), "%s/../shared/data", PLIMSOLL_SOURCE_DIR);
	assert_int_equal(path_join(path, root, part, &fault), ST_OK);
	return file_exists(path);
}

/* ---- comparing as data/README.md says: NFKC, no white space, soft hyphens, zero-width characters
 * ---- */

static bool is_nothing(int32_t point)
{
	return point == 0xAD || point == 0xFEFF || (point >= 0x200B && point <= 0x200F) ||
	       point == 0x2060 || point <= ' ' || point == 0x85 ||
	       (utf8proc_category(point) >= UTF8PROC_CATEGORY_ZS &&
		utf8proc_category(point) <= UTF8PROC_CATEGORY_ZP);
}

static struct span normalise(struct mem_scope *scope, struct span text)
{
	size_t room = 4 * text.bytes + 64;
	int32_t *points = mem_new_array(scope, int32_t, room);
	assert_non_null(points);
	utf8proc_option_t options = UTF8PROC_COMPAT | UTF8PROC_COMPOSE | UTF8PROC_STABLE;
	utf8proc_ssize_t count =
		utf8proc_decompose((const uint8_t *)text.data, (utf8proc_ssize_t)text.bytes, points,
				   (utf8proc_ssize_t)room, options);
	assert_true(count >= 0 && (size_t)count <= room);
	count = utf8proc_normalize_utf32(points, count, options);
	char *out = mem_new_array(scope, char, (size_t)count *UTF8_BYTES_MAX + 1);
	assert_non_null(out);
	size_t bytes = 0;
	for (utf8proc_ssize_t i = 0; i < count; i++) {
		if (!is_nothing(points[i]))
			bytes += utf8_encode((uint32_t)points[i], out + bytes);
	}
	return (struct span){out, bytes};
}

static bool holds(struct span text, struct span part)
{
	return memmem(text.data, text.bytes, part.data, part.bytes) != NULL;
}

/* All passages one after the other, with their titles and headings. */
static struct span all_text(struct collected *c)
{
	struct buf all;
	buf_init(&all, c->scope, 64 * MIB);
	for (size_t i = 0; i < c->count; i++) {
		if (i == 0)
			buf_add(&all, c->chunks[i].title);
		buf_add(&all, c->chunks[i].text);
	}
	assert_int_equal(all.refused, ST_OK);
	return normalise(c->scope, buf_span(&all));
}

/* Check a "||"-separated list of parts. */
static void check_parts(struct collected *c, struct span text, struct span list, bool wanted,
			const char *file)
{
	while (list.bytes > 0) {
		const char *bar = memmem(list.data, list.bytes, "||", 2);
		size_t bytes = bar != NULL ? (size_t)(bar - list.data) : list.bytes;
		struct span part = span_slice(list, 0, bytes);
		list = span_slice(list, bar != NULL ? bytes + 2 : bytes, list.bytes);
		if (holds(text, normalise(c->scope, part)) != wanted)
			fail_msg("%s: '%.*s' %s", file, SPAN_ARG(part),
				 wanted ? "is missing" : "is there");
	}
}

/* ---- manifests ---- */

struct row {
	struct span fields[FIELDS_MAX];
	char file[FILE_NAME_BYTES], path[FILE_PATH_BYTES];
};

typedef void row_fn(const struct row *row);

static void row_split(struct row *row, struct span line)
{
	memset(row->fields, 0, sizeof(row->fields));
	for (size_t i = 0; i < FIELDS_MAX; i++) {
		const char *tab = memchr(line.data, '\t', line.bytes);
		size_t bytes = tab != NULL ? (size_t)(tab - line.data) : line.bytes;
		row->fields[i] = span_slice(line, 0, bytes);
		line = span_slice(line, tab != NULL ? bytes + 1 : bytes, line.bytes);
	}
}

static void manifest_walk(const char *part, row_fn *visit)
{
	char path[FILE_PATH_BYTES], dir[FILE_PATH_BYTES];
	struct fault fault;
	struct span text;
	struct mem_scope *scope = mem_scope_open(mem_scope_root(), "manifest", 0);
	assert_true(data_path(dir, part));
	assert_int_equal(path_join(path, dir, "manifest.tsv", &fault), ST_OK);
	assert_int_equal(file_read(scope, path, MIB, &text, &fault), ST_OK);
	struct row row;
	for (bool header = true; text.bytes > 0; header = false) {
		const char *end = memchr(text.data, '\n', text.bytes);
		size_t bytes = end != NULL ? (size_t)(end - text.data) : text.bytes;
		row_split(&row, span_slice(text, 0, bytes));
		text = span_slice(text, bytes + (end != NULL), text.bytes);
		if (header)
			continue;
		(void)snprintf(row.file, sizeof(row.file), "%.*s", SPAN_ARG(row.fields[0]));
		assert_int_equal(path_join(row.path, dir, row.file, &fault), ST_OK);
		visit(&row);
	}
	mem_scope_close(scope);
}

static void form_check(struct collected *c, const struct row *row)
{
	struct fault fault = {0};
	assert_int_equal(
		doc_text(mem_scope_root(), row->path, row->file, NULL, collect_text, c, &fault),
		ST_OK);
	enum doc_format format = format_of_name(span_of(row->file));
	if (format == FORMAT_TEXT || format == FORMAT_MARKDOWN || format == FORMAT_HTML)
		collect_check_verbatim(c, buf_span(&c->form), 2 * DOC_CHUNK_CHARS);
	for (size_t i = 0; i < c->count; i++)
		assert_true(c->chunks[i].end <= c->form.bytes);
}

static void document_check(const struct row *row)
{
	struct collected c;
	struct fault fault = {0};
	collect_open(&c);
	status st = parse_file(&c, row->path, row->file, NULL, &fault);
	if (!doc_is_supported(row->file)) {
		assert_int_equal(st, ST_UNSUPPORTED);
		assert_non_null(strstr(fault.text, "not supported"));
	} else {
		if (st != ST_OK)
			fail_msg("%s: %s", row->file, fault.text);
		struct span text = all_text(&c);
		check_parts(&c, text, row->fields[5], true, row->file);
		check_parts(&c, text, row->fields[6], false, row->file);
		form_check(&c, row);
	}
	collect_close(&c);
}

static void test_doc__takes_the_text_from_every_document(void **state)
{
	char path[FILE_PATH_BYTES];
	(void)state;
	if (!data_path(path, "documents/manifest.tsv")) {
		print_message("skipped: no test data\n");
		skip();
	}
	manifest_walk("documents", document_check);
}

static void bad_check(const struct row *row)
{
	struct collected c;
	struct fault fault = {0};
	collect_open(&c);
	uint64_t from = clock_ms();
	status st = parse_file(&c, row->path, row->file, NULL, &fault);
	assert_true(clock_ms() - from < SECONDS_MAX * 1000);
	const char *outcome = st != ST_OK ? "clear error" : c.count == 0 ? "empty" : "text";
	bool supported = doc_is_supported(row->file);
	bool fits = holds(row->fields[1], span_of(outcome));
	if ((supported && !fits) || (!supported && st != ST_UNSUPPORTED))
		fail_msg("%s: %s, not %.*s (%s)", row->file, outcome, SPAN_ARG(row->fields[1]),
			 fault.text);
	if (st != ST_OK)
		assert_true(strlen(fault.text) > 10);
	struct span text = all_text(&c);
	if (st == ST_OK && c.count > 0)
		check_parts(&c, text, row->fields[2], true, row->file);
	check_parts(&c, text, row->fields[3], false, row->file);
	collect_close(&c);
}

static void test_doc__survives_every_bad_file(void **state)
{
	char path[FILE_PATH_BYTES];
	(void)state;
	if (!data_path(path, "bad/manifest.tsv")) {
		print_message("skipped: no test data\n");
		skip();
	}
	manifest_walk("bad", bad_check);
}

/* ---- by hand ---- */

static void test_doc__the_same_bytes_give_the_same_passages(void **state)
{
	(void)state;
	struct collected a, b;
	struct fault fault;
	struct buf text;
	collect_open(&a);
	collect_open(&b);
	buf_init(&text, a.scope, MIB);
	for (int i = 0; i < 3000; i++)
		buf_printf(&text, "Line %d of a text. 第%d行文字。\n%s", i, i,
			   i % 7 == 0 ? "\n" : "");
	assert_int_equal(parse_content(&a, "a.txt", buf_span(&text), &fault), ST_OK);
	assert_int_equal(parse_content(&b, "a.txt", buf_span(&text), &fault), ST_OK);
	assert_true(a.count > 50);
	assert_int_equal(a.count, b.count);
	for (size_t i = 0; i < a.count; i++) {
		assert_true(span_equal(a.chunks[i].text, b.chunks[i].text));
		assert_true(span_equal(a.chunks[i].doc_id, SPAN("a.txt")));
	}
	assert_int_equal(a.chunks[a.count - 1].file_at, text.bytes);
	collect_check_verbatim(&a, buf_span(&text), 2 * DOC_CHUNK_CHARS);
	collect_close(&a);
	collect_close(&b);
}

static void test_doc__a_clean_file_is_its_own_text_form_with_its_mark(void **state)
{
	(void)state;
	struct collected c;
	struct fault fault;
	char path[FILE_PATH_BYTES];
	collect_open(&c);
	struct span text = SPAN("\xEF\xBB\xBF# Title\n\nSome words follow the title.\r\n");
	assert_int_equal(parse_content(&c, "m.md", text, &fault), ST_OK);
	assert_int_equal(c.count, 1);
	assert_int_equal(c.chunks[0].start, 3);
	assert_true(span_equal(c.chunks[0].title, SPAN("Title")));
	write_file(path, "m.md", text);
	assert_int_equal(doc_text(mem_scope_root(), path, "m.md", NULL, collect_text, &c, &fault),
			 ST_OK);
	assert_true(span_equal(buf_span(&c.form), text));
	collect_check_verbatim(&c, text, 2 * DOC_CHUNK_CHARS);
	collect_close(&c);
}

static void test_doc__the_visitor_may_stop(void **state)
{
	(void)state;
	struct collected c;
	struct fault fault;
	struct buf text;
	collect_open(&c);
	buf_init(&text, c.scope, 8 * MIB);
	for (int i = 0; i < 100000; i++)
		buf_printf(&text, "A line of some length, number %d, in a file.\n", i);
	c.stop_after = 3;
	assert_int_equal(parse_content(&c, "long.txt", buf_span(&text), &fault), ST_BUSY);
	assert_string_equal(fault.text, "stop");
	assert_int_equal(c.count, 3);
	collect_close(&c);
}

static status cancel_chunk(void *context, const struct doc_chunk *chunk, struct fault *reterr)
{
	(void)chunk;
	(void)reterr;
	cancel_set(context);
	return ST_OK;
}

/* Text for ever, without space on the disk: a hole reads as NUL bytes, which are blanks here. */
static void write_endless(char path[FILE_PATH_BYTES])
{
	char text[CHARSET_HEAD_BYTES + 1];
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = i % 40 == 39 ? '\n' : (char)('a' + i % 26);
	write_file(path, "endless.txt", (struct span){text, sizeof(text)});
	assert_int_equal(truncate(path, (off_t)1 << 40), 0);
}

static void test_doc__a_cancel_is_quick(void **state)
{
	(void)state;
	char path[FILE_PATH_BYTES];
	struct fault fault = {0};
	struct cancel cancel = {0};
	struct doc_options options = {.cancel = &cancel};
	write_endless(path);
	uint64_t from = clock_ms();
	assert_int_equal(doc_parse(mem_scope_root(), path, "endless.txt", &options, cancel_chunk,
				   &cancel, &fault),
			 ST_CANCELLED);
	assert_true(clock_ms() - from < 5000);
	assert_int_equal(truncate(path, 0), 0);
}

static void test_doc__processor_time_is_limited(void **state)
{
	(void)state;
	char path[FILE_PATH_BYTES];
	struct fault fault = {0};
	struct collected c;
	struct doc_options options = {.cpu_seconds_max = 1};
	collect_open(&c);
	write_endless(path);
	assert_int_equal(parse_file(&c, path, "endless.txt", &options, &fault), ST_LIMIT);
	assert_non_null(strstr(fault.text, "processor time"));
	assert_int_equal(truncate(path, 0), 0);
	collect_close(&c);
}

static void test_doc__memory_is_limited(void **state)
{
	(void)state;
#ifdef PLIMSOLL_SANITIZED
	print_message("skipped: sanitizers need the address space\n");
	skip();
#endif
	char path[FILE_PATH_BYTES];
	struct fault fault = {0};
	struct collected c;
	struct doc_options options = {.memory_max = 8 * MIB};
	struct buf text;
	collect_open(&c);
	buf_init(&text, c.scope, 64 * MIB);
	buf_add_text(&text, "{\"id\":1,\"text\":\"");
	for (int i = 0; i < 20 * 1024; i++)
		buf_printf(&text, "%01024d", i);
	buf_add_text(&text, "\"}\n");
	assert_int_equal(text.refused, ST_OK);
	write_file(path, "bomb.jsonl", buf_span(&text));
	assert_int_equal(parse_file(&c, path, "bomb.jsonl", &options, &fault), ST_LIMIT);
	assert_non_null(strstr(fault.text, "line 1"));
	/* The next good file is taken as usual, and this one with more memory. */
	c.stop_after = 1;
	assert_int_equal(parse_file(&c, path, "bomb.jsonl", NULL, &fault), ST_BUSY);
	assert_int_equal(parse_content(&c, "good.txt", SPAN("Good words."), &fault), ST_OK);
	assert_int_equal(truncate(path, 0), 0);
	collect_close(&c);
}

static void test_doc__refuses_what_is_no_file(void **state)
{
	(void)state;
	char path[FILE_PATH_BYTES];
	struct fault fault = {0};
	struct collected c;
	collect_open(&c);
	assert_int_equal(parse_file(&c, "/nowhere/a.txt", "a.txt", NULL, &fault), ST_NOT_FOUND);
	assert_int_equal(parse_file(&c, "/dev/zero", "a.txt", NULL, &fault), ST_INVALID);
	assert_int_equal(parse_file(&c, "/tmp", "a.txt", NULL, &fault), ST_INVALID);
	assert_int_equal(path_join(path, folder, "pipe.txt", &fault), ST_OK);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(parse_file(&c, path, "pipe.txt", NULL, &fault), ST_INVALID);
	assert_int_equal(unlink(path), 0);
	struct doc_options options = {.chunk_chars = 100, .chunk_chars_max = 50};
	write_file(path, "a.txt", SPAN("words"));
	assert_int_equal(parse_file(&c, path, "a.txt", &options, &fault), ST_INVALID);
	options = (struct doc_options){.chunk_chars = CHUNKER_CHARS_MAX};
	fault = (struct fault){0};
	assert_int_equal(parse_file(&c, path, "a.txt", &options, &fault), ST_OK);
	collect_close(&c);
}

static void test_doc__says_what_a_mislabelled_file_is(void **state)
{
	(void)state;
	struct collected c;
	struct fault fault;
	collect_open(&c);
	assert_int_equal(parse_content(&c, "a.txt", SPAN("%PDF-1.7 and so on"), &fault),
			 ST_UNSUPPORTED);
	assert_non_null(strstr(fault.text, "PDF"));
	assert_int_equal(parse_content(&c, "a.csv", SPAN("PK\x03\x04 zip"), &fault),
			 ST_UNSUPPORTED);
	assert_non_null(strstr(fault.text, "ZIP"));
	assert_int_equal(parse_content(&c, "a.txt",
				       SPAN("\x01\x02\x03\x04\x05\x06\x0e\x0f\x10\x11\x12"),
				       &fault),
			 ST_UNSUPPORTED);
	assert_int_equal(parse_content(&c, "README", SPAN("words"), &fault), ST_UNSUPPORTED);
	assert_int_equal(parse_content(&c, "a.json", SPAN("{\"a\": [1, 2}"), &fault), ST_INVALID);
	assert_non_null(strstr(fault.text, "line 1"));
	assert_int_equal(c.count, 0);
	collect_close(&c);
}

/* ---- every allocation and every I/O fails in turn ---- */

static bool is_refusal(status st)
{
	return st == ST_OOM || st == ST_BUDGET || st == ST_LIMIT || st == ST_IO;
}

static status count_chunk(void *context, const struct doc_chunk *chunk, struct fault *reterr)
{
	(void)chunk;
	(void)reterr;
	++*(size_t *)context;
	return ST_OK;
}

/* Here, in the parent: once, or for good. False: there was nothing to fail any more. */
static bool fail_here(const char *path, enum mem_fault_kind kind, uint64_t nth, bool forever)
{
	size_t count = 0, live = mem_scope_live(mem_scope_root());
	struct fault fault = {0};
	mem_fault_arm(kind, nth, forever);
	status st = doc_parse(mem_scope_root(), path, "a.html", NULL, count_chunk, &count, &fault);
	bool fired = mem_fault_fired(kind) > 0;
	mem_fault_disarm(kind);
	assert_int_equal(mem_scope_live(mem_scope_root()), live);
	assert_true(fired ? is_refusal(st) && fault.code == st : st == ST_OK && count == 1);
	return fired;
}

static void test_doc__a_failure_here_gives_all_back(void **state)
{
	(void)state;
	char path[FILE_PATH_BYTES];
	write_file(path, "a.html", SPAN("<h1>A title</h1><p>Some words on a page.</p>"));
	for (int kind = 0; kind < MEM_FAULT_KINDS; kind++) {
		for (uint64_t nth = 1; fail_here(path, (enum mem_fault_kind)kind, nth, false);
		     nth++)
			assert_true(fail_here(path, (enum mem_fault_kind)kind, nth, true));
	}
}

/* In the child. */
static void test_doc__a_failure_in_the_child_is_told(void **state)
{
	(void)state;
	static const char *const files[][2] = {
		{"a.html", "<h1>A title</h1><p>Some words on a page.</p>"},
		{"a.jsonl", "{\"id\": 1, \"text\": \"some words\"}\n"},
		{"a.csv", "a,b\n1,2\n"},
	};
	for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
		size_t failures = 0;
		for (int nth = 1; nth < 60; nth++) {
			struct collected c;
			struct fault fault;
			char what[32];
			collect_open(&c);
			(void)snprintf(what, sizeof(what), "%s:%d:forever",
				       nth % 2 ? "alloc" : "io", (nth + 1) / 2);
			assert_int_equal(setenv("PLIMSOLL_FAULT", what, 1), 0);
			status st = parse_content(&c, files[i][0], span_of(files[i][1]), &fault);
			assert_int_equal(unsetenv("PLIMSOLL_FAULT"), 0);
			if (st != ST_OK && !is_refusal(st))
				fail_msg("%s, %s: %s", files[i][0], what, fault.text);
			failures += st != ST_OK;
			collect_close(&c);
		}
		assert_true(failures > 3);
	}
}

/* ---- a child that is not sound ---- */

static void test_doc__a_lying_child_is_found_out(void **state)
{
	(void)state;
	static const char *const ways[] = {"garbage",   "huge",  "utf8",   "back",
					   "count",     "after", "silent", "crash",
					   "forbidden", "text",  "linger"};
	for (size_t i = 0; i < ARRAY_COUNT(ways); i++) {
		struct collected c;
		struct fault fault = {0};
		collect_open(&c);
		assert_int_equal(setenv(EVIL, ways[i], 1), 0);
		status st = parse_content(&c, "a.txt", SPAN("words"), &fault);
		bool lingers = strcmp(ways[i], "linger") == 0;
		bool silent = strcmp(ways[i], "silent") == 0;
		if (st != (lingers ? ST_OK : silent ? ST_IO : ST_INVALID))
			fail_msg("%s: %s (%s)", ways[i], status_name(st), fault.text);
		collect_close(&c);
	}
}

static void send(const void *data, size_t bytes)
{
	struct fault fault;
	if (fd_write(STDOUT_FILENO, (struct span){data, bytes}, &fault) != ST_OK)
		_exit(1);
}

static void send_chunk(uint64_t start, const char *text)
{
	struct wire_head head = {WIRE_CHUNK, (uint32_t)(sizeof(struct wire_chunk) + strlen(text))};
	struct wire_chunk chunk = {
		.start = start, .end = start + 5, .text_bytes = (uint32_t)strlen(text)};
	send(&head, sizeof(head));
	send(&chunk, sizeof(chunk));
	send(text, strlen(text));
}

static void send_end(uint64_t chunks)
{
	struct wire_head head = {WIRE_END, sizeof(chunks)};
	send(&head, sizeof(head));
	send(&chunks, sizeof(chunks));
}

static int evil_main(const char *way)
{
	struct wire_head huge = {WIRE_CHUNK, 1u << 30};
	if (strcmp(way, "garbage") == 0)
		send("GET / HTTP/1.1\r\n\r\n", 18);
	if (strcmp(way, "huge") == 0)
		send(&huge, sizeof(huge));
	if (strcmp(way, "utf8") == 0)
		send_chunk(0, "bad \xC0\xAF bytes");
	if (strcmp(way, "back") == 0)
		send_chunk(10, "words"), send_chunk(3, "words");
	if (strcmp(way, "count") == 0)
		send_chunk(0, "words"), send_end(7);
	if (strcmp(way, "after") == 0)
		send_end(0), send_chunk(0, "words");
	if (strcmp(way, "crash") == 0)
		(void)signal(SIGSEGV, SIG_DFL), (void)raise(SIGSEGV);
	if (strcmp(way, "forbidden") == 0)
		(void)raise(SIGSYS);
	if (strcmp(way, "text") == 0) {
		struct wire_head head = {WIRE_TEXT, 5};
		send(&head, sizeof(head));
		send("words", 5);
	}
	if (strcmp(way, "linger") == 0) {
		send_end(0);
		(void)close(STDOUT_FILENO);
		for (;;)
			(void)pause();
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], WORKER_VERB) == 0) {
		const char *way = getenv(EVIL);
		if (!mem_fault_from_environment())
			return 2;
		return way != NULL ? evil_main(way) : doc_worker_main(argc, argv);
	}
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_doc__takes_the_text_from_every_document, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_doc__survives_every_bad_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_doc__the_same_bytes_give_the_same_passages,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_doc__a_clean_file_is_its_own_text_form_with_its_mark, setup, teardown),
		cmocka_unit_test_setup_teardown(test_doc__the_visitor_may_stop, setup, teardown),
		cmocka_unit_test_setup_teardown(test_doc__a_cancel_is_quick, setup, teardown),
		cmocka_unit_test_setup_teardown(test_doc__processor_time_is_limited, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_doc__memory_is_limited, setup, teardown),
		cmocka_unit_test_setup_teardown(test_doc__refuses_what_is_no_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_doc__says_what_a_mislabelled_file_is, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_doc__a_failure_here_gives_all_back, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_doc__a_failure_in_the_child_is_told, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_doc__a_lying_child_is_found_out, setup,
						teardown),
	};
	if (mkdtemp(folder) == NULL)
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	struct fault fault;
	return dir_remove(folder, &fault) == ST_OK ? failed : 1;
}
