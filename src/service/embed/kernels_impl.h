/* embed/kernels_impl.h -- the kernels, written once; no header but a template: a kernels_*.c file
 * includes the vector page of its CPU (vec_*.h), names its table and then includes this.
 *
 *     KERNELS_TABLE   the table to define         KERNELS_NAME   its name, a string
 *     HAVE_BF16       1: vf_dot_bf16() exists     HAVE_VNNI      1: vi_dot_u8() exists
 *
 * Shape of everything: C[m][c] = A[m][k] B, where B is a panel of 32 columns stored as groups of one
 * dword for each column (1 f32, 2 bf16 or 4 s8: inputs that one instruction takes together). A tile of
 * TILE_ROWS x TILE_VECS vectors is kept in registers for all of k, then finished (bias, GELU, residual)
 * from a buffer in L1, where the cost of not being in registers is a few percent.
 *
 * The loops over tile rows must be unrolled completely: a counter left over sends the accumulators
 * through the stack, at a third of the speed and without a warning. Hence constant trip counts of at
 * most 16 under UNROLL (embed/vec.h) and two nested loops instead of one long. */

enum kind {
	KIND_F32,       /* f32 rows, f32 panels */
	KIND_BF16,      /* bf16 rows and panels, dot product of pairs */
	KIND_BF16_WIDE, /* f32 rows, bf16 panels widened in registers */
	KIND_INT8,      /* u8 rows, s8 panels, dot product of four */
	KIND_INT8_WIDE, /* s16 rows, s8 panels widened in registers */
};

enum {
	PANEL = PACKED_PANEL,
	GROUP_BYTES = PANEL * 4,
	TILE_COLUMNS = TILE_VECS * VW,
	WIDE_COLUMNS = WIDE_VECS * VW / 2, /* of an int8 tile that widens: two dwords a column */
};
_Static_assert(PANEL % TILE_COLUMNS == 0 && PANEL % WIDE_COLUMNS == 0, "tiles fill a panel");
_Static_assert((int)TILE_ROWS <= (int)KERNELS_TILE_ROWS_MAX && (int)WIDE_ROWS <= (int)KERNELS_TILE_ROWS_MAX,
	       "buffers hold a tile");

/* Values of A that lie together for one group, in bytes. */
INLINE size_t group_step(const enum kind kind)
{
	return kind == KIND_BF16_WIDE || kind == KIND_INT8_WIDE ? 8 : 4;
}

/* Inputs in one group. */
INLINE size_t group_size(const enum kind kind)
{
	return kind == KIND_F32 ? 1 : kind == KIND_BF16 || kind == KIND_BF16_WIDE ? 2 : 4;
}

#include "embed/kernels_tile.h"

#include "embed/kernels_math.h"

/* ---- one matrix ---- */

struct finish_job {
	const struct kernel_matrix *w;
	const struct kernel_quant *in;
	struct kernel_rows out;
	size_t row, column; /* of the tile's first value in the output */
	int m, columns;
};

/* Bias, and what follows, for one tile of sums. exact: f32 all the way, for tests and comparisons. */
INLINE void finish_tile(const struct finish_job *job, const enum kind kind, const bool exact,
			const enum kernel_finish finish, const unsigned char *c)
{
	const bool quant = kind == KIND_INT8 || kind == KIND_INT8_WIDE;
	const struct kernel_matrix *w = job->w;
	for (int j = 0; j < job->columns; j += VW) {
		size_t n = job->column + (size_t)j;
		vf bias = vf_load(w->bias + n), scale = bias, sum = bias;
		if (quant) {
			scale = vf_load(w->scale + n);
			sum = vf_load(w->sum + n);
		}
		for (int i = 0; i < job->m; i++) {
			const unsigned char *at = c + (size_t)(i * PANEL + j) * 4;
			size_t row = job->row + (size_t)i;
			unsigned char *out = job->out.data + row * job->out.stride;
			vf v;
			if (quant) {
				vf zero = vf_set1(job->in->zero[row]);
				vf all = vf_mul(scale, vf_set1(job->in->scale[row]));
				v = vf_sub(vf_from_vi(vi_load(at)), vf_mul(zero, sum));
				v = vf_fma(v, all, bias);
			} else {
				v = vf_add(vf_load(at), bias);
			}
			if (finish == KERNEL_GELU)
				v = exact ? gelu_exact(v) : gelu_fast(v);
			if (finish == KERNEL_RESIDUAL)
				vf_store(out + n * 4, vf_add(v, vf_load(out + n * 4)));
			else
				act_store(out, n, v, exact);
		}
	}
}

/* Panels outside, rows inside: a panel stays in L1 (or streams from L2 when k is large) while all rows
 * pass. Blocks of rows are even: 16 rows are 8 + 8, never 12 + 4. */
INLINE void multiply(const struct kernel_matrix *w, const struct kernel_quant *in, size_t rows,
		     struct kernel_rows out, const enum kind kind, const bool exact,
		     const enum kernel_finish finish)
{
	const size_t tile_rows = kind == KIND_INT8_WIDE ? WIDE_ROWS : TILE_ROWS;
	const int columns = kind == KIND_INT8_WIDE ? WIDE_COLUMNS : TILE_COLUMNS;
	size_t groups = w->k / group_size(kind), blocks = (rows + tile_rows - 1) / tile_rows;
	_Alignas(64) unsigned char c[KERNELS_TILE_ROWS_MAX * GROUP_BYTES];
	for (size_t column = 0; column < w->n; column += (size_t)columns) {
		const unsigned char *b = w->panels + column / PANEL * groups * GROUP_BYTES + column % PANEL * 4;
		for (size_t block = 0; block < blocks; block++) {
			size_t first = rows * block / blocks, end = rows * (block + 1) / blocks;
			struct tile_job tile = {.a = in->rows.data + first * in->rows.stride,
						.a_stride = in->rows.stride,
						.b = b,
						.groups = groups,
						.c = c,
						.c_stride = GROUP_BYTES};
			struct finish_job job = {.w = w,
						 .in = in,
						 .out = out,
						 .row = first,
						 .column = column,
						 .m = (int)(end - first),
						 .columns = columns};
			tile_run(kind, (int)(end - first), &tile);
			finish_tile(&job, kind, exact, finish, c);
		}
	}
}

