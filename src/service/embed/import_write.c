/* From an import_model to a packed file: one pass from front to back, matrix by matrix; the header
 * is written last, so that a file that was cut short is never taken for a whole one. */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>

#include "base/size.h"
#include "embed/import_model.h"
#include "embed/pack.h"

enum role {
	ROLE_TOKENS,
	ROLE_POSITIONS,
	ROLE_TYPES,
	ROLE_NORM_GAIN,
	ROLE_NORM_BIAS,
	ROLE_MODEL_COUNT,
	/* of each layer */
	ROLE_Q = ROLE_MODEL_COUNT,
	ROLE_Q_BIAS,
	ROLE_K,
	ROLE_K_BIAS,
	ROLE_V,
	ROLE_V_BIAS,
	ROLE_OUT,
	ROLE_OUT_BIAS,
	ROLE_OUT_GAIN,
	ROLE_OUT_SHIFT,
	ROLE_UP,
	ROLE_UP_BIAS,
	ROLE_DOWN,
	ROLE_DOWN_BIAS,
	ROLE_DOWN_GAIN,
	ROLE_DOWN_SHIFT,
	ROLE_COUNT
};

/* Names by enum tensor_names. Those of layers stand behind "encoder.layer.N.", "blk.N." and "lN.".
 */
static const char *const names[ROLE_COUNT][3] = {
	[ROLE_TOKENS] = {"embeddings.word_embeddings.weight", "token_embd.weight", "emb.word"},
	[ROLE_POSITIONS] = {"embeddings.position_embeddings.weight", "position_embd.weight",
			    "emb.pos"},
	[ROLE_TYPES] = {"embeddings.token_type_embeddings.weight", "token_types.weight",
			"emb.type"},
	[ROLE_NORM_GAIN] = {"embeddings.LayerNorm.weight", "token_embd_norm.weight", "emb.ln.w"},
	[ROLE_NORM_BIAS] = {"embeddings.LayerNorm.bias", "token_embd_norm.bias", "emb.ln.b"},
	[ROLE_Q] = {"attention.self.query.weight", "attn_q.weight", "q.w"},
	[ROLE_Q_BIAS] = {"attention.self.query.bias", "attn_q.bias", "q.b"},
	[ROLE_K] = {"attention.self.key.weight", "attn_k.weight", "k.w"},
	[ROLE_K_BIAS] = {"attention.self.key.bias", "attn_k.bias", "k.b"},
	[ROLE_V] = {"attention.self.value.weight", "attn_v.weight", "v.w"},
	[ROLE_V_BIAS] = {"attention.self.value.bias", "attn_v.bias", "v.b"},
	[ROLE_OUT] = {"attention.output.dense.weight", "attn_output.weight", "ao.w"},
	[ROLE_OUT_BIAS] = {"attention.output.dense.bias", "attn_output.bias", "ao.b"},
	[ROLE_OUT_GAIN] = {"attention.output.LayerNorm.weight", "attn_output_norm.weight", "aln.w"},
	[ROLE_OUT_SHIFT] = {"attention.output.LayerNorm.bias", "attn_output_norm.bias", "aln.b"},
	[ROLE_UP] = {"intermediate.dense.weight", "ffn_up.weight", "fi.w"},
	[ROLE_UP_BIAS] = {"intermediate.dense.bias", "ffn_up.bias", "fi.b"},
	[ROLE_DOWN] = {"output.dense.weight", "ffn_down.weight", "fo.w"},
	[ROLE_DOWN_BIAS] = {"output.dense.bias", "ffn_down.bias", "fo.b"},
	[ROLE_DOWN_GAIN] = {"output.LayerNorm.weight", "layer_output_norm.weight", "oln.w"},
	[ROLE_DOWN_SHIFT] = {"output.LayerNorm.bias", "layer_output_norm.bias", "oln.b"},
};

struct writer {
	const struct import_job *job;
	const struct import_model *model;
	struct packed_header head;
	enum packed_precision precision;
	int fd;
	uint64_t at;        /* where the next section begins; a multiple of PACKED_ALIGN */
	uint64_t read;      /* bytes of the source that are done */
	float *values;      /* the largest matrix */
	float *vectors;     /* 3 * max(dim, ffn): biases */
	unsigned char *out; /* the largest packed blob */
	uint32_t layer;
};

