/* Answers and evaluation over real knowledge bases: full text alone always, with the embedding
 * model where it has been fetched. */
#include "qa/answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/size.h"
#include "kb/passage.h"
#include "qa/eval.h"

static char folder[] = "/tmp/answer-XXXXXX";
static struct mem_scope *scope;
static struct service *service;

static void ok(status st, const struct fault *fault)
{
	if (st != ST_OK)
		print_error("%s: %s\n", status_name(st), fault_text(fault));
	assert_int_equal(st, ST_OK);
}

static int begin(void **state)
{
	(void)state;
	if (mkdtemp(folder) == NULL)
		return -1;
	scope = mem_scope_open(mem_scope_root(), "test", 0);
	struct service_options options = {.data = folder, .create = true, .no_generate = true};
	return service_open(scope, &options, &service, NULL) == ST_OK ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	service_close(service);
	mem_scope_close(scope);
	return dir_remove(folder, NULL) == ST_OK ? 0 : -1;
}

struct document {
	const char *id, *title, *text;
};

static const struct document documents[] = {
	{"line", "载重线",
	 "载重线是船舷上的标记，表示船最多可以装多少货物。到了硬线，新的请求会被拒绝并返回 503。"
	 "软线到了就先释放缓存。"},
	{"amsterdam", "Amsterdam",
	 "Amsterdam is the capital of the Netherlands. Its canals were dug in the 17th century. "
	 "The Rijksmuseum opened in 1885 and shows paintings by Rembrandt."},
	{"salmon", "三文鱼", "三文鱼生活在北太平洋和北大西洋。它们在淡水中产卵，在海洋中长大。"},
	{"chess", "Chess",
	 "Chess is played on a board of 64 squares. Each player begins with sixteen pieces. The "
	 "game "
	 "came to Europe in the ninth century."},
	{"law", "劳动合同法",
	 "劳动合同期限三个月以上不满一年的，试用期不得超过一个月。试用期包含在劳动合同期限内。"},
	{"bees", "Honey bees",
	 "A worker bee lives about six weeks in summer. The queen lays up to two thousand eggs a "
	 "day. "
	 "Bees tell each other the way to flowers by a dance."},
};

static void chunk_of(const struct document *d, struct kb_new_chunk *ret)
{
	*ret = (struct kb_new_chunk){.doc_id = span_of(d->id),
				     .title = span_of(d->title),
				     .text = span_of(d->text),
				     .end = strlen(d->text)};
}

static void embed_documents(const char *model, float *vectors)
{
	struct fault fault = {0};
	struct embedder *embedder;
	struct span texts[ARRAY_COUNT(documents)];
	ok(service_embedder(service, model, &embedder, &fault), &fault);
	for (size_t i = 0; i < ARRAY_COUNT(documents); i++) {
		struct kb_new_chunk chunk;
		struct buf text;
		chunk_of(&documents[i], &chunk);
		buf_init(&text, scope, 64 * KIB);
		assert_true(
			passage_add(chunk.title, chunk.heading, chunk.context, chunk.text, &text));
		texts[i] = buf_span(&text);
	}
	struct embed_job job = {.texts = texts, .count = ARRAY_COUNT(texts), .kind = EMBED_PASSAGE};
	ok(embedder_embed(embedder, &job, vectors, NULL, &fault), &fault);
}

/* A knowledge base of the documents, with the model of that name. False: it is not here. */
static bool make_kb(const char *name, const char *model)
{
	struct fault fault = {0};
	struct kb_build build;
	status st = service_default_build(service, model, &build, &fault);
	if (st == ST_NOT_FOUND)
		return false;
	ok(st, &fault);
	float *vectors = mem_new_array(scope, float, ARRAY_COUNT(documents) * (build.dim + 1));
	if (build.dim > 0)
		embed_documents(build.model, vectors);
	struct kb_writer *w;
	uint64_t done;
	ok(kb_create(service_kb_root(service), name, "", &build, &fault), &fault);
	ok(kb_writer_open(scope, service_kb_root(service), name, &w, &fault), &fault);
	ok(kb_writer_file_begin(w, "all.jsonl", "00", 1, &done, &fault), &fault);
	for (size_t i = 0; i < ARRAY_COUNT(documents); i++) {
		struct kb_new_chunk chunk;
		chunk_of(&documents[i], &chunk);
		chunk.vector = build.dim > 0 ? vectors + i * build.dim : NULL;
		ok(kb_writer_add(w, &chunk, 1, &fault), &fault);
	}
	ok(kb_writer_file_end(w, &fault), &fault);
	kb_writer_close(w);
	return true;
}

