/* kb/scan_kernels.h -- the kernels of this architecture. For scan.c only. */
#ifndef KB_SCAN_KERNELS_H
#define KB_SCAN_KERNELS_H

#include "kb/scan.h"

/* Those that this CPU can run, the best first; at most 3. Returns how many. */
size_t scan_kernels_here(const struct scan_kernel **ret_list);

#endif
