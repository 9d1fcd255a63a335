#include "llm/border.h"

#include <cstdio>
#include <cstring>
#include <exception>
#include <stdexcept>

namespace {

thread_local bool opening = false;

/* ggml_abort() calls this and would then call abort(). */
void on_abort(const char *message)
{
	const char *file = std::strrchr(message, '/');
	const char *shown = file != nullptr ? file + 1 : message;
	if (opening)
		throw std::runtime_error(shown);
	std::fprintf(stderr, "libllama gives up: %s\n", shown);
}

/* Call f; on an exception keep its reason and return failed. */
template <typename T, typename F> T guarded(T failed, F f)
{
	try {
		return f();
	} catch (const std::exception &e) {
		llm_complain(e.what());
	} catch (...) {
		llm_complain("an exception without a name");
	}
	return failed;
}

template <typename T, typename F> T guarded_opening(F f)
{
	opening = true;
	T result = guarded(static_cast<T>(nullptr), f);
	opening = false;
	return result;
}

} /* namespace */

void border_start(void)
{
	ggml_set_abort_callback(on_abort);
}

struct gguf_context *border_gguf_open(const char *path)
{
	return guarded_opening<gguf_context *>([&] {
		return gguf_init_from_file(path, gguf_init_params{true, nullptr});
	});
}

struct llama_model *border_model_open(const char *path, struct llama_model_params params)
{
	return guarded_opening<llama_model *>(
		[&] { return llama_model_load_from_file(path, params); });
}

struct llama_context *border_context_open(struct llama_model *model,
					  struct llama_context_params params)
{
	return guarded_opening<llama_context *>(
		[&] { return llama_init_from_model(model, params); });
}

int32_t border_decode(struct llama_context *context, struct llama_batch batch)
{
	return guarded<int32_t>(BORDER_THREW, [&] { return llama_decode(context, batch); });
}

int32_t border_sample(struct llama_sampler *sampler, struct llama_context *context, int32_t row)
{
	return guarded<int32_t>(BORDER_THREW,
				[&] { return llama_sampler_sample(sampler, context, row); });
}

int32_t border_template(const char *text, const struct llama_chat_message *chat, size_t count,
			char *out, int32_t bytes)
{
	return guarded<int32_t>(BORDER_THREW, [&] {
		return llama_chat_apply_template(text, chat, count, true, out, bytes);
	});
}

int32_t border_tokenize(const struct llama_vocab *vocab, const struct border_text *text,
			llama_token *out, int32_t room)
{
	return guarded<int32_t>(INT32_MIN, [&] {
		return llama_tokenize(vocab, text->data, text->bytes, out, room, text->special,
				      text->parse);
	});
}
