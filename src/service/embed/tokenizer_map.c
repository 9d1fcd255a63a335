#include "embed/tokenizer_map.h"

#include "base/size.h"
#include "base/utf8.h"

enum {
	MAP_BYTES_MAX = 32 * 1024 * 1024,
	WALK_DEPTH_MAX = 64,
	WALK_STEPS_MAX = 4 * 1024 * 1024, /* a damaged array may have loops */
};

void tokenizer_map_init(struct tokenizer_map *map, struct mem_scope *scope)
{
	*map = (struct tokenizer_map){.scope = scope};
	buf_init(&map->bytes, scope, MAP_BYTES_MAX);
}

status tokenizer_map_add(struct tokenizer_map *map, struct span from, struct span to,
			 struct fault *reterr)
{
	if (from.bytes == 0 || from.bytes > TOKENIZER_MAP_TEXT_MAX ||
	    to.bytes > TOKENIZER_MAP_TEXT_MAX || !utf8_is_valid(to) ||
	    map->count == TOKENIZER_MAP_ENTRIES_MAX)
		return fault_set(reterr, ST_INVALID, "entry %zu of the character map is malformed",
				 map->count);
	if (map->count == map->room) {
		size_t room = map->room == 0 ? 8192 : map->room * 2;
		struct tokenizer_map_entry *grown = mem_resize_array(
			map->scope, struct tokenizer_map_entry, map->entries, room);
		if (grown == NULL)
			return fault_set(reterr, mem_refusal(), "no memory for the character map");
		map->entries = grown;
		map->room = room;
	}
	struct tokenizer_map_entry *e = &map->entries[map->count];
	e->from = (uint32_t)map->bytes.bytes;
	e->from_bytes = (uint8_t)from.bytes;
	buf_add(&map->bytes, from);
	e->to = (uint32_t)map->bytes.bytes;
	e->to_bytes = (uint8_t)to.bytes;
	buf_add(&map->bytes, to);
	map->count++;
	return buf_check(&map->bytes, "the character map", reterr);
}

struct darts {
	const unsigned char *units;
	uint32_t count;
	struct span strings;
};

static uint32_t darts_unit(const struct darts *d, uint32_t index)
{
	const unsigned char *p = d->units + (size_t)index * 4;
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* The index that the children of a unit hang from: bits 10-30, shifted by 8 when bit 9 is set. */
static uint32_t darts_children(uint32_t index, uint32_t unit)
{
	return index ^ unit >> 10 << ((unit & 1u << 9) >> 6);
}

static status darts_value(const struct darts *d, uint32_t index, struct span *ret_to,
			  struct fault *reterr)
{
	uint32_t at = index < d->count ? darts_unit(d, index) & 0x7fffffffu : UINT32_MAX;
	const char *end = at < d->strings.bytes
				  ? memchr(d->strings.data + at, '\0', d->strings.bytes - at)
				  : NULL;
	if (end == NULL)
		return fault_set(reterr, ST_INVALID,
				 "the character map points outside its replacements");
	*ret_to = (struct span){d->strings.data + at, (size_t)(end - (d->strings.data + at))};
	return ST_OK;
}

/* Visit every string of the array, depth first. The stack holds the index and the next label to
 * try. */
static status darts_walk(struct tokenizer_map *map, const struct darts *d, struct fault *reterr)
{
	uint32_t stack[WALK_DEPTH_MAX], next[WALK_DEPTH_MAX];
	char key[WALK_DEPTH_MAX];
	size_t depth = 0;
	uint32_t steps = 0;
	stack[0] = 0;
	next[0] = 1;
	for (;;) {
		uint32_t index = stack[depth], unit = darts_unit(d, index);
		uint32_t children = darts_children(index, unit);
		if (next[depth] == 1 && depth > 0 &&
		    (unit & 1u << 8) != 0) { /* a string ends here */
			struct span to;
			status st = darts_value(d, children, &to, reterr);
			if (st == ST_OK)
				st = tokenizer_map_add(map, (struct span){key, depth}, to, reterr);
			if (st != ST_OK)
				return st;
		}
		uint32_t label = next[depth];
		while (label < 256 && ((children ^ label) >= d->count ||
				       (darts_unit(d, children ^ label) & 0x800000ffu) != label))
			label++;
		next[depth] = label + 1;
		if (label == 256) {
			if (depth == 0)
				return ST_OK;
			depth--;
			continue;
		}
		if (depth + 1 == WALK_DEPTH_MAX || ++steps > WALK_STEPS_MAX)
			return fault_set(reterr, ST_INVALID, "the character map has no end");
		key[depth++] = (char)label;
		stack[depth] = children ^ label;
		next[depth] = 1;
	}
}

status tokenizer_map_read(struct tokenizer_map *map, struct span blob, struct fault *reterr)
{
	struct darts d = {(const unsigned char *)blob.data, 1, {NULL, 0}};
	uint32_t bytes = blob.bytes > 4 ? darts_unit(&d, 0) : 0;
	if (bytes < 4 || bytes % 4 != 0 || bytes > blob.bytes - 4)
		return fault_set(reterr, ST_INVALID, "the character map has a wrong length");
	d.units += 4;
	d.count = bytes / 4;
	d.strings = span_slice(blob, 4 + (size_t)bytes, blob.bytes);
	return darts_walk(map, &d, reterr);
}
