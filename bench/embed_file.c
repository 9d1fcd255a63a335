/* bench/embed_file.c -- texts per second of our engine over a file of texts, a text a line.
 *
 *   embed_file MODEL.plm TEXTS THREADS [KERNEL]
 *
 * Prints one JSON line: best of three passes, by CPU time of the process and by wall time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/size.h"
#include "embed/engine.h"
#include "embed/models.h"
#include "qa/passage.h"
#include "rt/file.h"

enum { TEXTS_MAX = 100000, PASSES = 3 };

static double seconds(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static size_t split_lines(struct span all, struct span *lines)
{
	size_t count = 0;
	for (size_t at = 0; at < all.bytes && count < TEXTS_MAX;) {
		const char *end = memchr(all.data + at, '\n', all.bytes - at);
		size_t to = end != NULL ? (size_t)(end - all.data) : all.bytes;
		lines[count++] = span_slice(all, at, to);
		at = to + 1;
	}
	return count;
}

static status open_model(struct mem_scope *scope, const char *path, uint32_t threads,
			 const char *kernel, struct embedder **ret, struct fault *reterr)
{
	struct model_info info;
	status st = model_info_read(path, &info, reterr);
	if (st != ST_OK)
		return st;
	struct engine_options options = {.batch_workspaces = threads,
					 .query_workspaces = 1,
					 .waiting_max = 64,
					 .kernel = kernel};
	if (strcmp(info.precision, "int8") == 0)
		options.precision = EMBED_INT8;
	else if (strcmp(info.precision, "f32") == 0)
		options.precision = EMBED_F32;
	return engine_open(scope, path, &options, ret, reterr);
}

int main(int argc, char **argv)
{
	if (argc < 4)
		return (void)fprintf(stderr,
				     "usage: embed_file MODEL.plm TEXTS THREADS [KERNEL]\n"),
		       2;
	struct mem_scope *scope = mem_scope_root();
	struct fault fault = {0};
	struct span all;
	struct span *lines = mem_new_array(scope, struct span, TEXTS_MAX);
	uint32_t threads = (uint32_t)strtoul(argv[3], NULL, 10);
	struct embedder *e = NULL;
	status st = lines != NULL ? file_read(scope, argv[2], GIB, &all, &fault) : ST_OOM;
	if (st == ST_OK)
		st = open_model(scope, argv[1], threads, argc > 4 ? argv[4] : NULL, &e, &fault);
	if (st != ST_OK)
		return (void)fprintf(stderr, "%s\n", fault_text(&fault)), 1;
	struct passage_job job = {.embedder = e,
				  .texts = lines,
				  .count = split_lines(all, lines),
				  .threads = threads};
	float *vectors = mem_new_array(scope, float, job.count * e->info.dim);
	double cpu = 1e9, wall = 1e9;
	for (int pass = 0; vectors != NULL && st == ST_OK && pass < PASSES; pass++) {
		double c = seconds(CLOCK_PROCESS_CPUTIME_ID), w = seconds(CLOCK_MONOTONIC);
		st = passage_embed(&job, vectors, &fault);
		c = seconds(CLOCK_PROCESS_CPUTIME_ID) - c;
		w = seconds(CLOCK_MONOTONIC) - w;
		cpu = c < cpu ? c : cpu;
		wall = w < wall ? w : wall;
	}
	if (st != ST_OK || vectors == NULL)
		return (void)fprintf(stderr, "%s\n", fault_text(&fault)), 1;
	(void)printf("{\"kernel\":\"%s\",\"texts\":%zu,\"texts_per_cpu_second\":%.2f,"
		     "\"texts_per_second\":%.2f}\n",
		     engine_kernel(e), job.count, (double)job.count / cpu,
		     (double)job.count / wall);
	embedder_close(e);
	return 0;
}
