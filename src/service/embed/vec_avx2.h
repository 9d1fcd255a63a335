/* embed/vec_avx2.h -- vector operations of AVX2 with FMA (and AVX-VNNI where HAVE_VNNI says so) for
 * kernels_impl.inc. 16 registers: tiles of 6 rows by 2 vectors. */
#ifndef EMBED_VEC_AVX2_H
#define EMBED_VEC_AVX2_H

#include <immintrin.h>

#include "embed/vec.h"

typedef __m256 vf;
typedef __m256i vi;

enum { VW = 8, TILE_ROWS = 6, TILE_VECS = 2, WIDE_ROWS = 4, WIDE_VECS = 2, VEC_TRANSPOSE = 8 };

INLINE vf vf_set1(float v)
{
	return _mm256_set1_ps(v);
}
INLINE vf vf_load(const void *p)
{
	return _mm256_loadu_ps(p);
}
INLINE void vf_store(void *p, vf v)
{
	_mm256_storeu_ps(p, v);
}
INLINE vf vf_add(vf a, vf b)
{
	return _mm256_add_ps(a, b);
}
INLINE vf vf_sub(vf a, vf b)
{
	return _mm256_sub_ps(a, b);
}
INLINE vf vf_mul(vf a, vf b)
{
	return _mm256_mul_ps(a, b);
}
INLINE vf vf_div(vf a, vf b)
{
	return _mm256_div_ps(a, b);
}
INLINE vf vf_fma(vf a, vf b, vf c)
{
	return _mm256_fmadd_ps(a, b, c);
}
INLINE vf vf_max(vf a, vf b)
{
	return _mm256_max_ps(a, b);
}
INLINE vf vf_min(vf a, vf b)
{
	return _mm256_min_ps(a, b);
}
INLINE vf vf_round(vf a)
{
	return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
INLINE float vf_first(vf a)
{
	return _mm256_cvtss_f32(a);
}
INLINE vf vf_from_bits(vi a)
{
	return _mm256_castsi256_ps(a);
}
INLINE vf vf_from_vi(vi a)
{
	return _mm256_cvtepi32_ps(a);
}
INLINE vi vi_from_vf(vf a)
{
	return _mm256_cvtps_epi32(a);
}
INLINE vi vi_set1(uint32_t v)
{
	return _mm256_set1_epi32((int)v);
}
INLINE vi vi_load(const void *p)
{
	return _mm256_loadu_si256(p);
}
INLINE void vi_store(void *p, vi v)
{
	_mm256_storeu_si256(p, v);
}
INLINE vi vi_add(vi a, vi b)
{
	return _mm256_add_epi32(a, b);
}

/* p 2^n for whole n <= 127; below -127 it is 0. */
INLINE vf vf_scale2(vf p, vf n)
{
	vi power = _mm256_cvtps_epi32(_mm256_add_ps(_mm256_max_ps(n, vf_set1(-127)), vf_set1(127)));
	return _mm256_mul_ps(p, _mm256_castsi256_ps(_mm256_slli_epi32(power, 23)));
}

INLINE float vf_total(vf a)
{
	__m128 v = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
	v = _mm_add_ps(v, _mm_movehl_ps(v, v));
	return _mm_cvtss_f32(_mm_add_ss(v, _mm_movehdup_ps(v)));
}

INLINE float vf_highest(vf a)
{
	__m128 v = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
	v = _mm_max_ps(v, _mm_movehl_ps(v, v));
	return _mm_cvtss_f32(_mm_max_ss(v, _mm_movehdup_ps(v)));
}

INLINE vf vf_bf16_even(vi w)
{
	return _mm256_castsi256_ps(_mm256_slli_epi32(w, 16));
}
INLINE vf vf_bf16_odd(vi w)
{
	return _mm256_castsi256_ps(_mm256_and_si256(w, _mm256_set1_epi32((int)0xffff0000)));
}

/* Values that fit s16, in order. */
INLINE __m128i vi_narrow(vi v)
{
	return _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}

#if HAVE_VNNI
INLINE vi vi_dot_u8(vi acc, vi w, vi quad)
{
#if defined(__AVXVNNI__)
	return _mm256_dpbusd_avx_epi32(acc, quad, w);
#else /* the same instruction in its AVX-512 VL encoding: lets the tests run where AVX-VNNI is     \
	 missing */
	return _mm256_dpbusd_epi32(acc, quad, w);
#endif
}

INLINE void vi_store_u8(void *p, vi v)
{
	__m128i s16 = vi_narrow(v);
	_mm_storel_epi64(p, _mm_packus_epi16(s16, s16));
}
#else
INLINE vi vi_widen_s8(const void *p)
{
	return _mm256_cvtepi8_epi16(_mm_loadu_si128(p));
}
INLINE vi vi_madd_s16(vi a, vi b)
{
	return _mm256_madd_epi16(a, b);
}
INLINE void vi_store_s16(void *p, vi v)
{
	_mm_storeu_si128(p, vi_narrow(v));
}

INLINE vi vi_set1_64(const void *p)
{
	long long v;
	__builtin_memcpy(&v, p, sizeof(v));
	return _mm256_set1_epi64x(v);
}

/* Sums of neighbours: those of a, then those of b. */
INLINE vi vi_pair_sums(vi a, vi b)
{
	return _mm256_permute4x64_epi64(_mm256_hadd_epi32(a, b), 0xd8);
}
#endif

/* 8 x 8 dwords, columns to rows; source rows from `rows` on are read as zero. */
INLINE void vec_transpose(const unsigned char *from, size_t stride, size_t rows, unsigned char *to,
			  size_t to_stride)
{
	vf r[8], s[8];
	EACH(i, 8)
		r[i] = i < rows ? vf_load(from + i * stride) : _mm256_setzero_ps();
	EACH(i, 4) {
		s[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
		s[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
	}
	EACH(i, 2) {
		r[4 * i] = _mm256_shuffle_ps(s[4 * i], s[4 * i + 2], 0x44);
		r[4 * i + 1] = _mm256_shuffle_ps(s[4 * i], s[4 * i + 2], 0xee);
		r[4 * i + 2] = _mm256_shuffle_ps(s[4 * i + 1], s[4 * i + 3], 0x44);
		r[4 * i + 3] = _mm256_shuffle_ps(s[4 * i + 1], s[4 * i + 3], 0xee);
	}
	EACH(i, 4) {
		vf_store(to + i * to_stride, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
		vf_store(to + (i + 4) * to_stride, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
	}
}

#endif
