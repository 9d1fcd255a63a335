/* Skylake-X: AVX-512 without any dot product. */
#define KERNELS_TABLE kernels_avx512
#define KERNELS_NAME "avx512"
#define HAVE_BF16 0
#define HAVE_VNNI 0

#include "embed/vec_avx512.h"

#include "embed/kernels_impl.inc"
