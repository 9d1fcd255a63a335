/* A process that works on a knowledge base is killed at random moments, again and again, and after
 * each kill the parent finds what was acknowledged, nothing half-visible, and no remains.
 *
 * The child notes in shared memory what it is about to do and what has been acknowledged. After the
 * kill a file has the version that was acknowledged; the one in hand may have either. */
#include "kb/testing.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/size.h"
#include "kb/layout.h"
#include "rt/clock.h"
#include "rt/file.h"

enum { FILES = 6, KILLS = 300, SECONDS_MAX = 45, DELAY_US_MAX = 60000, NEVER_READY = 1000000 };

struct notes {
	uint32_t version[FILES]; /* acknowledged; 0 = not there */
	uint32_t in_hand, next;  /* file + 1 being changed, and to what; 0 = none */
	uint32_t other;          /* knowledge base "b": 0 not there, 1 there, 2 in hand */
	uint64_t works;          /* acknowledged in all */
	uint64_t kinds[8];
};

static struct notes *notes;
static struct fault fault;
static uint64_t seed;

static uint32_t dice(uint32_t sides)
{
	return (uint32_t)(hash_mix(++seed) >> 32) % sides;
}

static uint32_t chunks_of(uint32_t version)
{
	return 1 + version * 7 % 40;
}

static void file_name(uint32_t i, char out[16])
{
	(void)snprintf(out, 16, "file-%u.txt", i);
}

/* ---- the child ---- */

static void must(status st)
{
	if (st == ST_OK)
		return;
	(void)fprintf(stderr, "child: %s: %s\n", status_name(st), fault_text(&fault));
	_exit(1);
}

static void change_file(struct kb_writer *w, uint32_t i, uint32_t version)
{
	char name[16];
	file_name(i, name);
	notes->next = version;
	notes->in_hand = i + 1;
	if (version != 0)
		must(testing_file(w, name, version, chunks_of(version), &fault));
	else if (notes->version[i] != 0)
		must(kb_writer_file_delete(w, name, &fault));
	notes->version[i] = version;
	notes->in_hand = 0;
}

static void abandon_file(struct kb_writer *w, uint32_t i)
{
	char name[16];
	uint64_t done;
	file_name(i, name);
	must(kb_writer_file_begin(w, name, "never ready", 1, &done, &fault));
	must(testing_add(w, name, NEVER_READY, (uint32_t)done, (uint32_t)done + 9, &fault));
	if (dice(2) == 0)
		must(kb_writer_file_fail(w, "given up", &fault));
}

static void rebuild(const char *root)
{
	struct kb_build build = testing_build;
	struct kb_writer *r;
	char name[16];
	build.chunk_chars = 100 + dice(2);
	must(kb_rebuild_open(mem_scope_root(), root, "a", &build, &r, &fault));
	for (uint32_t i = 0; i < FILES; i++) {
		struct kb_file known;
		file_name(i, name);
		bool there = kb_writer_find(r, name, mem_scope_root(), &known, NULL) == ST_OK;
		if (notes->version[i] == 0 && there)
			must(kb_writer_file_delete(r, name, &fault));
		if (notes->version[i] != 0)
			must(testing_file(r, name, notes->version[i], chunks_of(notes->version[i]),
					  &fault));
	}
	must(kb_writer_switch(r, &fault));
	kb_writer_close(r);
	if (dice(2) == 0)
		must(kb_rollback(root, "a", &fault)); /* the same files are in both */
}

static void other_kb(const char *root)
{
	uint32_t was = notes->other;
	notes->other = 2;
	if (was == 1 || (was == 2 && dice(2) == 0)) {
		status st = kb_delete(root, "b", &fault);
		must(st == ST_NOT_FOUND && was == 2 ? ST_OK : st);
		notes->other = 0;
	} else {
		status st = kb_create(root, "b", "", &testing_build, &fault);
		must(st == ST_EXISTS && was == 2 ? ST_OK : st);
		notes->other = 1;
	}
}

static void work(const char *root, uint32_t kind)
{
	struct kb_writer *w;
	if (kind == 5) {
		rebuild(root);
		return;
	}
	if (kind == 6) {
		other_kb(root);
		return;
	}
	must(kb_writer_open(mem_scope_root(), root, "a", &w, &fault));
	if (kind == 4)
		must(kb_writer_compact(w, true, NULL, &fault));
	else if (kind == 3)
		abandon_file(w, dice(FILES));
	else
		change_file(w, dice(FILES), kind == 2 ? 0 : 1 + dice(100000));
	kb_writer_close(w);
}

static int child(const char *root, const char *notes_path, const char *seed_text)
{
	int fd = open(notes_path, O_RDWR | O_CLOEXEC);
	notes = mmap(NULL, sizeof *notes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd < 0 || notes == MAP_FAILED)
		return 1;
	seed = strtoull(seed_text, NULL, 10);
	for (;;) {
		uint32_t kind = dice(7);
		work(root, kind);
		notes->kinds[kind]++;
		notes->works++;
	}
}

/* ---- the parent ---- */

struct tally {
	uint32_t version[FILES]; /* found ready */
	uint64_t chunks;
};

static status tally_file(void *context, const struct kb_file *file, struct fault *reterr)
{
	struct tally *t = context;
	unsigned i;
	(void)reterr;
	if (file->status != KB_FILE_READY)
		return ST_OK;
	assert_int_equal(sscanf(file->file.data, "file-%u.txt", &i), 1);
	assert_in_range(i, 0, FILES - 1);
	t->version[i] = (uint32_t)strtoul(file->sha256, NULL, 16);
	assert_int_equal(file->chunks, chunks_of(t->version[i]));
	t->chunks += file->chunks;
	return ST_OK;
}

