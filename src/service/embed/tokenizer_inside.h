/* embed/tokenizer_inside.h -- what the two kinds of tokenizer share; for tokenizer*.c, wordpiece.c
 * and unigram.c only. */
#ifndef EMBED_TOKENIZER_INSIDE_H
#define EMBED_TOKENIZER_INSIDE_H

#include "base/utf8.h"
#include "embed/tokenizer.h"
#include "embed/tokenizer_trie.h"

enum { TOKENIZER_MAGIC = 0x314b4f54 /* "TOK1" */, TOKENIZER_SECTION_ALIGN = 64 };

enum tokenizer_kind { TOKENIZER_WORDPIECE, TOKENIZER_UNIGRAM };

enum tokenizer_flags {
	TOKENIZER_LOWER = 1,    /* WordPiece: lower case */
	TOKENIZER_STRIP = 2,    /* WordPiece: decompose and drop accents */
	TOKENIZER_DUMMY = 4,    /* unigram: a space in front of the text */
	TOKENIZER_COLLAPSE = 8, /* unigram: runs of spaces are one, none at the ends */
};

/* The section: this header, then the pieces' trie, the map's trie, the scores, the strings. */
struct tokenizer_section {
	uint32_t magic, kind, flags, vocabulary;
	int32_t first_id, last_id, unknown_id;
	uint32_t continuation, word_chars_max, piece_bytes_max;
	float unknown_score;
	uint32_t piece_units, map_units, score_count, string_bytes, bytes;
};
_Static_assert(sizeof(struct tokenizer_section) == 64, "struct tokenizer_section is a file format");

static inline size_t cursor_bytes(const struct tokenizer_cursor *c)
{
	return c->prefix.bytes + c->text.bytes;
}

static inline unsigned char cursor_byte(const struct tokenizer_cursor *c, size_t at)
{
	return (unsigned char)(at < c->prefix.bytes ? c->prefix.data[at]
						    : c->text.data[at - c->prefix.bytes]);
}

/* The code point at `at` (< cursor_bytes()); its length in bytes. A malformed byte is U+FFFD,
 * length 1. */
size_t cursor_point(const struct tokenizer_cursor *c, size_t at, uint32_t *ret_point);

size_t wordpiece_encode(const struct tokenizer *t, struct tokenizer_cursor *c, int32_t *ret_ids,
			size_t max);
size_t unigram_encode(const struct tokenizer *t, struct tokenizer_cursor *c, void *scratch,
		      int32_t *ret_ids, size_t max);

/* The vocabulary's and the character map's tries. */
static inline struct trie tokenizer_pieces(const struct tokenizer *t)
{
	return (struct trie){t->pieces, t->piece_units};
}

static inline struct trie tokenizer_map_trie(const struct tokenizer *t)
{
	return (struct trie){t->map, t->map_units};
}

#endif
