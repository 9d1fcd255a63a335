/* kb/testing.h -- what the tests of kb/ share: a folder, small made-up documents and vectors. */
#ifndef KB_TESTING_H
#define KB_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kb/kb.h"
#include "mem/scope.h"

enum { TESTING_DIM = 24, TESTING_TEXT_BYTES = 256 };

extern char testing_root[96]; /* a fresh folder in each test */
extern const struct kb_build testing_build, testing_build_text;

int testing_begin(void **state);
int testing_end(void **state);

/* Asserts ST_OK and prints the fault otherwise. */
void testing_ok(status st, const struct fault *f);
#define OK(call) testing_ok((call), &fault)

/* The text and the unit vector that chunk `index` of `file` (of this version) has. */
void testing_text(const char *file, uint32_t version, uint32_t index, char out[TESTING_TEXT_BYTES]);
void testing_vector(struct span text, float out[TESTING_DIM]);

struct kb_writer;
/* Add chunks from..to-1 of a file; title "Title of FILE", one document. */
status testing_add(struct kb_writer *w, const char *file, uint32_t version, uint32_t from,
		   uint32_t to, struct fault *reterr);
/* The whole file: begin, add in batches of `batch`, end. */
status testing_file(struct kb_writer *w, const char *file, uint32_t version, uint32_t chunks,
		    struct fault *reterr);
/* Best hit for the text of that chunk: its text, or "" when nothing was found. */
status testing_find(struct kb *kb, const char *file, uint32_t version, uint32_t index,
		    char out[TESTING_TEXT_BYTES], struct fault *reterr);

#endif
