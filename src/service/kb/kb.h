/* kb/kb.h -- one knowledge base on disk: vectors, full text, fusion, generations.
 *
 * Knows no model, no file format and no HTTP: callers bring chunks and vectors and get hits back.
 *
 *     <root>/<name>/content/       the originals (written by qa/, only their names matter here)
 *     <root>/<name>/current        "gen-3\n", replaced atomically: the switch of generations
 *                                  (more lines name the ones for rollback and rebuild: layout.h)
 *     <root>/<name>/gen-3/         text.sqlite (meta, files, chunks, FTS5), vectors.i8,
 *                                  vectors.f16, lengths.u16
 *     <root>/<name>/lock           flock: one writer at a time, in any process
 *
 * Crash rule  The SQLite transaction is the commit point. Vector files are append-only, synced
 *             before the commit, and valid up to the row count in it; what lies behind is cut off
 *             by the next writer. A file's chunks are visible only once its row says "ready".
 *             kb_sweep() removes folders and generations that nothing names.
 * Threads     A struct kb may be searched by any number of threads at once (a bounded number of
 *             connections; more wait). A writer belongs to one thread. Readers in any process see
 *             each commit at their next search.
 * Limits      The constants here, 1 MiB of text a chunk, 2^32 - 2 chunks a generation.
 * Files       Compaction, a switch and a rollback give chunks other ids: an id is meant together
 *             with its generation. */
#ifndef KB_KB_H
#define KB_KB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"
#include "mem/scope.h"
#include "rt/cancel.h"

enum { KB_NAME_BYTES = 64, KB_MODEL_BYTES = 80, KB_HITS_MAX = 200, KB_DIM_MAX = 4096 };

/* What a generation was built with; stored in it. */
struct kb_build {
	char model[KB_MODEL_BYTES]; /* embedder_info.id; "" = full text only */
	uint32_t dim;               /* 0 with no model */
	uint32_t chunk_chars;
};

struct kb_info {
	char name[KB_NAME_BYTES];
	char description[256];
	uint64_t files, chunks; /* ready ones */
	uint32_t generation;
	struct kb_build build;
	uint64_t bytes; /* on disk, originals included */
};

/* ---- all knowledge bases of a data directory; root is <data>/kb ---- */

/* 1..63 bytes: letters, digits, '-', '_', and any letters beyond ASCII; no leading '-' or '.'. */
bool kb_name_is_valid(struct span name);
MUST_CHECK status kb_create(const char *root, const char *name, const char *description,
			    const struct kb_build *build, struct fault *reterr);
MUST_CHECK status kb_delete(const char *root, const char *name, struct fault *reterr);
typedef status kb_list_fn(void *context, const char *name, struct fault *reterr);
MUST_CHECK status kb_list(const char *root, kb_list_fn *visit, void *context, struct fault *reterr);
/* Remove what a crash left behind. Safe while others work, and never waits for them. */
MUST_CHECK status kb_sweep(const char *root, struct fault *reterr);

/* ---- reading ---- */

struct kb;
MUST_CHECK status kb_open(struct mem_scope *parent, const char *root, const char *name,
			  struct kb **ret_kb, struct fault *reterr);
void kb_close(struct kb *kb);
MUST_CHECK status kb_info(struct kb *kb, struct kb_info *ret_info, struct fault *reterr);

enum kb_arm { KB_HYBRID, KB_VECTOR, KB_TEXT };

struct kb_query {
	struct span text;    /* the question, unfolded */
	const float *vector; /* dim floats of length 1; NULL: full text only */
	size_t hits_max;     /* 1..KB_HITS_MAX */
	enum kb_arm arm;
};

struct kb_hit {
	uint64_t chunk;     /* id within the generation */
	float score;        /* 0..1, fused, comparable between questions */
	float vector_score; /* cosine, 0 when the arm did not see it */
	float text_score;   /* 0..1, share of the question's weight covered, 0 when not seen */
	struct span doc_id, file, title, heading, context, text;
	uint32_t page;
	uint64_t start, end;
	uint32_t position; /* of the chunk in its document: neighbours differ by one */
};

/* What the no-hit decision needs; see kb/fusion.h. */
struct kb_evidence {
	float cosine_best, cosine_mean, cosine_deviation; /* best, and the background of this KB */
	float coverage_best; /* idf share of the question's terms in the best chunk, 0..1 */
	float confidence;    /* 0..1: calibrated belief that the KB holds an answer */
};

struct kb_hits {
	struct kb_hit *hits; /* best first; in scratch, with all they point to */
	size_t count;
	struct kb_evidence evidence;
	uint32_t generation;
};

