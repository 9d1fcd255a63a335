/* embed/engine.h -- our own encoder for the BERT family, over one packed model file.
 *
 * The packed file (".plm", embed/packed.h) holds weights in the kernels' layout and the vocabulary
 * as a trie; it is mapped read-only and shared by all processes. Kernels are chosen at open by
 * CPUID: AVX512-BF16/VNNI, AVX-512, AVX2 (with and without VNNI), plain C, NEON.
 *
 * Memory   One workspace per concurrent call, made at open from `scope`, never grown. */
#ifndef EMBED_ENGINE_H
#define EMBED_ENGINE_H

#include "embed/embedder.h"
#include "mem/scope.h"

enum embed_precision { EMBED_BF16, EMBED_INT8, EMBED_F32 };

struct engine_options {
	enum embed_precision
		precision;         /* what the packed file is made for: another is ST_UNSUPPORTED */
	uint32_t batch_workspaces; /* passage batches at once, 1..64 */
	uint32_t query_workspaces; /* queries at once, 1..64 */
	uint32_t waiting_max;      /* calls that may wait for a workspace; more is ST_BUSY */
	const char *kernel; /* NULL: by CPUID; else a name of embed/kernels.h, "avx2" and so on:
			       ST_UNSUPPORTED if this CPU lacks it */
};

/* Open the packed model at path. Close with embedder_close(). */
MUST_CHECK status engine_open(struct mem_scope *parent, const char *path,
			      const struct engine_options *options, struct embedder **ret_embedder,
			      struct fault *reterr);

/* The kernel chosen, "avx512bf16" and so on. */
const char *engine_kernel(const struct embedder *e);

#endif
