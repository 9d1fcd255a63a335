#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/size.h"
#include "base/utf8.h"
#include "llm/pieces.h"
#include "mem/faults.h"

/* Feed text in steps of `step` bytes; true when a stop string ended it. What has been let out must
 * be valid UTF-8 after every step. */
static bool feed(struct pieces *p, struct span text, size_t step)
{
	bool stopped = false;
	for (size_t at = 0; at < text.bytes && !stopped; at += step) {
		assert_int_equal(pieces_add(p, span_slice(text, at, at + step), &stopped, NULL),
				 ST_OK);
		assert_true(utf8_is_valid(buf_span(&p->text)));
	}
	if (!stopped)
		assert_int_equal(pieces_end(p, NULL), ST_OK);
	return stopped;
}

static void expect(struct span text, const struct llm_request *request, bool stopped,
		   struct span want)
{
	for (size_t step = 1; step <= text.bytes; step++) {
		struct mem_scope *scope = mem_scope_open(mem_scope_root(), "pieces", 0);
		struct pieces p;
		assert_int_equal(pieces_init(&p, scope, request, KIB, NULL), ST_OK);
		assert_int_equal(feed(&p, text, step), stopped);
		assert_int_equal(p.text.bytes, want.bytes);
		assert_memory_equal(buf_span(&p.text).data, want.data, want.bytes);
		mem_scope_close(scope);
	}
}

static void test_pieces__whole_code_points_however_the_bytes_arrive(void **state)
{
	(void)state;
	struct llm_request none = {0};
	expect(SPAN("船体の喫水線 plimsoll ⚓ 😀 ende"), &none, false,
	       SPAN("船体の喫水線 plimsoll ⚓ 😀 ende"));
}

static void test_pieces__malformed_bytes_become_replacements(void **state)
{
	(void)state;
	struct llm_request none = {0};
	expect(SPAN("a\x80"
		    "b\xC3"
		    "c\xFF"),
	       &none, false, SPAN("a\uFFFDb\uFFFDc\uFFFD"));
	expect(SPAN("half \xE8\x88"), &none, false, SPAN("half "));
}

static void test_pieces__a_stop_string_is_never_seen_even_in_part(void **state)
{
	(void)state;
	struct llm_request r = {.stop = {SPAN("\n\nUser:"), SPAN("停止")}, .stop_count = 2};
	expect(SPAN("an answer\n\nUser: more"), &r, true, SPAN("an answer"));
	expect(SPAN("到这里停止了"), &r, true, SPAN("到这里"));
	expect(SPAN("\n\nUse it.\n"), &r, false, SPAN("\n\nUse it.\n"));
	expect(SPAN("ends with a start\n\nUs"), &r, false, SPAN("ends with a start\n\nUs"));
	expect(SPAN("停止"), &r, true, SPAN(""));
}

static void test_pieces__the_earliest_of_several_stops_wins(void **state)
{
	(void)state;
	struct llm_request r = {.stop = {SPAN("cd"), SPAN("abcde")}, .stop_count = 2};
	struct mem_scope *scope = mem_scope_open(mem_scope_root(), "pieces", 0);
	struct pieces p;
	assert_int_equal(pieces_init(&p, scope, &r, KIB, NULL), ST_OK);
	assert_true(feed(&p, SPAN("xyabcdef"), 8));
	assert_int_equal(p.text.bytes, 2);
	mem_scope_close(scope);
}

static void test_pieces__overlapping_starts_are_held_back(void **state)
{
	(void)state;
	struct llm_request r = {.stop = {SPAN("aab")}, .stop_count = 1};
	expect(SPAN("aaaab"), &r, true, SPAN("aa"));
	expect(SPAN("aaaac"), &r, false, SPAN("aaaac"));
}

static void test_pieces__refuses_bad_stops_and_text_over_the_ceiling(void **state)
{
	(void)state;
	struct mem_scope *scope = mem_scope_open(mem_scope_root(), "pieces", 0);
	struct pieces p;
	struct llm_request empty = {.stop = {SPAN("")}, .stop_count = 1};
	assert_int_equal(pieces_init(&p, scope, &empty, KIB, NULL), ST_INVALID);
	struct llm_request many = {.stop_count = LLM_STOPS_MAX + 1};
	assert_int_equal(pieces_init(&p, scope, &many, KIB, NULL), ST_INVALID);
	struct llm_request none = {0};
	assert_int_equal(pieces_init(&p, scope, &none, 4, NULL), ST_OK);
	bool stopped;
	assert_int_equal(pieces_add(&p, SPAN("12345"), &stopped, NULL), ST_LIMIT);
	mem_scope_close(scope);
}

static void test_pieces__every_failed_allocation_is_a_status(void **state)
{
	(void)state;
	struct llm_request r = {.stop = {SPAN("stop")}, .stop_count = 1};
	for (uint64_t n = 1;; n++) {
		struct mem_scope *scope = mem_scope_open(mem_scope_root(), "pieces", 0);
		struct pieces p;
		bool stopped;
		assert_int_equal(pieces_init(&p, scope, &r, KIB, NULL), ST_OK);
		mem_fault_arm(MEM_FAULT_ALLOC, n, true);
		status st = pieces_add(&p,
				       SPAN("text that is longer than the first capacity of a "
					    "buffer, so that it grows\xFF st"),
				       &stopped, NULL);
		bool fired = mem_fault_fired(MEM_FAULT_ALLOC) > 0;
		mem_fault_disarm(MEM_FAULT_ALLOC);
		assert_int_equal(st, fired ? ST_OOM : ST_OK);
		mem_scope_close(scope);
		if (!fired)
			break;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces__whole_code_points_however_the_bytes_arrive),
		cmocka_unit_test(test_pieces__malformed_bytes_become_replacements),
		cmocka_unit_test(test_pieces__a_stop_string_is_never_seen_even_in_part),
		cmocka_unit_test(test_pieces__the_earliest_of_several_stops_wins),
		cmocka_unit_test(test_pieces__overlapping_starts_are_held_back),
		cmocka_unit_test(test_pieces__refuses_bad_stops_and_text_over_the_ceiling),
		cmocka_unit_test(test_pieces__every_failed_allocation_is_a_status),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
