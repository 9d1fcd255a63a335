#include "embed/tokenizer_trie.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/size.h"

enum {
	BLOCK = 256,
	TRIES_MAX =
		256, /* free places looked at for one state before the full part is left behind */
	FRAMES_MAX = (TRIE_KEY_BYTES_MAX + 1) * BLOCK,
};

/* The keys low..high-1 share their first `depth` bytes and hang from the unit `owner`. */
struct frame {
	uint32_t low, high, depth, owner;
};

struct builder {
	struct mem_scope *scope;
	const struct trie_key *keys;
	uint32_t *units;
	unsigned char *taken; /* per unit: 1 = the unit is used, 2 = a state has this index */
	uint32_t *next;       /* per unit: the next one that may be free */
	uint32_t count;       /* units, a multiple of BLOCK */
	uint32_t scan;        /* no place below is looked at any more */
	struct frame *frames; /* a stack */
	size_t frame_count;
};

static int compare_keys(const void *left, const void *right)
{
	const struct trie_key *a = left, *b = right;
	int order = memcmp(a->text.data, b->text.data, size_min(a->text.bytes, b->text.bytes));
	if (order != 0)
		return order;
	if (a->text.bytes != b->text.bytes)
		return a->text.bytes < b->text.bytes ? -1 : 1;
	return a->value < b->value ? -1 : a->value > b->value;
}

static status builder_grow(struct builder *b, struct fault *reterr)
{
	uint32_t more = b->count + (uint32_t)size_max(BLOCK, b->count / 2 / BLOCK * BLOCK);
	if (more > TRIE_PAYLOAD_MAX + 1u)
		return fault_set(reterr, ST_LIMIT, "the vocabulary is too large for a trie");
	uint32_t *units = mem_resize_array(b->scope, uint32_t, b->units, more);
	if (units == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for a trie of %u units", more);
	b->units = units;
	unsigned char *taken = mem_resize_array(b->scope, unsigned char, b->taken, more);
	if (taken == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for a trie of %u units", more);
	b->taken = taken;
	uint32_t *next = mem_resize_array(b->scope, uint32_t, b->next, more);
	if (next == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for a trie of %u units", more);
	b->next = next;
	for (uint32_t i = b->count; i < more; i++) {
		units[i] = TRIE_UNIT_UNUSED;
		next[i] = i + 1;
	}
	b->count = more;
	return ST_OK;
}

static bool fits(const struct builder *b, uint32_t state, const unsigned char *labels, size_t count)
{
	if (b->taken[state] & 2)
		return false;
	for (size_t i = 0; i < count; i++)
		if (b->taken[state ^ labels[i]] & 1)
			return false;
	return true;
}

/* The first free unit from `at` on; used ones are jumped over, and the jumps are kept. */
static uint32_t next_free(struct builder *b, uint32_t at)
{
	uint32_t free = at;
	while (free < b->count && b->taken[free] & 1)
		free = b->next[free];
	while (at < free) {
		uint32_t jump = b->next[at];
		b->next[at] = free;
		at = jump;
	}
	return free;
}

/* A state whose children of these labels fall on free units. */
static status find_state(struct builder *b, const unsigned char *labels, size_t count,
			 uint32_t *ret_state, struct fault *reterr)
{
	uint32_t tried = 0;
	for (uint32_t at = next_free(b, b->scan);; at = next_free(b, at + 1)) {
		if (at >= b->count) {
			at = b->count;
			status st = builder_grow(b, reterr);
			if (st != ST_OK)
				return st;
		}
		if (fits(b, at ^ labels[0], labels, count)) {
			*ret_state = at ^ labels[0];
			return ST_OK;
		}
		if (++tried == TRIES_MAX)
			b->scan = at;
	}
}

static unsigned char label_of(const struct builder *b, const struct frame *f, uint32_t key)
{
	struct span text = b->keys[key].text;
	return f->depth < text.bytes ? (unsigned char)text.data[f->depth] : 0;
}

/* Give the children of one state their units, and push those that have children. */
static status place(struct builder *b, struct frame f, struct fault *reterr)
{
	unsigned char labels[BLOCK];
	uint32_t first[BLOCK + 1];
	size_t count = 0;
	for (uint32_t key = f.low; key < f.high; key++) {
		unsigned char label = label_of(b, &f, key);
		if (count == 0 || labels[count - 1] != label) {
			labels[count] = label;
			first[count++] = key;
		}
	}
	first[count] = f.high;
	uint32_t state = 0;
	status st = ST_OK;
	if (f.depth > 0)
		st = find_state(b, labels, count, &state, reterr);
	if (st != ST_OK)
		return st;
	b->taken[state] |= 2;
	if (f.depth > 0)
		b->units[f.owner] = state << 9 | (b->units[f.owner] & 0xff);
	for (size_t i = 0; i < count; i++) {
		uint32_t at = state ^ labels[i];
		const struct trie_key *key = &b->keys[first[i]];
		b->taken[at] |= 1;
		b->units[at] = labels[i];
		if (first[i + 1] - first[i] == 1 && key->text.bytes <= (size_t)f.depth + 1)
			b->units[at] |= key->value << 9 | 0x100;
		else
			b->frames[b->frame_count++] =
				(struct frame){first[i], first[i + 1], f.depth + 1, at};
	}
	return ST_OK;
}

/* Sorted, each text once; ST_INVALID when one cannot be stored. */
static status prepare(struct trie_key *keys, size_t *count, struct fault *reterr)
{
	size_t kept = 0;
	for (size_t i = 0; i < *count; i++) {
		struct span text = keys[i].text;
		if (text.bytes == 0 || text.bytes > TRIE_KEY_BYTES_MAX ||
		    keys[i].value > TRIE_PAYLOAD_MAX || memchr(text.data, 0, text.bytes) != NULL ||
		    memchr(text.data, 0xff, text.bytes) != NULL)
			return fault_set(reterr, ST_INVALID,
					 "piece %u of the vocabulary cannot be stored",
					 keys[i].value);
	}
	qsort(keys, *count, sizeof(*keys), compare_keys);
	for (size_t i = 0; i < *count; i++) {
		if (kept > 0 && span_equal(keys[kept - 1].text, keys[i].text))
			kept--;
		keys[kept++] = keys[i];
	}
	*count = kept;
	return ST_OK;
}

status trie_build(struct mem_scope *scope, struct trie_key *keys, size_t count,
		  struct trie *ret_trie, struct fault *reterr)
{
	if (count == 0 || count > TRIE_PAYLOAD_MAX)
		return fault_set(reterr, ST_INVALID, "a vocabulary of %zu pieces", count);
	status st = prepare(keys, &count, reterr);
	if (st != ST_OK)
		return st;
	struct builder b = {.scope = scope, .keys = keys};
	b.frames = mem_new_array(scope, struct frame, FRAMES_MAX);
	if (b.frames == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for a trie");
	st = builder_grow(&b, reterr);
	if (st == ST_OK)
		st = place(&b, (struct frame){0, (uint32_t)count, 0, 0}, reterr);
	while (st == ST_OK && b.frame_count > 0)
		st = place(&b, b.frames[--b.frame_count], reterr);
	mem_free(b.frames);
	mem_free(b.taken);
	mem_free(b.next);
	if (st != ST_OK) {
		mem_free(b.units);
		return st;
	}
	while (b.count > BLOCK && b.units[b.count - 1] == TRIE_UNIT_UNUSED)
		b.count--;
	b.count = (uint32_t)size_round_up(b.count, BLOCK);
	*ret_trie = (struct trie){b.units, b.count};
	return ST_OK;
}
