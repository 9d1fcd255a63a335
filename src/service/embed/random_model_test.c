#include "embed/random_model_test.h"

#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/size.h"
#include "embed/pack.h"

static uint64_t seed = 7;

static float noise(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (float)((int64_t)(seed >> 40) - (1 << 23)) * (1.0f / (1 << 23)) * 1.73f;
}

static float *noise_new(struct mem_scope *scope, size_t count, float scale, float base)
{
	float *v = mem_new_array(scope, float, count);
	ASSERT(v != NULL);
	for (size_t i = 0; i < count; i++)
		v[i] = base + noise() * scale;
	return v;
}

static float *norm_new(struct mem_scope *scope, uint32_t dim)
{
	float *v = noise_new(scope, 2 * (size_t)dim, 0.2f, 0);
	for (uint32_t i = 0; i < dim; i++)
		v[i] += 1.0f;
	return v;
}

/* Output channels and inputs of one of the six. */
static void matrix_shape(const struct random_shape *s, int which, uint32_t *n, uint32_t *k)
{
	*n = which == RANDOM_UP ? s->ffn : s->dim;
	*k = which == RANDOM_DOWN ? s->ffn : s->dim;
}

/* ---- image ---- */

static uint64_t image_add(struct random_model *m, const void *data, size_t bytes)
{
	uint64_t at = m->bytes;
	if (data != NULL)
		memcpy(m->image + at, data, bytes);
	m->bytes += size_round_up(bytes, PACKED_ALIGN);
	return at;
}

static uint64_t image_add_matrix(struct random_model *m, enum packed_precision precision,
				 uint32_t n, uint32_t k, const float *weight, const float *bias)
{
	uint64_t at = image_add(m, NULL, pack_matrix_bytes(precision, n, k));
	pack_matrix(precision, n, k, weight, bias, m->image + at);
	return at;
}

/* Q, K and V below each other, Q scaled. */
static uint64_t image_add_qkv(struct mem_scope *scope, struct random_model *m,
			      enum packed_precision precision, const struct random_layer *l)
{
	uint32_t dim = m->shape.dim;
	size_t square = (size_t)dim * dim;
	float *weight = mem_new_array(scope, float, 3 * square),
	      *bias = mem_new_array(scope, float, 3 * dim);
	for (int part = 0; part < 3; part++) {
		float scale = part == RANDOM_Q ? pack_query_scale(dim / m->shape.heads) : 1;
		for (size_t i = 0; i < square; i++)
			weight[(size_t)part * square + i] = l->weight[part][i] * scale;
		for (size_t i = 0; i < dim; i++)
			bias[(size_t)part * dim + i] = l->bias[part][i] * scale;
	}
	return image_add_matrix(m, precision, 3 * dim, dim, weight, bias);
}

static void image_make(struct mem_scope *scope, struct random_model *m, struct packed_header *h)
{
	const struct random_shape *s = &m->shape;
	size_t norm_bytes = 2 * (size_t)s->dim * 4, all = (size_t)4 * MIB;
	all += (size_t)s->layers * (4 * (size_t)s->dim + 2 * s->ffn) * s->dim * 5;
	all += ((size_t)s->vocab + s->positions) * s->dim * 4 + s->tokenizer.bytes;
	m->image = mem_new_aligned(scope, unsigned char, all, 64);
	m->bytes = PACKED_HEADER_BYTES;
	enum packed_precision precision = (enum packed_precision)h->precision;
	struct packed_layer *layers = mem_new_array(scope, struct packed_layer, s->layers);
	for (uint32_t i = 0; i < s->layers; i++) {
		const struct random_layer *l = &m->layers[i];
		layers[i].qkv = image_add_qkv(scope, m, precision, l);
		layers[i].out = image_add_matrix(m, precision, s->dim, s->dim,
						 l->weight[RANDOM_OUT], l->bias[RANDOM_OUT]);
		layers[i].up = image_add_matrix(m, precision, s->ffn, s->dim, l->weight[RANDOM_UP],
						l->bias[RANDOM_UP]);
		layers[i].down = image_add_matrix(m, precision, s->dim, s->ffn,
						  l->weight[RANDOM_DOWN], l->bias[RANDOM_DOWN]);
		layers[i].attention_norm = image_add(m, l->attention_norm, norm_bytes);
		layers[i].output_norm = image_add(m, l->output_norm, norm_bytes);
	}
	h->layers = image_add(m, layers, s->layers * sizeof(*layers));
	h->rows = (struct packed_range){0, (uint64_t)s->vocab * s->dim * 4};
	h->rows.offset = image_add(m, m->rows, h->rows.bytes);
	h->positions = image_add(m, m->positions, (size_t)s->positions * s->dim * 4);
	h->embedding_norm = image_add(m, m->embedding_norm, norm_bytes);
	h->tokenizer = (struct packed_range){m->bytes, s->tokenizer.bytes};
	if (s->tokenizer.bytes > 0)
		image_add(m, s->tokenizer.data, s->tokenizer.bytes);
	h->file_bytes = m->bytes;
	ASSERT(m->bytes <= all);
	memcpy(m->image, h, sizeof(*h));
}