#define MATMUL(function, kind, exact)                                                              \
	static void function(const struct kernel_matrix *w, const struct kernel_quant *in, size_t rows, \
			     struct kernel_rows out, enum kernel_finish finish)                    \
	{                                                                                          \
		if (finish == KERNEL_STORE)                                                        \
			multiply(w, in, rows, out, kind, exact, KERNEL_STORE);                     \
		else if (finish == KERNEL_GELU)                                                    \
			multiply(w, in, rows, out, kind, exact, KERNEL_GELU);                      \
		else                                                                               \
			multiply(w, in, rows, out, kind, exact, KERNEL_RESIDUAL);                  \
	}

/* ---- rows ---- */

static void quantise(struct kernel_rows act, size_t rows, size_t k, struct kernel_quant *out)
{
	for (size_t r = 0; r < rows; r++) {
		const unsigned char *row = act.data + r * act.stride;
		unsigned char *q = out->rows.data + r * out->rows.stride;
		vf high = vf_set1(0), low = high;
		for (size_t i = 0; i < k; i += VW) {
			vf v = act_load(row, i, false);
			high = vf_max(high, v);
			low = vf_min(low, v);
		}
		/* 0 is always in the range, so a row of zeros needs no special case but the divisor. */
		float top = vf_highest(high), bottom = -vf_highest(vf_sub(vf_set1(0), low));
		float scale = (top - bottom) * (1.0f / 255.0f);
		scale = scale > 1e-30f ? scale : 1e-30f;
		vf inverse = vf_set1(1.0f / scale), zero = vf_round(vf_set1(-bottom / scale));
		for (size_t i = 0; i < k; i += VW) {
			vf v = vf_fma(act_load(row, i, false), inverse, zero);
			quant_store(q, i, vf_min(vf_max(v, vf_set1(0)), vf_set1(255)));
		}
		out->scale[r] = scale;
		out->zero[r] = vf_first(zero);
	}
}

INLINE void norm_rows(const float *norm, float eps, size_t dim, struct kernel_rows x,
		      struct kernel_rows act, size_t rows, const bool exact)
{
	float share = 1.0f / (float)dim;
	for (size_t r = 0; r < rows; r++) {
		unsigned char *row = x.data + r * x.stride, *out = act.data + r * act.stride;
		vf sum = vf_set1(0), squares = sum;
		for (size_t i = 0; i < dim; i += VW)
			sum = vf_add(sum, vf_load(row + i * 4));
		vf mean = vf_set1(vf_total(sum) * share);
		for (size_t i = 0; i < dim; i += VW) {
			vf v = vf_sub(vf_load(row + i * 4), mean);
			squares = vf_fma(v, v, squares);
		}
		vf inverse = vf_set1(1.0f / __builtin_sqrtf(vf_total(squares) * share + eps));
		for (size_t i = 0; i < dim; i += VW) {
			vf v = vf_mul(vf_sub(vf_load(row + i * 4), mean), inverse);
			v = vf_fma(v, vf_load(norm + i), vf_load(norm + dim + i));
			vf_store(row + i * 4, v);
			act_store(out, i, v, exact);
		}
	}
}

static void norm_exact(const float *norm, float eps, size_t dim, struct kernel_rows x,
		       struct kernel_rows act, size_t rows)
{
	norm_rows(norm, eps, dim, x, act, rows, true);
}

#include "embed/kernels_attention.h"

/* ---- the tables ---- */

MATMUL(matmul_f32, KIND_F32, true)
static void attention_exact(const struct kernel_attention *job)
{
	attention(job, KIND_F32, true);
}

#if HAVE_BF16
MATMUL(matmul_bf16, KIND_BF16, false)
static void norm_fast(const float *norm, float eps, size_t dim, struct kernel_rows x,
		      struct kernel_rows act, size_t rows)
{
	norm_rows(norm, eps, dim, x, act, rows, false);
}
#else
MATMUL(matmul_bf16, KIND_BF16_WIDE, false)
#define norm_fast norm_exact
#endif
static void attention_fast(const struct kernel_attention *job)
{
	attention(job, HAVE_BF16 ? KIND_BF16 : KIND_F32, false);
}

#if HAVE_VNNI
MATMUL(matmul_int8, KIND_INT8, false)
#else
MATMUL(matmul_int8, KIND_INT8_WIDE, false)
#endif

enum { ACT_BYTES = HAVE_BF16 ? 2 : 4, QUANT_BYTES = HAVE_VNNI ? 1 : 2 };

const struct kernels KERNELS_TABLE[3] = {
	[PACKED_BF16] = {KERNELS_NAME, ACT_BYTES, QUANT_BYTES, matmul_bf16, quantise, norm_fast,
			 attention_fast},
	[PACKED_INT8] = {KERNELS_NAME, ACT_BYTES, QUANT_BYTES, matmul_int8, quantise, norm_fast,
			 attention_fast},
	[PACKED_F32] = {KERNELS_NAME, 4, QUANT_BYTES, matmul_f32, quantise, norm_exact, attention_exact},
};