struct heard {
	size_t citations, announcements, pieces;
	bool in_order;
};

static void hear_citations(void *context, const struct citation *list, size_t count)
{
	struct heard *h = context;
	(void)list;
	h->citations = count;
	h->announcements++;
	h->in_order = h->pieces == 0;
}

static bool hear(void *context, struct span piece)
{
	struct heard *h = context;
	(void)piece;
	h->pieces++;
	return true;
}

static struct answer ask(const char *kb, const char *question)
{
	struct heard heard = {0};
	struct answer_request r = {.kb = kb,
				   .question = span_of(question),
				   .on_citations = hear_citations,
				   .emit = hear,
				   .context = &heard};
	struct answer a;
	struct fault fault = {0};
	ok(answer(service, &r, scope, &a, &fault), &fault);
	assert_int_equal(heard.announcements, 1);
	assert_int_equal(heard.citations, a.citation_count);
	assert_int_equal(heard.pieces, 1);
	assert_true(heard.in_order);
	return a;
}

static bool has(struct span text, const char *part)
{
	return memmem(text.data, text.bytes, part, strlen(part)) != NULL;
}

/* Every citation is a part of its document, byte for byte where it says it is. */
static void check_citations(const struct answer *a)
{
	assert_true(a->citation_count > 0);
	for (size_t i = 0; i < a->citation_count; i++) {
		const struct citation *c = &a->citations[i];
		size_t d = 0;
		while (d < ARRAY_COUNT(documents) &&
		       !span_equal(c->doc_id, span_of(documents[d].id)))
			d++;
		assert_true(d < ARRAY_COUNT(documents));
		struct span text = span_of(documents[d].text);
		assert_true(c->start < c->end && c->end <= text.bytes);
		assert_true(span_equal(c->text, span_slice(text, c->start, c->end)));
	}
}

static void check_answers(const char *kb)
{
	struct answer a = ask(kb, "到了硬线新的请求会怎样？");
	assert_int_equal(a.mode, ANSWER_EXTRACTIVE);
	assert_true(has(a.text, "到了硬线，新的请求会被拒绝并返回 503。"));
	assert_true(has(a.text, "[1]"));
	check_citations(&a);
	a = ask(kb, "When did the Rijksmuseum in Amsterdam open?");
	assert_int_equal(a.mode, ANSWER_EXTRACTIVE);
	assert_true(has(a.text, "The Rijksmuseum opened in 1885"));
	check_citations(&a);
	a = ask(kb, "Which volcano buried the city of Pompeii?");
	assert_int_equal(a.mode, ANSWER_NO_EVIDENCE);
	assert_int_equal(a.citation_count, 0);
	assert_true(span_equal(a.text, SPAN("The knowledge base does not say.")));
	a = ask(kb, "火山爆发是怎么形成的？");
	assert_int_equal(a.mode, ANSWER_NO_EVIDENCE);
	assert_true(has(a.text, "知识库中没有找到"));
}

static void test_answer__by_words_alone(void **state)
{
	(void)state;
	assert_true(make_kb("words", "none"));
	check_answers("words");
}

static void test_answer__by_words_and_meaning(void **state)
{
	(void)state;
	if (!make_kb("both", "")) {
		print_message("skipped: no embedding model, `make models` fetches it\n");
		skip();
	}
	check_answers("both");
}

static void test_answer__bad_questions(void **state)
{
	(void)state;
	static const struct {
		const char *kb;
		struct span question;
		status wanted;
	} bad[] = {
		{"words", {"  \n", 3}, ST_INVALID},
		{"words", {"\xff\xfe?", 3}, ST_INVALID},
		{"nowhere", {"what?", 5}, ST_NOT_FOUND},
	};
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
		struct answer_request r = {.kb = bad[i].kb, .question = bad[i].question};
		struct answer a;
		struct fault fault = {0};
		assert_int_equal(answer(service, &r, scope, &a, &fault), bad[i].wanted);
		assert_string_not_equal(fault_text(&fault), "");
	}
}

