#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "kb/passage.h"
#include "kb/terms.h"
#include "rt/text.h"

static bool list_term(void *context, struct span term)
{
	struct buf *out = context;
	return buf_add(out, term) && buf_add_byte(out, '|');
}

static void expect_terms(const char *text, const char *terms)
{
	struct buf folded, out;
	buf_init(&folded, mem_scope_root(), 64 * KIB);
	buf_init(&out, mem_scope_root(), 64 * KIB);
	assert_true(text_fold(span_of(text), &folded));
	assert_true(terms_each(buf_span(&folded), list_term, &out));
	assert_string_equal(out.data != NULL ? out.data : "", terms);
	buf_fini(&folded);
	buf_fini(&out);
}

static void test_terms__pairs_and_the_last_character(void **state)
{
	(void)state;
	expect_terms("知识库", "知识|识库|库|");
	expect_terms("知識庫", "知识|识库|库|");
	expect_terms("库", "库|");
	expect_terms("中文，和 Rust2语言。", "中文|文|和|rust2|语言|言|");
	expect_terms("カタカナ한국어", "カタ|タカ|カナ|ナ한|한국|국어|어|");
	expect_terms("２０２６年", "2026|年|");
}

static void test_terms__words_in_the_singular_without_stop_words(void **state)
{
	(void)state;
	expect_terms("The cats of Paris", "cat|pari|");
	expect_terms("stories boxes classes glass gas ties buses",
		     "story|box|class|glass|gas|tie|bus|");
	expect_terms("this is what it was", "");
	expect_terms("naïve café-goers: don't", "naïve|café|goer|don|t|");
	expect_terms("x86_64 C++17 3.14", "x86|64|c|17|3|14|");
	expect_terms("", "");
	expect_terms("!?。，…", "");
}

static void test_terms__a_word_is_cut_between_characters(void **state)
{
	(void)state;
	char text[300], want[80];
	memset(text, 'a', 200);
	text[200] = '\0';
	memset(want, 'a', TERM_BYTES);
	memcpy(want + TERM_BYTES, "|", 2);
	expect_terms(text, want);
	for (size_t i = 0; i < 100; i++)
		memcpy(text + 1 + 2 * i, "é", 2);
	text[201] = '\0';
	memcpy(want, text, 63);
	memcpy(want + 63, "|", 2);
	expect_terms(text, want);
}

static bool stop_at_second(void *context, struct span term)
{
	(void)term;
	return ++*(int *)context < 2;
}

static void test_terms__stops_when_told(void **state)
{
	(void)state;
	int seen = 0;
	assert_false(terms_each(SPAN("one two three"), stop_at_second, &seen));
	assert_int_equal(seen, 2);
}

static void expect_passage(const char *title, const char *heading, const char *context,
			   const char *want)
{
	struct buf out;
	buf_init(&out, mem_scope_root(), 64 * KIB);
	assert_true(passage_add(span_of(title), span_of(heading), span_of(context), SPAN("text"),
				&out));
	assert_string_equal(out.data, want);
	buf_fini(&out);
}

static void test_passage__leaves_out_what_says_nothing(void **state)
{
	(void)state;
	expect_passage("T", "H", "C", "T\nH\nC\ntext");
	expect_passage("", "", "", "text");
	expect_passage("T", "", "C", "T\nC\ntext");
	expect_passage("Guide", "Guide > Setup", "", "Guide > Setup\ntext");
	expect_passage("Guide", "Guide", "", "Guide\ntext");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_terms__pairs_and_the_last_character),
		cmocka_unit_test(test_terms__words_in_the_singular_without_stop_words),
		cmocka_unit_test(test_terms__a_word_is_cut_between_characters),
		cmocka_unit_test(test_terms__stops_when_told),
		cmocka_unit_test(test_passage__leaves_out_what_says_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
