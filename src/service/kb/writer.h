/* kb/writer.h -- inside a struct kb_writer, for writer*.c, compact.c and rebuild.c. */
#ifndef KB_WRITER_H
#define KB_WRITER_H

#include "kb/gen.h"
#include "kb/layout.h"

/* The file between kb_writer_file_begin() and its end. All rows that are not indexed yet are its.
 */
struct writer_file {
	int64_t id; /* 0: none is begun */
	struct buf name;
	uint64_t chunks;
	uint64_t segment_end; /* the row behind its last one; 0 = it has none */
	int64_t document;     /* the one its last chunk belongs to, 0 = none */
	struct buf doc_id;
	uint32_t position; /* of the last chunk in it */
};

struct kb_writer {
	struct mem_scope *scope;
	char kb[FILE_PATH_BYTES];
	int lock;
	struct layout layout;
	struct gen *gen;
	struct gen *source; /* of a rebuild with the same model: the current one, for its vectors */
	struct writer_file file;
};

/* How the files of one name stand; id 0 = there is none in this state. */
struct writer_found {
	int64_t id;
	char sha256[65];
	uint64_t bytes, chunks, terms;
};

/* Take the lock, read the layout, sweep. The generation is not opened yet. */
MUST_CHECK status writer_lock(struct mem_scope *parent, const char *root, const char *name,
			      struct kb_writer **ret_writer, struct fault *reterr);
/* The row of this name in this state. */
MUST_CHECK status writer_file_find(struct gen *g, struct span name, enum kb_file_status state,
				   struct writer_found *ret_found, struct fault *reterr);
/* In a transaction: forget a file and its rows. found->id may be 0. */
MUST_CHECK status writer_file_drop(struct gen *g, const struct writer_found *found, bool ready,
				   struct fault *reterr);
/* A transaction with all of a name in it; ST_NOT_FOUND when there is nothing. */
MUST_CHECK status writer_name_delete(struct gen *g, struct span name, struct fault *reterr);

#endif