static bool refuse(void *context, struct span piece)
{
	(void)context;
	(void)piece;
	return false;
}

static void test_answer__a_reader_that_leaves_cancels(void **state)
{
	(void)state;
	struct answer_request r = {
		.kb = "words", .question = SPAN("When did the Rijksmuseum open?"), .emit = refuse};
	struct answer a;
	struct fault fault = {0};
	assert_int_equal(answer(service, &r, scope, &a, &fault), ST_CANCELLED);
}

/* ---- evaluation ---- */

static const char *write_queries(struct span text)
{
	static char path[FILE_PATH_BYTES];
	struct fault fault = {0};
	ok(path_join(path, folder, "queries.jsonl", &fault), &fault);
	ok(file_replace(path, text, &fault), &fault);
	return path;
}

static void test_eval__counts_ranks_answers_and_refusals(void **state)
{
	(void)state;
	const char *path =
		write_queries(SPAN("{\"id\":\"1\",\"text\":\"When did the Rijksmuseum "
				   "open?\",\"relevant\":[\"amsterdam\"],"
				   "\"answers\":[\"1885\"]}\n\n"
				   "{\"id\":\"2\",\"text\":\"试用期包含在劳动合同期限内吗？\","
				   "\"relevant\":[\"law\",\"chess\"],"
				   "\"answers\":[\"没有这样的话\"]}\n"));
	struct eval_options options = {.arm = KB_TEXT, .answers = true};
	struct eval_result r;
	struct fault fault = {0};
	ok(eval_run(service, "words", path, &options, &r, &fault), &fault);
	assert_int_equal(r.queries, 2);
	assert_float_equal(r.recall_1, 1, 1e-9);
	assert_float_equal(r.recall_10, 0.75, 1e-9);
	assert_float_equal(r.mrr_10, 1, 1e-9);
	assert_float_equal(r.ndcg_10, (1 + 1 / (1 + 1 / 1.5849625)) / 2, 1e-6);
	assert_float_equal(r.refused, 0, 1e-9);
	assert_float_equal(r.answer_contained, 0.5, 1e-9);
	assert_true(r.p50_ms > 0 && r.p95_ms >= r.p50_ms);
	assert_true(r.quote_chars_mean > 10 && r.quote_chars_mean <= ANSWER_QUOTE_CHARS);
	options.queries_max = 1;
	ok(eval_run(service, "words", path, &options, &r, &fault), &fault);
	assert_int_equal(r.queries, 1);
}

static void test_eval__absent_counts_refusals_only(void **state)
{
	(void)state;
	const char *path = write_queries(SPAN("{\"text\":\"Which volcano buried Pompeii?\"}\n"));
	struct eval_options options = {.absent = true};
	struct eval_result r;
	struct fault fault = {0};
	ok(eval_run(service, "words", path, &options, &r, &fault), &fault);
	assert_float_equal(r.refused, 1, 1e-9);
}

static void test_eval__says_what_is_wrong_with_a_line(void **state)
{
	(void)state;
	static const char *const bad[] = {"{\"text\":\"a\",", "{\"relevant\":[\"x\"]}\n",
					  "{\"text\":\"no relevant one\"}", "\n"};
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
		struct eval_options options = {.arm = KB_TEXT};
		struct eval_result r;
		struct fault fault = {0};
		const char *path = write_queries(span_of(bad[i]));
		assert_int_equal(eval_run(service, "words", path, &options, &r, &fault),
				 ST_INVALID);
		assert_non_null(strstr(fault_text(&fault), "question"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answer__by_words_alone),
		cmocka_unit_test(test_answer__by_words_and_meaning),
		cmocka_unit_test(test_answer__bad_questions),
		cmocka_unit_test(test_answer__a_reader_that_leaves_cancels),
		cmocka_unit_test(test_eval__counts_ranks_answers_and_refusals),
		cmocka_unit_test(test_eval__absent_counts_refusals_only),
		cmocka_unit_test(test_eval__says_what_is_wrong_with_a_line),
	};
	return cmocka_run_group_tests_name("answer", tests, begin, end);
}
