/* embed/vec_avx512.h -- vector operations of AVX-512 F, BW, DQ and VL (and BF16, VNNI where
 * HAVE_... says so) for kernels_impl.inc. */
#ifndef EMBED_VEC_AVX512_H
#define EMBED_VEC_AVX512_H

#include <immintrin.h>

#include "embed/vec.h"

typedef __m512 vf;
typedef __m512i vi;

enum { VW = 16, TILE_ROWS = 12, TILE_VECS = 2, WIDE_ROWS = 7, WIDE_VECS = 2, VEC_TRANSPOSE = 16 };

INLINE vf vf_set1(float v)
{
	return _mm512_set1_ps(v);
}
INLINE vf vf_load(const void *p)
{
	return _mm512_loadu_ps(p);
}
INLINE void vf_store(void *p, vf v)
{
	_mm512_storeu_ps(p, v);
}
INLINE vf vf_add(vf a, vf b)
{
	return _mm512_add_ps(a, b);
}
INLINE vf vf_sub(vf a, vf b)
{
	return _mm512_sub_ps(a, b);
}
INLINE vf vf_mul(vf a, vf b)
{
	return _mm512_mul_ps(a, b);
}
INLINE vf vf_div(vf a, vf b)
{
	return _mm512_div_ps(a, b);
}
INLINE vf vf_fma(vf a, vf b, vf c)
{
	return _mm512_fmadd_ps(a, b, c);
}
INLINE vf vf_max(vf a, vf b)
{
	return _mm512_max_ps(a, b);
}
INLINE vf vf_min(vf a, vf b)
{
	return _mm512_min_ps(a, b);
}
INLINE vf vf_round(vf a)
{
	return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
INLINE vf vf_scale2(vf p, vf n)
{
	return _mm512_scalef_ps(p, n);
}
INLINE float vf_total(vf a)
{
	return _mm512_reduce_add_ps(a);
}
INLINE float vf_highest(vf a)
{
	return _mm512_reduce_max_ps(a);
}
INLINE float vf_first(vf a)
{
	return _mm512_cvtss_f32(a);
}
INLINE vf vf_from_bits(vi a)
{
	return _mm512_castsi512_ps(a);
}
INLINE vf vf_from_vi(vi a)
{
	return _mm512_cvtepi32_ps(a);
}
INLINE vi vi_from_vf(vf a)
{
	return _mm512_cvtps_epi32(a);
}
INLINE vi vi_set1(uint32_t v)
{
	return _mm512_set1_epi32((int)v);
}
INLINE vi vi_load(const void *p)
{
	return _mm512_loadu_si512(p);
}
INLINE void vi_store(void *p, vi v)
{
	_mm512_storeu_si512(p, v);
}
INLINE vi vi_add(vi a, vi b)
{
	return _mm512_add_epi32(a, b);
}

#if HAVE_BF16
INLINE vf vf_dot_bf16(vf acc, vi w, vi pair)
{
	return _mm512_dpbf16_ps(acc, (__m512bh)w, (__m512bh)pair);
}

INLINE vf vf_load_bf16(const void *p)
{
	return _mm512_castsi512_ps(
		_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(p)), 16));
}

INLINE void vf_store_bf16(void *p, vf v)
{
	_mm256_storeu_si256(p, (__m256i)_mm512_cvtneps_pbh(v));
}

/* 32 columns of two rows (b may be NULL: zeros) to 32 pairs. */
INLINE void vec_interleave_bf16(const unsigned char *a, const unsigned char *b, unsigned char *to)
{
	for (size_t half = 0; half < 64; half += 32) {
		vi low = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)(a + half)));
		if (b != NULL) {
			vi high =
				_mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)(b + half)));
			low = _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
		}
		vi_store(to + 2 * half, low);
	}
}
#else
INLINE vf vf_bf16_even(vi w)
{
	return _mm512_castsi512_ps(_mm512_slli_epi32(w, 16));
}
INLINE vf vf_bf16_odd(vi w)
{
	return _mm512_castsi512_ps(_mm512_and_si512(w, _mm512_set1_epi32((int)0xffff0000)));
}
#endif

#if HAVE_VNNI
INLINE vi vi_dot_u8(vi acc, vi w, vi quad)
{
	return _mm512_dpbusd_epi32(acc, quad, w);
}
INLINE void vi_store_u8(void *p, vi v)
{
	_mm_storeu_si128(p, _mm512_cvtepi32_epi8(v));
}
#else
INLINE vi vi_widen_s8(const void *p)
{
	return _mm512_cvtepi8_epi16(_mm256_loadu_si256(p));
}
INLINE vi vi_madd_s16(vi a, vi b)
{
	return _mm512_madd_epi16(a, b);
}
INLINE void vi_store_s16(void *p, vi v)
{
	_mm256_storeu_si256(p, _mm512_cvtepi32_epi16(v));
}

INLINE vi vi_set1_64(const void *p)
{
	long long v;
	__builtin_memcpy(&v, p, sizeof(v));
	return _mm512_set1_epi64(v);
}

/* Sums of neighbours: those of a, then those of b. */
INLINE vi vi_pair_sums(vi a, vi b)
{
	const vi even =
		_mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
	const vi odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
	return vi_add(_mm512_permutex2var_epi32(a, even, b), _mm512_permutex2var_epi32(a, odd, b));
}
#endif

/* 16 x 16 dwords, columns to rows; source rows from `rows` on are read as zero. */
INLINE void vec_transpose(const unsigned char *from, size_t stride, size_t rows, unsigned char *to,
			  size_t to_stride)
{
	vi r[16], s[16];
	EACH(i, 16)
		r[i] = i < rows ? vi_load(from + i * stride) : _mm512_setzero_si512();
	EACH(i, 8) {
		s[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
		s[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
	}
	EACH(i, 4) {
		r[4 * i] = _mm512_unpacklo_epi64(s[4 * i], s[4 * i + 2]);
		r[4 * i + 1] = _mm512_unpackhi_epi64(s[4 * i], s[4 * i + 2]);
		r[4 * i + 2] = _mm512_unpacklo_epi64(s[4 * i + 1], s[4 * i + 3]);
		r[4 * i + 3] = _mm512_unpackhi_epi64(s[4 * i + 1], s[4 * i + 3]);
	}
	EACH(i, 4) {
		vi a = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
		vi b = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
		vi c = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
		vi d = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
		vi_store(to + i * to_stride, _mm512_shuffle_i32x4(a, c, 0x88));
		vi_store(to + (i + 4) * to_stride, _mm512_shuffle_i32x4(b, d, 0x88));
		vi_store(to + (i + 8) * to_stride, _mm512_shuffle_i32x4(a, c, 0xdd));
		vi_store(to + (i + 12) * to_stride, _mm512_shuffle_i32x4(b, d, 0xdd));
	}
}

#endif
