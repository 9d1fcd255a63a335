/* Zen 4, Sapphire Rapids and later: dot products of bf16 pairs and of bytes. */
#define KERNELS_TABLE kernels_avx512bf16
#define KERNELS_NAME "avx512bf16"
#define HAVE_BF16 1
#define HAVE_VNNI 1

#include "embed/vec_avx512.h"

#include "embed/kernels_impl.inc"
