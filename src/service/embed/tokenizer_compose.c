/* The sequences that NFKC composes, found as SentencePiece's builder finds them: for each character
 * with a decomposition, every string of compatible characters that decomposes to the same, unless
 * shorter rules already give the same result. */
#include <stdlib.h>
#include <utf8proc.h>

#include "base/hash.h"
#include "base/size.h"
#include "base/utf8.h"
#include "embed/tokenizer_map.h"

enum {
	POINTS_MAX = 4, /* longer sequences are all made of shorter rules */
	DECOMPOSED_MAX = 32,
	SLOTS = 1 << 20, /* of the hash table, twice what NFKC needs */
	RULES_MAX = SLOTS / 2,
	SIMILAR_MAX = 16384,
};

struct rule {
	uint32_t from[POINTS_MAX], to[POINTS_MAX];
	uint8_t from_count, to_count;
};

/* `point` stands for `base`: alone it decomposes to it. */
struct similar {
	uint32_t base, point;
};

struct composer {
	struct tokenizer_map *map;
	unsigned char *known; /* bit per code point: the map changes it */
	struct similar *similar;
	size_t similar_count;
	struct rule *rules;
	size_t count;
	uint32_t *slots; /* index of a rule + 1 */
};

static uint32_t *find_slot(struct composer *c, const uint32_t *from, size_t count)
{
	size_t bytes = count * sizeof(*from);
	size_t at = hash_bytes((struct span){(const char *)from, bytes}) & (SLOTS - 1);
	for (;; at = (at + 1) & (SLOTS - 1)) {
		if (c->slots[at] == 0)
			return &c->slots[at];
		const struct rule *r = &c->rules[c->slots[at] - 1];
		if (r->from_count == count && memcmp(r->from, from, bytes) == 0)
			return &c->slots[at];
	}
}

/* What the rules so far make of from, of at most POINTS_MAX points; longest match first. */
static size_t apply(struct composer *c, const struct rule *rule, uint32_t out[POINTS_MAX * 2])
{
	size_t made = 0, longest = (size_t)rule->from_count - 1;
	for (size_t i = 0; i < rule->from_count && made <= POINTS_MAX;) {
		size_t take = size_min(longest, rule->from_count - i);
		uint32_t slot = 0;
		for (; take > 0 && slot == 0; take -= slot == 0)
			slot = *find_slot(c, rule->from + i, take);
		if (slot == 0) {
			out[made++] = rule->from[i++];
			continue;
		}
		const struct rule *r = &c->rules[slot - 1];
		for (size_t j = 0; j < r->to_count; j++)
			out[made++] = r->to[j];
		i += take;
	}
	return made;
}

static status add_rule(struct composer *c, const struct rule *rule, struct fault *reterr)
{
	uint32_t *slot = find_slot(c, rule->from, rule->from_count);
	if (*slot != 0)
		return ST_OK;
	if (c->count == RULES_MAX)
		return fault_set(reterr, ST_LIMIT, "the character map has too many sequences");
	c->rules[c->count++] = *rule;
	*slot = (uint32_t)c->count;
	return ST_OK;
}

static size_t encode(const uint32_t *points, size_t count, char out[POINTS_MAX * UTF8_BYTES_MAX])
{
	size_t bytes = 0;
	for (size_t i = 0; i < count; i++)
		bytes += utf8_encode(points[i], out + bytes);
	return bytes;
}

/* The single characters of the map, and which they are. Only those that become one character can be
 * part of a sequence. */
static status take_singles(struct composer *c, struct fault *reterr)
{
	for (size_t i = 0; i < c->map->count; i++) {
		struct span from = tokenizer_map_from(c->map, i), to = tokenizer_map_to(c->map, i);
		struct rule r = {.from_count = 1, .to_count = 1};
		if (utf8_decode(from, 0, &r.from[0]) != from.bytes)
			return fault_set(reterr, ST_INVALID,
					 "the character map is not one of single "
					 "characters");
		c->known[r.from[0] / 8] |= (unsigned char)(1 << r.from[0] % 8);
		if (to.bytes == 0 || utf8_decode(to, 0, &r.to[0]) != to.bytes)
			continue;
		status st = add_rule(c, &r, reterr);
		if (st != ST_OK)
			return st;
	}
	return ST_OK;
}

/* The compatible decomposition; 0 when the point has no place here. */
static size_t decompose(uint32_t point, int32_t out[DECOMPOSED_MAX])
{
	char text[UTF8_BYTES_MAX];
	size_t bytes = utf8_encode(point, text);
	utf8proc_ssize_t n = utf8proc_decompose(
		(const utf8proc_uint8_t *)text, (utf8proc_ssize_t)bytes, out, DECOMPOSED_MAX,
		UTF8PROC_COMPAT | UTF8PROC_DECOMPOSE | UTF8PROC_STABLE);
	return n < 1 || n > DECOMPOSED_MAX ? 0 : (size_t)n;
}

static size_t compose(const int32_t *points, size_t count, int32_t *out)
{
	memcpy(out, points, count * sizeof(*points));
	utf8proc_ssize_t n = utf8proc_normalize_utf32(out, (utf8proc_ssize_t)count,
						      UTF8PROC_COMPOSE | UTF8PROC_STABLE);
	return n < 1 ? 0 : (size_t)n;
}

/* Whether the map's Unicode version (10) knew the character: one that NFKC changes is in the map;
 * of those that it leaves alone, later versions added composed ones outside these ranges. */
