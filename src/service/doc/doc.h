/* doc/doc.h -- a file in, clean text and chunks out.
 *
 * doc_parse() runs the parser in a child process (this executable again, verb "doc-worker") with
 * limits on memory and CPU time, a seccomp filter, no network and nothing but the input descriptor
 * and a pipe; what it says is checked again on this side. Chunks stream out in order, in constant
 * memory whatever the file's size, and the same bytes give the same chunks: a stopped ingest skips
 * those it has and goes on.
 *
 * Formats  txt text log; md markdown; html htm xhtml; csv tsv; json; jsonl ndjson (a line with "id"
 *          and "text", and perhaps "title", is a document of its own; its other keys are left out).
 * Text     UTF-8, control characters made spaces, wrong bytes U+FFFD, else as in the file. start
 *          and end are byte offsets into the text form: the file itself when it is clean UTF-8, its
 *          conversion otherwise; for html the extracted text; for a document of .jsonl its "text".
 *          doc_text() streams it (for .jsonl: the lines).
 *              txt, md, html, documents of .jsonl: text is exactly bytes start..end;
 *              csv, json and other lines of .jsonl: text is rendered ("column: value"), and
 *              start..end are the rows or values it was made of.
 *          Markdown and rows keep their marks; headings stand in the text and in the path.
 * Passages as in doc/chunker.h: mostly half to one and a half of the target. Text without any
 *          letter or digit is in none; a file without text gives none, and ST_OK.
 * Errors   ST_UNSUPPORTED (format, or content of another format), ST_INVALID (not readable as what
 *          it says it is; no regular file), ST_LIMIT (needs more than the limits), ST_CANCELLED,
 *          ST_NOT_FOUND, or what visit returned. The parent is never harmed. An error may come
 * after passages. Threads  Any number of calls at once; each has a child of its own. */
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
	/* The record's "id" for documents of .jsonl (at most 1024 bytes), else the name given to
	 * doc_parse(). */
	struct span doc_id;
	struct span title;   /* of the document, may be empty */
	struct span heading; /* "Part > Section" without the title, may be empty */
	/* What must be read with the text though it stands elsewhere: the header row of a table,
	 * the first cells of a record that had to be cut. May be empty. */
	struct span context;
	struct span text;
	uint32_t page; /* 1-based, 0 = no pages */
	uint64_t start, end;
	uint64_t file_at; /* bytes of the file read so far, for progress */
};

typedef status doc_chunk_fn(void *context, const struct doc_chunk *chunk, struct fault *reterr);

struct doc_options {
	/* Target size in weighted characters: Han, Kana and Hangul count 1, others 1/3. 0 = the
	 * default, DOC_CHUNK_CHARS. */
	uint32_t chunk_chars;
	uint32_t chunk_chars_max; /* hard ceiling, at most 8192; 0 = twice the target */
	uint64_t memory_max;      /* of the child, bytes; 0 = DOC_MEMORY_MAX */
	uint32_t cpu_seconds_max; /* 0 = 8 s and 1 s for each 2 MiB of the file */
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
