#include "embed/tokenizer_build.h"

#include <math.h>

#include "base/size.h"
#include "base/utf8.h"
#include "embed/tokenizer_inside.h"

enum { UNKNOWN_PENALTY = 10 }; /* below the worst piece, as SentencePiece has it */

/* The four parts of a section before they are put together. */
struct parts {
	struct tokenizer_section head;
	struct trie pieces, map;
	const char *strings;
};

status vocabulary_init(struct vocabulary *v, struct mem_scope *scope, enum packed_tokenizer kind,
		       uint64_t count, struct fault *reterr)
{
	if (count == 0 || count > TOKENIZER_VOCABULARY_MAX)
		return fault_set(reterr, ST_INVALID, "a vocabulary of %llu pieces",
				 (unsigned long long)count);
	*v = (struct vocabulary){.kind = kind,
				 .count = (uint32_t)count,
				 .first_id = -1,
				 .last_id = -1,
				 .unknown_id = -1,
				 .lower = true,
				 .strip_accents = true,
				 .dummy_prefix = true,
				 .collapse = true,
				 .word_chars_max = 100};
	v->pieces = mem_new_array(scope, struct span, count);
	if (kind == PACKED_UNIGRAM)
		v->scores = mem_new_array(scope, float, count);
	if (v->pieces == NULL || (kind == PACKED_UNIGRAM && v->scores == NULL))
		return fault_set(reterr, mem_refusal(), "no memory for the vocabulary");
	return ST_OK;
}

int64_t vocabulary_find(const struct vocabulary *v, struct span piece)
{
	for (uint32_t id = 0; id < v->count; id++)
		if (span_equal(v->pieces[id], piece))
			return id;
	return -1;
}

static bool special(const struct vocabulary *v, uint32_t id)
{
	return id == v->first_id || id == v->last_id || id == v->unknown_id;
}

