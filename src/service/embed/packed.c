#include "embed/packed.h"

#include <stdbool.h>
#include <string.h>

#include "base/size.h"
#include "embed/pack.h"

enum { QUANT_BLOCK = 32, Q4_0_BYTES = 18, Q8_0_BYTES = 34 };

size_t packed_row_bytes(uint32_t rows_format, uint32_t dim)
{
	switch (rows_format) {
	case PACKED_ROWS_F32:
		return (size_t)dim * 4;
	case PACKED_ROWS_F16:
	case PACKED_ROWS_BF16:
		return (size_t)dim * 2;
	case PACKED_ROWS_Q4_0:
		return (size_t)dim / QUANT_BLOCK * Q4_0_BYTES;
	case PACKED_ROWS_Q8_0:
		return (size_t)dim / QUANT_BLOCK * Q8_0_BYTES;
	default:
		return 0;
	}
}

static float read_f16(const unsigned char *at)
{
	uint16_t half;
	memcpy(&half, at, sizeof(half));
	uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31,
		 mantissa = half & 0x3ff;
	if (exponent == 0) { /* zero and subnormal: the mantissa counts 2^-24 */
		float value = (float)mantissa * 0x1p-24f;
		return sign != 0 ? -value : value;
	}
	uint32_t bits = sign | (exponent == 31 ? 255 : exponent + 112) << 23 | mantissa << 13;
	float value;
	memcpy(&value, &bits, sizeof(value));
	return value;
}

static void read_q4_0(const unsigned char *row, uint32_t dim, float *out)
{
	for (uint32_t i = 0; i < dim; i += QUANT_BLOCK, row += Q4_0_BYTES) {
		float scale = read_f16(row);
		for (uint32_t j = 0; j < QUANT_BLOCK / 2; j++) {
			out[i + j] = (float)((row[2 + j] & 15) - 8) * scale;
			out[i + j + QUANT_BLOCK / 2] = (float)((row[2 + j] >> 4) - 8) * scale;
		}
	}
}

static void read_q8_0(const unsigned char *row, uint32_t dim, float *out)
{
	for (uint32_t i = 0; i < dim; i += QUANT_BLOCK, row += Q8_0_BYTES) {
		float scale = read_f16(row);
		for (uint32_t j = 0; j < QUANT_BLOCK; j++)
			out[i + j] = (float)(int8_t)row[2 + j] * scale;
	}
}

void packed_row_read(uint32_t rows_format, const unsigned char *row, uint32_t dim, float *out)
{
	switch (rows_format) {
	case PACKED_ROWS_Q4_0:
		read_q4_0(row, dim, out);
		break;
	case PACKED_ROWS_Q8_0:
		read_q8_0(row, dim, out);
		break;
	case PACKED_ROWS_F16:
		for (uint32_t i = 0; i < dim; i++)
			out[i] = read_f16(row + 2 * (size_t)i);
		break;
	case PACKED_ROWS_BF16:
		for (uint32_t i = 0; i < dim; i++) {
			unsigned char wide[4] = {0, 0, row[2 * (size_t)i], row[2 * (size_t)i + 1]};
			memcpy(out + i, wide, sizeof(wide));
		}
		break;
	default:
		memcpy(out, row, (size_t)dim * 4);
		break;
	}
}

static bool inside(const struct packed_header *h, uint64_t offset, uint64_t bytes)
{
	return offset % PACKED_ALIGN == 0 && offset >= PACKED_HEADER_BYTES &&
	       offset <= h->file_bytes && bytes <= h->file_bytes - offset;
}

static bool terminated(const char *text, size_t bytes)
{
	return memchr(text, '\0', bytes) != NULL;
}

