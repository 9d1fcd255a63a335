/* doc/wire.h -- what the child says to the parent, in frames on a pipe.
 *
 * A frame is a head and `bytes` of payload: a passage, a piece of the text form, a fault, or the
 * end. The child is not trusted: the reader checks every length against its ceiling, that text is
 * clean UTF-8, that offsets go forward and that the end says as many passages as there were.
 *
 * Both ends are the same executable on the same machine, so structs travel as they are. */
#ifndef DOC_WIRE_H
#define DOC_WIRE_H

#include "doc/doc.h"

enum {
	WIRE_LABEL_BYTES = 2048,
	WIRE_TEXT_BYTES = 128 * 1024, /* of a passage, or a piece of the text form */
	WIRE_FRAME_BYTES = WIRE_TEXT_BYTES + 4 * WIRE_LABEL_BYTES + 64,
};

enum wire_kind { WIRE_CHUNK = 1, WIRE_TEXT, WIRE_FAULT, WIRE_END };

struct wire_head {
	uint32_t kind, bytes;
};

struct wire_chunk {
	uint64_t start, end, file_at;
	uint32_t page;
	uint32_t doc_id_bytes, title_bytes, heading_bytes, context_bytes, text_bytes;
};
_Static_assert(sizeof(struct wire_chunk) == 48, "no padding travels");

/* ---- the child's side; a failed write is ST_IO ---- */

struct wire_writer {
	int fd;
	char *data; /* WIRE_FRAME_BYTES + sizeof(struct wire_head) */
	size_t bytes;
	uint64_t chunks;
};

MUST_CHECK status wire_writer_init(struct wire_writer *w, struct mem_scope *scope, int fd,
				   struct fault *reterr);
MUST_CHECK status wire_write_chunk(struct wire_writer *w, const struct doc_chunk *chunk,
				   struct fault *reterr);
MUST_CHECK status wire_write_text(struct wire_writer *w, struct span text, struct fault *reterr);
MUST_CHECK status wire_write_fault(struct wire_writer *w, const struct fault *fault,
				   struct fault *reterr);
MUST_CHECK status wire_write_end(struct wire_writer *w, struct fault *reterr);
MUST_CHECK status wire_flush(struct wire_writer *w, struct fault *reterr);

/* ---- the parent's side ---- */

struct wire_frame {
	enum wire_kind kind;
	struct doc_chunk chunk; /* WIRE_CHUNK; spans live until the next read */
	struct span text;       /* WIRE_TEXT */
	struct fault fault;     /* WIRE_FAULT */
};

struct wire_reader {
	char *data;
	size_t at, bytes; /* what lies in data unread */
	uint64_t chunks, file_at, start, end;
	char doc_id[WIRE_LABEL_BYTES];
	size_t doc_id_bytes;
};

MUST_CHECK status wire_reader_init(struct wire_reader *r, struct mem_scope *scope,
				   struct fault *reterr);
/* Where the next bytes from the pipe go, and how many fit (> 0 while no frame is complete). */
char *wire_room(struct wire_reader *r, size_t *ret_bytes);
void wire_filled(struct wire_reader *r, size_t bytes);
/* Take a complete frame, if there is one; ST_INVALID when it is not what a sound child says. */
MUST_CHECK status wire_next(struct wire_reader *r, bool *ret_found, struct wire_frame *ret_frame,
			    struct fault *reterr);

#endif
