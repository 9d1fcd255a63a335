#include "qa/evidence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void test_evidence__logit_and_back(void **state)
{
	(void)state;
	assert_float_equal(evidence_logit(0.5F), 0, 0.0001F);
	assert_float_equal(evidence_probability(evidence_logit(0.9F)), 0.9F, 0.001F);
	assert_true(evidence_logit(0) < -10 && evidence_logit(0) > -20);
	assert_true(evidence_logit(1) > 10 && evidence_logit(1) < 20);
}

static void test_evidence__scripts(void **state)
{
	(void)state;
	assert_true(
		evidence_is_foreign(SPAN("谁发明了电话？"), SPAN("The telephone was invented.")));
	assert_false(evidence_is_foreign(SPAN("iPhone 15 是什么时候发布的？"),
					 SPAN("苹果于九月发布。")));
	assert_false(evidence_is_foreign(SPAN("What is 道?"), SPAN("The way.")));
	assert_false(evidence_is_foreign(SPAN("Où est-il né ?"), SPAN("Il est né à Paris.")));
}

/* Figures as measured: a Chinese knowledge base of 1,500 passages. */
static float belief_of(float hit_score, float unit, float coverage)
{
	struct kb_hit hit = {.score = hit_score, .vector_score = 0.9F};
	struct kb_hits hits = {.hits = &hit, .count = 1, .evidence = {.cosine_mean = 0.81F}};
	return evidence_belief(&(struct evidence){.hits = &hits,
						  .chunks = 1500,
						  .has_vectors = true,
						  .unit_cosine = unit,
						  .unit_coverage = coverage});
}

static void test_evidence__the_best_sentence_decides(void **state)
{
	(void)state;
	assert_true(belief_of(0.93F, 0.93F, 0.7F) > 0.8F);
	assert_true(belief_of(0.3F, 0.85F, 0.1F) < 0.2F);
	/* the right subject, but no sentence on the question */
	assert_true(belief_of(0.55F, 0.86F, 0.2F) < 0.5F);
	assert_true(belief_of(0.45F, 0.92F, 0.8F) > 0.5F);
}

static void test_evidence__between_scripts_the_best_must_stand_out(void **state)
{
	(void)state;
	struct kb_hit list[12];
	for (int i = 0; i < 12; i++)
		list[i] = (struct kb_hit){.vector_score = 0.76F};
	struct kb_hits hits = {.hits = list, .count = 12, .evidence = {.cosine_mean = 0.71F}};
	struct evidence e = {.hits = &hits,
			     .chunks = 900,
			     .has_vectors = true,
			     .foreign = true,
			     .unit_cosine = 0.80F};
	list[0].vector_score = 0.80F;
	float standing_out = evidence_belief(&e);
	for (int i = 1; i < 12; i++)
		list[i].vector_score = 0.795F;
	assert_true(standing_out > 0.5F);
	assert_true(evidence_belief(&e) < 0.5F);
	hits.count = 1; /* nothing to stand out of */
	assert_true(evidence_belief(&e) < 0.5F);
}

static void test_evidence__without_vectors_the_score_stands(void **state)
{
	(void)state;
	struct kb_hit hit = {.score = 0.7F};
	struct kb_hits hits = {.hits = &hit, .count = 1};
	assert_float_equal(evidence_belief(&(struct evidence){.hits = &hits, .chunks = 5}), 0.7F,
			   0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_evidence__logit_and_back),
		cmocka_unit_test(test_evidence__scripts),
		cmocka_unit_test(test_evidence__the_best_sentence_decides),
		cmocka_unit_test(test_evidence__between_scripts_the_best_must_stand_out),
		cmocka_unit_test(test_evidence__without_vectors_the_score_stands),
	};
	return cmocka_run_group_tests_name("evidence", tests, NULL, NULL);
}
