/* bench/kb.c -- a knowledge base alone: bulk ingest, search, memory.
 *
 *     kb [chunks [dim [corpus.jsonl...]]]      default 100,000 x 384 over data/retrieval
 *
 * Chunks of about 240 characters are cut from the corpora at random places, so that terms are as
 * frequent as in real text; vectors are random. Prints megabytes of text a second while adding
 * (first full text only, then with vectors), milliseconds a search by each arm, and anonymous
 * memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/size.h"
#include "base/utf8.h"
#include "kb/kb.h"
#include "rt/buf.h"
#include "rt/clock.h"
#include "rt/file.h"
#include "rt/json.h"

enum { CHUNK_BYTES = 600, BATCH = 64, SEARCHES = 300, CORPUS_BYTES_MAX = 256 * 1024 * 1024 };

static struct buf corpus;
static uint64_t seed = 7;

static uint64_t dice(void)
{
	return hash_mix(seed++);
}

static void check(status st, const struct fault *f)
{
	if (st == ST_OK)
		return;
	(void)fprintf(stderr, "%s: %s\n", status_name(st), fault_text(f));
	exit(1);
}

/* Add the "text" of every line. */
static status corpus_add(const char *path, struct fault *reterr)
{
	struct mem_scope *scope = mem_scope_open(mem_scope_root(), "corpus", 0);
	struct span all;
	status st = file_read(scope, path, CORPUS_BYTES_MAX, &all, reterr);
	while (st == ST_OK && all.bytes > 0) {
		const char *end = memchr(all.data, '\n', all.bytes);
		size_t bytes = end != NULL ? (size_t)(end - all.data) : all.bytes;
		CLEANUP(json_freep) struct json *line = NULL;
		st = json_parse(span_slice(all, 0, bytes), &line, reterr);
		if (st == ST_OK && !buf_add(&corpus, json_text(json_get(line, "text"))))
			st = buf_check(&corpus, "the corpus", reterr);
		all = span_slice(all, bytes + 1, all.bytes);
	}
	mem_scope_close(scope);
	return st;
}

/* A piece of the corpus of about `bytes` bytes. */
static struct span piece(size_t bytes)
{
	struct span all = buf_span(&corpus);
	size_t from = utf8_floor(all, (size_t)(dice() % (all.bytes - bytes)));
	return span_slice(all, from, utf8_floor(all, from + bytes));
}

static void vector_make(float *out, uint32_t dim)
{
	float squares = 0;
	for (uint32_t i = 0; i < dim; i++) {
		out[i] = (float)(dice() >> 40) / (float)(1 << 23) - 1.0F;
		squares += out[i] * out[i];
	}
	for (uint32_t i = 0; i < dim; i++)
		out[i] /= __builtin_sqrtf(squares);
}

