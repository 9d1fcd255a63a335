/* embed/vec.h -- what every vector page (vec_*.h) needs of the compiler. */
#ifndef EMBED_VEC_H
#define EMBED_VEC_H

#include "embed/kernels.h"

#define INLINE static inline __attribute__((always_inline))

/* Before a loop with a constant trip count of at most 16: no counter is left of it. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#endif
