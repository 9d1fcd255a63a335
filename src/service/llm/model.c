#include "llm/model.h"

#include <ggml-cpu.h>
#include <pthread.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/size.h"
#include "base/utf8.h"
#include "llm/border.h"
#include "llm/pieces.h"
#include "rt/buf.h"

enum { COMPLAINT_BYTES = 160 };

static _Thread_local char complaint[COMPLAINT_BYTES];

const char *llm_complaint(void)
{
	return complaint;
}

void llm_complain(const char *reason)
{
	snprintf(complaint, sizeof(complaint), "%s", reason);
}

/* libllama writes "function: text" lines; what follows the first ": " of an error line is kept. */
static void keep_complaint(enum ggml_log_level level, const char *text, void *context)
{
	(void)context;
	if (level != GGML_LOG_LEVEL_ERROR)
		return;
	const char *colon = strstr(text, ": ");
	struct span said = span_trim(span_of(colon != NULL ? colon + 2 : text));
	/* The last line ("failed to load model") names no cause: keep the one before it. */
	if (complaint[0] != '\0' &&
	    memmem(said.data, said.bytes, "failed to load model", 20) != NULL)
		return;
	snprintf(complaint, sizeof(complaint), "%.*s", SPAN_ARG(said));
}

static void start_once(void)
{
	llama_log_set(keep_complaint, NULL);
	border_start();
	llama_backend_init();
}

/* libllama's kernels are chosen when it is built (tools/fetch-llama), not when it runs. */
static const char *missing_cpu_feature(void)
{
#ifdef __x86_64__
	if (ggml_cpu_has_avx512() && !__builtin_cpu_supports("avx512f"))
		return "AVX-512";
	if (ggml_cpu_has_avx512_vnni() && !__builtin_cpu_supports("avx512vnni"))
		return "AVX-512 VNNI";
	if (ggml_cpu_has_avx2() && !__builtin_cpu_supports("avx2"))
		return "AVX2";
	if (ggml_cpu_has_fma() && !__builtin_cpu_supports("fma"))
		return "FMA";
#endif
	return NULL;
}

status llm_start(struct fault *reterr)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	const char *missing = missing_cpu_feature();
	if (missing != NULL)
		return fault_set(
			reterr, ST_UNSUPPORTED,
			"libllama was built for a CPU with %s, which this one lacks: build "
			"again with PLIMSOLL_LLAMA_CPU=base",
			missing);
	pthread_once(&once, start_once);
	complaint[0] = '\0';
	return ST_OK;
}

/* Control tokens are few; they are looked for in every message, so their texts are kept. */
static status list_controls(struct llm_model *model, struct fault *reterr)
{
	int32_t tokens = llama_vocab_n_tokens(model->vocab);
	size_t count = 0;
	for (int pass = 0; pass < 2; pass++) {
		count = 0;
		for (llama_token t = 0; t < tokens; t++) {
			if ((llama_vocab_get_attr(model->vocab, t) & LLAMA_TOKEN_ATTR_CONTROL) == 0)
				continue;
			const char *text = llama_vocab_get_text(model->vocab, t);
			if (text[0] == '\0')
				continue;
			if (pass == 1)
				model->control[count] = (struct control_text){text, strlen(text)};
			count++;
		}
		if (pass == 0 && count > 0) {
			model->control = mem_new_array(model->scope, struct control_text, count);
			if (model->control == NULL)
				return fault_set(reterr, mem_refusal(),
						 "no memory for a vocabulary");
		}
	}
	model->control_count = count;
	return ST_OK;
}

status llm_model_open(struct mem_scope *scope, const char *path, const struct llm_file_info *file,
		      struct llm_model *ret_model, struct fault *reterr)
{
	struct llm_model model = {.scope = scope, .file = *file};
	status st = llm_start(reterr);
	if (st != ST_OK)
		return st;
	struct llama_model_params params = llama_model_default_params();
	params.load_mode = LLAMA_LOAD_MODE_MMAP;
	params.use_extra_bufts = false;
	params.n_gpu_layers = 0;
	model.llama = border_model_open(path, params);
	if (model.llama == NULL)
		return fault_set(reterr, ST_CORRUPT, "libllama cannot load '%s': %s", path,
				 complaint[0] != '\0' ? complaint : "it gave no reason");
	model.vocab = llama_model_get_vocab(model.llama);
	model.chat_template = llama_model_chat_template(model.llama, NULL);
	st = list_controls(&model, reterr);
	if (st != ST_OK) {
		llama_model_free(model.llama);
		return st;
	}
	*ret_model = model;
	return ST_OK;
}

