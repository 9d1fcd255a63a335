/* embed/tokenizer_build.h -- from a vocabulary to the section that embed/tokenizer.h reads in
 * place.
 *
 * Used by import only. Everything lies in the scope that is given: about 30 MB for XLM-R's 250 000
 * pieces while the section is made, and the section itself (6 MB; BERT's 30 000 pieces: 0.3 MB). */
#ifndef EMBED_TOKENIZER_BUILD_H
#define EMBED_TOKENIZER_BUILD_H

#include "base/span.h"
#include "base/status.h"
#include "embed/packed.h"
#include "embed/tokenizer_map.h"
#include "mem/scope.h"

struct vocabulary {
	enum packed_tokenizer kind;
	uint32_t count;
	/* By id. An empty text is never found in a text: special tokens, ids without a piece.
	 * WordPiece pieces inside a word begin with "##". */
	struct span *pieces;
	float *scores; /* unigram only */
	int64_t first_id, last_id, unknown_id;
	bool lower, strip_accents;   /* WordPiece */
	bool dummy_prefix, collapse; /* unigram: a space in front; runs of spaces are one */
	uint32_t word_chars_max;     /* WordPiece; 100 */
	struct tokenizer_map *map;   /* unigram; NULL: none */
};

/* An empty vocabulary of `count` ids, made in scope, with the settings that are usual. */
MUST_CHECK status vocabulary_init(struct vocabulary *v, struct mem_scope *scope,
				  enum packed_tokenizer kind, uint64_t count, struct fault *reterr);

/* The id of a piece, by search; -1 when there is none. For a few special tokens. */
int64_t vocabulary_find(const struct vocabulary *v, struct span piece);

/* The section, in scope. ST_INVALID when the vocabulary does not fit the model. */
MUST_CHECK status tokenizer_build(struct mem_scope *scope, const struct vocabulary *v,
				  struct span *ret_section, struct fault *reterr);

#endif
