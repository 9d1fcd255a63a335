/* qa/retrieve.h -- a question to passages: embed, search both arms, fuse, decide.
 */
#ifndef QA_RETRIEVE_H
#define QA_RETRIEVE_H

#include "qa/service.h"

struct retrieve_options {
	size_t hits_max; /* 1..KB_HITS_MAX; 0 = 10 */
	enum kb_arm arm;
	const struct cancel *cancel;
};

struct retrieval {
	struct kb_hits hits;
	bool answerable;     /* false: both arms say that the KB does not hold it */
	bool foreign;        /* the question is in another script than the best hit */
	const float *vector; /* of the question, in scratch; NULL: the vector arm took no part */
	size_t dim;
	char model[KB_MODEL_BYTES]; /* of vector */
	uint64_t chunks;            /* of the knowledge base */
	double took_ms;
};

/* All results live in scratch. */
MUST_CHECK status retrieve(struct service *s, const char *kb, struct span question,
			   const struct retrieve_options *options, struct mem_scope *scratch,
			   struct retrieval *ret_retrieval, struct fault *reterr);

#endif
