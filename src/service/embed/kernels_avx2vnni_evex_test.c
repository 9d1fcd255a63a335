/* kernels_avx2vnni.c once more, for the tests only: with AVX-512 VL instead of AVX-VNNI its code is
 * the same but for the encoding of the dot product, so it also runs where AVX-VNNI is missing. */
#define KERNELS_TABLE kernels_avx2vnni_evex
#define KERNELS_NAME "avx2vnni in EVEX encoding"
#define HAVE_BF16 0
#define HAVE_VNNI 1

#include "embed/vec_avx2.h"

extern const struct kernels KERNELS_TABLE[3];

#include "embed/kernels_impl.inc"
