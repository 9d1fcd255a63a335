/* embed/models.h -- the models that a data directory can use.
 *
 * Two folders are looked through, in this order: DATA/models, then CACHE/models, where CACHE is
 * $PLIMSOLL_CACHE or else $HOME/.cache/plimsoll, which all data directories of a user share; a
 * model in the first hides one of the same file name in the second. Files: "NAME.PRECISION.plm" (a
 * packed embedder, embed/packed.h) and "NAME.gguf" (a generator, or an encoder of a family that our
 * engine does not know; both are run by llm/). Only headers are read: listing touches no weights.
 *
 * Memory   struct model_info has a fixed size and owns nothing.
 * Errors   A damaged file is left out of a list and named by model_resolve(): ST_CORRUPT.
 * Threads  No shared state. */
#ifndef EMBED_MODELS_H
#define EMBED_MODELS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "embed/embedder.h"
#include "rt/file.h"

enum {
	MODEL_NAME_BYTES = EMBED_NAME_BYTES, /* with terminator */
	MODEL_LIST_MAX = 256,
	MODEL_ARCHITECTURE_BYTES = 32,
};

enum model_kind {
	MODEL_EMBEDDER,  /* packed, for embed/engine.h */
	MODEL_GENERATOR, /* GGUF, for llm_local_open() */
	MODEL_ENCODER,   /* GGUF, for llm_encoder_open() */
};

struct model_info {
	enum model_kind kind;
	char name[MODEL_NAME_BYTES]; /* "multilingual-e5-small"; of a GGUF the file's, no ".gguf" */
	char id[EMBED_ID_BYTES];     /* as struct embedder_info; "" for a GGUF */
	char precision[16];          /* "bf16", "int8", "f32"; of a GGUF its file type: "Q4_1" */
	char architecture[MODEL_ARCHITECTURE_BYTES]; /* "bert", "llama" */
	char path[FILE_PATH_BYTES];
	uint64_t bytes;                          /* of the file */
	uint32_t dim, layers, heads, vocabulary; /* 0 where the file does not say */
	uint32_t tokens_max;                     /* window of an embedder, context of a generator */
	char pooling[8];                         /* "mean", "cls"; "" for a generator */
	char query_prefix[EMBED_PREFIX_BYTES], passage_prefix[EMBED_PREFIX_BYTES];
};

/* The folders of one data directory. own is "" when there is no data directory. */
struct model_dirs {
	char own[FILE_PATH_BYTES];
	char cache[FILE_PATH_BYTES];
};

/* Fill dirs from data_dir (NULL: none) and the environment. Makes nothing on disk. ST_INVALID when
 * neither PLIMSOLL_CACHE nor HOME is set and there is no data directory. */
MUST_CHECK status model_dirs_init(struct model_dirs *dirs, const char *data_dir,
				  struct fault *reterr);

/* "embedder", "generator", "encoder". */
const char *model_kind_name(enum model_kind kind);

/* All usable models in byte order of their file names, the data directory's first. Fills at most
 * max entries; *ret_count is how many were filled. A missing folder is an empty one. */
MUST_CHECK status model_list(const struct model_dirs *dirs, struct model_info *ret_list, size_t max,
			     size_t *ret_count, struct fault *reterr);

/* What one file holds. ST_UNSUPPORTED when it is neither kind, ST_CORRUPT when it is damaged. */
MUST_CHECK status model_info_read(const char *path, struct model_info *ret_info,
				  struct fault *reterr);

/* Find a model by what a person types: a path to a file (when it holds a '/'), a name, a file name,
 * an id, or a name followed by ":int8" and the like. An embedder without a precision is bf16 if
 * there is one, then f32, then int8. ST_NOT_FOUND names what could be done. */
MUST_CHECK status model_resolve(const struct model_dirs *dirs, const char *wanted,
				struct model_info *ret_info, struct fault *reterr);

/* multilingual-e5-small, else all-MiniLM-L6-v2, else the first embedder; ST_NOT_FOUND without any.
 */
MUST_CHECK status model_default_embedder(const struct model_dirs *dirs, struct model_info *ret_info,
					 struct fault *reterr);
/* The SmolLM2 that tools/models fetches, if it is there. A user's own generator is never chosen for
 * him: it is named in the configuration. */
MUST_CHECK status model_default_generator(const struct model_dirs *dirs,
					  struct model_info *ret_info, struct fault *reterr);

#endif
