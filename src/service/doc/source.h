/* doc/source.h -- a file, read once from front to back, as clean UTF-8 in pieces.
 *
 * The pieces put together are the text form of a verbatim format: byte for byte the file when it is
 * clean UTF-8. The first bytes are read at open, so that what needs the file system (converters) is
 * ready before the process is sandboxed; looking into them is left to source_detect(). */
#ifndef DOC_SOURCE_H
#define DOC_SOURCE_H

#include "doc/charset.h"
#include "doc/format.h"
#include "mem/scope.h"

struct source;

MUST_CHECK status source_open(struct mem_scope *parent, int fd, struct source **ret_source,
			      struct fault *reterr);
void source_close(struct source *s);

/* Check that the content can be what format says, and find its charset. */
MUST_CHECK status source_detect(struct source *s, enum doc_format format, struct fault *reterr);
/* Bytes of a byte order mark that are part of the text form (UTF-8) but of no piece. */
size_t source_mark_bytes(const struct source *s);
/* The next piece, empty at the end. It lives until the next call. */
MUST_CHECK status source_next(struct source *s, struct span *ret_piece, struct fault *reterr);
/* Bytes of the file read so far; the address stays valid as long as s does. */
const uint64_t *source_file_at(const struct source *s);

#endif
