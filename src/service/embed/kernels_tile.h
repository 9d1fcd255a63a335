/* embed/kernels_tile.h -- the register tiles; part of the template kernels_impl.h. */

struct tile_job {
	const unsigned char *a; /* first row */
	size_t a_stride;        /* bytes */
	const unsigned char *b; /* first dword of the tile's columns in the first group */
	size_t groups;
	unsigned char *c; /* sums: f32 or s32 */
	size_t c_stride;  /* bytes */
};

INLINE uint32_t load_u32(const unsigned char *at)
{
	uint32_t v;
	__builtin_memcpy(&v, at, sizeof(v));
	return v;
}

/* One group, f32 panels or pairs of bf16: one broadcast a row. */
INLINE void step_narrow(const enum kind kind, const int m, const unsigned char *a, size_t stride,
			const vi w[TILE_VECS], vf acc[TILE_ROWS][TILE_VECS])
{
	UNROLL for (int i = 0; i < m; i++) {
		uint32_t bits = load_u32(a + (size_t)i * stride);
#if HAVE_BF16
		if (kind == KIND_BF16) {
			UNROLL for (int j = 0; j < TILE_VECS; j++)
				acc[i][j] = vf_dot_bf16(acc[i][j], w[j], vi_set1(bits));
			continue;
		}
#endif
		(void)kind;
		UNROLL for (int j = 0; j < TILE_VECS; j++)
			acc[i][j] = vf_fma(vf_from_bits(vi_set1(bits)), vf_from_bits(w[j]), acc[i][j]);
	}
}

#if !HAVE_BF16
/* One group of bf16 panels for f32 rows: the even inputs of each pair, then the odd ones. */
INLINE void step_wide(const int m, const unsigned char *a, size_t stride, const vi w[TILE_VECS],
		      vf acc[TILE_ROWS][TILE_VECS])
{
	UNROLL for (int odd = 0; odd < 2; odd++) {
		vf wide[TILE_VECS];
		UNROLL for (int j = 0; j < TILE_VECS; j++)
			wide[j] = odd ? vf_bf16_odd(w[j]) : vf_bf16_even(w[j]);
		UNROLL for (int i = 0; i < m; i++) {
			vf v = vf_from_bits(vi_set1(load_u32(a + (size_t)i * stride + odd * 4)));
			UNROLL for (int j = 0; j < TILE_VECS; j++)
				acc[i][j] = vf_fma(v, wide[j], acc[i][j]);
		}
	}
}
#endif

/* f32 and bf16, m rows. */
INLINE void tile_float(const enum kind kind, const int m, const struct tile_job *t)
{
	const unsigned char *a = t->a, *b = t->b;
	vf acc[TILE_ROWS][TILE_VECS];
	UNROLL for (int i = 0; i < m; i++)
		UNROLL for (int j = 0; j < TILE_VECS; j++)
			acc[i][j] = vf_set1(0);
	for (size_t g = 0; g < t->groups; g++, a += group_step(kind), b += GROUP_BYTES) {
		vi w[TILE_VECS];
		UNROLL for (int j = 0; j < TILE_VECS; j++)
			w[j] = vi_load(b + (size_t)j * VW * 4);
#if !HAVE_BF16
		if (kind == KIND_BF16_WIDE) {
			step_wide(m, a, t->a_stride, w, acc);
			continue;
		}
#endif
		step_narrow(kind, m, a, t->a_stride, w, acc);
	}
	UNROLL for (int i = 0; i < m; i++)
		UNROLL for (int j = 0; j < TILE_VECS; j++)
			vf_store(t->c + (size_t)i * t->c_stride + (size_t)j * VW * 4, acc[i][j]);
}