static status find(const struct writer *w, enum role role, const struct tensor **ret,
		   struct fault *reterr)
{
	char name[TENSOR_NAME_BYTES * 2];
	const struct import_model *m = w->model;
	const char *tail = names[role][m->names];
	const char *prefix = m->names == TENSOR_NAMES_HF ? m->name_prefix : "";
	static const char *const layer_names[] = {"encoder.layer.", "blk.", "l"};
	if (role < ROLE_MODEL_COUNT)
		snprintf(name, sizeof(name), "%s%s", prefix, tail);
	else
		snprintf(name, sizeof(name), "%s%s%u.%s", prefix, layer_names[m->names], w->layer,
			 tail);
	*ret = tensor_find(&m->tensors, name);
	if (*ret == NULL)
		return fault_set(reterr, ST_INVALID, "the model has no tensor %s", name);
	return ST_OK;
}

static status check_shape(const struct tensor *t, uint64_t rows, uint64_t columns,
			  struct fault *reterr)
{
	bool right = t->columns == 0 ? t->values == rows * columns
				     : t->rows == rows && t->columns == columns;
	if (!right)
		return fault_set(
			reterr, ST_INVALID,
			"tensor %s has the shape %llu x %llu where the model needs %llu x %llu",
			t->name, (unsigned long long)t->rows, (unsigned long long)t->columns,
			(unsigned long long)rows, (unsigned long long)columns);
	return ST_OK;
}

/* `count` rows from `first` on, widened. */
static status widen(const struct tensor *t, uint64_t first, uint64_t count, uint32_t columns,
		    float *out)
{
	size_t row = packed_row_bytes(t->format, columns);
	float sum = 0;
	for (uint64_t i = 0; i < count; i++)
		packed_row_read(t->format, t->data + (first + i) * row, columns, out + i * columns);
	for (size_t i = 0; i < count * columns; i++)
		sum += out[i] * 0.0f; /* a NaN or an infinity makes it a NaN */
	return isnan(sum) ? ST_INVALID : ST_OK;
}

static status read_tensor(struct writer *w, enum role role, uint32_t rows, uint32_t columns,
			  float *out, struct fault *reterr)
{
	const struct tensor *t;
	status st = find(w, role, &t, reterr);
	if (st == ST_OK)
		st = check_shape(t, rows, columns, reterr);
	if (st != ST_OK)
		return st;
	if (widen(t, 0, rows, columns, out) != ST_OK)
		return fault_set(reterr, ST_INVALID, "tensor %s holds a value that is not a number",
				 t->name);
	w->read += packed_row_bytes(t->format, columns) * (uint64_t)rows;
	return ST_OK;
}

/* Append a section; *ret_offset is where it begins. */
static status put(struct writer *w, const void *data, size_t bytes, uint64_t *ret_offset,
		  struct fault *reterr)
{
	static const char zeros[PACKED_ALIGN];
	status st = fd_write_at(w->fd, w->at, (struct span){data, bytes}, reterr);
	size_t rest = size_round_up(bytes, PACKED_ALIGN) - bytes;
	if (st == ST_OK && rest > 0)
		st = fd_write_at(w->fd, w->at + bytes, (struct span){zeros, rest}, reterr);
	if (st == ST_OK) {
		*ret_offset = w->at;
		w->at += bytes + rest;
	}
	return st;
}

static uint16_t half(float value)
{
	uint32_t bits;
	memcpy(&bits, &value, sizeof(bits));
	uint32_t sign = bits >> 16 & 0x8000, rest = bits & 0x7fffffff;
	if (rest < 0x38800000) /* below the smallest normal half: counts of 2^-24 */
		return (uint16_t)(sign | (uint32_t)lrintf(fabsf(value) * 0x1p24f));
	rest += 0xfff + (rest >> 13 & 1); /* to nearest, ties to even */
	return (uint16_t)(sign | ((rest >> 13) - (112u << 10)));
}

/* Token rows stay as they were published, but f32 rows become f16 unless the file is f32: the
 * rounding, 2^-11 of a value, is below that of the matrices, and half of the file is saved. */
