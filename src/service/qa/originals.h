/* qa/originals.h -- the originals of a knowledge base on disk, <kb>/content/.
 *
 * A file comes in under a temporary name (".incoming-..."), is hashed on the way, and gets its real
 * name only when its chunks are about to become visible. What a crash leaves under a temporary name
 * is swept by the next writer, unless a pending file can still be resumed from it.
 *
 * Threads  Only the holder of the KB's writer lock may call these. */
#ifndef QA_ORIGINALS_H
#define QA_ORIGINALS_H

#include <stdbool.h>

#include "base/span.h"
#include "base/status.h"
#include "kb/kb.h"
#include "rt/cancel.h"
#include "rt/digest.h"
#include "rt/file.h"

enum { ORIGINAL_NAME_BYTES = 1024 };

struct original {
	char name[ORIGINAL_NAME_BYTES]; /* in the knowledge base: "folder/file.md" */
	char path[FILE_PATH_BYTES];     /* where its bytes lie now */
	char sha256[SHA256_HEX_BYTES];
	uint64_t bytes;
};

/* 1..1023 bytes of safe components joined by single '/'; none begins with ".incoming-". */
bool original_name_is_valid(struct span name);

/* Path of the original with this name. ST_INVALID for an unsafe name. */
MUST_CHECK status original_path(const char *kb_root, const char *kb, const char *name,
				char ret_path[FILE_PATH_BYTES], struct fault *reterr);

/* Copy source into the KB under its temporary name and hash it. ST_INVALID: it changed meanwhile.
 */
MUST_CHECK status original_copy_in(const char *kb_root, const char *kb, const char *source,
				   const struct cancel *cancel, struct original *inout,
				   struct fault *reterr);

/* The same for a file of ours, on the same file system: moved. */
MUST_CHECK status original_move_in(const char *kb_root, const char *kb, const char *source,
				   struct original *inout, struct fault *reterr);

/* Give the temporary file its real name. */
MUST_CHECK status original_settle(const char *kb_root, const char *kb, struct original *inout,
				  struct fault *reterr);

/* Write down, before the index forgets the file, that its original is to go: should the process end
 * in between, original_sweep() finishes the removal. */
MUST_CHECK status original_note_removal(const char *kb_root, const char *kb, const char *name,
					struct fault *reterr);

/* Remove the original, the folders that it leaves empty, and the note. */
MUST_CHECK status original_remove(const char *kb_root, const char *kb, const char *name,
				  struct fault *reterr);

/* Make the folder if it is missing, remove temporary files that no pending file of the open KB
 * names, and finish a removal that was written down. */
MUST_CHECK status original_sweep(const char *kb_root, const char *kb_name, struct kb *kb,
				 struct fault *reterr);

#endif
