/* From a request's parameters to a chain of libllama's samplers. */
#include <llama.h>
#include <math.h>

#include "llm/local.h"

enum { PENALTY_TOKENS = 64 }; /* how far back the penalties look */

static status check(const struct llm_request *r, struct fault *reterr)
{
	if (!(r->temperature >= 0.0F && r->temperature <= 100.0F))
		return fault_set(reterr, ST_INVALID, "temperature is %g; it can be 0 to 100",
				 (double)r->temperature);
	if (!(r->top_p >= 0.0F && r->top_p <= 1.0F))
		return fault_set(reterr, ST_INVALID, "top_p is %g; it can be 0 to 1",
				 (double)r->top_p);
	if (!(r->min_p >= 0.0F && r->min_p <= 1.0F))
		return fault_set(reterr, ST_INVALID, "min_p is %g; it can be 0 to 1",
				 (double)r->min_p);
	if (!(r->repeat_penalty >= 0.0F && r->repeat_penalty <= 10.0F))
		return fault_set(reterr, ST_INVALID, "repeat_penalty is %g; it can be 0 to 10",
				 (double)r->repeat_penalty);
	if (!(fabsf(r->frequency_penalty) <= 10.0F) || !(fabsf(r->presence_penalty) <= 10.0F))
		return fault_set(reterr, ST_INVALID,
				 "frequency_penalty and presence_penalty can be -10 to 10");
	if (r->top_k < 0)
		return fault_set(reterr, ST_INVALID, "top_k is %d; it can be 0 or more", r->top_k);
	return ST_OK;
}

static bool has_penalty(const struct llm_request *r)
{
	return (r->repeat_penalty != 0.0F && r->repeat_penalty != 1.0F) ||
	       r->frequency_penalty != 0.0F || r->presence_penalty != 0.0F;
}

/* Cheapest cut first: penalties see the whole vocabulary, the rest what top_k left. */
status sampler_open(const struct llama_vocab *vocab, const struct llm_request *request,
		    struct llama_sampler **ret_sampler, struct fault *reterr)
{
	const struct llm_request *r = request;
	status st = check(r, reterr);
	if (st != ST_OK)
		return st;
	if (r->temperature == 0.0F && !has_penalty(r)) {
		*ret_sampler = NULL;
		return ST_OK;
	}
	struct llama_sampler *chain =
		llama_sampler_chain_init(llama_sampler_chain_default_params());
	if (has_penalty(r))
		llama_sampler_chain_add(
			chain, llama_sampler_init_penalties(
				       llama_vocab_n_tokens(vocab), PENALTY_TOKENS,
				       r->repeat_penalty != 0.0F ? r->repeat_penalty : 1.0F,
				       r->frequency_penalty, r->presence_penalty));
	if (r->temperature == 0.0F) {
		llama_sampler_chain_add(chain, llama_sampler_init_greedy());
		*ret_sampler = chain;
		return ST_OK;
	}
	if (r->top_k > 0)
		llama_sampler_chain_add(chain, llama_sampler_init_top_k(r->top_k));
	if (r->top_p > 0.0F && r->top_p < 1.0F)
		llama_sampler_chain_add(chain, llama_sampler_init_top_p(r->top_p, 1));
	if (r->min_p > 0.0F)
		llama_sampler_chain_add(chain, llama_sampler_init_min_p(r->min_p, 1));
	llama_sampler_chain_add(chain, llama_sampler_init_temp(r->temperature));
	llama_sampler_chain_add(chain, llama_sampler_init_dist(r->seed));
	*ret_sampler = chain;
	return ST_OK;
}
