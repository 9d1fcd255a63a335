#include "kb/fusion.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/size.h"

/* A Chinese knowledge base of 1,500 rows as measured: background .81, answers near .90. */
static struct fusion_query hybrid(void)
{
	return (struct fusion_query){.arm = KB_HYBRID,
				     .has_vector = true,
				     .chunks = 1500,
				     .cosine_mean = 0.81F,
				     .terms = 8,
				     .terms_found = 6,
				     .idf_sum = 40,
				     .idf_found_sum = 30};
}

static void test_fusion__a_strong_match_is_believed_and_a_weak_one_is_not(void **state)
{
	(void)state;
	struct fusion_query q = hybrid();
	struct kb_evidence e;
	struct fusion_candidate strong[] = {
		{.chunk = 1, .cosine = 0.915F, .bm25 = 28, .coverage = 0.5F}};
	fusion_rank(&q, strong, ARRAY_COUNT(strong), &e);
	assert_true(e.confidence > 0.9F && e.confidence <= 1);
	struct fusion_candidate weak[] = {
		{.chunk = 1, .cosine = 0.865F, .bm25 = 4, .coverage = 0.1F}};
	fusion_rank(&q, weak, ARRAY_COUNT(weak), &e);
	assert_true(e.confidence < 0.3F && e.confidence >= 0);
	assert_float_equal(e.confidence, weak[0].score, 0);
}

static void test_fusion__a_chance_word_does_not_beat_a_near_meaning(void **state)
{
	(void)state;
	struct fusion_query q = hybrid();
	q.terms_found = 1; /* a question in another language: one name in it occurs */
	q.idf_found_sum = 5;
	struct kb_evidence e;
	struct fusion_candidate list[] = {
		{.chunk = 1, .cosine = 0.79F, .bm25 = 8, .coverage = 0.12F, .from_text = true},
		{.chunk = 2, .cosine = 0.83F, .bm25 = 0, .coverage = 0, .from_vector = true},
	};
	fusion_rank(&q, list, ARRAY_COUNT(list), &e);
	assert_int_equal(list[0].chunk, 2);
}

static void test_fusion__words_decide_between_near_meanings(void **state)
{
	(void)state;
	struct fusion_query q = hybrid();
	struct kb_evidence e;
	struct fusion_candidate list[] = {
		{.chunk = 1, .cosine = 0.90F, .bm25 = 5, .coverage = 0.2F},
		{.chunk = 2, .cosine = 0.89F, .bm25 = 40, .coverage = 0.8F},
	};
	fusion_rank(&q, list, ARRAY_COUNT(list), &e);
	assert_int_equal(list[0].chunk, 2);
	assert_float_equal(e.cosine_best, 0.90F, 0);
	assert_float_equal(e.coverage_best, 0.8F, 0);
}

static void test_fusion__each_arm_alone_ranks_by_itself(void **state)
{
	(void)state;
	const struct fusion_candidate both[] = {
		{.chunk = 1, .cosine = 0.95F, .bm25 = 1},
		{.chunk = 2, .cosine = 0.80F, .bm25 = 50},
	};
	struct fusion_candidate list[2];
	struct kb_evidence e;
	struct fusion_query q = hybrid();
	q.arm = KB_VECTOR;
	memcpy(list, both, sizeof list);
	fusion_rank(&q, list, 2, &e);
	assert_int_equal(list[0].chunk, 1);
	q.arm = KB_TEXT;
	memcpy(list, both, sizeof list);
	fusion_rank(&q, list, 2, &e);
	assert_int_equal(list[0].chunk, 2);
	q.arm = KB_HYBRID;
	q.has_vector = false; /* a knowledge base without a model */
	memcpy(list, both, sizeof list);
	fusion_rank(&q, list, 2, &e);
	assert_int_equal(list[0].chunk, 2);
	assert_true(list[0].score > 0.5F && list[1].score < 0.5F);
}

static void test_fusion__ties_and_nothing(void **state)
{
	(void)state;
	struct fusion_query q = hybrid();
	struct kb_evidence e;
	struct fusion_candidate list[] = {{.chunk = 9, .cosine = 0.99F, .bm25 = 80},
					  {.chunk = 3, .cosine = 0.99F, .bm25 = 80},
					  {.chunk = 7, .cosine = 0.995F, .bm25 = 80}};
	fusion_rank(&q, list, ARRAY_COUNT(list), &e);
	assert_int_equal(list[0].chunk, 7); /* though both scores round to 1 */
	assert_int_equal(list[1].chunk, 3);
	fusion_rank(&q, list, 0, &e);
	assert_float_equal(e.confidence, 0, 0);
	q.idf_sum = 0; /* a question of stop words only */
	fusion_rank(&q, list, ARRAY_COUNT(list), &e);
	assert_int_equal(list[0].chunk, 7);
}

static void test_fusion__one_row_has_no_background_of_its_own(void **state)
{
	(void)state;
	assert_true(fusion_background(0.88F, 1) < 0.72F);
	assert_float_equal(fusion_background(0.81F, 100000), 0.81F, 0.001F);
}

static void test_fusion__a_model_with_spread_cosines_is_stretched(void **state)
{
	(void)state;
	assert_float_equal(fusion_cosine(0.9F, 0.8F), 0.9F, 0);
	assert_float_equal(fusion_cosine(0.05F, 0.05F), 0.75F, 0.0001F);
	assert_float_equal(fusion_cosine(1, 0.05F), 1, 0.0001F);
	assert_float_equal(fusion_background(0.05F, 100000), 0.75F, 0.001F);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fusion__a_strong_match_is_believed_and_a_weak_one_is_not),
		cmocka_unit_test(test_fusion__a_chance_word_does_not_beat_a_near_meaning),
		cmocka_unit_test(test_fusion__words_decide_between_near_meanings),
		cmocka_unit_test(test_fusion__each_arm_alone_ranks_by_itself),
		cmocka_unit_test(test_fusion__ties_and_nothing),
		cmocka_unit_test(test_fusion__one_row_has_no_background_of_its_own),
		cmocka_unit_test(test_fusion__a_model_with_spread_cosines_is_stretched),
	};
	return cmocka_run_group_tests_name("fusion", tests, NULL, NULL);
}
