#include "qa/quote.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/size.h"
#include "base/utf8.h"

static int open_scope(void **state)
{
	*state = mem_scope_open(mem_scope_root(), "test", 0);
	return *state == NULL;
}

static int close_scope(void **state)
{
	mem_scope_close(*state);
	return 0;
}

/* text as often as said, behind what is in out. */
static void add_times(struct buf *out, int times, const char *text)
{
	for (int i = 0; i < times; i++)
		assert_true(buf_add_text(out, text));
}

static struct kb_hit hit_of(const char *text)
{
	return (struct kb_hit){.text = span_of(text), .title = SPAN("载重线"), .score = 0.9F};
}

/* The quotation when words alone decide, as without a model. */
static struct span quotation(struct mem_scope *scope, const char *question, struct kb_hit *list,
			     size_t count, struct buf *text)
{
	struct kb_hits hits = {.hits = list, .count = count};
	struct quote q;
	struct quote_unit *listed[QUOTE_LISTED_MAX];
	assert_int_equal(quote_open(scope, span_of(question), &hits, &q, NULL), ST_OK);
	for (size_t i = 0, n = quote_shortlist(&q, listed); i < n; i++)
		listed[i]->cosine =
			listed[i]->alone; /* stands out more than words do by themselves */
	quote_pick(&q, 200);
	buf_init(text, scope, 4096);
	assert_true(quote_write(&q, text));
	return buf_span(text);
}

static void test_quote__takes_the_sentence_that_answers(void **state)
{
	struct buf text;
	struct kb_hit hits[] = {
		hit_of("服务启动很快。到了硬线，请求会被拒绝并返回 503。日志写在磁盘上。"),
		hit_of("载重线由运营者设定。")};
	struct span got = quotation(*state, "到了硬线请求会怎样？", hits, ARRAY_COUNT(hits), &text);
	assert_true(span_equal(got, SPAN("到了硬线，请求会被拒绝并返回 503。 [1]")));
}

static void test_quote__leaves_code_out(void **state)
{
	struct buf text;
	struct kb_hit hits[] = {
		hit_of("到了硬线，请求会被拒绝。\n\n```\nask \"到了硬线请求会怎样？\"\n```\n")};
	struct span got = quotation(*state, "到了硬线请求会怎样？", hits, ARRAY_COUNT(hits), &text);
	assert_true(span_equal(got, SPAN("到了硬线，请求会被拒绝。 [1]")));
}

static void test_quote__never_longer_than_asked(void **state)
{
	struct buf passage, text;
	buf_init(&passage, *state, 4096);
	add_times(&passage, 30, "The hard line refuses a request, and the others go on. ");
	struct kb_hit hits[] = {hit_of(passage.data), hit_of(passage.data), hit_of(passage.data)};
	struct span got = quotation(*state, "What does the hard line refuse?", hits,
				    ARRAY_COUNT(hits), &text);
	assert_true(utf8_count(got) <= 200 && utf8_count(got) > 60);
}

static void test_quote__cuts_an_endless_sentence_at_clauses(void **state)
{
	struct buf passage, text;
	buf_init(&passage, *state, 8192);
	add_times(&passage, 40, "那时候没有人知道后来会发生什么，");
	add_times(&passage, 1, "到了硬线请求会被拒绝，");
	add_times(&passage, 40, "那时候没有人知道后来会发生什么，");
	struct kb_hit hits[] = {hit_of(passage.data)};
	struct span got = quotation(*state, "到了硬线请求会被拒绝吗", hits, 1, &text);
	const char *clause = "到了硬线请求会被拒绝", *end = "… [1]";
	assert_true(utf8_count(got) <= 200);
	assert_non_null(memmem(got.data, got.bytes, clause, strlen(clause)));
	assert_true(span_starts_with(got, SPAN("…那时候")));
	assert_non_null(memmem(got.data, got.bytes, end, strlen(end)));
	assert_null(memmem(got.data, got.bytes, "，…", strlen("，…")));
}

