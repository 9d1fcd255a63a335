#include "kb/vector_arm.h"

#include <math.h>
#include <stdlib.h>

float vector_arm_cosine(const struct reader *r, const float *question, uint32_t row)
{
	const uint16_t *halves = (const uint16_t *)(const void *)r->view->f16.data;
	uint32_t dim = r->view->dim;
	return scan_kernel_best()->dot_half(halves + (size_t)row * dim, question, dim);
}

static int by_score(const void *a, const void *b)
{
	const struct scan_hit *x = a, *y = b;
	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	return x->row < y->row ? -1 : x->row > y->row;
}

static void rescore(const struct reader *r, const float *question, struct scan_top *top,
		    struct vector_arm *arm)
{
	for (size_t i = 0; i < top->count; i++)
		top->hits[i].score = vector_arm_cosine(r, question, top->hits[i].row);
	qsort(top->hits, top->count, sizeof *top->hits, by_score);
	arm->best_count = top->count < arm->best_max ? top->count : arm->best_max;
	for (size_t i = 0; i < arm->best_count; i++)
		arm->best[i] = top->hits[i];
	double seen = top->seen > 0 ? (double)top->seen : 1;
	double mean = top->sum / seen, variance = top->sum_squares / seen - mean * mean;
	arm->mean = (float)mean;
	arm->deviation = (float)sqrt(variance > 0 ? variance : 0);
}

status vector_arm_search(struct reader *r, const float *question, struct mem_scope *scratch,
			 struct vector_arm *arm, struct fault *reterr)
{
	uint32_t dim = r->view->dim;
	CLEANUP(mem_scope_closep) struct mem_scope *scope = mem_scope_open(scratch, "vectors", 0);
	if (scope == NULL)
		return fault_set(reterr, mem_refusal(), "no memory to search");
	int8_t *values = mem_new_aligned(scope, int8_t, scan_stride(dim), 64);
	struct scan_top top = {.max = VECTOR_RESCORE * arm->best_max};
	top.hits = mem_new_array(scope, struct scan_hit, top.max);
	if (values == NULL || top.hits == NULL)
		return fault_set(reterr, mem_refusal(), "no memory to search");
	struct scan_query q = {.values = values, .stride = scan_stride(dim)};
	q.scale = scan_quantise(question, dim, values);
	for (uint32_t i = 0; i < dim; i++)
		q.sum += values[i];
	scan_rows(scan_kernel_best(), &q, r->view->i8.data, 0, r->state.rows, r->visible, &top);
	rescore(r, question, &top, arm);
	return ST_OK;
}