static bool was_known(const struct composer *c, uint32_t point, const int32_t *parts, size_t count)
{
	int32_t whole[DECOMPOSED_MAX];
	bool changes = compose(parts, count, whole) != 1 || whole[0] != (int32_t)point;
	if (changes)
		return (c->known[point / 8] >> point % 8 & 1) != 0;
	return point <= 0xffff || (point >= 0x11080 && point < 0x11380) ||
	       (point >= 0x11480 && point < 0x11600);
}

static int compare_similar(const void *left, const void *right)
{
	const struct similar *a = left, *b = right;
	if (a->base != b->base)
		return a->base < b->base ? -1 : 1;
	return a->point < b->point ? -1 : a->point > b->point;
}

static status collect_similar(struct composer *c, struct fault *reterr)
{
	int32_t parts[DECOMPOSED_MAX];
	for (uint32_t point = 1; point < 0x110000; point++) {
		if (point == 0xd800)
			point = 0xe000;
		if (decompose(point, parts) != 1 || parts[0] == (int32_t)point ||
		    !was_known(c, point, parts, 1))
			continue;
		if (c->similar_count == SIMILAR_MAX)
			return fault_set(reterr, ST_LIMIT, "the character map has too many forms");
		c->similar[c->similar_count++] = (struct similar){(uint32_t)parts[0], point};
	}
	qsort(c->similar, c->similar_count, sizeof(*c->similar), compare_similar);
	return ST_OK;
}

/* The forms of one point: *ret_first of them in c->similar, and the point itself. */
static size_t forms_of(const struct composer *c, uint32_t base, size_t *ret_first)
{
	size_t low = 0, high = c->similar_count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (c->similar[middle].base < base)
			low = middle + 1;
		else
			high = middle;
	}
	*ret_first = low;
	while (low < c->similar_count && c->similar[low].base == base)
		low++;
	return low - *ret_first + 1;
}

/* All sequences of `count` points that are spelled like parts, as rules of that length. */
static status expand(struct composer *c, const int32_t *parts, size_t count, struct fault *reterr)
{
	struct rule r = {.from_count = (uint8_t)count};
	int32_t whole[DECOMPOSED_MAX];
	size_t made = compose(parts, count, whole), first[POINTS_MAX], forms[POINTS_MAX], total = 1;
	if (made == 0 || (made == count && memcmp(whole, parts, count * sizeof(*parts)) == 0))
		return ST_OK;
	r.to_count = (uint8_t)made;
	for (size_t i = 0; i < made; i++)
		r.to[i] = (uint32_t)whole[i];
	for (size_t i = 0; i < count; i++)
		total *= forms[i] = forms_of(c, (uint32_t)parts[i], &first[i]);
	for (size_t number = 0; number < total; number++) {
		uint32_t made_of[POINTS_MAX * 2];
		for (size_t i = 0, rest = number; i < count; rest /= forms[i], i++) {
			size_t form = rest % forms[i];
			r.from[i] = form == 0 ? (uint32_t)parts[i]
					      : c->similar[first[i] + form - 1].point;
		}
		if (made == count && memcmp(r.from, r.to, count * sizeof(r.from[0])) == 0)
			continue;
		size_t n = apply(c, &r, made_of);
		if (n == made && memcmp(made_of, r.to, n * sizeof(r.to[0])) == 0)
			continue;
		status st = add_rule(c, &r, reterr);
		if (st != ST_OK)
			return st;
	}
	return ST_OK;
}

/* Shorter sequences first: whether a rule is needed is decided with those that are shorter. */
static status collect_rules(struct composer *c, struct fault *reterr)
{
	int32_t parts[DECOMPOSED_MAX];
	for (size_t length = 2; length <= POINTS_MAX; length++) {
		for (uint32_t point = 1; point < 0x110000; point++) {
			if (point == 0xd800)
				point = 0xe000;
			if (decompose(point, parts) != length ||
			    !was_known(c, point, parts, length))
				continue;
			status st = expand(c, parts, length, reterr);
			if (st != ST_OK)
				return st;
		}
	}
	return ST_OK;
}

static status give_back(struct composer *c, struct fault *reterr)
{
	for (size_t i = 0; i < c->count; i++) {
		const struct rule *r = &c->rules[i];
		char from[POINTS_MAX * UTF8_BYTES_MAX], to[POINTS_MAX * UTF8_BYTES_MAX];
		if (r->from_count == 1)
			continue;
		struct span f = {from, encode(r->from, r->from_count, from)};
		struct span t = {to, encode(r->to, r->to_count, to)};
		status st = tokenizer_map_add(c->map, f, t, reterr);
		if (st != ST_OK)
			return st;
	}
	return ST_OK;
}

status tokenizer_map_compose(struct tokenizer_map *map, struct fault *reterr)
{
	struct mem_scope *scope = mem_scope_open(map->scope, "compose", 0);
	if (scope == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for the character map");
	struct composer c = {.map = map};
	c.known = mem_new_array(scope, unsigned char, 0x110000 / 8);
	c.similar = mem_new_array(scope, struct similar, SIMILAR_MAX);
	c.rules = mem_new_array(scope, struct rule, RULES_MAX);
	c.slots = mem_new_array(scope, uint32_t, SLOTS);
	status st = ST_OK;
	if (c.known == NULL || c.similar == NULL || c.rules == NULL || c.slots == NULL)
		st = fault_set(reterr, mem_refusal(), "no memory for the character map");
	if (st == ST_OK)
		st = take_singles(&c, reterr);
	if (st == ST_OK)
		st = collect_similar(&c, reterr);
	if (st == ST_OK)
		st = collect_rules(&c, reterr);
	if (st == ST_OK)
		st = give_back(&c, reterr);
	mem_scope_close(scope);
	return st;
}