static status put_rows(struct writer *w, struct fault *reterr)
{
	struct packed_header *h = &w->head;
	const struct tensor *t;
	status st = find(w, ROLE_TOKENS, &t, reterr);
	if (st == ST_OK)
		st = check_shape(t, h->vocab, h->dim, reterr);
	bool narrow = st == ST_OK && t->format == PACKED_ROWS_F32 && w->precision != PACKED_F32;
	if (st != ST_OK)
		return st;
	h->rows_format = narrow ? PACKED_ROWS_F16 : t->format;
	h->row_bytes = (uint32_t)packed_row_bytes(h->rows_format, h->dim);
	h->rows = (struct packed_range){w->at, (uint64_t)h->row_bytes * h->vocab};
	size_t row = packed_row_bytes(t->format, h->dim);
	for (uint32_t id = 0; id < h->vocab && st == ST_OK; id++) {
		const unsigned char *from = t->data + (size_t)id * row;
		if (widen(t, id, 1, h->dim, w->values) != ST_OK)
			return fault_set(reterr, ST_INVALID, "row %u of %s is not of numbers", id,
					 t->name);
		for (uint32_t i = 0; i < h->dim && narrow; i++) {
			if (fabsf(w->values[i]) > 65000.0f)
				return fault_set(reterr, ST_UNSUPPORTED,
						 "row %u of %s is too large; import it as f32", id,
						 t->name);
			uint16_t value = half(w->values[i]);
			memcpy(w->out + 2 * (size_t)i, &value, 2);
		}
		struct span data = {(const char *)(narrow ? w->out : from), h->row_bytes};
		st = fd_write_at(w->fd, w->at + (uint64_t)id * h->row_bytes, data, reterr);
		w->read += row;
		if (st == ST_OK && id % 4096 == 0)
			st = import_progress(w->job, w->read, reterr);
	}
	w->at = size_round_up(w->at + h->rows.bytes, PACKED_ALIGN);
	return st;
}

/* Positions, with the token type that every text has added in. */
static status put_positions(struct writer *w, struct fault *reterr)
{
	struct packed_header *h = &w->head;
	const struct tensor *types, *positions;
	status st = find(w, ROLE_TYPES, &types, reterr);
	if (st == ST_OK &&
	    (types->columns == 0 ? types->values < h->dim : types->columns != h->dim))
		st = fault_set(reterr, ST_INVALID, "tensor %s has an impossible shape",
			       types->name);
	if (st == ST_OK && widen(types, 0, 1, h->dim, w->vectors) != ST_OK)
		st = fault_set(reterr, ST_INVALID, "tensor %s is not of numbers", types->name);
	if (st == ST_OK)
		st = find(w, ROLE_POSITIONS, &positions, reterr);
	if (st == ST_OK)
		st = check_shape(positions, (uint64_t)h->position_count + w->model->position_skip,
				 h->dim, reterr);
	if (st != ST_OK)
		return st;
	if (widen(positions, w->model->position_skip, h->position_count, h->dim, w->values) !=
	    ST_OK)
		return fault_set(reterr, ST_INVALID, "tensor %s is not of numbers",
				 positions->name);
	for (uint32_t p = 0; p < h->position_count; p++)
		for (uint32_t i = 0; i < h->dim; i++)
			w->values[(size_t)p * h->dim + i] += w->vectors[i];
	return put(w, w->values, (size_t)h->position_count * h->dim * 4, &h->positions, reterr);
}

static status put_norm(struct writer *w, enum role gain, enum role shift, uint64_t *ret_offset,
		       struct fault *reterr)
{
	uint32_t dim = w->head.dim;
	status st = read_tensor(w, gain, 1, dim, w->vectors, reterr);
	if (st == ST_OK)
		st = read_tensor(w, shift, 1, dim, w->vectors + dim, reterr);
	if (st == ST_OK)
		st = put(w, w->vectors, (size_t)dim * 8, ret_offset, reterr);
	return st;
}

/* Pack what lies in values and vectors. */
static status put_packed(struct writer *w, uint32_t n, uint32_t k, uint64_t *ret_offset,
			 struct fault *reterr)
{
	pack_matrix(w->precision, n, k, w->values, w->vectors, w->out);
	return put(w, w->out, pack_matrix_bytes(w->precision, n, k), ret_offset, reterr);
}

