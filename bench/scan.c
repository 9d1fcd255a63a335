/* bench/scan.c -- how close the vector scan comes to the memory's speed.
 *
 *     scan [rows [dim [threads]]]        default 1,000,000 x 384, 1 thread
 *
 * Makes a file of random rows in the form that a knowledge base has, maps it as a search does, and
 * measures alternately: the bandwidth of reading that memory (sum of all 8-byte words, the fastest
 * of two plain loops), and the scan of the same memory. Prints gigabytes per second of both, their
 * ratio, and milliseconds a question, for every kernel that the CPU has. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/size.h"
#include "kb/scan.h"
#include "mem/scope.h"
#include "rt/clock.h"
#include "rt/file.h"

enum { ROUNDS = 11, THREADS_MAX = 64, TOP = 200 };

struct plan {
	uint32_t dim;
	uint64_t rows;
	size_t bytes, threads;
	const unsigned char *base;
	uint64_t *visible;
	struct scan_query query;
	const struct scan_kernel *kernel; /* NULL: only read */
	bool ahead;                       /* reading: ask for lines ahead */
};

struct part {
	const struct plan *plan;
	uint64_t first, end; /* rows, whole blocks */
	uint64_t sum;
};

enum { STEP_WORDS = 16, AHEAD_WORDS = 512 };

/* The plainest way to touch every cache line in order, with enough loads in flight. */
static uint64_t words_sum(const unsigned char *from, size_t bytes, bool ahead)
{
	uint64_t sums[STEP_WORDS] = {0}, sum = 0;
	const uint64_t *words = (const uint64_t *)(const void *)from;
	for (size_t i = 0; i + STEP_WORDS <= bytes / sizeof *words; i += STEP_WORDS) {
		if (ahead) {
			__builtin_prefetch(words + i + AHEAD_WORDS);
			__builtin_prefetch(words + i + AHEAD_WORDS + STEP_WORDS / 2);
		}
		for (size_t j = 0; j < STEP_WORDS; j++)
			sums[j] += words[i + j];
	}
	for (size_t j = 0; j < STEP_WORDS; j++)
		sum += sums[j];
	return sum;
}

static void *part_run(void *context)
{
	struct part *p = context;
	const struct plan *plan = p->plan;
	if (plan->kernel == NULL) {
		size_t block = scan_block_bytes(plan->dim);
		const unsigned char *from = plan->base + p->first / SCAN_BLOCK * block;
		size_t bytes = (size_t)(p->end - p->first) / SCAN_BLOCK * block;
		p->sum = words_sum(from, bytes, plan->ahead);
		return NULL;
	}
	struct scan_hit hits[TOP];
	struct scan_top top = {.hits = hits, .max = TOP};
	scan_rows(plan->kernel, &plan->query, plan->base, p->first, p->end, plan->visible, &top);
	p->sum = top.hits[0].row;
	return NULL;
}

/* Seconds of one run over all rows. */
static double run(const struct plan *plan)
{
	struct part parts[THREADS_MAX];
	pthread_t threads[THREADS_MAX];
	uint64_t blocks = plan->rows / SCAN_BLOCK, start = clock_ns();
	for (size_t i = 0; i < plan->threads; i++) {
		parts[i] = (struct part){plan, blocks * i / plan->threads * SCAN_BLOCK,
					 blocks * (i + 1) / plan->threads * SCAN_BLOCK, 0};
		if (i > 0 && pthread_create(&threads[i], NULL, part_run, &parts[i]) != 0)
			exit(1);
	}
	(void)part_run(&parts[0]);
	for (size_t i = 1; i < plan->threads; i++)
		(void)pthread_join(threads[i], NULL);
	return (double)(clock_ns() - start) / 1e9;
}

