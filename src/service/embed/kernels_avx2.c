/* Haswell, Zen and later: AVX2 with FMA. */
#define KERNELS_TABLE kernels_avx2
#define KERNELS_NAME "avx2"
#define HAVE_BF16 0
#define HAVE_VNNI 0

#include "embed/vec_avx2.h"

#include "embed/kernels_impl.inc"