static status put_matrix(struct writer *w, enum role role, uint32_t n, uint32_t k,
			 uint64_t *ret_offset, struct fault *reterr)
{
	status st = read_tensor(w, role, n, k, w->values, reterr);
	if (st == ST_OK)
		st = read_tensor(w, role + 1, 1, n, w->vectors, reterr);
	return st == ST_OK ? put_packed(w, n, k, ret_offset, reterr) : st;
}

static status put_qkv(struct writer *w, uint64_t *ret_offset, struct fault *reterr)
{
	uint32_t dim = w->head.dim;
	size_t matrix = (size_t)dim * dim;
	status st = ST_OK;
	for (uint32_t i = 0; i < 3 && st == ST_OK; i++) {
		st = read_tensor(w, ROLE_Q + 2 * i, dim, dim, w->values + i * matrix, reterr);
		if (st == ST_OK)
			st = read_tensor(w, ROLE_Q_BIAS + 2 * i, 1, dim, w->vectors + i * dim,
					 reterr);
	}
	if (st != ST_OK)
		return st;
	float scale = pack_query_scale(dim / w->head.head_count);
	for (size_t i = 0; i < matrix; i++)
		w->values[i] *= scale;
	for (size_t i = 0; i < dim; i++)
		w->vectors[i] *= scale;
	return put_packed(w, 3 * dim, dim, ret_offset, reterr);
}

static status put_layer(struct writer *w, struct packed_layer *l, struct fault *reterr)
{
	uint32_t dim = w->head.dim, ffn = w->head.ffn;
	status st = put_qkv(w, &l->qkv, reterr);
	if (st == ST_OK)
		st = put_matrix(w, ROLE_OUT, dim, dim, &l->out, reterr);
	if (st == ST_OK)
		st = put_norm(w, ROLE_OUT_GAIN, ROLE_OUT_SHIFT, &l->attention_norm, reterr);
	if (st == ST_OK)
		st = put_matrix(w, ROLE_UP, ffn, dim, &l->up, reterr);
	if (st == ST_OK)
		st = put_matrix(w, ROLE_DOWN, dim, ffn, &l->down, reterr);
	if (st == ST_OK)
		st = put_norm(w, ROLE_DOWN_GAIN, ROLE_DOWN_SHIFT, &l->output_norm, reterr);
	if (st == ST_OK)
		st = import_progress(w->job, w->read, reterr);
	return st;
}

static status put_layers(struct writer *w, struct fault *reterr)
{
	struct packed_layer layers[PACKED_LAYERS_MAX];
	status st = ST_OK;
	for (w->layer = 0; w->layer < w->head.layer_count && st == ST_OK; w->layer++)
		st = put_layer(w, &layers[w->layer], reterr);
	if (st == ST_OK)
		st = put(w, layers, w->head.layer_count * sizeof(layers[0]), &w->head.layers,
			 reterr);
	return st;
}

