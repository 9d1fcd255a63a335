/* doc/sandbox.h -- take everything away from this process but computing, memory within a limit,
 * reading descriptor 0 and writing descriptor 1.
 *
 * Layers, each enough to contain an honest bug and together against a hostile file: resource
 * limits; no_new_privs; Landlock (where the kernel has it) denies the whole file system; seccomp
 * kills the process at any system call that is not on a short list: no open, no socket, no exec, no
 * new mapping that could run. Threads cannot be made (an error, not death).
 *
 * In builds with sanitizers the address space is not limited: they reserve terabytes of it. */
#ifndef DOC_SANDBOX_H
#define DOC_SANDBOX_H

#include <stdint.h>

#include "base/status.h"

/* Before anything of the input is looked at. memory_max: bytes above what the program has mapped
 * now. Core dumps and file writes are off; only descriptors 0, 1 and 2 stay open. */
MUST_CHECK status sandbox_limit(uint64_t memory_max, uint32_t cpu_seconds_max,
				struct fault *reterr);

/* For good. Call it when all files are open. */
MUST_CHECK status sandbox_enter(struct fault *reterr);

#endif
