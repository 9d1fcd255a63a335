#include "embed/encoder.h"

#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/size.h"
#include "embed/pack.h"

enum { ALIGN = 64, ALIAS = 1024 };

void encoder_init(struct encoder *encoder, const unsigned char *data, const struct kernels *kernels)
{
	*encoder =
		(struct encoder){data, (const struct packed_header *)(const void *)data, kernels};
}

size_t encoder_batch_rows(const struct encoder *encoder)
{
	/* Rows of bf16 take half the cache of rows of f32. */
	return encoder->kernels->act_bytes == 2 ? 512 : 256;
}

/* ---- workspace ---- */

/* Rows that lie a multiple of 4 KiB apart share one set of L1, which has fewer ways than a tile has
 * rows: such widths (1024 f32, 4096 bf16) get one line more. */
static size_t stride_of(size_t columns, size_t bytes)
{
	size_t stride = size_round_up(columns * bytes, ALIGN);
	return stride % ALIAS == 0 ? stride + ALIGN : stride;
}

struct layout {
	size_t x, act, qkv, context, up, quant; /* strides */
	size_t shared;                          /* bytes a row for qkv and context, or up */
	size_t attention;                       /* bytes */
};

static struct layout layout_of(const struct encoder *encoder)
{
	const struct packed_header *h = encoder->header;
	const struct kernels *k = encoder->kernels;
	struct layout l = {
		.x = stride_of(h->dim, sizeof(float)),
		.act = stride_of(h->dim, k->act_bytes),
		.qkv = stride_of(3 * (size_t)h->dim, k->act_bytes),
		.context = stride_of(h->dim, k->act_bytes),
		.up = stride_of(h->ffn, k->act_bytes),
		.attention = kernels_attention_bytes(k, h->tokens_max, h->dim / h->head_count),
	};
	l.shared = size_max(l.qkv + l.context, l.up);
	if (h->precision == PACKED_INT8) {
		l.act = 0;
		l.quant = stride_of(size_max(h->dim, h->ffn), k->quant_bytes);
	}
	return l;
}

static size_t scales_bytes(const struct layout *l, size_t rows_max)
{
	return l->quant != 0 ? size_round_up(rows_max * sizeof(float), ALIGN) : 0;
}

size_t encoder_work_bytes(const struct encoder *encoder, size_t rows_max)
{
	struct layout l = layout_of(encoder);
	return rows_max * (l.x + l.act + l.shared + l.quant) + 2 * scales_bytes(&l, rows_max) +
	       size_round_up(l.attention, ALIGN);
}

void encoder_work_init(struct encoder_work *work, const struct encoder *encoder, size_t rows_max,
		       unsigned char *memory)
{
	struct layout l = layout_of(encoder);
	unsigned char *shared = memory + rows_max * (l.x + l.act);
	unsigned char *quant = shared + rows_max * l.shared;
	unsigned char *scale = quant + rows_max * l.quant;
	unsigned char *zero = scale + scales_bytes(&l, rows_max);
	*work = (struct encoder_work){
		.rows_max = rows_max,
		.x = {memory, l.x},
		.act = {l.act != 0 ? memory + rows_max * l.x : NULL, l.act},
		.qkv = {shared, l.qkv},
		.context = {shared + rows_max * l.qkv, l.context},
		.up = {shared, l.up},
		.quant = {{quant, l.quant}, (float *)(void *)scale, (float *)(void *)zero},
		.attention = zero + scales_bytes(&l, rows_max),
	};
}

/* ---- layers ---- */

static const float *floats_at(const struct encoder *encoder, uint64_t offset)
{
	return (const float *)(const void *)(encoder->data + offset);
}

static struct kernel_matrix matrix_at(const struct encoder *encoder, uint64_t offset, uint32_t n,
				      uint32_t k)
{
	struct pack_parts parts =
		pack_matrix_parts((enum packed_precision)encoder->header->precision, n);
	return (struct kernel_matrix){.bias = floats_at(encoder, offset),
				      .scale = floats_at(encoder, offset + parts.scale),
				      .sum = floats_at(encoder, offset + parts.sum),
				      .panels = encoder->data + offset + parts.panels,
				      .n = n,
				      .k = k};
}

struct product {
	uint64_t matrix; /* offset */
	uint32_t n, k;
	struct kernel_rows in, out;
	enum kernel_finish finish;
};

static void multiply(const struct encoder *encoder, struct encoder_work *work, size_t rows,
		     const struct product *p)
{
	struct kernel_matrix matrix = matrix_at(encoder, p->matrix, p->n, p->k);
	struct kernel_quant in = {.rows = p->in};
	if (encoder->header->precision == PACKED_INT8) {
		in = work->quant;
		if (p->in.data == work->x.data)
			encoder->kernels->quantise_residual(p->in, rows, p->k, &in);
		else
			encoder->kernels->quantise(p->in, rows, p->k, &in);
	}
	encoder->kernels->matmul(&matrix, &in, rows, p->out, p->finish);
}

static void norm(const struct encoder *encoder, struct encoder_work *work, size_t rows,
		 uint64_t offset)
{
	const struct packed_header *h = encoder->header;
	encoder->kernels->norm(floats_at(encoder, offset), h->norm_eps, h->dim, work->x, work->act,
			       rows);
}

