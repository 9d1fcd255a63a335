/* kb/vector_arm.h -- the rows nearest to the question: int8 scan of all, rescoring of the best from
 * half precision. */
#ifndef KB_VECTOR_ARM_H
#define KB_VECTOR_ARM_H

#include "kb/reader.h"
#include "kb/scan.h"

/* Rows rescored for each one that is wanted: makes the int8 scan's recall that of floats. */
enum { VECTOR_RESCORE = 4 };

struct vector_arm {
	struct scan_hit *best; /* best first; room for best_max */
	size_t best_max, best_count;
	float mean, deviation; /* of the question's cosine with all visible rows */
};

MUST_CHECK status vector_arm_search(struct reader *r, const float *question,
				    struct mem_scope *scratch, struct vector_arm *arm,
				    struct fault *reterr);

/* Exact cosine of the question with a row. */
float vector_arm_cosine(const struct reader *r, const float *question, uint32_t row);

#endif