static status file_make(const char *path, const struct plan *plan, struct fault *reterr)
{
	CLEANUP(fd_closep) int fd = -1;
	size_t block = scan_block_bytes(plan->dim);
	char *bytes = mem_new_array(mem_scope_root(), char, block);
	status st = bytes != NULL ? fd_open(path, O_CREAT | O_EXCL | O_WRONLY, 0600, &fd, reterr)
				  : fault_set(reterr, mem_refusal(), "no memory for a block");
	for (uint64_t b = 0; st == ST_OK && b < plan->rows / SCAN_BLOCK; b++) {
		for (size_t i = 0; i < block; i += sizeof(uint64_t)) {
			uint64_t dice = hash_mix(b * block + i) & ~(uint64_t)0x8080808080808080 &
					0x7f7f7f7f7f7f7f7f;
			memcpy(bytes + i, &dice, sizeof dice);
		}
		for (size_t i = 0; i < SCAN_BLOCK; i++) {
			float scale = 0.001F;
			memcpy(bytes + i * sizeof scale, &scale, sizeof scale);
		}
		st = fd_write(fd, (struct span){bytes, block}, reterr);
	}
	mem_free(bytes);
	return st;
}

static void query_make(struct plan *plan)
{
	size_t stride = scan_stride(plan->dim);
	int8_t *values = mem_new_aligned(mem_scope_root(), int8_t, stride, 64);
	if (values == NULL)
		exit(1);
	plan->query = (struct scan_query){.values = values, .stride = stride, .scale = 0.01F};
	for (uint32_t i = 0; i < plan->dim; i++) {
		values[i] = (int8_t)((int)(hash_mix(i) % 255) - 127);
		plan->query.sum += values[i];
	}
}

/* Taken in turns, the fastest of ROUNDS each: what else runs on the machine slows all alike. */
static void report(struct plan *plan)
{
	const struct scan_kernel *list[4];
	size_t kernels = scan_kernel_list(list);
	double gigabytes = (double)plan->bytes / 1e9, reading = 1e9,
	       scanning[4] = {1e9, 1e9, 1e9, 1e9};
	for (int round = 0; round < ROUNDS; round++) {
		plan->kernel = NULL;
		for (int ahead = 0; ahead < 2; ahead++) {
			plan->ahead = ahead;
			double seconds = run(plan);
			reading = seconds < reading ? seconds : reading;
		}
		for (size_t k = 0; k < kernels; k++) {
			plan->kernel = list[k];
			double seconds = run(plan);
			scanning[k] = seconds < scanning[k] ? seconds : scanning[k];
		}
	}
	printf("%llu rows x %u, %.0f MB, %zu thread(s)\n", (unsigned long long)plan->rows,
	       plan->dim, gigabytes * 1000, plan->threads);
	printf("reading      %6.2f GB/s\n", gigabytes / reading);
	for (size_t k = 0; k < kernels; k++)
		printf("%-12s %6.2f GB/s  %5.1f %% of reading  %7.2f ms a question\n",
		       list[k]->name, gigabytes / scanning[k], 100 * reading / scanning[k],
		       scanning[k] * 1000);
}

int main(int argc, char **argv)
{
	char path[] = "/tmp/plimsoll-scan-XXXXXX/vectors.i8",
	     folder[] = "/tmp/plimsoll-scan-XXXXXX";
	struct plan plan = {.rows = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000,
			    .dim = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 384,
			    .threads = argc > 3 ? strtoul(argv[3], NULL, 10) : 1};
	struct fault fault = {0};
	struct file_map map;
	plan.rows -= plan.rows % SCAN_BLOCK;
	if (plan.rows == 0 || plan.dim == 0 || plan.dim > 4096 || plan.threads < 1 ||
	    plan.threads > THREADS_MAX || mkdtemp(folder) == NULL) {
		(void)fprintf(stderr, "usage: scan [rows [dim [threads]]]\n");
		return 2;
	}
	memcpy(path, folder, sizeof folder - 1);
	status st = file_make(path, &plan, &fault);
	if (st == ST_OK)
		st = file_map_open(path, &map, &fault);
	if (st == ST_OK) {
		plan.base = map.data;
		plan.bytes = map.bytes;
		plan.visible = mem_new_array(mem_scope_root(), uint64_t, plan.rows / SCAN_BLOCK);
		if (plan.visible == NULL)
			return 1;
		memset(plan.visible, 0xff, plan.rows / SCAN_BLOCK * sizeof *plan.visible);
		query_make(&plan);
		report(&plan);
		file_map_close(&map);
	}
	if (st != ST_OK)
		(void)fprintf(stderr, "%s\n", fault_text(&fault));
	if (dir_remove(folder, &fault) != ST_OK)
		return 1;
	return st == ST_OK ? 0 : 1;
}
