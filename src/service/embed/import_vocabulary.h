/* embed/import_vocabulary.h -- the vocabulary of a sentence-transformers folder: tokenizer.json, or
 * else vocab.txt with tokenizer_config.json. WordPiece and unigram models; others are
 * ST_UNSUPPORTED. */
#ifndef EMBED_IMPORT_VOCABULARY_H
#define EMBED_IMPORT_VOCABULARY_H

#include "embed/tokenizer_build.h"

/* rows: of the token matrix; ids beyond it are ST_INVALID. Pieces lie in scope. */
MUST_CHECK status import_vocabulary_read(struct mem_scope *scope, const char *folder, uint32_t rows,
					 struct vocabulary *ret_vocabulary, struct fault *reterr);

/* Find the special tokens by their names in BERT and XLM-R, and take them out of what can be found
 * in a text. */
void import_vocabulary_finish(struct vocabulary *v);

#endif
