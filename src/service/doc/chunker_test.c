/* The rules of cutting, on made-up documents: some by hand, many by a fixed random sequence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/size.h"
#include "doc/collect_test.h"
#include "doc/cut.h"

enum { CHARS = 40, CHARS_MAX = 80 };

struct fixture {
	struct collected seen;
	struct buf form;
	struct chunker *chunker;
};

static const uint64_t FILE_AT = 7;

static void begin(struct fixture *f)
{
	struct fault fault;
	collect_open(&f->seen);
	buf_init(&f->form, f->seen.scope, 16 * MIB);
	struct chunker_options options = {
		.on_chunk = collect_chunk,
		.context = &f->seen,
		.chars = CHARS,
		.chars_max = CHARS_MAX,
		.file_at = &FILE_AT,
	};
	assert_int_equal(chunker_open(mem_scope_root(), &options, &f->chunker, &fault), ST_OK);
}

static void end(struct fixture *f)
{
	chunker_close(f->chunker);
	collect_close(&f->seen);
}

static void unit(struct fixture *f, enum unit_kind kind, const char *text)
{
	chunker_begin(f->chunker, kind);
	chunker_add(f->chunker, span_of(text));
	chunker_end(f->chunker);
	buf_add_text(&f->form, text);
}

static void gap(struct fixture *f, const char *text)
{
	chunker_gap(f->chunker, span_of(text));
	buf_add_text(&f->form, text);
}

static void finish(struct fixture *f)
{
	struct fault fault;
	assert_int_equal(chunker_finish(f->chunker, &fault), ST_OK);
	collect_check_verbatim(&f->seen, buf_span(&f->form), CHARS_MAX);
}

static bool text_is(const struct fixture *f, size_t index, const char *text)
{
	return index < f->seen.count && span_equal(f->seen.chunks[index].text, span_of(text));
}

static void test_chunker__joins_short_neighbours_of_a_section(void **state)
{
	(void)state;
	struct fixture f;
	begin(&f);
	unit(&f, UNIT_PARAGRAPH, "第一段很短的文字。\n");
	gap(&f, "\n");
	unit(&f, UNIT_PARAGRAPH, "第二段也是很短。\n");
	finish(&f);
	assert_int_equal(f.seen.count, 1);
	assert_true(text_is(&f, 0, "第一段很短的文字。\n\n第二段也是很短。"));
	assert_int_equal(f.seen.chunks[0].file_at, FILE_AT);
	end(&f);
}

static void test_chunker__keeps_sections_apart_and_headings_with_their_text(void **state)
{
	(void)state;
	struct fixture f;
	begin(&f);
	chunker_heading(f.chunker, 1, SPAN("甲"));
	unit(&f, UNIT_HEADING, "# 甲\n");
	chunker_heading(f.chunker, 2, SPAN("乙"));
	unit(&f, UNIT_HEADING, "## 乙\n");
	unit(&f, UNIT_PARAGRAPH, "这里是乙节之下的正文，长度足够成为一段。\n");
	chunker_heading(f.chunker, 2, SPAN("丙"));
	unit(&f, UNIT_HEADING, "## 丙\n");
	unit(&f, UNIT_PARAGRAPH, "这里是丙节之下的正文，长度足够成为一段。\n");
	finish(&f);
	assert_int_equal(f.seen.count, 2);
	assert_true(text_is(&f, 0, "# 甲\n## 乙\n这里是乙节之下的正文，长度足够成为一段。"));
	assert_true(span_equal(f.seen.chunks[0].heading, SPAN("甲 > 乙")));
	assert_true(span_equal(f.seen.chunks[1].heading, SPAN("甲 > 丙")));
	end(&f);
}

static void test_chunker__a_crumb_joins_what_stands_before_it(void **state)
{
	(void)state;
	struct fixture f;
	begin(&f);
	chunker_heading(f.chunker, 1, SPAN("one"));
	unit(&f, UNIT_PARAGRAPH, "A paragraph that is long enough to be a passage of its own.\n");
	chunker_heading(f.chunker, 1, SPAN("two"));
	unit(&f, UNIT_PARAGRAPH, "Tiny.\n");
	finish(&f);
	assert_int_equal(f.seen.count, 1);
	assert_true(span_equal(f.seen.chunks[0].heading, SPAN("one")));
	end(&f);
}

static void test_chunker__a_first_crumb_joins_what_stands_behind_it(void **state)
{
	(void)state;
	struct fixture f;
	begin(&f);
	chunker_heading(f.chunker, 1, SPAN("one"));
	unit(&f, UNIT_PARAGRAPH, "Tiny.\n");
	chunker_heading(f.chunker, 1, SPAN("two"));
	unit(&f, UNIT_PARAGRAPH, "A paragraph that is long enough to be a passage of its own.\n");
	finish(&f);
	assert_int_equal(f.seen.count, 1);
	end(&f);
}

static void test_chunker__text_without_words_is_no_passage(void **state)
{
	(void)state;
	struct fixture f;
	begin(&f);
	unit(&f, UNIT_PARAGRAPH, "。。。——！\n");
	finish(&f);
	assert_int_equal(f.seen.count, 0);
	end(&f);
}

static void test_chunker__a_code_block_stays_whole_up_to_the_ceiling(void **state)
{
	(void)state;
	struct fixture f;
	begin(&f);
	unit(&f, UNIT_PARAGRAPH,
	     "Words before the code, some of them, so that there is a passage.\n");
	const char *code =
		"int main(void)\n{\n\tint first = 1;\n\tint second = 2;\n\tint third = 3;\n"
		"\tint fourth = 4;\n\tint fifth = 5;\n\tint sixth = 6;\n\treturn first;\n}\n\n"
		"/* and a comment of some length behind it, to come near the ceiling */\n";
	assert_true(cut_weight(span_of(code)) > (size_t)CHARS * CUT_WIDE * 3 / 2);
	unit(&f, UNIT_LINES, code);
	unit(&f, UNIT_PARAGRAPH,
	     "Words behind the code, as many as before it, for another passage.\n");
	finish(&f);
	assert_true(collect_holds(&f.seen,
				  "int main(void)\n{\n\tint first = 1;\n\tint second = 2;\n\tint "
				  "third = 3;\n\tint fourth = 4;\n\tint fifth = 5;\n\tint sixth = "
				  "6;\n\treturn first;\n}\n\n/* and a comment"));
	end(&f);
}

