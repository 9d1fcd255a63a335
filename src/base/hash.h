/* base/hash.h -- a fast 64-bit hash for tables inside one process. Not for files or secrets:
 * use rt/digest.h (SHA-256) for anything that is stored or compared across machines.
 *
 * FNV-1a over bytes, then the finisher of SplitMix64 (Steele, Lea, Flood 2014) so that low bits
 * are good enough to index a power-of-two table. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stdint.h>

#include "base/span.h"

static inline uint64_t hash_mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static inline uint64_t hash_bytes(struct span s)
{
	uint64_t h = 0xcbf29ce484222325u;
	for (size_t i = 0; i < s.bytes; i++)
		h = (h ^ (unsigned char)s.data[i]) * 0x100000001b3u;
	return hash_mix(h);
}

#endif
