/* embed/packed.h -- the packed model file (".plm"): weights as the kernels read them, the
 * vocabulary as the tokenizer reads it, in one file that is mapped read-only and shared by all
 * processes.
 *
 *     struct packed_header   at offset 0, PACKED_HEADER_BYTES
 *     struct packed_layer    layer_count of them, at header.layers
 *     matrices               each a blob as pack_matrix() makes it (embed/pack.h)
 *     f32 vectors            norms: `dim` gains, then `dim` biases; positions: rows of `dim`
 *     token rows             row_bytes each, in the format the model was published in
 *     tokenizer              opaque to the engine: embed/tokenizer.h reads it in place
 *
 * Every offset counts from the start of the file and is a multiple of PACKED_ALIGN. All numbers are
 * little-endian; a machine that reads another `endian` refuses the file.
 *
 * Trust   packed_check() proves that every range lies in the file and that the numbers fit each
 * other; after it the engine indexes without further checks. The tokenizer checks its own section.
 * Writer  import.c; reader engine.c. Changing anything here raises PACKED_LAYOUT. */
#ifndef EMBED_PACKED_H
#define EMBED_PACKED_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "embed/embedder.h"

#define PACKED_MAGIC "PLMEMBED" /* 8 bytes, no terminator in the file */

enum {
	PACKED_LAYOUT = 1,
	PACKED_ENDIAN = 0x01020304,
	PACKED_ALIGN = 64,
	PACKED_HEADER_BYTES = 1024,
	PACKED_PANEL = 32, /* output columns that lie together; dim and ffn are multiples of it */
	PACKED_LAYERS_MAX = 64,
	PACKED_FFN_MAX = 16384,
	PACKED_VOCAB_MAX = 1 << 22,
	PACKED_POSITIONS_MAX = 8192,
	PACKED_TOKENS_MIN =
		80, /* a window holds a whole prefix, the special tokens and some text */
};

enum packed_precision {
	PACKED_BF16 = 0,
	PACKED_INT8 = 1,
	PACKED_F32 = 2
}; /* = enum embed_precision */
enum packed_pooling { PACKED_MEAN = 0, PACKED_CLS = 1 };

/* How a token row is stored. Q4_0: blocks of 32 values, f16 scale then 16 bytes of nibbles (value i
 * low, value i + 16 high, minus 8), as ggml has them. */
enum packed_rows {
	PACKED_ROWS_F32 = 0,
	PACKED_ROWS_F16 = 1,
	PACKED_ROWS_BF16 = 2,
	PACKED_ROWS_Q4_0 = 3,
	PACKED_ROWS_Q8_0 = 4, /* blocks of 32: f16 scale, 32 s8 */
};

enum packed_tokenizer { PACKED_WORDPIECE = 0, PACKED_UNIGRAM = 1 };

struct packed_range {
	uint64_t offset, bytes;
};

/* One transformer layer (post-norm, as BERT). Rows of a matrix are output channels. */
struct packed_layer {
	uint64_t qkv;  /* 3 dim x dim: Q, K, V; Q rows and bias times pack_query_scale() */
	uint64_t out;  /* dim x dim */
	uint64_t up;   /* ffn x dim; erf GELU follows */
	uint64_t down; /* dim x ffn */
	uint64_t attention_norm; /* after out and its residual */
	uint64_t output_norm;    /* after down and its residual */
};

struct packed_header {
	char magic[8];
	uint32_t layout, endian;
	uint64_t file_bytes; /* a file cut short is refused */

	uint32_t precision;  /* enum packed_precision, of the matrices */
	uint32_t dim;        /* multiple of 32, at most EMBED_DIM_MAX */
	uint32_t head_count; /* dim / head_count is 32 or 64 */
	uint32_t ffn;        /* multiple of 32 */
	uint32_t layer_count;
	uint32_t vocab; /* token rows */
	uint32_t
		position_count; /* rows of positions; XLM-R's two unused leading rows are dropped */
	uint32_t tokens_max;    /* of one window, special tokens included */
	uint32_t pooling;       /* enum packed_pooling */
	uint32_t normalise;     /* 1: vectors have length 1, as embedder.h promises */
	float norm_eps;
	uint32_t token_first, token_last; /* around every window: [CLS] and [SEP], <s> and </s> */

	uint32_t rows_format; /* enum packed_rows */
	uint32_t row_bytes;
	uint32_t tokenizer_kind;  /* enum packed_tokenizer */
	struct packed_range rows; /* vocab rows */
	uint64_t positions; /* f32 [position_count][dim]; token type row 0 is added in already */
	uint64_t embedding_norm; /* after token row + position */
	uint64_t layers;         /* struct packed_layer [layer_count] */
	struct packed_range tokenizer;

	char name[EMBED_NAME_BYTES], id[EMBED_ID_BYTES]; /* terminated */
	char query_prefix[EMBED_PREFIX_BYTES], passage_prefix[EMBED_PREFIX_BYTES];
};
_Static_assert(sizeof(struct packed_layer) == 48, "struct packed_layer is a file format");
_Static_assert(sizeof(struct packed_header) == 416, "struct packed_header is a file format");
_Static_assert(sizeof(struct packed_header) <= PACKED_HEADER_BYTES, "the header has its room");

/* Bytes of one token row of dim values; 0 for a format that is not known. */
size_t packed_row_bytes(uint32_t rows_format, uint32_t dim);

/* Widen one token row (no alignment needed) to dim floats. */
void packed_row_read(uint32_t rows_format, const unsigned char *row, uint32_t dim, float *out);

/* Whether the mapped file is whole and consistent. ST_CORRUPT (damaged, cut), ST_UNSUPPORTED
 * (another layout or byte order: import the model again). */
MUST_CHECK status packed_check(const unsigned char *data, size_t bytes, struct fault *reterr);

#endif
