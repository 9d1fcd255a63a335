/* embed/kernels_attention.h -- softmax(Q K') V of one text; part of the template kernels_impl.h.
 *
 * For each head K and V are repacked to panels in the scratch, so that both products run on the tiles
 * of the matmuls; scores never leave the L1/L2 cache: 12 rows of them at a time. Keys are padded to a
 * multiple of 32 with zeros, whose scores are masked. */

enum { MASKED = -1000000 }; /* a score whose power of two is 0 */

struct head {
	const unsigned char *q, *k, *v; /* first row of this head */
	size_t stride;                  /* bytes between rows of the three */
	unsigned char *out;
	size_t out_stride;
	size_t rows, padded;
	unsigned char *k_panels, *v_panels, *scores;
};

/* Panels [padded/32][dwords][32]: dword c of all keys lies together. */
INLINE void repack_keys(const struct head *h, const size_t dwords)
{
	for (size_t row = 0; row < h->padded; row += VEC_TRANSPOSE)
		for (size_t c = 0; c < dwords; c += VEC_TRANSPOSE) {
			size_t left = h->rows > row ? h->rows - row : 0;
			unsigned char *to = h->k_panels + (row / PANEL * dwords + c) * GROUP_BYTES +
					    row % PANEL * 4;
			vec_transpose(h->k + row * h->stride + c * 4, h->stride, left, to, GROUP_BYTES);
		}
}

/* Panels [head/32][padded/g][32][g]. */
INLINE void repack_values(const struct head *h, const enum kind kind, const size_t size)
{
	for (size_t column = 0; column < size; column += PANEL) {
		unsigned char *to = h->v_panels + column * h->padded * (kind == KIND_F32 ? 4 : 2);
		const size_t step = group_size(kind);
		for (size_t row = 0; row < h->padded; row += step, to += GROUP_BYTES) {
			const unsigned char *from = h->v + row * h->stride + column * (4 / step);
			if (row >= h->rows)
				__builtin_memset(to, 0, GROUP_BYTES);
			else if (kind == KIND_F32)
				__builtin_memcpy(to, from, GROUP_BYTES);
#if HAVE_BF16
			else
				vec_interleave_bf16(from, row + 1 < h->rows ? from + h->stride : NULL, to);
#endif
		}
	}
}

/* Powers of two of a row of scores, less its largest, stored as activations over the scores (which are
 * at least as wide); returns 1 / their sum. */
INLINE float softmax(unsigned char *row, size_t rows, size_t padded, const bool exact)
{
	for (size_t j = rows; j < padded; j++) {
		float masked = MASKED;
		__builtin_memcpy(row + j * 4, &masked, sizeof(masked));
	}
	vf top = vf_load(row), sum = vf_set1(0);
	for (size_t j = VW; j < padded; j += VW)
		top = vf_max(top, vf_load(row + j * 4));
	top = vf_set1(vf_highest(top));
	for (size_t j = 0; j < padded; j += VW) {
		vf v = exp2_any(vf_sub(vf_load(row + j * 4), top), exact);
		sum = vf_add(sum, v);
		act_store(row, j, v, exact);
	}
	return 1.0f / vf_total(sum);
}

/* Rows first..first+m of one head. */
INLINE void attend(const struct head *h, size_t first, int m, const enum kind kind, const bool exact,
		   const size_t size)
{
	const size_t act = kind == KIND_F32 ? 4 : 2, dwords = size * act / 4;
	float inverse[TILE_ROWS];
	_Alignas(64) unsigned char sums[TILE_ROWS * 64 * 4];
	struct tile_job t = {.a = h->q + first * h->stride,
			     .a_stride = h->stride,
			     .groups = dwords,
			     .c_stride = h->padded * 4};
	for (size_t key = 0; key < h->padded; key += TILE_COLUMNS) {
		t.b = h->k_panels + key / PANEL * dwords * GROUP_BYTES + key % PANEL * 4;
		t.c = h->scores + key * 4;
		tile_run(kind, m, &t);
	}
	for (int i = 0; i < m; i++)
		inverse[i] = softmax(h->scores + (size_t)i * h->padded * 4, h->rows, h->padded, exact);
	t = (struct tile_job){.a = h->scores,
			      .a_stride = h->padded * 4,
			      .groups = h->padded / group_size(kind),
			      .c_stride = size * 4};
	for (size_t column = 0; column < size; column += TILE_COLUMNS) {
		t.b = h->v_panels + column / PANEL * PANEL * h->padded * act + column % PANEL * 4;
		t.c = sums + column * 4;
		tile_run(kind, m, &t);
	}
	for (int i = 0; i < m; i++)
		for (size_t j = 0; j < size; j += VW)
			act_store(h->out + (first + (size_t)i) * h->out_stride, j,
				  vf_mul(vf_load(sums + ((size_t)i * size + j) * 4), vf_set1(inverse[i])),
				  exact);
}

INLINE void attention_heads(const struct kernel_attention *job, const enum kind kind, const bool exact,
			    const size_t size)
{
	const size_t act = kind == KIND_F32 ? 4 : 2;
	size_t part = job->dim * act, blocks = (job->rows + TILE_ROWS - 1) / TILE_ROWS;
	struct head h = {.stride = job->qkv.stride,
			 .out_stride = job->out.stride,
			 .rows = job->rows,
			 .padded = (job->rows + PANEL - 1) / PANEL * PANEL,
			 .k_panels = job->scratch};
	h.v_panels = h.k_panels + h.padded * size * act;
	h.scores = h.v_panels + h.padded * size * act;
	for (size_t at = 0; at < part; at += size * act) {
		h.q = job->qkv.data + at;
		h.k = h.q + part;
		h.v = h.k + part;
		h.out = job->out.data + at;
		repack_keys(&h, size * act / 4);
		repack_values(&h, kind, size);
		for (size_t block = 0; block < blocks; block++) {
			size_t first = h.rows * block / blocks, end = h.rows * (block + 1) / blocks;
			attend(&h, first, (int)(end - first), kind, exact, size);
		}
	}
}

INLINE void attention(const struct kernel_attention *job, const enum kind kind, const bool exact)
{
	if (job->head_size == 32)
		attention_heads(job, kind, exact, 32);
	else
		attention_heads(job, kind, exact, 64);
}
