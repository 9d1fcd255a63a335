/* bench/embed_speed.c -- texts per CPU second of our engine by length, for every kernel of this
 * CPU.
 *
 *   embed_speed MODEL.plm...
 *
 * Texts are made of common words until they have the wanted number of tokens; one thread, CPU time,
 * best of some passes, tokenizing included. GOP/s counts the matrices only (2 operations for each
 * weight and token), so that machines can be compared with their own peak. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/size.h"
#include "embed/engine.h"
#include "embed/kernels.h"
#include "embed/models.h"

enum { TOKENS_PER_PASS = 4096, TEXT_BYTES = 8192, PASSES = 4 };

static const uint32_t lengths[] = {17, 126, 250, 448};

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Words until the text has `tokens` tokens with its special ones; the text lies in buffer. */
static struct span text_make(struct embedder *e, uint32_t tokens, char buffer[TEXT_BYTES],
			     struct fault *reterr)
{
	static const char *const words[] = {"the",    "memory", "of",   "a",     "server",
					    "cannot", "grow",   "when", "every", "account"};
	size_t count = 0, bytes = 0;
	for (size_t i = 0; count + 2 < tokens && bytes + 16 < TEXT_BYTES; i++) {
		int added = snprintf(buffer + bytes, TEXT_BYTES - bytes, "%s ",
				     words[i * i % ARRAY_COUNT(words)]);
		bytes += (size_t)added;
		struct span text = {buffer, bytes};
		if (embedder_count_tokens(e, text, &count, reterr) != ST_OK)
			break;
	}
	return (struct span){buffer, bytes};
}

static status measure(struct mem_scope *scope, struct embedder *e, const struct model_info *info,
		      uint32_t tokens, struct fault *reterr)
{
	static char buffer[TEXT_BYTES];
	static struct span texts[TOKENS_PER_PASS];
	size_t count = TOKENS_PER_PASS / tokens, read = 0;
	struct span text = text_make(e, tokens, buffer, reterr);
	float *vectors = mem_new_array(scope, float, count * e->info.dim);
	if (vectors == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for the vectors");
	for (size_t i = 0; i < count; i++)
		texts[i] = text;
	struct embed_job job = {.texts = texts, .count = count, .kind = EMBED_PLAIN};
	double best = 1e9;
	for (int pass = 0; pass < PASSES; pass++) {
		double took = seconds();
		status st = embedder_embed(e, &job, vectors, &read, reterr);
		if (st != ST_OK)
			return st;
		took = seconds() - took;
		best = took < best ? took : best;
	}
	mem_free(vectors);
	(void)printf("  %4zu tokens %8.1f/s", read / count, (double)count / best);
	if (tokens == 126) {
		/* dim x (4 dim + 2 ffn) weights a layer; ffn is 4 dim in this family */
		double weights = 12.0 * info->dim * info->dim * info->layers;
		(void)printf(" (%.0f GOP/s)", 2e-9 * weights * (double)read / best);
	}
	return ST_OK;
}

static status measure_kernel(const char *path, const struct model_info *info, const char *kernel,
			     struct fault *reterr)
{
	struct engine_options options = {
		.batch_workspaces = 1, .query_workspaces = 1, .kernel = kernel};
	if (strcmp(info->precision, "int8") == 0)
		options.precision = EMBED_INT8;
	else if (strcmp(info->precision, "f32") == 0)
		options.precision = EMBED_F32;
	struct embedder *e = NULL;
	struct mem_scope *scope = mem_scope_root();
	status st = engine_open(scope, path, &options, &e, reterr);
	if (st != ST_OK)
		return st;
	(void)printf("%s %-4s %-10s", info->name, info->precision, kernel);
	for (size_t i = 0; i < ARRAY_COUNT(lengths) && st == ST_OK; i++)
		if (lengths[i] <= e->info.tokens_max)
			st = measure(scope, e, info, lengths[i], reterr);
	(void)printf("\n");
	(void)fflush(stdout);
	embedder_close(e);
	return st;
}

int main(int argc, char **argv)
{
	struct fault fault = {0};
	struct kernels_kind kinds[KERNELS_KINDS];
	if (argc < 2)
		return (void)fprintf(stderr, "usage: embed_speed MODEL.plm...\n"), 2;
	kernels_list(kinds);
	for (int i = 1; i < argc; i++) {
		struct model_info info;
		status st = model_info_read(argv[i], &info, &fault);
		for (size_t k = 0; k < KERNELS_KINDS && st == ST_OK; k++)
			if (kinds[k].available)
				st = measure_kernel(argv[i], &info, kinds[k].name, &fault);
		if (st != ST_OK)
			return (void)fprintf(stderr, "%s\n", fault_text(&fault)), 1;
	}
	return 0;
}
