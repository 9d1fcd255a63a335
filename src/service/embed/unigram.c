/* SentencePiece's unigram model: the text goes through the character map, spaces become U+2581, and
 * of all ways to cut it into pieces the one with the greatest sum of scores is taken (Viterbi). T.
 * Kudo, "Subword Regularization", 2018. Scores are summed in float from the start of the text, and
 * of equal sums the first found stays, as in SentencePiece: sums that differ in the last bit choose
 * other pieces.
 *
 * A text of any length goes through a window of fixed size. Where no piece that begins before a
 * place ends behind it, every segmentation passes it: all before it is decided and given out. Where
 * such a place does not come for TOKENIZER_RUN_BYTES, the paths to all open places are followed
 * back to where they meet; only if they never do, the run is cut where it stands.
 *
 *     text      ...normalised bytes...|.......look-ahead.......
 *             base                   pos                    filled
 */
#include "base/assert.h"
#include "base/size.h"
#include "embed/tokenizer_inside.h"

enum {
	REPLACEMENT_MAX = 255 + 3, /* what one entry of the map can add, and a space before it */
	WINDOW = TOKENIZER_RUN_BYTES + UTF8_BYTES_MAX + TRIE_KEY_BYTES_MAX + REPLACEMENT_MAX,
	UNSET = -1,
};
#define NO_SOURCE UINT32_MAX
#define SPACE "\xe2\x96\x81" /* U+2581 */

struct node { /* the best path to a place in the window */
	float score;
	uint16_t start; /* where its last piece begins */
	uint16_t next;  /* where the following piece ends, once the path is chosen */
	int32_t id;     /* its last piece; UNSET: no path yet */
};

struct window {
	struct node node[WINDOW + 1];
	uint32_t
		source[WINDOW + 1]; /* from cursor.at to the entry that begins here, or NO_SOURCE */
	char text[WINDOW];
};
_Static_assert(sizeof(struct window) <= TOKENIZER_SCRATCH_BYTES, "the window fits the scratch");

struct work {
	const struct tokenizer *t;
	struct tokenizer_cursor *c;
	struct window *w;
	size_t base, pos, filled, reach;
	size_t origin;             /* what sources count from */
	size_t next;               /* next byte of the text to be normalised */
	bool after_space, pending; /* pending: a space that is kept only if something follows */
	uint32_t pending_source;
	bool ended; /* the whole text has been normalised */
};

static void put(struct work *k, const char *bytes, size_t count, uint32_t source)
{
	ASSERT(k->filled + count <= WINDOW);
	for (size_t i = 0; i < count; i++, k->filled++) {
		k->w->text[k->filled] = bytes[i];
		k->w->source[k->filled] = i == 0 ? source : NO_SOURCE;
		k->w->node[k->filled + 1].id = UNSET;
	}
}

static void put_pending(struct work *k)
{
	if (k->pending)
		put(k, SPACE, 3, k->pending_source);
	k->pending = false;
}

/* One normalised entry: its spaces escaped, and dropped where they would double. */
static void put_entry(struct work *k, struct span entry, uint32_t source)
{
	bool collapse = (k->t->flags & TOKENIZER_COLLAPSE) != 0;
	size_t i = 0;
	while (collapse && k->after_space && i < entry.bytes && entry.data[i] == ' ')
		i++;
	if (i == entry.bytes)
		return;
	for (; i < entry.bytes; i++, source = NO_SOURCE) {
		if (entry.data[i] == ' ' && collapse) {
			put_pending(k);
			k->pending = true;
			k->pending_source = source;
		} else if (entry.data[i] == ' ') {
			put(k, SPACE, 3, source);
		} else {
			put_pending(k);
			put(k, entry.data + i, 1, source);
		}
	}
	k->after_space = collapse && entry.data[entry.bytes - 1] == ' ';
}

/* Normalise what comes next in the text: the longest entry of the map, else one character as it is.
 */
static void normalise_next(struct work *k)
{
	const struct tokenizer_cursor *c = k->c;
	struct trie map = tokenizer_map_trie(k->t);
	struct trie_walk walk = {.state = 0};
	size_t total = cursor_bytes(c), length = 0;
	uint32_t value = 0;
	if (k->next == total) {
		k->ended = true;
		return;
	}
	for (size_t i = k->next; i < total && map.count > 0; i++) {
		if (!trie_step(&map, &walk, cursor_byte(c, i)))
			break;
		if (walk.has_value) {
			value = walk.value;
			length = i + 1 - k->next;
		}
	}
	struct span entry;
	char plain[UTF8_BYTES_MAX];
	const struct tokenizer *t = k->t;
	if (length > 0 && value < t->string_bytes &&
	    (unsigned char)t->strings[value] < t->string_bytes - value) {
		entry = (struct span){t->strings + value + 1, (unsigned char)t->strings[value]};
	} else {
		uint32_t point;
		length = cursor_point(c, k->next, &point);
		entry = (struct span){plain, utf8_encode(point, plain)};
	}
	size_t source = k->next - k->origin;
	put_entry(k, entry, source < NO_SOURCE ? (uint32_t)source : NO_SOURCE);
	k->next += length;
}

