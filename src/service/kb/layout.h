/* kb/layout.h -- where a knowledge base lies on disk, which generations count, and who may write.
 *
 *     <root>/.lock             held while knowledge bases are made, deleted and swept
 *     <root>/.new-*, .gone-*   being made, being deleted: nobody serves them
 *     <kb>/lock                held by the one writer; holds its pid
 *     <kb>/current             "gen-3\n", then optionally "previous gen-2\n" (for rollback) and
 *                              "rebuild gen-4\n" (unfinished). Replaced atomically: every switch is
 *                              one rename.
 *     <kb>/gen-N/              a generation; one that `current` does not name is left over
 *     <kb>/gone-N/             a generation being removed
 *
 * Threads  No shared state. */
#ifndef KB_LAYOUT_H
#define KB_LAYOUT_H

#include <stdint.h>

#include "base/status.h"
#include "rt/file.h"

struct layout {
	uint32_t current;  /* 1.. */
	uint32_t previous; /* 0 = none */
	uint32_t rebuild;  /* 0 = none */
};

MUST_CHECK status layout_kb(char out[FILE_PATH_BYTES], const char *root, const char *name,
			    struct fault *reterr);
MUST_CHECK status layout_generation(char out[FILE_PATH_BYTES], const char *kb, uint32_t number,
				    struct fault *reterr);

/* ST_NOT_FOUND: no such knowledge base. */
MUST_CHECK status layout_read(const char *kb, struct layout *ret_layout, struct fault *reterr);
MUST_CHECK status layout_write(const char *kb, const struct layout *layout, struct fault *reterr);

/* Take a lock file of a folder. ST_BUSY when another holds it: the fault names its pid. With wait,
 * wait for it instead. The lock goes when the descriptor is closed, however the process ends. */
MUST_CHECK status layout_lock(const char *folder, const char *name, bool wait, int *ret_fd,
			      struct fault *reterr);

/* Remove generations that layout does not name, and other remains. The caller holds the KB's lock.
 */
MUST_CHECK status layout_sweep(const char *kb, const struct layout *layout, struct fault *reterr);

/* Whether layout_sweep() would find something to do, or a writer is at work. Needs no lock. */
MUST_CHECK status layout_has_remains(const char *kb, const struct layout *layout, bool *ret_any,
				     struct fault *reterr);
/* Sweep, and remove a folder, as far as possible: what stays, the next writer or sweep removes. */
void layout_tidy(const char *kb, const struct layout *layout);
void layout_discard(const char *folder);

/* A number that no generation has ever had while its folder exists. */
MUST_CHECK status layout_next(const char *kb, const struct layout *layout, uint32_t *ret_number,
			      struct fault *reterr);

#endif
