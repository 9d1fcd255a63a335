/* The verbs that ask: search, ask, eval. */
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"
#include "cmd/verbs.h"
#include "qa/answer.h"
#include "qa/eval.h"
#include "qa/hits_json.h"

enum { SHOWN_CHARS = 160 };
#define SCRATCH_MAX (256 * MIB)

/* "hybrid", "vector", "text". False: printed. */
static bool read_arm(struct cmd *cmd, enum kb_arm *ret_arm)
{
	const char *text = cmd_value(cmd, "arm");
	static const char *const names[] = {
		[KB_HYBRID] = "hybrid", [KB_VECTOR] = "vector", [KB_TEXT] = "text"};
	for (size_t i = 0; text != NULL && i < ARRAY_COUNT(names); i++) {
		if (strcmp(text, names[i]) == 0) {
			*ret_arm = (enum kb_arm)i;
			return true;
		}
	}
	if (text == NULL)
		return true;
	(void)cmd_usage(cmd, "--arm must be hybrid, vector or text, not '%s'", text);
	return false;
}

static void print_hits(const struct retrieval *r)
{
	for (size_t i = 0; i < r->hits.count; i++) {
		const struct kb_hit *h = &r->hits.hits[i];
		struct span shown = span_slice(h->text, 0, utf8_offset(h->text, SHOWN_CHARS));
		(void)printf("%2zu. %.3f  %.*s%s%.*s\n    ", i + 1, (double)h->score,
			     SPAN_ARG(h->file), h->heading.bytes > 0 ? " > " : "",
			     SPAN_ARG(h->heading));
		for (size_t at = 0; at < shown.bytes; at++)
			(void)putchar(shown.data[at] == '\n' ? ' ' : shown.data[at]);
		(void)printf("%s\n", shown.bytes < h->text.bytes ? "..." : "");
	}
	if (r->hits.count == 0)
		(void)printf("nothing found\n");
	else if (!r->answerable)
		(void)printf("(none of these seems to answer the question)\n");
}

int cmd_search(struct cmd *cmd)
{
	struct fault fault = {0};
	struct service *s = NULL;
	int64_t hits = 10;
	struct retrieve_options options = {.cancel = cmd->cancel};
	if (!cmd_number(cmd, "number", 1, KB_HITS_MAX, &hits) || !read_arm(cmd, &options.arm))
		return CMD_USAGE;
	options.hits_max = (size_t)hits;
	CLEANUP(mem_scope_closep)
	struct mem_scope *scratch = mem_scope_open(cmd->scope, "search", SCRATCH_MAX);
	if (scratch == NULL)
		return cmd_fail(cmd, &(struct fault){.code = mem_refusal()});
	struct retrieval found;
	struct span query = span_of(cmd->operands[1]);
	status st = cmd_open(cmd, false, &s, &fault);
	if (st == ST_OK)
		st = retrieve(s, cmd->operands[0], query, &options, scratch, &found, &fault);
	int code = CMD_OK;
	if (st != ST_OK) {
		code = cmd_fail(cmd, &fault);
	} else if (cmd->json) {
		struct cmd_json json;
		cmd_json_begin(cmd, &json);
		hits_json_write(&json.writer, query, &found);
		code = cmd_json_end(cmd, &json);
	} else {
		print_hits(&found);
	}
	service_close(s);
	return code;
}

/* ---- ask ---- */

static bool print_piece(void *context, struct span piece)
{
	(void)context;
	return fwrite(piece.data, 1, piece.bytes, stdout) == piece.bytes && fflush(stdout) == 0;
}

static void print_sources(const struct answer *a)
{
	(void)printf("\n");
	for (size_t i = 0; i < a->citation_count; i++) {
		const struct citation *c = &a->citations[i];
		(void)printf("%s[%zu] %.*s", i == 0 ? "\n" : "", i + 1, SPAN_ARG(c->file));
		if (c->title.bytes > 0 && !span_equal(c->title, c->file))
			(void)printf(" - %.*s", SPAN_ARG(c->title));
		(void)printf("  (bytes %llu-%llu)\n", (unsigned long long)c->start,
			     (unsigned long long)c->end);
	}
}

static int print_answer_json(struct cmd *cmd, const struct answer *a)
{
	struct cmd_json json;
	cmd_json_begin(cmd, &json);
	struct json_writer *w = &json.writer;
	json_object(w);
	json_put_text(w, "answer", a->text);
	json_put_text(w, "mode", span_of(answer_mode_name(a->mode)));
	json_key_write(w, "citations");
	citations_json_write(w, a->citations, a->citation_count);
	json_key_write(w, "usage");
	json_object(w);
	json_put_int(w, "prompt_tokens", a->prompt_tokens);
	json_put_int(w, "completion_tokens", a->completion_tokens);
	json_put_int(w, "total_tokens", (int64_t)a->prompt_tokens + a->completion_tokens);
	json_object_end(w);
	json_put_real(w, "took_ms", a->took_ms);
	json_object_end(w);
	return cmd_json_end(cmd, &json);
}