static void ingest(const char *root, const char *name, uint64_t count, uint32_t dim)
{
	struct fault f = {0};
	struct kb_writer *w;
	struct kb_build build = {.model = "", .dim = dim, .chunk_chars = 240};
	(void)snprintf(build.model, sizeof build.model, "%s", dim > 0 ? "random" : "");
	float *vectors = mem_new_array(mem_scope_root(), float, (size_t)BATCH *(dim + 1));
	struct kb_new_chunk chunks[BATCH];
	uint64_t bytes = 0, done;
	check(kb_create(root, name, "", &build, &f), &f);
	check(kb_writer_open(mem_scope_root(), root, name, &w, &f), &f);
	uint64_t start = clock_ns();
	check(kb_writer_file_begin(w, "big.txt", "0", 0, &done, &f), &f);
	for (uint64_t at = 0; at < count; at += BATCH) {
		for (size_t i = 0; i < BATCH; i++) {
			chunks[i] = (struct kb_new_chunk){.doc_id = SPAN("big"),
							  .title = SPAN("Big"),
							  .text = piece(CHUNK_BYTES)};
			bytes += chunks[i].text.bytes;
			if (dim > 0) {
				vector_make(vectors + i * dim, dim);
				chunks[i].vector = vectors + i * dim;
			}
		}
		check(kb_writer_add(w, chunks, size_min(BATCH, (size_t)(count - at)), &f), &f);
	}
	check(kb_writer_file_end(w, &f), &f);
	uint64_t closing = clock_ns();
	kb_writer_close(w);
	double seconds = (double)(clock_ns() - start) / 1e9;
	printf("add %s: %llu chunks, %.1f MB in %.2f s = %.1f MB/s (closing %.2f s)\n", name,
	       (unsigned long long)count, (double)bytes / 1e6, seconds,
	       (double)bytes / 1e6 / seconds, (double)(clock_ns() - closing) / 1e9);
	mem_free(vectors);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static void search(struct kb *kb, enum kb_arm arm, const char *name, uint32_t dim)
{
	struct fault f = {0};
	double took[SEARCHES];
	struct mem_scope *scratch = mem_scope_open(mem_scope_root(), "search", 0);
	float *vector = mem_new_array(mem_scope_root(), float, dim + 1);
	for (int i = 0; i < SEARCHES; i++) {
		vector_make(vector, dim);
		struct kb_query q = {.text = piece(60),
				     .vector = dim > 0 ? vector : NULL,
				     .hits_max = 10,
				     .arm = arm};
		struct kb_hits hits;
		uint64_t start = clock_ns();
		check(kb_search(kb, &q, scratch, &hits, &f), &f);
		took[i] = (double)(clock_ns() - start) / 1e6;
		mem_scope_reset(scratch);
	}
	qsort(took, SEARCHES, sizeof *took, by_value);
	printf("search %-7s p50 %6.2f ms  p95 %6.2f ms  least %.2f ms\n", name, took[SEARCHES / 2],
	       took[SEARCHES * 95 / 100], took[0]);
	mem_scope_close(scratch);
	mem_free(vector);
}

static void memory_print(const char *when)
{
	char line[256];
	FILE *status_file = fopen("/proc/self/status", "re");
	printf("%s:", when);
	while (status_file != NULL && fgets(line, sizeof line, status_file) != NULL) {
		if (strncmp(line, "RssAnon", 7) == 0 || strncmp(line, "RssFile", 7) == 0)
			printf("  %.*s", (int)strcspn(line, "\n"), line);
	}
	printf("\n");
	if (status_file != NULL)
		(void)fclose(status_file);
}

int main(int argc, char **argv)
{
	static const char *const parts[] = {"zh-cmrc/corpus.jsonl", "en-newwiki/corpus.jsonl"};
	char root[] = "/tmp/plimsoll-kb-bench-XXXXXX", path[FILE_PATH_BYTES];
	struct fault f = {0};
	uint64_t chunks = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000;
	uint32_t dim = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 384;
	const char *data = getenv("PLIMSOLL_TEST_DATA");
	buf_init(&corpus, mem_scope_root(), CORPUS_BYTES_MAX);
	for (int i = 3; i < argc; i++)
		check(corpus_add(argv[i], &f), &f);
	for (size_t i = 0; argc <= 3 && i < ARRAY_COUNT(parts); i++) {
		(void)snprintf(path, sizeof path, "%s/retrieval/%s",
			       data != NULL ? data : "../shared/data", parts[i]);
		check(corpus_add(path, &f), &f);
	}
	if (mkdtemp(root) == NULL)
		return 1;
	ingest(root, "words", chunks, 0);
	ingest(root, "both", chunks, dim);
	memory_print("after adding");
	struct kb *kb;
	uint64_t start = clock_ns();
	check(kb_open(mem_scope_root(), root, "both", &kb, &f), &f);
	printf("open %.2f ms\n", (double)(clock_ns() - start) / 1e6);
	search(kb, KB_TEXT, "text", dim);
	search(kb, KB_VECTOR, "vector", dim);
	search(kb, KB_HYBRID, "hybrid", dim);
	search(kb, KB_HYBRID, "hybrid", dim);
	memory_print("after searching");
	kb_close(kb);
	check(dir_remove(root, &f), &f);
	buf_fini(&corpus);
	return 0;
}