static bool numbers_fit(const struct packed_header *h)
{
	if (h->precision > PACKED_F32 || h->pooling > PACKED_CLS ||
	    h->tokenizer_kind > PACKED_UNIGRAM)
		return false;
	if (h->dim == 0 || h->dim % PACKED_PANEL != 0 || h->dim > EMBED_DIM_MAX)
		return false;
	if (h->head_count == 0 || h->dim % h->head_count != 0)
		return false;
	if (h->dim / h->head_count != 32 && h->dim / h->head_count != 64)
		return false;
	if (h->ffn == 0 || h->ffn % PACKED_PANEL != 0 || h->ffn > PACKED_FFN_MAX)
		return false;
	if (h->layer_count == 0 || h->layer_count > PACKED_LAYERS_MAX)
		return false;
	if (h->vocab == 0 || h->vocab > PACKED_VOCAB_MAX)
		return false;
	if (h->token_first >= h->vocab || h->token_last >= h->vocab)
		return false;
	if (h->position_count > PACKED_POSITIONS_MAX || h->tokens_max > h->position_count)
		return false;
	return h->normalise == 1 && h->tokens_max >= PACKED_TOKENS_MIN && h->norm_eps > 0 &&
	       h->norm_eps < 1;
}

static bool vectors_fit(const struct packed_header *h)
{
	size_t row = packed_row_bytes(h->rows_format, h->dim);
	return row != 0 && row == h->row_bytes && h->rows.bytes == (uint64_t)row * h->vocab &&
	       inside(h, h->rows.offset, h->rows.bytes) &&
	       inside(h, h->positions, (uint64_t)h->position_count * h->dim * 4) &&
	       inside(h, h->embedding_norm, (uint64_t)h->dim * 8) &&
	       inside(h, h->layers, (uint64_t)h->layer_count * sizeof(struct packed_layer)) &&
	       inside(h, h->tokenizer.offset, h->tokenizer.bytes);
}

static bool layer_fits(const struct packed_header *h, const struct packed_layer *l)
{
	enum packed_precision p = (enum packed_precision)h->precision;
	return inside(h, l->qkv, pack_matrix_bytes(p, 3 * h->dim, h->dim)) &&
	       inside(h, l->out, pack_matrix_bytes(p, h->dim, h->dim)) &&
	       inside(h, l->up, pack_matrix_bytes(p, h->ffn, h->dim)) &&
	       inside(h, l->down, pack_matrix_bytes(p, h->dim, h->ffn)) &&
	       inside(h, l->attention_norm, (uint64_t)h->dim * 8) &&
	       inside(h, l->output_norm, (uint64_t)h->dim * 8);
}

status packed_check(const unsigned char *data, size_t bytes, struct fault *reterr)
{
	struct packed_header h;
	if (bytes < PACKED_HEADER_BYTES)
		return fault_set(reterr, ST_CORRUPT,
				 "a packed model has at least %d bytes, not %zu",
				 PACKED_HEADER_BYTES, bytes);
	memcpy(&h, data, sizeof(h));
	if (memcmp(h.magic, PACKED_MAGIC, sizeof(h.magic)) != 0)
		return fault_set(reterr, ST_CORRUPT,
				 "not a packed model: the first bytes are not %s", PACKED_MAGIC);
	if (h.endian != PACKED_ENDIAN || h.layout != PACKED_LAYOUT)
		return fault_set(
			reterr, ST_UNSUPPORTED,
			"the packed model has another layout than this program: import it again");
	if (h.file_bytes != bytes)
		return fault_set(reterr, ST_CORRUPT, "the packed model is cut: %zu bytes of %llu",
				 bytes, (unsigned long long)h.file_bytes);
	if (!terminated(h.name, sizeof(h.name)) || !terminated(h.id, sizeof(h.id)) ||
	    !terminated(h.query_prefix, sizeof(h.query_prefix)) ||
	    !terminated(h.passage_prefix, sizeof(h.passage_prefix)))
		return fault_set(reterr, ST_CORRUPT,
				 "a text in the packed model's header has no end");
	if (!numbers_fit(&h))
		return fault_set(reterr, ST_CORRUPT,
				 "a number in the packed model's header is out of range");
	if (!vectors_fit(&h))
		return fault_set(reterr, ST_CORRUPT,
				 "a section of the packed model lies outside the file");
	for (uint32_t i = 0; i < h.layer_count; i++) {
		struct packed_layer layer;
		memcpy(&layer, data + h.layers + i * sizeof(layer), sizeof(layer));
		if (!layer_fits(&h, &layer))
			return fault_set(reterr, ST_CORRUPT,
					 "a matrix of layer %u lies outside the packed model", i);
	}
	return ST_OK;
}
