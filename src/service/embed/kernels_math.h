/* embed/kernels_math.h -- powers of two, GELU and the storing of activations; part of the template
 * kernels_impl.h. The fast forms are exact enough for values that are rounded to bf16 or int8 next. */

/* Activations: bf16 where the CPU multiplies bf16 and the result need not be exact, else f32. */
INLINE vf act_load(const unsigned char *row, size_t i, const bool exact)
{
#if HAVE_BF16
	if (!exact)
		return vf_load_bf16(row + i * 2);
#endif
	(void)exact;
	return vf_load(row + i * 4);
}

INLINE void act_store(unsigned char *row, size_t i, vf v, const bool exact)
{
#if HAVE_BF16
	if (!exact) {
		vf_store_bf16(row + i * 2, v);
		return;
	}
#endif
	(void)exact;
	vf_store(row + i * 4, v);
}

/* Values 0..255, rounded here. */
INLINE void quant_store(unsigned char *row, size_t i, vf v)
{
#if HAVE_VNNI
	vi_store_u8(row + i, vi_from_vf(v));
#else
	vi_store_s16(row + i * 2, vi_from_vf(v));
#endif
}

/* 2^x for x <= 127; relative error 2e-7, fast: 1.1e-4 (minimax polynomials on [-1/2, 1/2]). */
INLINE vf exp2_any(vf x, const bool exact)
{
	vf n = vf_round(x), f = vf_sub(x, n), p;
	if (exact) {
		p = vf_fma(vf_set1(1.54035304e-4f), f, vf_set1(1.33335581e-3f));
		p = vf_fma(p, f, vf_set1(9.61812911e-3f));
		p = vf_fma(p, f, vf_set1(5.55041087e-2f));
		p = vf_fma(p, f, vf_set1(2.40226507e-1f));
		p = vf_fma(p, f, vf_set1(6.93147181e-1f));
		p = vf_fma(p, f, vf_set1(1.0f));
	} else {
		p = vf_fma(vf_set1(0.0550886838f), f, vf_set1(0.242604051f));
		p = vf_fma(p, f, vf_set1(0.693276242f));
		p = vf_fma(p, f, vf_set1(0.99992894f));
	}
	return vf_scale2(p, n);
}

/* x Phi(x), the erf form, absolute error 1.5e-7: Abramowitz and Stegun 7.1.26 gives Phi(-|x|), and
 * x Phi(x) = max(x, 0) - |x| Phi(-|x|). */
INLINE vf gelu_exact(vf x)
{
	vf size = vf_max(x, vf_sub(vf_set1(0), x)), a = vf_mul(size, vf_set1(0.70710678f));
	vf k = vf_div(vf_set1(1.0f), vf_fma(a, vf_set1(0.3275911f), vf_set1(1.0f)));
	vf p = vf_fma(vf_set1(1.061405429f), k, vf_set1(-1.453152027f));
	p = vf_fma(p, k, vf_set1(1.421413741f));
	p = vf_fma(p, k, vf_set1(-0.284496736f));
	p = vf_fma(p, k, vf_set1(0.254829592f));
	vf power = vf_max(vf_mul(vf_mul(a, a), vf_set1(-1.44269504f)), vf_set1(-150.0f));
	vf tail = vf_mul(vf_mul(vf_mul(p, k), exp2_any(power, true)), vf_set1(0.5f));
	return vf_sub(vf_max(x, vf_set1(0)), vf_mul(size, tail));
}

/* The same to 4.5e-5 (beyond 4.25: 7e-6 |x|): a polynomial of degree 8 in (x/4.25)^2 fitted to
 * (Phi(x) - 1/2) / x. */
INLINE vf gelu_fast(vf x)
{
	vf y = vf_min(vf_max(x, vf_set1(-4.25f)), vf_set1(4.25f));
	vf u = vf_mul(vf_mul(y, y), vf_set1(1.0f / (4.25f * 4.25f)));
	vf p = vf_fma(vf_set1(0.515097201f), u, vf_set1(-2.83190706f));
	p = vf_fma(p, u, vf_set1(6.89669465f));
	p = vf_fma(p, u, vf_set1(-9.89598563f));
	p = vf_fma(p, u, vf_set1(9.41856263f));
	p = vf_fma(p, u, vf_set1(-6.35884243f));
	p = vf_fma(p, u, vf_set1(3.1707668f));
	p = vf_fma(p, u, vf_set1(-1.19555989f));
	p = vf_fma(p, u, vf_set1(0.398819154f));
	return vf_mul(x, vf_fma(p, y, vf_set1(0.5f)));
}
