/* doc/dialect.h -- how a CSV file is written: delimiter, header, a question-and-answer table?
 *
 * Guessed from the first KiB: the delimiter that splits most of the first records into the same
 * number of cells wins; the first record is a header when its cells are short, distinct, no numbers
 * and no sentences, and records follow. */
#ifndef DOC_DIALECT_H
#define DOC_DIALECT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

enum { DIALECT_COLUMNS = 256, DIALECT_NAME_BYTES = 64 };

struct dialect {
	char delimiter;
	bool header, pairs; /* pairs: it has a column of questions and one of answers */
	size_t names;       /* of columns */
	char name[DIALECT_COLUMNS][DIALECT_NAME_BYTES];
	size_t name_bytes[DIALECT_COLUMNS];
};

/* whole: head is the whole file. tabs: the file's name says that tabs separate. */
void dialect_guess(struct dialect *d, struct span head, bool whole, bool tabs);

/* A column or key that holds questions: 问题, question, prompt... */
bool dialect_is_question(struct span name);

#endif
