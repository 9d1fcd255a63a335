/* qa/eval.h -- how good a knowledge base is on questions with known answers.
 *
 * Input: JSON lines {"id","text","relevant":[doc ids],"answers":[...]}. A document counts once,
 * with the rank of its best chunk. nDCG with gain 1, MRR and nDCG at 10; recall: relevant documents
 * found divided by the most that could be. */
#ifndef QA_EVAL_H
#define QA_EVAL_H

#include "qa/retrieve.h"

struct eval_options {
	enum kb_arm arm;
	bool answers; /* also ask for the extractive answer and look for the annotated ones in it */
	bool absent;  /* the questions have no answer in this KB: only `refused` means something */
	size_t queries_max; /* 0 = all */
	void (*progress)(void *context, size_t done, size_t total);
	void *context;
	const struct cancel *cancel;
};

struct eval_result {
	size_t queries;
	double recall_1, recall_5, recall_10, mrr_10, ndcg_10;
	double p50_ms, p95_ms;
	double refused; /* share of questions answered with "does not say" (with answers) */
	double answer_contained; /* share whose quotation holds an annotated answer (with answers)
				  */
	double quote_chars_mean;
};

MUST_CHECK status eval_run(struct service *s, const char *kb, const char *queries_path,
			   const struct eval_options *options, struct eval_result *ret_result,
			   struct fault *reterr);

#endif