MUST_CHECK status kb_search(struct kb *kb, const struct kb_query *query, struct mem_scope *scratch,
			    struct kb_hits *ret_hits, struct fault *reterr);

/* Chunks position-before .. position+after of the same document, in order, all in scratch. */
MUST_CHECK status kb_neighbours(struct kb *kb, uint64_t chunk, uint32_t before, uint32_t after,
				struct mem_scope *scratch, struct kb_hits *ret_hits,
				struct fault *reterr);

enum kb_file_status { KB_FILE_PENDING, KB_FILE_READY, KB_FILE_FAILED };

struct kb_file {
	struct span file;
	char sha256[65];
	uint64_t bytes, chunks;
	enum kb_file_status status;
	struct span error; /* why it failed */
};
typedef status kb_file_fn(void *context, const struct kb_file *file, struct fault *reterr);
MUST_CHECK status kb_files(struct kb *kb, kb_file_fn *visit, void *context, struct fault *reterr);

/* ---- writing ---- */

struct kb_writer;

/* Take the KB's lock (ST_BUSY when another writer holds it: the fault names its pid), cut off what
 * a crash left, and write to the current generation. */
MUST_CHECK status kb_writer_open(struct mem_scope *parent, const char *root, const char *name,
				 struct kb_writer **ret_writer, struct fault *reterr);
/* The same, but writing a new generation beside the current one, which keeps serving; an unfinished
 * rebuild with the same build is resumed. kb_writer_switch() makes it current. */
MUST_CHECK status kb_rebuild_open(struct mem_scope *parent, const char *root, const char *name,
				  const struct kb_build *build, struct kb_writer **ret_writer,
				  struct fault *reterr);
void kb_writer_close(struct kb_writer *w); /* what is not committed stays pending */

const struct kb_build *kb_writer_build(const struct kb_writer *w);

/* ST_NOT_FOUND, or how the file stands in this generation. */
MUST_CHECK status kb_writer_find(struct kb_writer *w, const char *file, struct mem_scope *scratch,
				 struct kb_file *ret_file, struct fault *reterr);

/* Begin, or resume, a file. *ret_done: how many of its chunks are already stored (0 when new or
 * when sha256 differs from the pending one). A ready file of the same name stays visible until
 * kb_writer_file_end() replaces it in one transaction. */
MUST_CHECK status kb_writer_file_begin(struct kb_writer *w, const char *file, const char *sha256,
				       uint64_t bytes, uint64_t *ret_done, struct fault *reterr);

struct kb_new_chunk {
	struct span doc_id, title, heading, context, text;
	uint32_t page;
	uint64_t start, end;
	const float *vector; /* dim floats, NULL with no model */
};
/* Store chunks of the begun file, durable when it returns; on failure none of them is, and the same
 * call may be tried again. Consecutive chunks of one doc_id are neighbours. Vectors have length 1.
 */
MUST_CHECK status kb_writer_add(struct kb_writer *w, const struct kb_new_chunk *chunks,
				size_t count, struct fault *reterr);
/* A vector stored earlier for exactly this embedded text (by SHA-256 of title, heading, context and
 * text, see kb/passage.h), so that identical content is not embedded twice; a rebuild with the same
 * model finds those of the current generation, too. ST_NOT_FOUND otherwise. ret_vector: dim floats.
 */
MUST_CHECK status kb_writer_known_vector(struct kb_writer *w, const struct kb_new_chunk *chunk,
					 float *ret_vector, struct fault *reterr);
MUST_CHECK status kb_writer_file_end(struct kb_writer *w, struct fault *reterr);
/* Give up the begun file: its chunks go, the reason stays. A ready older version stays ready. */
MUST_CHECK status kb_writer_file_fail(struct kb_writer *w, const char *why, struct fault *reterr);
/* Effective at once for every reader. ST_NOT_FOUND when unknown. */
MUST_CHECK status kb_writer_file_delete(struct kb_writer *w, const char *file,
					struct fault *reterr);

/* When more than a quarter of the rows are dead (or always with `force`): write a new generation
 * without them and switch to it. */
MUST_CHECK status kb_writer_compact(struct kb_writer *w, bool force, const struct cancel *cancel,
				    struct fault *reterr);
/* Make the generation written by kb_rebuild_open() current; the one before is kept for rollback. */
MUST_CHECK status kb_writer_switch(struct kb_writer *w, struct fault *reterr);
/* Back to the generation before the last switch, with the files it had then; ST_NOT_FOUND when
 * there is none. The two change places: a second rollback takes the first one back. */
MUST_CHECK status kb_rollback(const char *root, const char *name, struct fault *reterr);

#endif
