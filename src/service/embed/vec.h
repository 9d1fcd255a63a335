/* embed/vec.h -- what every vector page (vec_*.h) needs of the compiler. */
#ifndef EMBED_VEC_H
#define EMBED_VEC_H

#include "embed/kernels.h"

#define INLINE static inline __attribute__((always_inline))

/* A loop with a constant trip count of at most 16, of which no counter is left. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#define EACH(i, count) UNROLL for (size_t i = 0; i < (size_t)(count); i++)
#define EACH_PAIR(i, count) UNROLL for (size_t i = 0; i < (size_t)(count); i += 2)

#endif
