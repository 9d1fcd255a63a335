/* doc/collect_test.h -- for tests: keep the passages of a document and say what must hold for all.
 */
#ifndef DOC_COLLECT_TEST_H
#define DOC_COLLECT_TEST_H

#include "doc/chunker.h"
#include "doc/format.h"
#include "rt/buf.h"

enum { COLLECT_CHUNKS_MAX = 20000 };

struct collected {
	struct mem_scope *scope;
	struct doc_chunk *chunks; /* with copies of all texts */
	size_t count;
	size_t stop_after; /* answer ST_BUSY at this passage; 0 = never */
	struct buf form;   /* the text form, when collected */
};

void collect_open(struct collected *c);
void collect_close(struct collected *c);
status collect_chunk(void *context, const struct doc_chunk *chunk, struct fault *reterr);
status collect_text(void *context, struct span piece, struct fault *reterr);

/* Parse text in this process, fed in pieces of `step` bytes (rounded down to code points). */
status collect_parse(struct collected *c, enum doc_format format, struct span text, size_t step,
		     uint32_t chars, struct fault *reterr);
/* The text form by the same way. */
status collect_form(struct collected *c, enum doc_format format, struct span text, size_t step,
		    struct fault *reterr);

/* Each passage is what its offsets say; they go forward and do not overlap; between them is no
 * letter or digit; none is above the ceiling. */
void collect_check_verbatim(const struct collected *c, struct span form, uint32_t chars_max);
/* Does any passage hold this text? */
bool collect_holds(const struct collected *c, const char *text);

#endif