void llm_model_close(struct llm_model *model)
{
	if (model->llama != NULL)
		llama_model_free(model->llama);
	mem_free(model->control);
	*model = (struct llm_model){0};
}

static status tokens_room(struct token_list *list, size_t room, struct fault *reterr)
{
	llama_token *grown = mem_resize_array(list->scope, llama_token, list->token, room);
	if (grown == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for %zu tokens", room);
	list->token = grown;
	list->room = room;
	return ST_OK;
}

/* When the room is too small, libllama says how much it wants. */
static status clean_tokens_add(const struct llm_model *model, struct span text, bool special,
			       bool parse, struct token_list *list, struct fault *reterr)
{
	const struct border_text piece = {text.bytes > 0 ? text.data : "", (int32_t)text.bytes,
					  special, parse};
	status st = ST_OK;
	if (list->room - list->count < text.bytes / 2 + 16)
		st = tokens_room(list, list->count + text.bytes / 2 + 16, reterr);
	while (st == ST_OK) {
		int32_t n = border_tokenize(model->vocab, &piece, list->token + list->count,
					    (int32_t)(list->room - list->count));
		if (n >= 0) {
			list->count += (size_t)n;
			return ST_OK;
		}
		if (n == INT32_MIN)
			return fault_set(reterr, ST_LIMIT,
					 "a text of %zu bytes has too many tokens", text.bytes);
		st = tokens_room(list, list->count + (size_t)-n, reterr);
	}
	return st;
}

/* Add the tokens of text to list. libllama's tokenizers throw at malformed UTF-8: it is mended
 * first. */
static status tokens_add(const struct llm_model *model, struct span text, bool special, bool parse,
			 struct token_list *list, struct fault *reterr)
{
	if (text.bytes > LLM_PROMPT_BYTES_MAX)
		return fault_set(reterr, ST_LIMIT,
				 "a text of %zu bytes is too long for a model; at "
				 "most %d are read",
				 text.bytes, LLM_PROMPT_BYTES_MAX);
	if (utf8_is_valid(text))
		return clean_tokens_add(model, text, special, parse, list, reterr);
	struct buf clean;
	buf_init(&clean, list->scope, 3 * (size_t)LLM_PROMPT_BYTES_MAX);
	(void)pieces_clean(text, &clean);
	status st = buf_check(&clean, "a text", reterr);
	if (st == ST_OK)
		st = clean_tokens_add(model, buf_span(&clean), special, parse, list, reterr);
	buf_fini(&clean);
	return st;
}

status llm_model_tokens(const struct llm_model *model, struct span text, bool special,
			struct mem_scope *scratch, struct token_list *ret_tokens,
			struct fault *reterr)
{
	struct token_list list = {.scope = scratch};
	status st = tokens_add(model, text, special, false, &list, reterr);
	if (st == ST_OK)
		*ret_tokens = list;
	else
		mem_free(list.token);
	return st;
}

static bool holds_control_text(const struct llm_model *model, struct span text)
{
	for (size_t i = 0; i < model->control_count && text.bytes > 0; i++) {
		const struct control_text *c = &model->control[i];
		if (memmem(text.data, text.bytes, c->text, c->bytes) != NULL)
			return true;
	}
	return false;
}

/* A private-use character and a number stand for the content of message i in the template. */
enum { MARK_BYTES = 16 };
static size_t mark_write(char out[MARK_BYTES], size_t i)
{
	return (size_t)snprintf(out, MARK_BYTES, "\xEE\xBF\xBF%zu\xEE\xBF\xBF", i);
}

/* Run the template. Contents that hold a control token's text are replaced by their marks. */
static status template_apply(const struct llm_model *model, const struct llm_message *messages,
			     size_t count, struct mem_scope *scratch, struct buf *out,
			     struct fault *reterr)
{
	struct llama_chat_message *chat = mem_new_array(scratch, struct llama_chat_message, count);
	if (chat == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for a prompt");
	size_t bytes = 256;
	for (size_t i = 0; i < count; i++) {
		char mark[MARK_BYTES];
		struct span content = messages[i].content;
		if (holds_control_text(model, content))
			content = (struct span){mark, mark_write(mark, i)};
		chat[i].role = messages[i].role;
		chat[i].content = mem_copy_text(scratch, content);
		if (chat[i].content == NULL)
			return fault_set(reterr, mem_refusal(), "no memory for a prompt");
		bytes += 2 * content.bytes + 128;
	}
	for (int attempt = 0; attempt < 2; attempt++) {
		char *room;
		if (!buf_reserve(out, bytes + 1, &room))
			return buf_check(out, "the prompt", reterr);
		int32_t n =
			border_template(model->chat_template, chat, count, room, (int32_t)bytes);
		if (n < 0)
			return fault_set(reterr, ST_UNSUPPORTED,
					 "libllama does not know the chat template of '%s'",
					 model->file.name);
		if ((size_t)n <= bytes) {
			buf_commit(out, (size_t)n);
			return ST_OK;
		}
		bytes = (size_t)n;
	}
	return fault_set(reterr, ST_INVALID, "the prompt changes its length");
}

/* The template's text is read with control tokens, a marked content as plain text. */
static status prompt_cut(const struct llm_model *model, const struct llm_message *messages,
			 size_t count, struct span prompt, struct mem_scope *scratch,
			 struct token_list *ret_tokens, struct fault *reterr)
{
	struct token_list list = {.scope = scratch};
	status st = ST_OK;
	bool first = true;
	for (size_t i = 0; i < count && st == ST_OK; i++) {
		char mark[MARK_BYTES];
		if (!holds_control_text(model, messages[i].content))
			continue;
		size_t mark_bytes = mark_write(mark, i);
		const char *hit = memmem(prompt.data, prompt.bytes, mark, mark_bytes);
		if (hit == NULL)
			continue; /* the template leaves this message out */
		size_t before = (size_t)(hit - prompt.data);
		st = tokens_add(model, span_slice(prompt, 0, before), first, true, &list, reterr);
		if (st == ST_OK)
			st = tokens_add(model, messages[i].content, false, false, &list, reterr);
		prompt = span_slice(prompt, before + mark_bytes, prompt.bytes);
		first = false;
	}
	if (st == ST_OK)
		st = tokens_add(model, prompt, first, true, &list, reterr);
	if (st == ST_OK)
		*ret_tokens = list;
	else
		mem_free(list.token);
	return st;
}

status llm_model_prompt(const struct llm_model *model, const struct llm_message *messages,
			size_t count, struct mem_scope *scratch, struct token_list *ret_tokens,
			struct fault *reterr)
{
	if (count < 1 || count > LLM_MESSAGES_MAX)
		return fault_set(reterr, ST_INVALID, "%zu messages were given; it can be 1 to %d",
				 count, LLM_MESSAGES_MAX);
	if (model->chat_template == NULL)
		return fault_set(reterr, ST_UNSUPPORTED,
				 "'%s' has no chat template: it is not a model for conversation",
				 model->file.name);
	size_t bytes = 0;
	for (size_t i = 0; i < count; i++) {
		if (!size_add(bytes, messages[i].content.bytes, &bytes) ||
		    bytes > LLM_PROMPT_BYTES_MAX)
			return fault_set(reterr, ST_LIMIT,
					 "the messages have more than %d bytes together",
					 LLM_PROMPT_BYTES_MAX);
	}
	struct buf prompt;
	buf_init(&prompt, scratch, 4 * (size_t)LLM_PROMPT_BYTES_MAX);
	status st = template_apply(model, messages, count, scratch, &prompt, reterr);
	if (st == ST_OK)
		st = prompt_cut(model, messages, count, buf_span(&prompt), scratch, ret_tokens,
				reterr);
	buf_fini(&prompt);
	return st;
}
