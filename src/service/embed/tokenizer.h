/* embed/tokenizer.h -- text to token ids, exactly as the model was trained to see it.
 *
 * Two kinds, chosen by the model's section in the packed file: WordPiece (the BERT family) and
 * unigram (SentencePiece, the XLM-RoBERTa family, with its own character map). The section is the
 * vocabulary as tries, read in place from the mapping: no heap, no copy, one vocabulary per
 * machine.
 *
 *     struct tokenizer_cursor c;
 *     tokenizer_begin(&c, SPAN("query: "), text);
 *     do
 *             n = tokenizer_encode(&tokenizer, &c, scratch, ids, window);
 *     while (... n > 0 and more is wanted);
 *
 * Results do not depend on how a text is cut into calls: the ids of all calls together are the ids
 * of the text. Special tokens are not added (first_id and last_id are what the engine puts around a
 * window) and are not recognised in the text: "[SEP]" in a document is five characters.
 * Bad UTF-8: each malformed byte is one U+FFFD.
 *
 * Exactness  Identical to the models' own tokenizers, save that a run of TOKENIZER_RUN_BYTES
 *            without a place that every segmentation passes (thousands of equal letters) is cut
 *            there, and that WordPiece sees characters newer than Unicode 8 as utf8proc does.
 * Memory     None but the caller's scratch of TOKENIZER_SCRATCH_BYTES.
 * Threads    A tokenizer is read-only and shared; a cursor and a scratch belong to one thread. */
#ifndef EMBED_TOKENIZER_H
#define EMBED_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

enum {
	TOKENIZER_RUN_BYTES = 4096,
	TOKENIZER_SCRATCH_BYTES = 80 * 1024, /* aligned to 16 */
	TOKENIZER_VOCABULARY_MAX = 1 << 20,
};

/* A view of a section; valid while the mapping is. Fields but the first four are private. */
struct tokenizer {
	int32_t first_id, last_id; /* before and after each window: [CLS] [SEP], <s> </s> */
	int32_t unknown_id;
	uint32_t vocabulary; /* ids are 0..vocabulary-1 */
	uint32_t kind, flags;
	const uint32_t *pieces; /* trie of the vocabulary */
	uint32_t piece_units;
	const uint32_t *map; /* trie of the character map; unigram only */
	uint32_t map_units;
	const float *scores; /* by id; unigram only */
	const char *strings; /* what the character map puts in place, each after its length */
	uint32_t string_bytes;
	uint32_t continuation; /* state in `pieces` after "##"; WordPiece only */
	uint32_t word_chars_max;
	uint32_t piece_bytes_max; /* unigram only */
	float unknown_score;
};

/* Where in a text the next call goes on. Private but for done. */
struct tokenizer_cursor {
	struct span prefix, text;
	bool done; /* every token has been given out */
	bool begun, after_space, after_unknown;
	float score; /* of the best path up to `at`, carried on so that sums round as in one pass */
	uint32_t skip; /* tokens of the run at `at` that were given out already */
	size_t at;     /* in prefix and text together */
};

/* Check the section and fill *ret_tokenizer. ST_CORRUPT when it is not what tokenizer_build.h
 * writes. The check touches the header only; every step through a trie is bounds-checked. */
MUST_CHECK status tokenizer_init(struct span section, struct tokenizer *ret_tokenizer,
				 struct fault *reterr);

/* Start at the beginning of prefix and text, read as if they were one string. Both must outlive the
 * cursor. */
void tokenizer_begin(struct tokenizer_cursor *cursor, struct span prefix, struct span text);

/* Write the next ids, at most max (>= 1), and return how many. 0 only when the cursor is done. */
size_t tokenizer_encode(const struct tokenizer *tokenizer, struct tokenizer_cursor *cursor,
			void *scratch, int32_t *ret_ids, size_t max);

/* How many tokens the whole text has. */
size_t tokenizer_count(const struct tokenizer *tokenizer, struct span prefix, struct span text,
		       void *scratch);

#endif
