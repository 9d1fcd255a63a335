/* aarch64. */
#define KERNELS_TABLE kernels_neon
#define KERNELS_NAME "neon"
#define HAVE_BF16 0
#define HAVE_VNNI 0

#include "embed/vec_plain.h"

#include "embed/kernels_impl.inc"