static void check_chunks(struct kb *kb, uint32_t i, uint32_t version)
{
	char name[16], got[TESTING_TEXT_BYTES], want[TESTING_TEXT_BYTES];
	file_name(i, name);
	for (uint32_t c = 0; c < chunks_of(version); c += 5) {
		testing_text(name, version, c, want);
		testing_ok(testing_find(kb, name, version, c, got, &fault), &fault);
		assert_string_equal(got, want);
	}
}

static void check_invisible(struct kb *kb, uint32_t i)
{
	char name[16], got[TESTING_TEXT_BYTES], never[TESTING_TEXT_BYTES];
	file_name(i, name);
	testing_text(name, NEVER_READY, 1, never);
	testing_ok(testing_find(kb, name, NEVER_READY, 1, got, &fault), &fault);
	assert_string_not_equal(got, never);
}

/* What is served is what was acknowledged, all of it and nothing else. */
static void check_served(void)
{
	struct kb *kb;
	struct kb_info info;
	struct tally t = {.chunks = 0};
	testing_ok(kb_open(mem_scope_root(), testing_root, "a", &kb, &fault), &fault);
	testing_ok(kb_files(kb, tally_file, &t, &fault), &fault);
	testing_ok(kb_info(kb, &info, &fault), &fault);
	assert_int_equal(info.chunks, t.chunks);
	for (uint32_t i = 0; i < FILES; i++) {
		bool in_hand = notes->in_hand == i + 1;
		if (t.version[i] != notes->version[i])
			assert_true(in_hand && t.version[i] == notes->next);
		notes->version[i] = t.version[i];
		if (t.version[i] != 0)
			check_chunks(kb, i, t.version[i]);
		check_invisible(kb, i);
	}
	notes->in_hand = 0;
	kb_close(kb);
	if (notes->other == 2)
		return;
	status st = kb_open(mem_scope_root(), testing_root, "b", &kb, &fault);
	assert_int_equal(st, notes->other == 1 ? ST_OK : ST_NOT_FOUND);
	if (st == ST_OK)
		kb_close(kb);
}

static status visit_remains(void *context, const char *relative, bool is_folder,
			    struct fault *reterr)
{
	const struct layout *l = context;
	unsigned number = 0;
	(void)reterr;
	if (sscanf(relative, "gen-%u", &number) == 1)
		assert_true(number == l->current || number == l->previous || number == l->rebuild);
	else if (!is_folder)
		assert_true(strcmp(relative, "current") == 0 || strcmp(relative, "lock") == 0);
	else
		fail_msg("'%s' was left behind", relative);
	return ST_OK;
}

static status visit_root(void *context, const char *relative, bool is_folder, struct fault *reterr)
{
	(void)context;
	(void)is_folder;
	(void)reterr;
	assert_true(strcmp(relative, "a") == 0 || strcmp(relative, "b") == 0 ||
		    strcmp(relative, ".lock") == 0);
	return ST_OK;
}

static void check_remains(void)
{
	char kb[FILE_PATH_BYTES];
	struct layout l;
	testing_ok(kb_sweep(testing_root, &fault), &fault);
	testing_ok(layout_kb(kb, testing_root, "a", &fault), &fault);
	testing_ok(layout_read(kb, &l, &fault), &fault);
	testing_ok(dir_walk(kb, false, visit_remains, &l, &fault), &fault);
	testing_ok(dir_walk(testing_root, false, visit_root, NULL, &fault), &fault);
}

static void run_and_kill(const char *notes_path, uint32_t round)
{
	char text[24];
	(void)snprintf(text, sizeof text, "%u", round * 1000003u + 17);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)execl("/proc/self/exe", "crash_test", "work", testing_root, notes_path, text,
			    NULL);
		_exit(127);
	}
	uint64_t works = notes->works;
	/* Half of the kills come soon after an acknowledgement: that is where the next work begins.
	 */
	for (uint32_t i = 0; round % 2 == 0 && i < 2000 && notes->works == works; i++)
		(void)usleep(100);
	(void)usleep((useconds_t)dice(DELAY_US_MAX));
	assert_int_equal(kill(pid, SIGKILL), 0);
	int how;
	assert_int_equal(waitpid(pid, &how, 0), pid);
	assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL); /* it never ends by itself */
}

static void test_kb__survives_being_killed_anywhere(void **state)
{
	(void)state;
	char path[] = "/tmp/plimsoll-notes-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0 && ftruncate(fd, sizeof *notes) == 0);
	notes = mmap(NULL, sizeof *notes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(notes != MAP_FAILED);
	testing_ok(kb_create(testing_root, "a", "", &testing_build, &fault), &fault);
	uint64_t start = clock_ms();
	uint32_t round = 0;
	for (; round < KILLS && clock_ms() - start < SECONDS_MAX * 1000; round++) {
		run_and_kill(path, round);
		check_served();
		check_remains();
		check_served();
	}
	print_message("%u kills, %llu works:", round, (unsigned long long)notes->works);
	for (size_t i = 0; i < 7; i++)
		print_message(" %llu", (unsigned long long)notes->kinds[i]);
	print_message("\n");
	assert_true(round >= 20 && notes->works > round / 2);
	(void)munmap(notes, sizeof *notes);
	(void)close(fd);
	(void)unlink(path);
}

int main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "work") == 0)
		return child(argv[2], argv[3], argv[4]);
	seed = 99;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_kb__survives_being_killed_anywhere,
						testing_begin, testing_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
