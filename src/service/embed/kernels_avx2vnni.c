/* Alder Lake and later without AVX-512: dot products of bytes. */
#define KERNELS_TABLE kernels_avx2vnni
#define KERNELS_NAME "avx2vnni"
#define HAVE_BF16 0
#define HAVE_VNNI 1

#include "embed/vec_avx2.h"

#include "embed/kernels_impl.inc"