static void test_quote__keeps_tables_and_headings_out(void **state)
{
	struct buf text;
	struct kb_hit hits[] = {hit_of("# Hard line\n\n| line | what the hard line refuses "
				       "|\n|---|---|\n| hard | all |\n\n"
				       "- The hard line refuses.\n")};
	struct span got = quotation(*state, "What does the hard line refuse?", hits, 1, &text);
	assert_true(span_equal(got, SPAN("The hard line refuses. [1]")));
}

static void test_quote__marks_follow_the_passages(void **state)
{
	struct buf text;
	struct kb_hit hits[] = {hit_of("The hard line refuses."), hit_of("The hard line refuses!")};
	struct span got = quotation(*state, "hard line refuses", hits, 2, &text);
	assert_true(span_equal(got, SPAN("The hard line refuses. [1] The hard line refuses! [2]")));
}

static void test_quote__an_introduction_brings_its_list(void **state)
{
	struct buf text;
	struct kb_hit hits[] = {hit_of(
		"Nothing else.\nAt the hard line there are two ways:\n- wait\n- ask for more\n")};
	struct span got =
		quotation(*state, "What ways are there at the hard line?", hits, 1, &text);
	assert_true(span_equal(got, SPAN("At the hard line there are two ways: wait [1]")));
}

static void test_quote__nothing_to_quote(void **state)
{
	struct buf text;
	struct kb_hit hits[] = {hit_of("| a | b |\n")};
	assert_int_equal(quotation(*state, "a?", hits, 1, &text).bytes, 0);
	struct quote q;
	struct kb_hits none = {0};
	assert_int_equal(quote_open(*state, SPAN("?"), &none, &q, NULL), ST_OK);
	quote_pick(&q, 200);
	assert_null(q.best);
}

static void test_quote__labels_and_questions_answer_nothing(void **state)
{
	struct buf text;
	struct kb_hit hits[] = {hit_of("数据并行\n模型并行\n什么是数据并行？\n**每张卡**"
				       "都有一份模型，各算一部分数据。\n")};
	struct span got = quotation(*state, "什么是数据并行？", hits, 1, &text);
	assert_true(span_equal(got, SPAN("每张卡都有一份模型，各算一部分数据。 [1]")));
	struct kb_hit yes[] = {hit_of("试用期包含在劳动合同期限内。")};
	got = quotation(*state, "试用期包含在劳动合同期限内吗？", yes, 1, &text);
	assert_true(span_equal(got, SPAN("试用期包含在劳动合同期限内。 [1]")));
}

static void test_quote__support_is_the_share_of_terms(void **state)
{
	const struct span source = SPAN("Windows Vista was released in 2006.");
	assert_float_equal(quote_support(*state, SPAN("Vista was released in 2006"), source), 1, 0);
	assert_float_equal(quote_support(*state, SPAN("Vista, 2013"), source), 0.5F, 0.001F);
	assert_float_equal(quote_support(*state, SPAN("…"), source), 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quote__takes_the_sentence_that_answers),
		cmocka_unit_test(test_quote__leaves_code_out),
		cmocka_unit_test(test_quote__never_longer_than_asked),
		cmocka_unit_test(test_quote__cuts_an_endless_sentence_at_clauses),
		cmocka_unit_test(test_quote__keeps_tables_and_headings_out),
		cmocka_unit_test(test_quote__marks_follow_the_passages),
		cmocka_unit_test(test_quote__an_introduction_brings_its_list),
		cmocka_unit_test(test_quote__nothing_to_quote),
		cmocka_unit_test(test_quote__labels_and_questions_answer_nothing),
		cmocka_unit_test(test_quote__support_is_the_share_of_terms),
	};
	return cmocka_run_group_tests_name("quote", tests, open_scope, close_scope);
}
