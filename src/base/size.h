/* base/size.h -- sizes that cannot wrap, and small arithmetic that everybody needs. */
#ifndef BASE_SIZE_H
#define BASE_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* False, and *ret untouched, when the result does not fit. */
static inline bool size_add(size_t a, size_t b, size_t *ret)
{
	size_t r;
	if (__builtin_add_overflow(a, b, &r))
		return false;
	*ret = r;
	return true;
}

static inline bool size_mul(size_t a, size_t b, size_t *ret)
{
	size_t r;
	if (__builtin_mul_overflow(a, b, &r))
		return false;
	*ret = r;
	return true;
}

/* n rounded up to a multiple of step, a power of two; n must leave room for it. */
static inline size_t size_round_up(size_t n, size_t step)
{
	return (n + step - 1) & ~(step - 1);
}

static inline size_t size_min(size_t a, size_t b)
{
	return a < b ? a : b;
}

static inline size_t size_max(size_t a, size_t b)
{
	return a > b ? a : b;
}

#endif
