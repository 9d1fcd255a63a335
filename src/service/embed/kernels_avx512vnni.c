/* Cascade Lake, Ice Lake: dot products of bytes, none of bf16. */
#define KERNELS_TABLE kernels_avx512vnni
#define KERNELS_NAME "avx512vnni"
#define HAVE_BF16 0
#define HAVE_VNNI 1

#include "embed/vec_avx512.h"

#include "embed/kernels_impl.inc"
