#include "qa/prompt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/size.h"

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

/* A tokenizer small enough to reckon with: a byte is a token, a message costs four more. */
static status count_bytes(struct generator *g, const struct llm_message *messages, size_t count,
			  size_t *ret_tokens, struct fault *reterr)
{
	(void)g;
	(void)reterr;
	*ret_tokens = 0;
	for (size_t i = 0; i < count; i++)
		*ret_tokens += messages[i].content.bytes + 4;
	return ST_OK;
}

static const struct generator_ops byte_ops = {.count_prompt = count_bytes};

static struct generator reader(uint32_t context_tokens)
{
	return (struct generator){.ops = &byte_ops, .info = {.context_tokens = context_tokens}};
}

static bool has(struct span text, const char *part)
{
	return memmem(text.data, text.bytes, part, strlen(part)) != NULL;
}

#define TEXT(literal)                                                                              \
	{                                                                                          \
		literal, sizeof(literal) - 1                                                       \
	}
static const struct citation passages[] = {
	{.text = TEXT("The hard line refuses what is over it, and nothing else; all that was there "
		      "stays.")},
	{.text = TEXT(
		 "The soft line sheds caches first, then queues, then whatever can be had again.")},
	{.text = TEXT(
		 "The third passage is about the weather and of no use for this question at all.")},
};

static void test_prompt__holds_all_when_it_fits(void **state)
{
	struct llm_message history[] = {{"user", SPAN("Hello?")}, {"assistant", SPAN("Yes.")}};
	struct answer_request r = {
		.question = SPAN("What is refused?"), .history = history, .history_count = 2};
	struct generator g = reader(4000);
	struct prompt p;
	assert_int_equal(prompt_make(&g, &r, passages, 3, *state, &p, NULL), ST_OK);
	assert_int_equal(p.message_count, 4);
	assert_int_equal(p.passages, 3);
	assert_string_equal(p.messages[0].role, "system");
	assert_true(span_equal(p.messages[1].content, SPAN("Hello?")));
	struct span user = p.messages[3].content;
	assert_true(has(user, "[1] The hard line") && has(user, "[3] The third") &&
		    has(user, "Question: What is refused?"));
	assert_int_equal(p.reply_tokens, 512);
}

static void test_prompt__gives_up_passages_then_turns_then_text(void **state)
{
	struct llm_message history[] = {
		{"user", SPAN("An older turn that is dropped first of them.")},
		{"assistant", SPAN("A newer turn.")}};
	struct answer_request r = {
		.question = SPAN("What is refused?"), .history = history, .history_count = 2};
	struct llm_request sampling = {.tokens_max = 100};
	r.sampling = &sampling;
	struct prompt p;
	bool third_gone = false, turn_gone = false, second_gone = false;
	for (uint32_t context = 1200; context > 450; context -= 10) {
		struct generator g = reader(context);
		struct fault fault;
		if (prompt_make(&g, &r, passages, 3, *state, &p, &fault) != ST_OK)
			break;
		assert_true(p.tokens + p.reply_tokens <= context);
		third_gone |= p.passages == 2 && p.message_count == 4;
		turn_gone |= p.passages == 2 && p.message_count == 3;
		second_gone |= p.passages == 1 && p.message_count == 2;
		if (p.message_count == 3)
			assert_true(span_equal(p.messages[1].content, SPAN("A newer turn.")));
	}
	assert_true(third_gone && turn_gone && second_gone);
}

static void test_prompt__refuses_what_cannot_fit(void **state)
{
	struct answer_request r = {.question = SPAN("What is refused?")};
	struct generator g = reader(64);
	struct prompt p;
	struct fault fault = {0};
	assert_int_equal(prompt_make(&g, &r, passages, 3, *state, &p, &fault), ST_LIMIT);
	assert_non_null(strstr(fault.text, "tokens"));
}

static void test_prompt__speaks_the_questions_language(void **state)
{
	struct answer_request r = {.question = SPAN("什么会被拒绝？")};
	struct generator g = reader(4000);
	struct prompt p;
	assert_int_equal(prompt_make(&g, &r, passages, 1, *state, &p, NULL), ST_OK);
	assert_true(has(p.messages[1].content, "问题：什么会被拒绝？"));
	assert_true(has(prompt_no_evidence(r.question), "知识库"));
	assert_true(has(prompt_no_evidence(SPAN("What?")), "does not say"));
}

/* Feed text in pieces of every size and expect the same. */
static void expect_marks(struct mem_scope *scope, const char *text, size_t count,
			 const char *wanted)
{
	for (size_t size = 1; size <= strlen(text); size++) {
		struct buf out;
		buf_init(&out, scope, 4096);
		struct marks m = {.passages = count, .text = &out};
		for (size_t at = 0; at < strlen(text); at += size)
			assert_true(marks_take(&m, span_slice(span_of(text), at, at + size)));
		assert_true(marks_end(&m));
		assert_true(buf_add_byte(&out, '|'));
		assert_int_equal(out.bytes, strlen(wanted) + 1);
		assert_memory_equal(out.data, wanted, strlen(wanted));
		buf_fini(&out);
	}
}

static void test_prompt__marks_that_name_nothing_go(void **state)
{
	expect_marks(*state, "A [1]. B [2][3]. C [0][12] [x] a[1", 2, "A [1]. B [2]. C  [x] a[1");
	expect_marks(*state, "[[1]] [] [123456] [1 ]", 1, "[[1]] [] [123456] [1 ]");
	expect_marks(*state, "no marks [1]", 0, "no marks ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prompt__holds_all_when_it_fits),
		cmocka_unit_test(test_prompt__gives_up_passages_then_turns_then_text),
		cmocka_unit_test(test_prompt__refuses_what_cannot_fit),
		cmocka_unit_test(test_prompt__speaks_the_questions_language),
		cmocka_unit_test(test_prompt__marks_that_name_nothing_go),
	};
	return cmocka_run_group_tests_name("prompt", tests, open_scope, close_scope);
}