static struct kernel_rows rows_from(struct kernel_rows rows, size_t first)
{
	return (struct kernel_rows){rows.data + first * rows.stride, rows.stride};
}

static void attend(const struct encoder *encoder, struct encoder_work *work,
		   const struct encoder_batch *batch)
{
	const struct packed_header *h = encoder->header;
	for (size_t i = 0; i < batch->window_count; i++) {
		const struct encoder_window *w = &batch->windows[i];
		struct kernel_attention job = {.qkv = rows_from(work->qkv, w->first),
					       .out = rows_from(work->context, w->first),
					       .rows = w->rows,
					       .dim = h->dim,
					       .head_size = h->dim / h->head_count,
					       .scratch = work->attention};
		encoder->kernels->attention(&job);
	}
}

static void layer_run(const struct encoder *encoder, struct encoder_work *work,
		      const struct encoder_batch *batch, const struct packed_layer *l)
{
	const uint32_t dim = encoder->header->dim, ffn = encoder->header->ffn;
	/* int8 is quantised from the residual stream itself: no copy, and one rounding less. */
	const struct kernel_rows normed = work->act.data != NULL ? work->act : work->x;
	const struct product qkv = {l->qkv, 3 * dim, dim, normed, work->qkv, KERNEL_STORE};
	const struct product out = {l->out, dim, dim, work->context, work->x, KERNEL_RESIDUAL};
	const struct product up = {l->up, ffn, dim, normed, work->up, KERNEL_GELU};
	const struct product down = {l->down, dim, ffn, work->up, work->x, KERNEL_RESIDUAL};
	multiply(encoder, work, batch->rows, &qkv);
	attend(encoder, work, batch);
	multiply(encoder, work, batch->rows, &out);
	norm(encoder, work, batch->rows, l->attention_norm);
	multiply(encoder, work, batch->rows, &up);
	multiply(encoder, work, batch->rows, &down);
	norm(encoder, work, batch->rows, l->output_norm);
}

/* Token rows plus positions, then their norm. False: an id has no row. */
static bool embed(const struct encoder *encoder, struct encoder_work *work,
		  const struct encoder_batch *batch)
{
	const struct packed_header *h = encoder->header;
	const float *positions = floats_at(encoder, h->positions);
	for (size_t i = 0; i < batch->window_count; i++) {
		const struct encoder_window *w = &batch->windows[i];
		for (size_t row = 0; row < w->rows; row++) {
			uint32_t id = (uint32_t)batch->ids[w->first + row];
			if (id >= h->vocab)
				return false;
			struct kernel_rows at = rows_from(work->x, w->first + row);
			float *x = (float *)(void *)at.data;
			const float *position = positions + row * h->dim;
			packed_row_read(h->rows_format,
					encoder->data + h->rows.offset + (size_t)id * h->row_bytes,
					h->dim, x);
			for (size_t j = 0; j < h->dim; j++)
				x[j] += position[j];
		}
	}
	norm(encoder, work, batch->rows, h->embedding_norm);
	return true;
}

status encoder_run(const struct encoder *encoder, struct encoder_work *work,
		   const struct encoder_batch *batch, struct fault *reterr)
{
	const struct packed_header *h = encoder->header;
	const struct packed_layer *layers =
		(const struct packed_layer *)(const void *)(encoder->data + h->layers);
	ASSERT(batch->rows >= 1);
	ASSERT(batch->rows <= work->rows_max);
	if (!embed(encoder, work, batch))
		return fault_set(
			reterr, ST_CORRUPT,
			"the vocabulary of '%s' has a token without a row: import it again",
			h->name);
	for (uint32_t i = 0; i < h->layer_count; i++) {
		if (cancel_is_set(batch->cancel))
			return fault_set(reterr, ST_CANCELLED, "embedding was cancelled");
		layer_run(encoder, work, batch, &layers[i]);
	}
	return ST_OK;
}

/* ---- vectors ---- */

void encoder_normalise(float *vector, size_t dim)
{
	double squares = 0;
	for (size_t i = 0; i < dim; i++)
		squares += (double)vector[i] * (double)vector[i];
	if (!(squares > 0))
		return;
	float inverse = (float)(1.0 / sqrt(squares));
	for (size_t i = 0; i < dim; i++)
		vector[i] *= inverse;
}

void encoder_pool(const struct encoder *encoder, const struct encoder_work *work,
		  const struct encoder_window *window, float *ret_vector)
{
	const struct packed_header *h = encoder->header;
	/* The first row is that of [CLS]; a mean needs no division, the length becomes 1 anyway. */
	size_t rows = h->pooling == PACKED_CLS ? 1 : window->rows;
	memset(ret_vector, 0, h->dim * sizeof(*ret_vector));
	for (size_t row = 0; row < rows; row++) {
		struct kernel_rows at = rows_from(work->x, window->first + row);
		const float *x = (const float *)(const void *)at.data;
		for (size_t i = 0; i < h->dim; i++)
			ret_vector[i] += x[i];
	}
	encoder_normalise(ret_vector, h->dim);
}
