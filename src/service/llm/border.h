/* llm/border.h -- where the exceptions of libllama, which is C++, end: its calls that may throw or
 * abort, as C functions that fail.
 *
 * libllama reports most damage in a file by an exception that it catches itself, some by one that
 * it does not (no memory, malformed text) and some by GGML_ASSERT, which would end the process.
 * Here an exception becomes NULL or a negative number; so does an assertion, but only while a file
 * is being opened: no thread of libllama's runs then, and unwinding gives back what was half made.
 * Any other assertion of libllama's ends the process with one line on standard error.
 *
 * Threads  As the functions of llama.h with the same last name. What was thrown is kept per thread
 *          and told by llm_complaint(). */
#ifndef LLM_BORDER_H
#define LLM_BORDER_H

#include <gguf.h>
#include <llama.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { BORDER_THREW = -1000 };

/* Once, before the others. */
void border_start(void);

struct gguf_context *border_gguf_open(const char *path);
struct llama_model *border_model_open(const char *path, struct llama_model_params params);
struct llama_context *border_context_open(struct llama_model *model,
					  struct llama_context_params params);

/* The rest return what libllama returns, or BORDER_THREW. */
int32_t border_decode(struct llama_context *context, struct llama_batch batch);
int32_t border_sample(struct llama_sampler *sampler, struct llama_context *context, int32_t row);
int32_t border_template(const char *text, const struct llama_chat_message *chat, size_t count,
			char *out, int32_t bytes);

struct border_text {
	const char *data;
	int32_t bytes;
	bool special, parse; /* as add_special and parse_special */
};
/* INT32_MIN when it threw: every other negative number is how much room is wanted. */
int32_t border_tokenize(const struct llama_vocab *vocab, const struct border_text *text,
			llama_token *out, int32_t room);

/* From model.c: keep the reason for llm_complaint(). */
void llm_complain(const char *reason);

#ifdef __cplusplus
}
#endif

#endif