static void test_chunker__records_stand_alone(void **state)
{
	(void)state;
	struct fixture f;
	begin(&f);
	unit(&f, UNIT_RECORD, "问题: 一\n答案: 甲");
	unit(&f, UNIT_RECORD, "问题: 二\n答案: 乙");
	finish(&f);
	assert_int_equal(f.seen.count, 2);
	assert_true(text_is(&f, 1, "问题: 二\n答案: 乙"));
	end(&f);
}

static void test_chunker__cuts_at_sentences_near_the_target(void **state)
{
	(void)state;
	struct fixture f;
	begin(&f);
	chunker_begin(f.chunker, UNIT_PARAGRAPH);
	for (int i = 0; i < 40; i++) {
		const char *text =
			"一句话有十二个字的样子吧。Dr. Smith paid 3.50 to J. Doe, then left! ";
		chunker_add(f.chunker, span_of(text));
		buf_add_text(&f.form, text);
	}
	chunker_end(f.chunker);
	finish(&f);
	assert_true(f.seen.count > 10);
	for (size_t i = 0; i < f.seen.count; i++) {
		struct span text = f.seen.chunks[i].text;
		assert_true(cut_ends_sentence(text));
		assert_false(span_equal(span_slice(text, text.bytes - 3, text.bytes), SPAN("Dr.")));
		assert_true(cut_weight(text) >= (size_t)CHARS * CUT_WIDE / 2);
		assert_true(cut_weight(text) <= (size_t)CHARS * CUT_WIDE * 3 / 2);
	}
	end(&f);
}

static void test_chunker__text_without_any_border_is_cut_between_graphemes(void **state)
{
	(void)state;
	struct fixture f;
	begin(&f);
	/* e + combining acute, and a family joined by zero-width joiners: each one grapheme. */
	const char *grapheme = "e\xCC\x81\xF0\x9F\x91\xA8\xE2\x80\x8D\xF0\x9F\x91\xA9";
	chunker_begin(f.chunker, UNIT_PARAGRAPH);
	for (int i = 0; i < 500; i++) {
		chunker_add(f.chunker, span_of(grapheme));
		buf_add_text(&f.form, grapheme);
	}
	chunker_end(f.chunker);
	finish(&f);
	assert_true(f.seen.count > 5);
	for (size_t i = 0; i < f.seen.count; i++) {
		struct span text = f.seen.chunks[i].text;
		assert_true(text.data[0] == 'e' || (unsigned char)text.data[0] == 0xF0);
		assert_false(text.bytes > 3 &&
			     memcmp(text.data + text.bytes - 3, "\xE2\x80\x8D", 3) == 0);
	}
	end(&f);
}

static void test_chunker__a_table_that_is_cut_carries_its_header(void **state)
{
	(void)state;
	struct fixture f;
	begin(&f);
	chunker_table(f.chunker);
	chunker_context(f.chunker, SPAN("| name | value |"));
	unit(&f, UNIT_TABLE_HEAD, "| name | value |\n|---|---|\n");
	for (int i = 0; i < 12; i++)
		unit(&f, UNIT_LINES, "| a name of some length | and its value |\n");
	chunker_context(f.chunker, SPAN(""));
	unit(&f, UNIT_PARAGRAPH,
	     "Prose behind the table, which is long enough to be cut off from it, and "
	     "that goes on for a while, so that it must be a passage of its own.\n");
	finish(&f);
	assert_true(f.seen.count >= 4);
	assert_int_equal(f.seen.chunks[0].context.bytes, 0);
	assert_true(span_equal(f.seen.chunks[1].context, SPAN("| name | value |")));
	const struct doc_chunk *last = &f.seen.chunks[f.seen.count - 1];
	if (last->text.data[0] != '|')
		assert_int_equal(last->context.bytes, 0);
	for (size_t i = 1; i < f.seen.count; i++)
		assert_true(f.seen.chunks[i].text.data[0] == '|' ||
			    f.seen.chunks[i].text.data[0] == 'P');
	end(&f);
}

