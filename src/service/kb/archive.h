/* kb/archive.h -- a knowledge base in one file, to move it to another data directory.
 *
 * A tar archive (over libarchive): the originals under content/ and the current generation, so that
 * an import needs no model and no second embedding. Originals of files that are not ready are left
 * out.
 *
 * Security  On import every member must be a plain file with a safe relative name that the format
 *           knows; anything else (links, devices, "..", absolute paths) is ST_INVALID and nothing
 *           is left behind. The imported generation is opened before it gets its name. */
#ifndef KB_ARCHIVE_H
#define KB_ARCHIVE_H

#include "base/status.h"
#include "mem/scope.h"
#include "rt/cancel.h"

/* Write through a temporary name and rename. Holds the writer's lock meanwhile (ST_BUSY). */
MUST_CHECK status kb_export(struct mem_scope *scratch, const char *root, const char *name,
			    const char *path, const struct cancel *cancel, struct fault *reterr);

/* ST_EXISTS when there is a knowledge base of this name. */
MUST_CHECK status kb_import(struct mem_scope *scratch, const char *root, const char *name,
			    const char *path, const struct cancel *cancel, struct fault *reterr);

#endif