/* Built in a scope of its own: a large vocabulary needs room that the matrices need later. */
static status put_tokenizer(struct writer *w, struct fault *reterr)
{
	struct mem_scope *scope = mem_scope_open(w->job->scope, "tokenizer", 0);
	if (scope == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for the vocabulary");
	struct span section;
	status st = tokenizer_build(scope, &w->model->vocabulary, &section, reterr);
	if (st == ST_OK) {
		w->head.tokenizer.bytes = section.bytes;
		st = put(w, section.data, section.bytes, &w->head.tokenizer.offset, reterr);
	}
	mem_scope_close(scope);
	return st;
}

static status fill_header(struct writer *w, struct fault *reterr)
{
	const struct import_model *m = w->model;
	struct packed_header *h = &w->head;
	*h = (struct packed_header){
		.magic = PACKED_MAGIC,
		.layout = PACKED_LAYOUT,
		.endian = PACKED_ENDIAN,
		.precision = w->precision,
		.dim = m->dim,
		.head_count = m->heads,
		.ffn = m->ffn,
		.layer_count = m->layers,
		.vocab = m->vocab,
		.position_count = m->positions - m->position_skip,
		.tokens_max = m->tokens_max,
		.pooling = m->pooling,
		.normalise = 1,
		.norm_eps = m->norm_eps,
		.token_first = (uint32_t)m->vocabulary.first_id,
		.token_last = (uint32_t)m->vocabulary.last_id,
		.tokenizer_kind = m->vocabulary.kind,
	};
	if (m->dim == 0 || m->dim % PACKED_PANEL != 0 || m->dim > EMBED_DIM_MAX || m->heads == 0 ||
	    m->dim % m->heads != 0 || (m->dim / m->heads != 32 && m->dim / m->heads != 64) ||
	    m->ffn == 0 || m->ffn % PACKED_PANEL != 0 || m->ffn > PACKED_FFN_MAX ||
	    m->layers == 0 || m->layers > PACKED_LAYERS_MAX)
		return fault_set(
			reterr, ST_UNSUPPORTED,
			"%u layers of %u with %u heads and %u inner is no shape that the engine "
			"runs (heads of 32 or 64)",
			m->layers, m->dim, m->heads, m->ffn);
	if (m->vocab == 0 || m->vocab > PACKED_VOCAB_MAX || m->vocabulary.count > m->vocab ||
	    m->positions <= m->position_skip || h->position_count > PACKED_POSITIONS_MAX ||
	    m->tokens_max > h->position_count || m->tokens_max < PACKED_TOKENS_MIN ||
	    !(m->norm_eps > 0 && m->norm_eps < 1))
		return fault_set(
			reterr, ST_INVALID,
			"%u token rows for %u pieces, %u positions and windows of %u do not fit",
			m->vocab, m->vocabulary.count, h->position_count, m->tokens_max);
	char hex[SHA256_HEX_BYTES];
	sha256_hex(&m->weights, hex);
	snprintf(h->name, sizeof(h->name), "%s", m->name);
	snprintf(h->id, sizeof(h->id), "%s-%.12s%s", m->name, hex,
		 w->precision == PACKED_INT8 ? "-i8" : "");
	memcpy(h->query_prefix, m->query_prefix, sizeof(h->query_prefix));
	memcpy(h->passage_prefix, m->passage_prefix, sizeof(h->passage_prefix));
	return ST_OK;
}

static status make_room(struct writer *w, struct fault *reterr)
{
	const struct packed_header *h = &w->head;
	size_t wide = size_max(h->dim, h->ffn), values = wide * h->dim;
	values = size_max(values, (size_t)3 * h->dim * h->dim);
	values = size_max(values, (size_t)h->position_count * h->dim);
	size_t blob = pack_matrix_bytes(w->precision, 3 * h->dim, h->dim);
	blob = size_max(blob, pack_matrix_bytes(w->precision, h->ffn, h->dim));
	blob = size_max(blob, pack_matrix_bytes(w->precision, h->dim, h->ffn));
	w->values = mem_new_array(w->job->scope, float, values);
	w->vectors = mem_new_array(w->job->scope, float, 3 * wide);
	w->out = mem_new_aligned(w->job->scope, unsigned char, blob, PACKED_ALIGN);
	if (w->values == NULL || w->vectors == NULL || w->out == NULL)
		return fault_set(reterr, mem_refusal(), "no memory to pack a matrix of %zu values",
				 values);
	return ST_OK;
}

status import_write(const struct import_job *job, const struct import_model *model,
		    const char *path, struct fault *reterr)
{
	CLEANUP(fd_closep) int fd = -1;
	struct writer w = {.job = job,
			   .model = model,
			   .precision = (enum packed_precision)job->options->precision,
			   .at = PACKED_HEADER_BYTES};
	status st = fill_header(&w, reterr);
	if (st == ST_OK)
		st = fd_open(path, O_RDWR | O_CREAT | O_EXCL, 0644, &fd, reterr);
	w.fd = fd;
	if (st == ST_OK)
		st = put_tokenizer(&w, reterr);
	if (st == ST_OK)
		st = make_room(&w, reterr);
	if (st == ST_OK)
		st = put_rows(&w, reterr);
	if (st == ST_OK)
		st = put_positions(&w, reterr);
	if (st == ST_OK)
		st = put_norm(&w, ROLE_NORM_GAIN, ROLE_NORM_BIAS, &w.head.embedding_norm, reterr);
	if (st == ST_OK)
		st = put_layers(&w, reterr);
	w.head.file_bytes = w.at;
	char header[PACKED_HEADER_BYTES] = {0};
	memcpy(header, &w.head, sizeof(w.head));
	if (st == ST_OK)
		st = fd_write_at(fd, 0, (struct span){header, sizeof(header)}, reterr);
	if (st == ST_OK)
		st = fd_sync(fd, reterr);
	return st;
}
