/* Any CPU. */
#define KERNELS_TABLE kernels_plain
#define KERNELS_NAME "plain"
#define HAVE_BF16 0
#define HAVE_VNNI 0

#include "embed/vec_plain.h"

#include "embed/kernels_impl.inc"