static void test_chunker__rendered_passages_say_where_they_come_from(void **state)
{
	(void)state;
	struct fixture f;
	begin(&f);
	for (uint64_t row = 0; row < 50; row++) {
		chunker_begin(f.chunker, UNIT_LINES);
		chunker_add_from(f.chunker, SPAN("column: "), row * 100, row * 100);
		chunker_add_from(f.chunker, SPAN("a value of the row"), row * 100 + 1,
				 row * 100 + 90);
		chunker_end(f.chunker);
		chunker_mark(f.chunker, SPAN("\n"));
	}
	struct fault fault;
	assert_int_equal(chunker_finish(f.chunker, &fault), ST_OK);
	uint64_t next = 0;
	for (size_t i = 0; i < f.seen.count; i++) {
		assert_int_equal(f.seen.chunks[i].start, next);
		assert_int_equal(f.seen.chunks[i].end % 100, 90);
		next = f.seen.chunks[i].end + 10;
	}
	assert_int_equal(next, 5000);
	end(&f);
}

static void test_chunker__a_stop_sticks(void **state)
{
	(void)state;
	struct fixture f;
	begin(&f);
	f.seen.stop_after = 2;
	for (int i = 0; i < 100; i++)
		unit(&f, UNIT_RECORD, "one record after the other, each a passage");
	struct fault fault = {0};
	assert_int_equal(chunker_finish(f.chunker, &fault), ST_BUSY);
	assert_string_equal(fault.text, "stop");
	assert_int_equal(f.seen.count, 2);
	end(&f);
}

/* ---- any document ---- */

static uint64_t dice;

static size_t roll(size_t sides)
{
	dice += 0x9E3779B97F4A7C15u;
	return (size_t)(hash_mix(dice) % sides);
}

static void random_text(struct fixture *f, size_t words)
{
	static const char *const pieces[] = {"word", "，",        "。", " ",    "中文", ". ",
					     "\n",   "e\xCC\x81", "😀",  "한국", "?",    "）",
					     "12",   "　",        "\t", "—",    "a",    "\xC2\xA0"};
	for (size_t i = 0; i < words; i++) {
		const char *piece = pieces[roll(ARRAY_COUNT(pieces))];
		chunker_add(f->chunker, span_of(piece));
		buf_add_text(&f->form, piece);
	}
}

static void random_document(struct fixture *f)
{
	static const size_t lengths[] = {1, 3, 10, 40, 200, 2000};
	for (size_t units = roll(40); units > 0; units--) {
		size_t kind = roll(12);
		if (kind == 0)
			chunker_heading(f->chunker, (uint32_t)roll(9) + 1, SPAN("heading"));
		if (kind == 1)
			chunker_context(f->chunker, SPAN("context"));
		if (kind == 2)
			chunker_table(f->chunker);
		chunker_begin(f->chunker, kind == 0 ? UNIT_HEADING : (enum unit_kind)roll(5));
		if (kind == 3)
			chunker_inner_context(f->chunker, SPAN("inner"));
		random_text(f, lengths[roll(ARRAY_COUNT(lengths))]);
		chunker_end(f->chunker);
		for (size_t gaps = roll(20) == 0 ? 3000 : roll(3); gaps > 0; gaps--)
			gap(f, roll(4) == 0 ? "　" : "\n");
	}
}

static void test_chunker__any_document_is_covered_exactly(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 300; seed++) {
		struct fixture f;
		dice = seed;
		begin(&f);
		random_document(&f);
		finish(&f);
		end(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chunker__joins_short_neighbours_of_a_section),
		cmocka_unit_test(test_chunker__keeps_sections_apart_and_headings_with_their_text),
		cmocka_unit_test(test_chunker__a_crumb_joins_what_stands_before_it),
		cmocka_unit_test(test_chunker__a_first_crumb_joins_what_stands_behind_it),
		cmocka_unit_test(test_chunker__text_without_words_is_no_passage),
		cmocka_unit_test(test_chunker__a_code_block_stays_whole_up_to_the_ceiling),
		cmocka_unit_test(test_chunker__records_stand_alone),
		cmocka_unit_test(test_chunker__cuts_at_sentences_near_the_target),
		cmocka_unit_test(test_chunker__text_without_any_border_is_cut_between_graphemes),
		cmocka_unit_test(test_chunker__a_table_that_is_cut_carries_its_header),
		cmocka_unit_test(test_chunker__rendered_passages_say_where_they_come_from),
		cmocka_unit_test(test_chunker__a_stop_sticks),
		cmocka_unit_test(test_chunker__any_document_is_covered_exactly),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