static status build_pieces(struct mem_scope *scope, const struct vocabulary *v, struct parts *parts,
			   struct fault *reterr)
{
	struct trie_key *keys = mem_new_array(scope, struct trie_key, v->count);
	size_t count = 0;
	float worst = INFINITY;
	if (keys == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for the vocabulary");
	for (uint32_t id = 0; id < v->count; id++) {
		struct span text = v->pieces[id];
		if (text.bytes == 0 || special(v, id))
			continue;
		if (!utf8_is_valid(text))
			return fault_set(reterr, ST_INVALID,
					 "piece %u of the vocabulary is not UTF-8", id);
		if (v->scores != NULL && !isfinite(v->scores[id]))
			return fault_set(reterr, ST_INVALID,
					 "piece %u of the vocabulary has no score", id);
		if (v->scores != NULL)
			worst = fminf(worst, v->scores[id]);
		parts->head.piece_bytes_max =
			(uint32_t)size_max(parts->head.piece_bytes_max, text.bytes);
		keys[count++] = (struct trie_key){text, id};
	}
	status st = trie_build(scope, keys, count, &parts->pieces, reterr);
	mem_free(keys);
	if (v->scores != NULL)
		parts->head.unknown_score = worst - UNKNOWN_PENALTY;
	return st;
}

/* The state that pieces inside a word hang from: one step for each '#'. A vocabulary without any
 * has none, and a state outside the trie never finds a child. */
static uint32_t continuation_state(const struct trie *pieces)
{
	struct trie_walk walk = {.state = 0};
	if (!trie_step(pieces, &walk, '#') || !trie_step(pieces, &walk, '#') || walk.ended)
		return UINT32_MAX;
	return walk.state;
}

static status build_map(struct mem_scope *scope, const struct tokenizer_map *map,
			struct parts *parts, struct fault *reterr)
{
	struct trie_key *keys = mem_new_array(scope, struct trie_key, map->count);
	size_t room = map->count;
	for (size_t i = 0; i < map->count; i++)
		room += map->entries[i].to_bytes;
	char *strings = mem_new_array(scope, char, room);
	if (keys == NULL || strings == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for the character map");
	size_t used = 0, empty = SIZE_MAX;
	for (size_t i = 0; i < map->count; i++) {
		struct span to = tokenizer_map_to(map, i);
		size_t at = used;
		if (i > 0 && span_equal(to, tokenizer_map_to(map, i - 1)))
			at = keys[i - 1].value; /* forms of one character follow each other */
		else if (to.bytes == 0 && empty != SIZE_MAX)
			at = empty;
		if (at == used) {
			strings[used++] = (char)to.bytes;
			memcpy(strings + used, to.data, to.bytes);
			used += to.bytes;
		}
		if (to.bytes == 0)
			empty = at;
		if (used > TRIE_PAYLOAD_MAX)
			return fault_set(reterr, ST_LIMIT, "the character map is too large");
		keys[i] = (struct trie_key){tokenizer_map_from(map, i), (uint32_t)at};
	}
	status st = trie_build(scope, keys, map->count, &parts->map, reterr);
	mem_free(keys);
	parts->strings = strings;
	parts->head.string_bytes = (uint32_t)used;
	return st;
}

static status put_together(struct mem_scope *scope, const struct vocabulary *v, struct parts *parts,
			   struct span *ret_section, struct fault *reterr)
{
	struct tokenizer_section *h = &parts->head;
	h->piece_units = parts->pieces.count;
	h->map_units = parts->map.count;
	h->score_count = v->scores != NULL ? v->count : 0;
	size_t words = (size_t)h->piece_units + h->map_units + h->score_count;
	h->bytes = (uint32_t)(sizeof(*h) + words * 4 + h->string_bytes);
	size_t bytes = size_round_up(h->bytes, TOKENIZER_SECTION_ALIGN);
	char *out = mem_new_aligned(scope, char, bytes, TOKENIZER_SECTION_ALIGN);
	if (out == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for the vocabulary");
	char *at = out;
	memcpy(at, h, sizeof(*h));
	at += sizeof(*h);
	memcpy(at, parts->pieces.units, (size_t)h->piece_units * 4);
	at += (size_t)h->piece_units * 4;
	if (h->map_units > 0)
		memcpy(at, parts->map.units, (size_t)h->map_units * 4);
	at += (size_t)h->map_units * 4;
	if (h->score_count > 0)
		memcpy(at, v->scores, (size_t)h->score_count * 4);
	at += (size_t)h->score_count * 4;
	if (h->string_bytes > 0)
		memcpy(at, parts->strings, h->string_bytes);
	*ret_section = (struct span){out, bytes};
	return ST_OK;
}

status tokenizer_build(struct mem_scope *scope, const struct vocabulary *v,
		       struct span *ret_section, struct fault *reterr)
{
	struct parts parts = {.head = {.magic = TOKENIZER_MAGIC}};
	struct tokenizer_section *h = &parts.head;
	bool unigram = v->kind == PACKED_UNIGRAM;
	if (v->first_id < 0 || v->first_id >= v->count || v->last_id < 0 ||
	    v->last_id >= v->count || v->unknown_id < 0 || v->unknown_id >= v->count)
		return fault_set(reterr, ST_INVALID,
				 "the vocabulary lacks a special token: begin %lld, "
				 "end %lld, unknown %lld",
				 (long long)v->first_id, (long long)v->last_id,
				 (long long)v->unknown_id);
	h->kind = unigram ? TOKENIZER_UNIGRAM : TOKENIZER_WORDPIECE;
	h->vocabulary = v->count;
	h->first_id = (int32_t)v->first_id;
	h->last_id = (int32_t)v->last_id;
	h->unknown_id = (int32_t)v->unknown_id;
	if (unigram)
		h->flags = (v->dummy_prefix ? TOKENIZER_DUMMY : 0u) |
			   (v->collapse ? TOKENIZER_COLLAPSE : 0u);
	else
		h->flags = (v->lower ? TOKENIZER_LOWER : 0u) |
			   (v->strip_accents ? TOKENIZER_STRIP : 0u);
	h->word_chars_max = v->word_chars_max;
	status st = build_pieces(scope, v, &parts, reterr);
	if (st == ST_OK && !unigram)
		h->continuation = continuation_state(&parts.pieces);
	if (st == ST_OK && unigram && v->map != NULL && v->map->count > 0)
		st = build_map(scope, v->map, &parts, reterr);
	if (st == ST_OK)
		st = put_together(scope, v, &parts, ret_section, reterr);
	return st;
}