static size_t char_bytes(unsigned char lead)
{
	return lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/* A piece from pos to end, with the score of the whole path. */
static void relax(struct work *k, size_t end, float score, int32_t id)
{
	struct node *n = &k->w->node[end];
	if (n->id == UNSET || score > n->score)
		*n = (struct node){score, (uint16_t)k->pos, 0, id};
	k->reach = size_max(k->reach, end);
}

/* Try every piece that begins at pos, then go on by one character. */
static void advance(struct work *k)
{
	const struct tokenizer *t = k->t;
	struct trie pieces = tokenizer_pieces(t);
	struct trie_walk walk = {.state = 0};
	float here = k->w->node[k->pos].score;
	size_t length = size_min(char_bytes((unsigned char)k->w->text[k->pos]), k->filled - k->pos);
	bool single = false;
	for (size_t i = k->pos; i < k->filled; i++) {
		if (!trie_step(&pieces, &walk, (unsigned char)k->w->text[i]))
			break;
		if (!walk.has_value || walk.value >= t->vocabulary)
			continue;
		relax(k, i + 1, t->scores[walk.value] + here, (int32_t)walk.value);
		single |= i + 1 - k->pos == length;
	}
	if (!single)
		relax(k, k->pos + length, t->unknown_score + here, t->unknown_id);
	k->pos += length;
}

/* Give out the best path from base to end. True: all of it; the cursor stands at end. */
static bool give_out(struct work *k, size_t end, int32_t *ids, size_t max, size_t *made)
{
	struct node *node = k->w->node;
	struct tokenizer_cursor *c = k->c;
	bool after_unknown = c->after_unknown;
	uint32_t index = 0;
	for (size_t at = end; at > k->base; at = node[at].start)
		node[node[at].start].next = (uint16_t)at;
	for (size_t at = k->base; at < end;) {
		at = node[at].next;
		int32_t id = node[at].id;
		bool fused = id == k->t->unknown_id &&
			     after_unknown; /* a run of unknowns is one token */
		after_unknown = id == k->t->unknown_id;
		if (fused || index++ < c->skip)
			continue;
		if (*made == max)
			return false;
		ids[(*made)++] = id;
		c->skip++;
	}
	bool last = k->ended && end == k->filled;
	c->at = last ? cursor_bytes(c) : k->origin + k->w->source[end];
	c->begun = true;
	c->skip = 0;
	c->score = node[end].score;
	c->after_unknown = after_unknown;
	c->after_space = k->t->flags & TOKENIZER_COLLAPSE && end >= k->base + 3 &&
			 memcmp(k->w->text + end - 3, SPACE, 3) == 0;
	return true;
}

/* Where the best paths to all open places meet, at an entry of the map; base when nowhere. */
static size_t meeting_place(const struct work *k)
{
	const struct node *node = k->w->node;
	size_t meet = k->pos;
	for (size_t open = k->pos; open <= k->reach; open++) {
		size_t other = open;
		if (node[open].id == UNSET)
			continue;
		while (meet != other) {
			if (meet > other)
				meet = node[meet].start;
			else
				other = node[other].start;
		}
	}
	while (meet > k->base && k->w->source[meet] == NO_SOURCE)
		meet = node[meet].start;
	return meet;
}

/* All before base is given out: move the rest to the front. */
static void shift(struct work *k)
{
	size_t rest = k->filled - k->base;
	memmove(k->w->text, k->w->text + k->base, rest);
	memmove(k->w->source, k->w->source + k->base, (rest + 1) * sizeof(k->w->source[0]));
	k->w->node[0] = k->w->node[k->base];
	for (size_t i = 1; i <= rest; i++)
		k->w->node[i].id = UNSET;
	k->pos = 0;
	k->reach = 0;
	k->filled = rest;
	k->base = 0;
}

static void start(struct work *k)
{
	struct tokenizer_cursor *c = k->c;
	k->origin = k->next = c->at;
	k->after_space = c->after_space && k->t->flags & TOKENIZER_COLLAPSE;
	k->w->node[0] = (struct node){.score = c->score};
	if (c->begun || !(k->t->flags & TOKENIZER_DUMMY))
		return;
	if (k->t->flags & TOKENIZER_COLLAPSE)
		k->pending = true; /* nothing comes of a text of spaces only */
	else
		put(k, SPACE, 3, 0);
}

size_t unigram_encode(const struct tokenizer *t, struct tokenizer_cursor *c, void *scratch,
		      int32_t *ret_ids, size_t max)
{
	struct work k = {.t = t, .c = c, .w = scratch};
	size_t made = 0;
	start(&k);
	for (;;) {
		while (!k.ended && k.filled < k.pos + t->piece_bytes_max)
			normalise_next(&k);
		bool end = k.ended && k.pos == k.filled;
		if (k.pos > k.base && k.reach == k.pos &&
		    (end || k.w->source[k.pos] != NO_SOURCE)) {
			if (!give_out(&k, k.pos, ret_ids, max, &made))
				return made;
			k.base = k.pos;
			if (made == max)
				return made;
			if (k.base >= TOKENIZER_RUN_BYTES / 2)
				shift(&k);
		}
		if (end) {
			c->done = true;
			return made;
		}
		if (k.pos < TOKENIZER_RUN_BYTES) {
			advance(&k);
			continue;
		}
		size_t place = meeting_place(&k);
		if (place == k.base)
			place = k.pos;
		if (!give_out(&k, place, ret_ids, max, &made) || made == max)
			return made;
		k = (struct work){.t = t, .c = c, .w = scratch};
		start(&k);
	}
}