#if HAVE_VNNI
INLINE void tile_int8(const int m, const struct tile_job *t)
{
	const unsigned char *a = t->a, *b = t->b;
	vi acc[TILE_ROWS][TILE_VECS];
	UNROLL for (int i = 0; i < m; i++)
		UNROLL for (int j = 0; j < TILE_VECS; j++)
			acc[i][j] = vi_set1(0);
	for (size_t g = 0; g < t->groups; g++, a += 4, b += GROUP_BYTES) {
		vi w[TILE_VECS];
		UNROLL for (int j = 0; j < TILE_VECS; j++)
			w[j] = vi_load(b + (size_t)j * VW * 4);
		UNROLL for (int i = 0; i < m; i++) {
			vi v = vi_set1(load_u32(a + (size_t)i * t->a_stride));
			UNROLL for (int j = 0; j < TILE_VECS; j++)
				acc[i][j] = vi_dot_u8(acc[i][j], w[j], v);
		}
	}
	UNROLL for (int i = 0; i < m; i++)
		UNROLL for (int j = 0; j < TILE_VECS; j++)
			vi_store(t->c + (size_t)i * t->c_stride + (size_t)j * VW * 4, acc[i][j]);
}
#else
/* Without a dot product of bytes: u8 times s8 does not fit the s16 pairs of maddubs (it saturates), so
 * both are widened and s16 pairs are multiplied and added: exact, and still faster than f32. A column
 * takes two dwords of an accumulator, added at the end. */
INLINE void tile_int8_wide(const int m, const struct tile_job *t)
{
	const unsigned char *a = t->a, *b = t->b;
	vi acc[WIDE_ROWS][WIDE_VECS];
	UNROLL for (int i = 0; i < m; i++)
		UNROLL for (int j = 0; j < WIDE_VECS; j++)
			acc[i][j] = vi_set1(0);
	for (size_t g = 0; g < t->groups; g++, a += 8, b += GROUP_BYTES) {
		vi w[WIDE_VECS];
		UNROLL for (int j = 0; j < WIDE_VECS; j++)
			w[j] = vi_widen_s8(b + (size_t)j * VW * 2);
		UNROLL for (int i = 0; i < m; i++) {
			vi v = vi_set1_64(a + (size_t)i * t->a_stride);
			UNROLL for (int j = 0; j < WIDE_VECS; j++)
				acc[i][j] = vi_add(acc[i][j], vi_madd_s16(w[j], v));
		}
	}
	UNROLL for (int i = 0; i < m; i++)
		UNROLL for (int j = 0; j < WIDE_VECS; j += 2)
			vi_store(t->c + (size_t)i * t->c_stride + (size_t)j * VW * 2,
				 vi_pair_sums(acc[i][j], acc[i][j + 1]));
}
#endif

INLINE void tile_rows(const enum kind kind, const int m, const struct tile_job *t)
{
#if HAVE_VNNI
	if (kind == KIND_INT8)
		tile_int8(m, t);
#else
	if (kind == KIND_INT8_WIDE)
		tile_int8_wide(m, t);
#endif
	else
		tile_float(kind, m, t);
}

/* One function a kind, with a case for each number of rows that its tile can have. */
#define TILE_CASE(kind, m)                                                                         \
	case m:                                                                                    \
		if (m <= ((kind) == KIND_INT8_WIDE ? WIDE_ROWS : TILE_ROWS))                       \
			tile_rows(kind, m, t);                                                     \
		break;
#define TILE_FUNCTION(function, kind)                                                              \
	static __attribute__((noinline)) void function(int m, const struct tile_job *t)            \
	{                                                                                          \
		switch (m) {                                                                       \
			TILE_CASE(kind, 1)                                                         \
			TILE_CASE(kind, 2)                                                         \
			TILE_CASE(kind, 3)                                                         \
			TILE_CASE(kind, 4)                                                         \
			TILE_CASE(kind, 5)                                                         \
			TILE_CASE(kind, 6)                                                         \
			TILE_CASE(kind, 7)                                                         \
			TILE_CASE(kind, 8)                                                         \
			TILE_CASE(kind, 9)                                                         \
			TILE_CASE(kind, 10)                                                        \
			TILE_CASE(kind, 11)                                                        \
			TILE_CASE(kind, 12)                                                        \
		default:                                                                           \
			break;                                                                     \
		}                                                                                  \
	}

TILE_FUNCTION(tile_f32, KIND_F32)
#if HAVE_BF16
TILE_FUNCTION(tile_bf16, KIND_BF16)
#else
TILE_FUNCTION(tile_bf16, KIND_BF16_WIDE)
#endif
#if HAVE_VNNI
TILE_FUNCTION(tile_s8, KIND_INT8)
#else
TILE_FUNCTION(tile_s8, KIND_INT8_WIDE)
#endif

INLINE void tile_run(const enum kind kind, int m, const struct tile_job *t)
{
	if (kind == KIND_F32)
		tile_f32(m, t);
	else if (kind == KIND_BF16 || kind == KIND_BF16_WIDE)
		tile_bf16(m, t);
	else
		tile_s8(m, t);
}