int cmd_ask(struct cmd *cmd)
{
	struct fault fault = {0};
	struct service *s = NULL;
	int64_t passages = 6;
	if (!cmd_number(cmd, "number", 1, ANSWER_CITATIONS_MAX, &passages))
		return CMD_USAGE;
	CLEANUP(mem_scope_closep)
	struct mem_scope *scratch = mem_scope_open(cmd->scope, "ask", SCRATCH_MAX);
	if (scratch == NULL)
		return cmd_fail(cmd, &(struct fault){.code = mem_refusal()});
	struct answer_request request = {.kb = cmd->operands[0],
					 .question = span_of(cmd->operands[1]),
					 .hits_max = (size_t)passages,
					 .no_generate = cmd_value(cmd, "no-generate") != NULL,
					 .cancel = cmd->cancel,
					 .emit = cmd->json ? NULL : print_piece};
	struct answer a;
	status st = cmd_open(cmd, false, &s, &fault);
	if (st == ST_OK)
		st = answer(s, &request, scratch, &a, &fault);
	int code = CMD_OK;
	if (st != ST_OK)
		code = cmd_fail(cmd, &fault);
	else if (cmd->json)
		code = print_answer_json(cmd, &a);
	else
		print_sources(&a);
	service_close(s);
	return code;
}

/* ---- eval ---- */

static void on_eval_progress(void *context, size_t done, size_t total)
{
	progress_bar(context, "questions", done, total, "");
}

static void print_eval(const struct eval_options *o, const struct eval_result *r)
{
	(void)printf("queries    %zu\n", r->queries);
	if (!o->absent)
		(void)printf("recall@1   %.4f\nrecall@5   %.4f\nrecall@10  %.4f\nmrr@10     %.4f\n"
			     "ndcg@10    %.4f\n",
			     r->recall_1, r->recall_5, r->recall_10, r->mrr_10, r->ndcg_10);
	(void)printf("p50        %.2f ms\np95        %.2f ms\n", r->p50_ms, r->p95_ms);
	if (o->answers || o->absent)
		(void)printf("refused    %.4f\n", r->refused);
	if (o->answers && !o->absent)
		(void)printf("answer in quotation  %.4f  (mean %.0f characters)\n",
			     r->answer_contained, r->quote_chars_mean);
}

static int print_eval_json(struct cmd *cmd, const struct eval_options *o,
			   const struct eval_result *r)
{
	struct cmd_json json;
	cmd_json_begin(cmd, &json);
	struct json_writer *w = &json.writer;
	json_object(w);
	json_put_int(w, "queries", (int64_t)r->queries);
	json_put_real(w, "recall@1", r->recall_1);
	json_put_real(w, "recall@5", r->recall_5);
	json_put_real(w, "recall@10", r->recall_10);
	json_put_real(w, "mrr@10", r->mrr_10);
	json_put_real(w, "ndcg@10", r->ndcg_10);
	json_put_real(w, "p50_ms", r->p50_ms);
	json_put_real(w, "p95_ms", r->p95_ms);
	if (o->answers || o->absent)
		json_put_real(w, "refused", r->refused);
	if (o->answers && !o->absent) {
		json_put_real(w, "answer_contained", r->answer_contained);
		json_put_real(w, "quote_chars_mean", r->quote_chars_mean);
	}
	json_object_end(w);
	return cmd_json_end(cmd, &json);
}

int cmd_eval(struct cmd *cmd)
{
	struct fault fault = {0};
	struct service *s = NULL;
	struct progress progress;
	int64_t most = 0;
	struct eval_options options = {.answers = cmd_value(cmd, "answers") != NULL,
				       .absent = cmd_value(cmd, "absent") != NULL,
				       .progress = on_eval_progress,
				       .context = &progress,
				       .cancel = cmd->cancel};
	if (!cmd_number(cmd, "number", 1, INT32_MAX, &most) || !read_arm(cmd, &options.arm))
		return CMD_USAGE;
	options.queries_max = (size_t)most;
	progress_init(&progress, cmd);
	struct eval_result result;
	status st = cmd_open(cmd, false, &s, &fault);
	if (st == ST_OK)
		st = eval_run(s, cmd->operands[0], cmd->operands[1], &options, &result, &fault);
	progress_end(&progress);
	service_close(s);
	if (st != ST_OK)
		return cmd_fail(cmd, &fault);
	if (cmd->json)
		return print_eval_json(cmd, &options, &result);
	print_eval(&options, &result);
	return CMD_OK;
}
