/* llm/model.h -- a GGUF file opened by libllama: weights mapped, prompt written and cut into
 * tokens.
 *
 * Private to llm/.
 *
 * Memory   The weights are a read-only mapping (never repacked: repacking would copy them into
 *          anonymous memory). libllama's own heap is foreign memory. Tokens live where the caller
 *          says.
 * Threads  A model is read-only once open; tokenising is safe from many threads at once.
 * Errors   libllama says why a file is refused in its log; the last such line is kept per thread
 *          and becomes part of our fault. Nothing is printed. */
#ifndef LLM_MODEL_H
#define LLM_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "llm/llm.h"

/* As llama.h, which only the files that call libllama include. */
struct llama_model;
struct llama_vocab;
typedef int32_t llama_token;

enum { LLM_PROMPT_BYTES_MAX = 8 * 1024 * 1024 };

/* Text that the vocabulary reads as one control token, such as "<|im_end|>". */
struct control_text {
	const char *text; /* owned by libllama */
	size_t bytes;
};

struct llm_model {
	struct mem_scope *scope;
	struct llama_model *llama;
	const struct llama_vocab *vocab;
	const char *chat_template; /* NULL: none; owned by libllama */
	struct control_text *control;
	size_t control_count;
	struct llm_file_info file;
};

struct token_list {
	struct mem_scope *scope; /* where token lives */
	llama_token *token;
	size_t count, room;
};

/* Start libllama once per process; ST_UNSUPPORTED when it was built for another CPU. */
MUST_CHECK status llm_start(struct fault *reterr);

/* What libllama last complained about in this thread, without its prefix; "" when nothing. */
const char *llm_complaint(void);

/* Map the file at path, which llm_file_inspect() found to be `file`. `scope` is only borrowed:
 * close the model before it. */
MUST_CHECK status llm_model_open(struct mem_scope *scope, const char *path,
				 const struct llm_file_info *file, struct llm_model *ret_model,
				 struct fault *reterr);
void llm_model_close(struct llm_model *model);

/* The messages as the model's own chat template writes them, up to where the assistant begins, in
 * tokens in scratch. Text of a control token inside a message stays text. */
MUST_CHECK status llm_model_prompt(const struct llm_model *model,
				   const struct llm_message *messages, size_t count,
				   struct mem_scope *scratch, struct token_list *ret_tokens,
				   struct fault *reterr);

/* Tokens of plain text, with or without the model's special tokens around it. */
MUST_CHECK status llm_model_tokens(const struct llm_model *model, struct span text, bool special,
				   struct mem_scope *scratch, struct token_list *ret_tokens,
				   struct fault *reterr);

#endif
