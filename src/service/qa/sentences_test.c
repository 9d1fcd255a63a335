#include "qa/sentences.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/size.h"
#include "base/utf8.h"

/* The sentences of text, a bar behind each. */
static void expect(const char *text, const char *wanted)
{
	char got[1024];
	size_t bytes = 0, at = 0;
	struct span s;
	while (sentence_next(span_of(text), &at, &s)) {
		int n = snprintf(got + bytes, sizeof got - bytes, "%.*s|", SPAN_ARG(s));
		assert_true(n > 0 && (size_t)n < sizeof got - bytes);
		bytes += (size_t)n;
	}
	got[bytes] = '\0';
	assert_string_equal(got, wanted);
}

static void test_sentences__chinese(void **state)
{
	(void)state;
	expect("内存不会增长。到了硬线怎么办？请求被拒绝！",
	       "内存不会增长。|到了硬线怎么办？|请求被拒绝！|");
	expect("他说：“好的。”然后走了。", "他说：“好的。”|然后走了。|");
	expect("等等……还有", "等等……|还有|");
	expect("", "");
	expect("。", "。|");
	expect("没有句号", "没有句号|");
}

static void test_sentences__english(void **state)
{
	(void)state;
	expect("It works. Does it? Yes! 3 times.", "It works.|Does it?|Yes!|3 times.|");
	expect("Dr. J. Smith of the U.S. Army paid approx. $3.50 to Acme Inc. yesterday.",
	       "Dr. J. Smith of the U.S. Army paid approx. $3.50 to Acme Inc. yesterday.|");
	expect("He said \"Stop.\" Then he left.", "He said \"Stop.\"|Then he left.|");
	expect("See http://x.org/?a=1 for more (and v. 2.1). \"Next\" one.",
	       "See http://x.org/?a=1 for more (and v. 2.1).|\"Next\" one.|");
	expect("e.g. this one... and that", "e.g. this one... and that|");
}

static void test_sentences__lines(void **state)
{
	(void)state;
	expect("# Title\n\nOne line\nTwo line\n", "# Title|One line|Two line|");
	expect("This paragraph was wrapped by an editor at some seventy columns or\nso and goes "
	       "on.\n",
	       "This paragraph was wrapped by an editor at some seventy columns or\nso and goes "
	       "on.|");
	expect("The request is refused with a clear error, HTTP status 503, "
	       "code\n`memory_load_line` "
	       "and a header.\n",
	       "The request is refused with a clear error, HTTP status 503, "
	       "code\n`memory_load_line` "
	       "and a header.|");
	expect("- the first of the items in a list that is rather long, as it happens\n- second\n",
	       "- the first of the items in a list that is rather long, as it happens|- second|");
}

static void test_sentences__bad_bytes_do_no_harm(void **state)
{
	(void)state;
	size_t at = 0, count = 0;
	struct span s;
	const struct span bad = SPAN("\xff\xfe.\x80 \xe3\x80 A. \xf0\x9f\n\xc3");
	while (sentence_next(bad, &at, &s))
		count++;
	assert_true(count > 0);
	assert_int_equal(at, bad.bytes);
}

static void test_sentences__clause_runs_fit_and_reach_the_end(void **state)
{
	(void)state;
	const struct span s = SPAN("甲方应当，乙方可以，丙方不得；丁方负责。");
	size_t at = 0, runs = 0;
	struct span run, last = {0};
	while (clause_run_next(s, 10, &at, &run)) {
		assert_true(utf8_count(run) <= 10);
		last = run;
		runs++;
	}
	assert_int_equal(runs, 3);
	assert_ptr_equal(last.data + last.bytes, s.data + s.bytes);
	assert_true(span_equal(last, SPAN("丙方不得；丁方负责。")));

	const struct span words = SPAN("one two three four five six seven eight nine ten");
	for (at = 0, runs = 0; clause_run_next(words, 12, &at, &run); runs++)
		assert_true(utf8_count(run) <= 12 && run.bytes > 0);
	assert_true(runs >= 4);
}

static void test_sentences__prose(void **state)
{
	(void)state;
	const char *prose[] = {"水深350~500公尺。", "索靖（），字幼安，晋朝敦煌人。",
			       "It costs $3.50 (approx.)."};
	const char *other[] = {
		"| a | b |",
		"## Limits",
		"-----",
		"。",
		"[1]",
		"span{border-bottom:1px dotted;cursor:help}.mw-parser-output .cs1-ws-icon "
		"a{background:url",
	};
	for (size_t i = 0; i < ARRAY_COUNT(prose); i++)
		assert_true(sentence_is_prose(span_of(prose[i])));
	for (size_t i = 0; i < ARRAY_COUNT(other); i++)
		assert_false(sentence_is_prose(span_of(other[i])));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sentences__chinese),
		cmocka_unit_test(test_sentences__english),
		cmocka_unit_test(test_sentences__lines),
		cmocka_unit_test(test_sentences__bad_bytes_do_no_harm),
		cmocka_unit_test(test_sentences__clause_runs_fit_and_reach_the_end),
		cmocka_unit_test(test_sentences__prose),
	};
	return cmocka_run_group_tests_name("sentences", tests, NULL, NULL);
}
