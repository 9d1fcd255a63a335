/* qa/ingest.h -- documents into a knowledge base: add, delete, rebuild.
 *
 * Add copies each file into <kb>/content/ (through a temporary name; a file that changes while it
 * is copied is refused), parses the copy in a capped child, embeds in batches and commits batch by
 * batch: memory is constant, a stop loses at most one batch, and the next add goes on where it
 * stopped. Unchanged files (by SHA-256) are skipped, changed ones replaced, and one bad file does
 * not stop the others.
 *
 * Threads  One ingest per knowledge base at a time, in any process (ST_BUSY otherwise). */
#ifndef QA_INGEST_H
#define QA_INGEST_H

#include "qa/service.h"
#include "rt/cancel.h"

enum ingest_stage {
	INGEST_COPY,
	INGEST_PARSE /* and embed, and store */,
	INGEST_DONE,
	INGEST_SKIPPED,
	INGEST_FAILED
};

struct ingest_progress {
	const char *file; /* name in the knowledge base */
	enum ingest_stage stage;
	uint64_t bytes_done, bytes; /* of this file */
	uint64_t chunks;            /* of this file so far */
	uint64_t files_done, files; /* of this call; files = 0 while folders are still walked */
	const char *error;          /* with INGEST_FAILED */
};

struct ingest_options {
	void (*progress)(void *context, const struct ingest_progress *p); /* NULL allowed */
	void *context;
	const struct cancel *cancel;
};

struct ingest_result {
	uint64_t added, skipped, failed, chunks;
};

/* paths: files and folders (recursive; unsupported files inside folders are passed over, named ones
 * fail). A file below a folder is named by its path relative to the folder's parent. ST_CANCELLED
 * keeps what is committed. A file that fails counts in ret_result and the call goes on. */
MUST_CHECK status ingest_add(struct service *s, const char *kb, const char *const *paths,
			     size_t path_count, const struct ingest_options *options,
			     struct ingest_result *ret_result, struct fault *reterr);

/* One file that already lies in a temporary place (an upload): moved, not copied. name: its name.
 */
MUST_CHECK status ingest_add_upload(struct service *s, const char *kb, const char *path,
				    const char *name, const struct ingest_options *options,
				    struct ingest_result *ret_result, struct fault *reterr);

/* From index and disk, effective at once. ST_NOT_FOUND when unknown. */
MUST_CHECK status ingest_delete(struct service *s, const char *kb, const char *name,
				struct fault *reterr);

/* A new generation from the originals with another model or chunking; the old one serves until the
 * switch, and goes on serving when a file cannot be built again. */
MUST_CHECK status ingest_rebuild(struct service *s, const char *kb, const struct kb_build *build,
				 const struct ingest_options *options,
				 struct ingest_result *ret_result, struct fault *reterr);

/* Path of an original; ST_NOT_FOUND, or ST_INVALID for an unsafe name. */
MUST_CHECK status ingest_original(struct service *s, const char *kb, const char *name,
				  char ret_path[FILE_PATH_BYTES], struct fault *reterr);

#endif