void random_model_make(struct mem_scope *scope, const struct random_shape *shape,
		       enum packed_precision precision, enum packed_pooling pooling,
		       struct random_model *ret_model)
{
	seed = 7; /* the same weights for every precision */
	struct random_model *m = ret_model;
	*m = (struct random_model){.shape = *shape};
	m->rows = noise_new(scope, (size_t)shape->vocab * shape->dim, 0.5f, 0);
	m->positions = noise_new(scope, (size_t)shape->positions * shape->dim, 0.2f, 0);
	m->embedding_norm = norm_new(scope, shape->dim);
	m->layers = mem_new_array(scope, struct random_layer, shape->layers);
	for (uint32_t i = 0; i < shape->layers; i++) {
		for (int j = 0; j < RANDOM_MATRICES; j++) {
			uint32_t n, k;
			matrix_shape(shape, j, &n, &k);
			m->layers[i].weight[j] =
				noise_new(scope, (size_t)n * k, 1 / sqrtf((float)k), 0);
			m->layers[i].bias[j] = noise_new(scope, n, 0.1f, 0);
		}
		m->layers[i].attention_norm = norm_new(scope, shape->dim);
		m->layers[i].output_norm = norm_new(scope, shape->dim);
	}
	struct packed_header h = {.layout = PACKED_LAYOUT,
				  .endian = PACKED_ENDIAN,
				  .precision = (uint32_t)precision,
				  .dim = shape->dim,
				  .head_count = shape->heads,
				  .ffn = shape->ffn,
				  .layer_count = shape->layers,
				  .vocab = shape->vocab,
				  .position_count = shape->positions,
				  .tokens_max = shape->positions,
				  .pooling = (uint32_t)pooling,
				  .normalise = 1,
				  .norm_eps = 1e-12f,
				  .token_first = 1,
				  .token_last = 2,
				  .rows_format = PACKED_ROWS_F32,
				  .row_bytes = shape->dim * 4,
				  .name = "random",
				  .id = "random"};
	memcpy(h.magic, PACKED_MAGIC, sizeof(h.magic));
	if (shape->query_prefix != NULL)
		memcpy(h.query_prefix, shape->query_prefix, strlen(shape->query_prefix));
	image_make(scope, m, &h);
}

/* ---- the same in double ---- */

static void norm_rows(double *x, size_t rows, size_t dim, const float *norm)
{
	for (size_t r = 0; r < rows; r++, x += dim) {
		double mean = 0, squares = 0;
		for (size_t i = 0; i < dim; i++)
			mean += x[i] / (double)dim;
		for (size_t i = 0; i < dim; i++)
			squares += (x[i] - mean) * (x[i] - mean) / (double)dim;
		for (size_t i = 0; i < dim; i++)
			x[i] = (x[i] - mean) / sqrt(squares + 1e-12) * (double)norm[i] +
			       (double)norm[dim + i];
	}
}

