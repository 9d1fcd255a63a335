#include "embed/tokenizer.h"

#include <math.h>

#include "base/assert.h"
#include "embed/tokenizer_inside.h"

size_t cursor_point(const struct tokenizer_cursor *c, size_t at, uint32_t *ret_point)
{
	if (at >= c->prefix.bytes)
		return utf8_decode(c->text, at - c->prefix.bytes, ret_point);
	char bytes[UTF8_BYTES_MAX];
	size_t count = 0, total = cursor_bytes(c);
	for (; count < UTF8_BYTES_MAX && at + count < total; count++)
		bytes[count] = (char)cursor_byte(c, at + count);
	return utf8_decode((struct span){bytes, count}, 0, ret_point);
}

/* The numbers fit each other and the parts fill the section exactly. */
static bool section_fits(const struct tokenizer_section *s, size_t bytes)
{
	if (s->kind > TOKENIZER_UNIGRAM || s->vocabulary == 0 ||
	    s->vocabulary > TOKENIZER_VOCABULARY_MAX || s->bytes > bytes)
		return false;
	int32_t top = (int32_t)s->vocabulary;
	if (s->first_id < 0 || s->first_id >= top || s->last_id < 0 || s->last_id >= top ||
	    s->unknown_id < 0 || s->unknown_id >= top)
		return false;
	if (s->piece_units == 0 || s->piece_units > TRIE_PAYLOAD_MAX ||
	    s->map_units > TRIE_PAYLOAD_MAX || s->string_bytes > TRIE_PAYLOAD_MAX)
		return false;
	if (s->kind == TOKENIZER_UNIGRAM &&
	    (s->score_count != s->vocabulary || !isfinite(s->unknown_score) ||
	     s->piece_bytes_max == 0 || s->piece_bytes_max > TRIE_KEY_BYTES_MAX))
		return false;
	if (s->kind == TOKENIZER_WORDPIECE && (s->score_count != 0 || s->word_chars_max == 0))
		return false;
	uint64_t words = (uint64_t)s->piece_units + s->map_units + s->score_count;
	return s->bytes == sizeof(*s) + words * 4 + s->string_bytes;
}

status tokenizer_init(struct span section, struct tokenizer *ret_tokenizer, struct fault *reterr)
{
	struct tokenizer_section s;
	if (section.bytes < sizeof(s) || (uintptr_t)section.data % sizeof(uint32_t) != 0)
		return fault_set(reterr, ST_CORRUPT,
				 "the tokenizer of the packed model is missing");
	memcpy(&s, section.data, sizeof(s));
	if (s.magic != TOKENIZER_MAGIC || !section_fits(&s, section.bytes))
		return fault_set(reterr, ST_CORRUPT,
				 "the tokenizer of the packed model is damaged");
	const uint32_t *words = (const uint32_t *)(const void *)(section.data + sizeof(s));
	const uint32_t *scores = words + s.piece_units + s.map_units;
	*ret_tokenizer = (struct tokenizer){
		.first_id = s.first_id,
		.last_id = s.last_id,
		.unknown_id = s.unknown_id,
		.vocabulary = s.vocabulary,
		.kind = s.kind,
		.flags = s.flags,
		.pieces = words,
		.piece_units = s.piece_units,
		.map = words + s.piece_units,
		.map_units = s.map_units,
		.scores = (const float *)(const void *)scores,
		.strings = (const char *)(scores + s.score_count),
		.string_bytes = s.string_bytes,
		.continuation = s.continuation,
		.word_chars_max = s.word_chars_max,
		.piece_bytes_max = s.piece_bytes_max,
		.unknown_score = s.unknown_score,
	};
	return ST_OK;
}

void tokenizer_begin(struct tokenizer_cursor *cursor, struct span prefix, struct span text)
{
	*cursor = (struct tokenizer_cursor){
		.prefix = prefix, .text = text, .after_space = true, .done = false};
}

size_t tokenizer_encode(const struct tokenizer *tokenizer, struct tokenizer_cursor *cursor,
			void *scratch, int32_t *ret_ids, size_t max)
{
	ASSERT(max >= 1);
	if (cursor->done)
		return 0;
	if (tokenizer->kind == TOKENIZER_WORDPIECE)
		return wordpiece_encode(tokenizer, cursor, ret_ids, max);
	return unigram_encode(tokenizer, cursor, scratch, ret_ids, max);
}

size_t tokenizer_count(const struct tokenizer *tokenizer, struct span prefix, struct span text,
		       void *scratch)
{
	struct tokenizer_cursor c;
	int32_t ids[256];
	size_t total = 0, n;
	tokenizer_begin(&c, prefix, text);
	while ((n = tokenizer_encode(tokenizer, &c, scratch, ids, sizeof(ids) / sizeof(ids[0]))) >
	       0)
		total += n;
	return total;
}
