/* doc/doc.h -- a file in, clean text and chunks out.
 *
 * doc_parse() runs the parser in a child process (this executable again, verb "doc-worker") with
 * limits on memory and CPU time, a seccomp filter, no network and nothing but the input descriptor
 * and a pipe; what it says is checked again on this side. Chunks stream out in order, in constant
 * memory whatever the file's size, and the same bytes give the same chunks: a stopped ingest skips
 * those it has and goes on.
 *
 * Text     UTF-8, cleaned of control characters, original characters otherwise. start and end are
 *          byte offsets into the document's text form: the file itself for UTF-8 txt, md, csv and
 *          json files; the converted or extracted text (doc_text()) for other charsets and html;
 *          the value of "text" for a .jsonl record.
 * Errors   ST_UNSUPPORTED (format), ST_INVALID (not readable as what it says it is), ST_LIMIT
 * (needs more than the limits), ST_CANCELLED. The parent is never harmed. */
#ifndef DOC_DOC_H
#define DOC_DOC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"
#include "mem/scope.h"
#include "rt/cancel.h"

/* One passage to index. All spans live until the visit returns. */
struct doc_chunk {
	struct span
		doc_id;    /* the record's "id" for .jsonl, else the file name given to doc_parse */
	struct span title; /* of the document, may be empty */
	struct span heading; /* "Part > Section", may be empty */
	struct span context; /* what must be read with the text though it stands elsewhere: the
				header row of a table; may be empty */
	struct span text;    /* the passage; for txt, md, jsonl exactly bytes start..end of the text
				form */
	uint32_t page;       /* 1-based, 0 = no pages */
	uint64_t start, end;
	uint64_t file_at; /* bytes of the file read so far, for progress */
};

typedef status doc_chunk_fn(void *context, const struct doc_chunk *chunk, struct fault *reterr);

struct doc_options {
	uint32_t chunk_chars;     /* target size in weighted characters: Han, Kana, Hangul count 1,
				     others     1/3; 0 = the default, DOC_CHUNK_CHARS */
	uint32_t chunk_chars_max; /* hard ceiling; 0 = twice the target */
	uint64_t memory_max;      /* of the child, bytes; 0 = DOC_MEMORY_MAX */
	uint32_t cpu_seconds_max; /* 0 = in proportion to the file's size */
	const struct cancel *cancel;
};

enum { DOC_CHUNK_CHARS = 240 };
#define DOC_MEMORY_MAX (256 * 1024 * 1024ull)

/* Parse the file at path; name (its name in the KB) decides the format by its extension, checked
 * against the content. visit may stop the parse by returning another status than ST_OK. */
MUST_CHECK status doc_parse(struct mem_scope *scratch, const char *path, const char *name,
			    const struct doc_options *options, doc_chunk_fn *visit, void *context,
			    struct fault *reterr);

/* Stream the text form of a file, in pieces. */
typedef status doc_text_fn(void *context, struct span piece, struct fault *reterr);
MUST_CHECK status doc_text(struct mem_scope *scratch, const char *path, const char *name,
			   const struct doc_options *options, doc_text_fn *visit, void *context,
			   struct fault *reterr);

/* True when a file of this name would be parsed (by extension). */
bool doc_is_supported(const char *name);

/* The child's side: main() calls it when argv[1] is "doc-worker". Returns the exit code. Test
 * programs that call doc_parse() do the same, since the child is the running executable. */
int doc_worker_main(int argc, char **argv);

#endif
