/* doc/format.h -- what a file is: by the extension of its name, checked against its first bytes. */
#ifndef DOC_FORMAT_H
#define DOC_FORMAT_H

#include <stdbool.h>

#include "base/span.h"
#include "base/status.h"

enum doc_format {
	FORMAT_NONE,
	FORMAT_TEXT,
	FORMAT_MARKDOWN,
	FORMAT_HTML,
	FORMAT_CSV,
	FORMAT_TSV,
	FORMAT_JSON,
	FORMAT_JSON_LINES,
};

/* FORMAT_NONE when the extension is not one of ours. */
enum doc_format format_of_name(struct span name);

/* ST_UNSUPPORTED when head, the first bytes of a file that should be text, begins like a picture,
 * an archive, an office file or another binary format: the fault names it. */
MUST_CHECK status format_check(struct span head, struct fault *reterr);

#endif
