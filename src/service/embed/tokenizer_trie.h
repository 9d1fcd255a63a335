/* embed/tokenizer_trie.h -- a set of byte strings with a number each, read in place.
 *
 * A double array of 32-bit units. A state is the index of a block; its child by byte c is the unit
 * at state ^ c, and is there when the unit's label is c:
 *
 *     bits 0-7   label, the byte that leads here
 *     bit  8     leaf: the payload is the string's number, and no string goes on from here
 *     bits 9-31  payload: the number, or the state that the children hang from
 *
 * A state whose string ends there but also goes on has its number in a leaf under label 0. No two
 * states have the same index, so the label alone proves the parent. Unused units have label 255.
 * Strings hold no byte 0 or 255; a step by one of them finds nothing.
 *
 * The root is state 0. The number of units is a multiple of 256, and every step checks it, so that
 * a damaged file gives wrong tokens but never a wild read.
 *
 * After J. Aoe, "An efficient digital search algorithm by using a double-array structure", 1989. */
#ifndef EMBED_TOKENIZER_TRIE_H
#define EMBED_TOKENIZER_TRIE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"
#include "mem/scope.h"

enum {
	TRIE_PAYLOAD_MAX = (1 << 23) - 1,
	TRIE_KEY_BYTES_MAX = 255,
	TRIE_UNIT_UNUSED = 0xff,
};

struct trie {
	const uint32_t *units;
	uint32_t count;
};

/* Where a walk stands. */
struct trie_walk {
	uint32_t state;
	uint32_t value; /* of the string so far, valid when has_value */
	bool has_value;
	bool ended; /* a leaf: no step can succeed */
};

/* Go on by one byte. False: no string of the set goes on so; the walk is over. */
static inline bool trie_step(const struct trie *trie, struct trie_walk *walk, unsigned char c)
{
	uint32_t at = walk->state ^ c;
	if (walk->ended || c == 0 || at >= trie->count)
		return false;
	uint32_t unit = trie->units[at];
	if ((unit & 0xff) != c || c == TRIE_UNIT_UNUSED)
		return false;
	walk->ended = unit >> 8 & 1;
	walk->has_value = walk->ended;
	walk->value = walk->state = unit >> 9;
	if (!walk->ended && walk->state < trie->count) {
		uint32_t end = trie->units[walk->state];
		walk->has_value = (end & 0x1ff) == 0x100;
		walk->value = end >> 9;
	}
	return true;
}

struct trie_key {
	struct span text; /* 1..TRIE_KEY_BYTES_MAX bytes */
	uint32_t value;   /* at most TRIE_PAYLOAD_MAX */
};

/* Lay out the keys, which are sorted by the call; of equal texts the one with the greatest value
 * stays. The units are made in scope. ST_INVALID for a key that cannot be stored, ST_LIMIT for too
 * many. */
MUST_CHECK status trie_build(struct mem_scope *scope, struct trie_key *keys, size_t count,
			     struct trie *ret_trie, struct fault *reterr);

#endif
