#include "qa/prompt.h"

#include <ctype.h>
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"

enum {
	PROMPT_BYTES_MAX = 1024 * 1024,
	REPLY_TOKENS = 512,
	PASSAGES_KEPT = 2, /* rather than the oldest turns */
	PASSAGE_BYTES_LEAST = 160,
};

bool prompt_is_chinese(struct span text)
{
	for (size_t at = 0; at < text.bytes;) {
		uint32_t point;
		at += utf8_decode(text, at, &point);
		if (utf8_is_han(point))
			return true;
	}
	return false;
}

struct span prompt_no_evidence(struct span question)
{
	return prompt_is_chinese(question) ? SPAN("知识库中没有找到这个问题的答案。")
					   : SPAN("The knowledge base does not say.");
}

static struct span instructions(bool chinese, bool from_passages)
{
	if (!from_passages)
		return chinese ? SPAN("你是一个助手。知识库中没有相关资料，请凭自己的知识简短回答，"
				      "不确定就说明。")
			       : SPAN("You are an assistant. The knowledge base holds nothing on "
				      "this "
				      "question: answer briefly from what you know, and say when "
				      "you "
				      "are not sure.");
	return chinese ? SPAN("你是知识库助手。只根据给出的编号资料简短回答，不要编造；每句话后面用"
			      " [编号] "
			      "标明出处，例如 "
			      "[1]。资料没有说明时，只回答：知识库中没有找到这个问题的答案。")
		       : SPAN("You answer from a knowledge base. Use only the numbered sources, be "
			      "brief, "
			      "and put the number of the source behind each statement, like [1]. "
			      "If the "
			      "sources do not say, answer only: The knowledge base does not say.");
}

/* What is tried: so many passages, so many of the latest history messages, the last passage cut. */
struct attempt {
	size_t passages, history, last_bytes;
};

static bool write_question(const struct answer_request *r, const struct citation *list,
			   const struct attempt *a, bool chinese, struct buf *out)
{
	buf_clear(out);
	if (a->passages == 0)
		return buf_add(out, r->question);
	bool ok = buf_add_text(out, chinese ? "资料：\n" : "Sources:\n");
	for (size_t i = 0; ok && i < a->passages; i++) {
		struct span text = list[i].text;
		if (i + 1 == a->passages && text.bytes > a->last_bytes)
			text.bytes = utf8_floor(text, a->last_bytes);
		ok = buf_printf(out, "[%zu] ", i + 1) &&
		     (list[i].title.bytes == 0 ||
		      (buf_add(out, list[i].title) && buf_add_byte(out, '\n'))) &&
		     buf_add(out, text) && buf_add_text(out, "\n\n");
	}
	return ok && buf_add_text(out, chinese ? "问题：" : "Question: ") &&
	       buf_add(out, r->question);
}

/* Give up the least useful part. False: nothing is left to give up. */
static bool shrink(struct attempt *a, const struct citation *passages)
{
	if (a->passages > PASSAGES_KEPT) {
		a->passages--;
	} else if (a->history > 0) {
		a->history--;
	} else if (a->passages > 1) {
		a->passages--;
	} else if (a->passages == 1) {
		a->last_bytes = size_min(a->last_bytes, passages[0].text.bytes) / 2;
		return a->last_bytes >= PASSAGE_BYTES_LEAST;
	} else {
		return false;
	}
	return true;
}

static void fill(struct prompt *p, const struct answer_request *r, const struct attempt *a,
		 struct span system, struct span user)
{
	size_t n = 0;
	p->messages[n++] = (struct llm_message){"system", system};
	for (size_t i = r->history_count - a->history; i < r->history_count; i++)
		p->messages[n++] = r->history[i];
	p->messages[n++] = (struct llm_message){"user", user};
	p->message_count = n;
	p->passages = a->passages;
}

status prompt_make(struct generator *g, const struct answer_request *request,
		   const struct citation *passages, size_t count, struct mem_scope *scratch,
		   struct prompt *ret_prompt, struct fault *reterr)
{
	struct attempt a = {.passages = count,
			    .history = size_min(request->history_count, LLM_MESSAGES_MAX - 2),
			    .last_bytes = SIZE_MAX};
	struct prompt p = {.messages = mem_new_array(scratch, struct llm_message, a.history + 2)};
	if (p.messages == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for the prompt");
	struct buf text;
	buf_init(&text, scratch, PROMPT_BYTES_MAX);
	bool chinese = prompt_is_chinese(request->question);
	uint32_t wanted = request->sampling != NULL && request->sampling->tokens_max > 0
				  ? request->sampling->tokens_max
				  : REPLY_TOKENS;
	p.reply_tokens = (uint32_t)size_min(wanted, g->info.context_tokens / 2);
	for (;;) {
		(void)write_question(request, passages, &a, chinese, &text);
		status st = buf_check(&text, "the prompt", reterr);
		if (st != ST_OK)
			return st;
		fill(&p, request, &a, instructions(chinese, count > 0), buf_span(&text));
		size_t tokens;
		st = g->ops->count_prompt(g, p.messages, p.message_count, &tokens, reterr);
		if (st != ST_OK)
			return st;
		if (tokens + p.reply_tokens <= g->info.context_tokens) {
			p.tokens = (uint32_t)tokens;
			*ret_prompt = p;
			return ST_OK;
		}
		if (!shrink(&a, passages))
			return fault_set(reterr, ST_LIMIT,
					 "the question needs %zu tokens, the model reads %u",
					 tokens, g->info.context_tokens - p.reply_tokens);
	}
}

/* ---- marks ---- */

static bool pass_on(struct marks *m, struct span piece)
{
	if (piece.bytes == 0)
		return true;
	return buf_add(m->text, piece) && (m->emit == NULL || m->emit(m->context, piece));
}

bool marks_end(struct marks *m)
{
	struct span held = {m->held, m->held_bytes};
	m->held_bytes = 0;
	return pass_on(m, held);
}

/* A mark is complete in held: keep it if it names a passage. */
static bool settle(struct marks *m)
{
	size_t number = 0;
	for (size_t i = 1; i + 1 < m->held_bytes; i++)
		number = number * 10 + (size_t)(m->held[i] - '0');
	if (number >= 1 && number <= m->passages) {
		m->used = true;
		return marks_end(m);
	}
	m->held_bytes = 0;
	return true;
}

static bool take_byte(struct marks *m, char c, size_t *passed)
{
	bool digit = isdigit((unsigned char)c) != 0;
	if (m->held_bytes > 0 && digit && m->held_bytes < 5) {
		m->held[m->held_bytes++] = c;
		(*passed)++;
		return true;
	}
	if (m->held_bytes > 1 && c == ']') {
		m->held[m->held_bytes++] = c;
		(*passed)++;
		return settle(m);
	}
	return marks_end(m);
}

bool marks_take(struct marks *m, struct span piece)
{
	for (size_t at = 0; at < piece.bytes;) {
		if (m->held_bytes > 0) {
			if (!take_byte(m, piece.data[at], &at))
				return false;
			continue;
		}
		const char *open = memchr(piece.data + at, '[', piece.bytes - at);
		size_t end = open != NULL ? (size_t)(open - piece.data) : piece.bytes;
		if (!pass_on(m, span_slice(piece, at, end)))
			return false;
		at = end;
		if (open != NULL) {
			m->held[m->held_bytes++] = '[';
			at++;
		}
	}
	return true;
}
