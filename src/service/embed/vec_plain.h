/* embed/vec_plain.h -- vector operations of kernels_impl.inc in the vectors of GCC and clang: 4
 * floats, which every target has or imitates. The few that compilers do not find are NEON's and
 * SSE2's. */
#ifndef EMBED_VEC_PLAIN_H
#define EMBED_VEC_PLAIN_H

#include "embed/vec.h"

#if defined(__aarch64__)
#include <arm_neon.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

typedef float vf __attribute__((vector_size(16)));
typedef int32_t vi __attribute__((vector_size(16)));
typedef uint32_t vu __attribute__((vector_size(16)));

#if defined(__aarch64__) /* 32 registers */
enum { VW = 4, TILE_ROWS = 6, TILE_VECS = 4, WIDE_ROWS = 4, WIDE_VECS = 4, VEC_TRANSPOSE = 4 };
#else /* 16, and no multiply-add */
enum { VW = 4, TILE_ROWS = 5, TILE_VECS = 2, WIDE_ROWS = 4, WIDE_VECS = 2, VEC_TRANSPOSE = 4 };
#endif

INLINE vf vf_set1(float v)
{
	return (vf){v, v, v, v};
}
INLINE vi vi_set1(uint32_t v)
{
	return (vi)(vu){v, v, v, v};
}

INLINE vf vf_load(const void *p)
{
	vf v;
	__builtin_memcpy(&v, p, sizeof(v));
	return v;
}

INLINE vi vi_load(const void *p)
{
	vi v;
	__builtin_memcpy(&v, p, sizeof(v));
	return v;
}

INLINE void vf_store(void *p, vf v)
{
	__builtin_memcpy(p, &v, sizeof(v));
}
INLINE void vi_store(void *p, vi v)
{
	__builtin_memcpy(p, &v, sizeof(v));
}
INLINE vf vf_add(vf a, vf b)
{
	return a + b;
}
INLINE vf vf_sub(vf a, vf b)
{
	return a - b;
}
INLINE vf vf_mul(vf a, vf b)
{
	return a * b;
}
INLINE vf vf_div(vf a, vf b)
{
	return a / b;
}
INLINE vi vi_add(vi a, vi b)
{
	return (vi)((vu)a + (vu)b);
}
INLINE float vf_first(vf a)
{
	return a[0];
}
INLINE float vf_total(vf a)
{
	return (a[0] + a[2]) + (a[1] + a[3]);
}
INLINE vf vf_from_bits(vi a)
{
	return (vf)a;
}
INLINE vf vf_from_vi(vi a)
{
	return __builtin_convertvector(a, vf);
}

#if defined(__aarch64__)
INLINE vf vf_fma(vf a, vf b, vf c)
{
	return (vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}
INLINE vf vf_max(vf a, vf b)
{
	return (vf)vmaxq_f32((float32x4_t)a, (float32x4_t)b);
}
INLINE vf vf_min(vf a, vf b)
{
	return (vf)vminq_f32((float32x4_t)a, (float32x4_t)b);
}
INLINE vf vf_round(vf a)
{
	return (vf)vrndnq_f32((float32x4_t)a);
}
INLINE vi vi_from_vf(vf a)
{
	return (vi)vcvtnq_s32_f32((float32x4_t)a);
}
#else
INLINE vf vf_fma(vf a, vf b, vf c)
{
	return a * b + c;
}

INLINE vf vf_max(vf a, vf b)
{
	vi greater = a > b;
	return (vf)((greater & (vi)a) | (~greater & (vi)b));
}

INLINE vf vf_min(vf a, vf b)
{
	vi less = a < b;
	return (vf)((less & (vi)a) | (~less & (vi)b));
}

/* To nearest, for |a| < 2^22: adding 1.5 * 2^23 leaves no bits for a fraction. */
INLINE vf vf_round(vf a)
{
	const vf shift = vf_set1(12582912.0f);
	return (a + shift) - shift;
}

INLINE vi vi_from_vf(vf a)
{
	return __builtin_convertvector(vf_round(a), vi);
}
#endif

/* p 2^n for whole n <= 127; below -127 it is 0. */
INLINE vf vf_scale2(vf p, vf n)
{
	vi power = vi_from_vf(vf_max(n, vf_set1(-127)) + vf_set1(127));
	return p * (vf)((vu)power << 23);
}

INLINE float vf_highest(vf a)
{
	float x = a[0] > a[1] ? a[0] : a[1], y = a[2] > a[3] ? a[2] : a[3];
	return x > y ? x : y;
}

INLINE vf vf_bf16_even(vi w)
{
	return (vf)((vu)w << 16);
}
INLINE vf vf_bf16_odd(vi w)
{
	return (vf)((vu)w & 0xffff0000u);
}

/* 8 s8 to 8 s16 in the dwords of a vi. */
INLINE vi vi_widen_s8(const unsigned char *p)
{
	typedef int8_t s8x8 __attribute__((vector_size(8)));
	typedef int16_t s16x8 __attribute__((vector_size(16)));
	s8x8 narrow;
	__builtin_memcpy(&narrow, p, sizeof(narrow));
	return (vi) __builtin_convertvector(narrow, s16x8);
}

INLINE vi vi_set1_64(const unsigned char *p)
{
	typedef int64_t s64x2 __attribute__((vector_size(16)));
	int64_t v;
	__builtin_memcpy(&v, p, sizeof(v));
	return (vi)(s64x2){v, v};
}

/* Products of s16, added in pairs. */
#if defined(__aarch64__)
INLINE vi vi_madd_s16(vi a, vi b)
{
	int16x8_t x = (int16x8_t)a, y = (int16x8_t)b;
	return (vi)vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)), vmull_high_s16(x, y));
}
#elif defined(__SSE2__) /* always there on x86-64, which cannot multiply dwords without SSE4.1 */
INLINE vi vi_madd_s16(vi a, vi b)
{
	return (vi)_mm_madd_epi16((__m128i)a, (__m128i)b);
}
#else
INLINE vi vi_madd_s16(vi a, vi b)
{
	vi even = ((vi)((vu)a << 16) >> 16) * ((vi)((vu)b << 16) >> 16);
	return even + (a >> 16) * (b >> 16);
}
#endif

/* Sums of neighbours: those of a, then those of b. */
INLINE vi vi_pair_sums(vi a, vi b)
{
	return (vi){a[0] + a[1], a[2] + a[3], b[0] + b[1], b[2] + b[3]};
}

INLINE void vi_store_s16(void *p, vi v)
{
	typedef int16_t s16x4 __attribute__((vector_size(8)));
	s16x4 narrow = __builtin_convertvector(v, s16x4);
	__builtin_memcpy(p, &narrow, sizeof(narrow));
}

/* 4 x 4 dwords, columns to rows; source rows from `rows` on are read as zero. */
INLINE void vec_transpose(const unsigned char *from, size_t stride, size_t rows, unsigned char *to,
			  size_t to_stride)
{
	vi r[4];
	EACH(i, 4)
		r[i] = i < rows ? vi_load(from + i * stride) : vi_set1(0);
	EACH(i, 4)
		vi_store(to + (size_t)i * to_stride, (vi){r[0][i], r[1][i], r[2][i], r[3][i]});
}

#endif
