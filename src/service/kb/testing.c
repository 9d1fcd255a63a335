#include "kb/testing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/size.h"
#include "rt/file.h"

char testing_root[96];
const struct kb_build testing_build = {"test-model", TESTING_DIM, 240};
const struct kb_build testing_build_text = {"", 0, 240};

int testing_begin(void **state)
{
	(void)state;
	(void)snprintf(testing_root, sizeof testing_root, "/tmp/plimsoll-kb-XXXXXX");
	return mkdtemp(testing_root) != NULL ? 0 : -1;
}

int testing_end(void **state)
{
	(void)state;
	return dir_remove(testing_root, NULL) == ST_OK ? 0 : -1;
}

void testing_ok(status st, const struct fault *f)
{
	if (st != ST_OK)
		print_error("%s: %s\n", status_name(st), fault_text(f));
	assert_int_equal(st, ST_OK);
}

void testing_text(const char *file, uint32_t version, uint32_t index, char out[TESTING_TEXT_BYTES])
{
	char key[128];
	int n = snprintf(key, sizeof key, "%s/%u/%u", file, version, index);
	uint64_t h = hash_bytes((struct span){key, (size_t)n});
	(void)snprintf(out, TESTING_TEXT_BYTES,
		       "word%u belongs to key%08x of %s version %u 知识库的第%u段落 memory line",
		       index, (unsigned)h, file, version, index);
}

void testing_vector(struct span text, float out[TESTING_DIM])
{
	float squares = 0;
	uint64_t h = hash_bytes(text);
	for (size_t i = 0; i < TESTING_DIM; i++) {
		out[i] = (float)(hash_mix(h + i) >> 40) / (float)(1 << 23) - 1.0F;
		squares += out[i] * out[i];
	}
	for (size_t i = 0; i < TESTING_DIM; i++)
		out[i] /= sqrtf(squares);
}

status testing_add(struct kb_writer *w, const char *file, uint32_t version, uint32_t from,
		   uint32_t to, struct fault *reterr)
{
	enum { BATCH = 7 };
	char texts[BATCH][TESTING_TEXT_BYTES], title[128];
	float vectors[BATCH][TESTING_DIM];
	struct kb_new_chunk chunks[BATCH];
	(void)snprintf(title, sizeof title, "Title of %s", file);
	bool has_vectors = kb_writer_build(w)->dim > 0;
	for (uint32_t at = from; at < to;) {
		size_t count = size_min(BATCH, to - at);
		for (uint32_t i = 0; i < count; i++) {
			testing_text(file, version, at + i, texts[i]);
			testing_vector(span_of(texts[i]), vectors[i]);
			chunks[i] =
				(struct kb_new_chunk){.doc_id = span_of(file),
						      .title = span_of(title),
						      .heading = SPAN("Chapter"),
						      .text = span_of(texts[i]),
						      .page = at + i + 1,
						      .start = (uint64_t)(at + i) * 100,
						      .end = (uint64_t)(at + i) * 100 + 99,
						      .vector = has_vectors ? vectors[i] : NULL};
		}
		status st = kb_writer_add(w, chunks, count, reterr);
		if (st != ST_OK)
			return st;
		at += (uint32_t)count;
	}
	return ST_OK;
}

status testing_file(struct kb_writer *w, const char *file, uint32_t version, uint32_t chunks,
		    struct fault *reterr)
{
	char sha[65];
	uint64_t done = 0;
	(void)snprintf(sha, sizeof sha, "%064x", version);
	status st = kb_writer_file_begin(w, file, sha, (uint64_t)chunks * 100, &done, reterr);
	if (st == ST_OK)
		st = testing_add(w, file, version, (uint32_t)done, chunks, reterr);
	return st == ST_OK ? kb_writer_file_end(w, reterr) : st;
}

status testing_find(struct kb *kb, const char *file, uint32_t version, uint32_t index,
		    char out[TESTING_TEXT_BYTES], struct fault *reterr)
{
	char text[TESTING_TEXT_BYTES];
	float vector[TESTING_DIM];
	testing_text(file, version, index, text);
	testing_vector(span_of(text), vector);
	struct mem_scope *scratch = mem_scope_open(mem_scope_root(), "scratch", 0);
	if (scratch == NULL)
		return fault_set(reterr, mem_refusal(), "no memory to test");
	struct kb_query q = {.text = span_of(text), .vector = vector, .hits_max = 5};
	struct kb_hits hits;
	status st = kb_search(kb, &q, scratch, &hits, reterr);
	if (st == ST_OK)
		(void)snprintf(out, TESTING_TEXT_BYTES, "%.*s",
			       hits.count > 0 ? (int)hits.hits[0].text.bytes : 0,
			       hits.count > 0 ? hits.hits[0].text.data : "");
	mem_scope_close(scratch);
	return st;
}