static double *multiply(struct mem_scope *scope, const struct random_model *m,
			const struct random_layer *l, int which, const double *in, size_t rows)
{
	uint32_t n, k;
	matrix_shape(&m->shape, which, &n, &k);
	double *out = mem_new_array(scope, double, rows *n);
	ASSERT(out != NULL);
	for (size_t r = 0; r < rows; r++)
		for (size_t c = 0; c < n; c++) {
			double sum = (double)l->bias[which][c];
			for (size_t i = 0; i < k; i++)
				sum += in[r * k + i] * (double)l->weight[which][c * k + i];
			out[r * n + c] = sum;
		}
	return out;
}

static double *attend(struct mem_scope *scope, const struct random_model *m,
		      const struct random_layer *l, const double *x, size_t rows)
{
	size_t dim = m->shape.dim, size = dim / m->shape.heads;
	double *q = multiply(scope, m, l, RANDOM_Q, x, rows),
	       *k = multiply(scope, m, l, RANDOM_K, x, rows);
	double *v = multiply(scope, m, l, RANDOM_V, x, rows),
	       *out = mem_new_array(scope, double, rows *dim);
	double *p = mem_new_array(scope, double, rows);
	for (size_t at = 0; at < dim; at += size)
		for (size_t r = 0; r < rows; r++) {
			double total = 0;
			for (size_t j = 0; j < rows; j++) {
				double score = 0;
				for (size_t i = at; i < at + size; i++)
					score += q[r * dim + i] * k[j * dim + i];
				p[j] = exp(score / sqrt((double)size));
				total += p[j];
			}
			for (size_t j = 0; j < rows; j++)
				for (size_t i = at; i < at + size; i++)
					out[r * dim + i] += p[j] / total * v[j * dim + i];
		}
	return out;
}

static void layer_apply(struct mem_scope *scope, const struct random_model *m,
			const struct random_layer *l, double *x, size_t rows)
{
	size_t dim = m->shape.dim;
	double *context = attend(scope, m, l, x, rows);
	double *out = multiply(scope, m, l, RANDOM_OUT, context, rows);
	for (size_t i = 0; i < rows * dim; i++)
		x[i] += out[i];
	norm_rows(x, rows, dim, l->attention_norm);
	double *up = multiply(scope, m, l, RANDOM_UP, x, rows);
	for (size_t i = 0; i < rows * m->shape.ffn; i++)
		up[i] *= 0.5 * (1 + erf(up[i] / sqrt(2)));
	double *down = multiply(scope, m, l, RANDOM_DOWN, up, rows);
	for (size_t i = 0; i < rows * dim; i++)
		x[i] += down[i];
	norm_rows(x, rows, dim, l->output_norm);
}

void random_model_embed(struct mem_scope *scratch, const struct random_model *m, const int32_t *ids,
			size_t rows, enum packed_pooling pooling, double *ret_vector)
{
	size_t dim = m->shape.dim;
	double *x = mem_new_array(scratch, double, rows *dim), squares = 0;
	ASSERT(x != NULL);
	for (size_t r = 0; r < rows; r++)
		for (size_t i = 0; i < dim; i++)
			x[r * dim + i] = (double)m->rows[(size_t)ids[r] * dim + i] +
					 (double)m->positions[r * dim + i];
	norm_rows(x, rows, dim, m->embedding_norm);
	for (uint32_t i = 0; i < m->shape.layers; i++)
		layer_apply(scratch, m, &m->layers[i], x, rows);
	for (size_t i = 0; i < dim; i++) {
		ret_vector[i] = 0;
		for (size_t r = 0; r < (pooling == PACKED_CLS ? 1 : rows); r++)
			ret_vector[i] += x[r * dim + i];
		squares += ret_vector[i] * ret_vector[i];
	}
	for (size_t i = 0; i < dim; i++)
		ret_vector[i] /= sqrt(squares);
}
