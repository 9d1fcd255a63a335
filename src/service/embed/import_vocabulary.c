#include "embed/import_vocabulary.h"

#include "base/size.h"
#include "embed/import_scan.h"
#include "rt/file.h"
#include "rt/json.h"

#define VOCABULARY_BYTES_MAX (256 * MIB)

/* tokenizer.json, as far as it is read in the first pass: parts of the mapped text. */
struct parts {
	struct span model, normalizer, added;
	struct span vocabulary; /* inside model */
	double word_chars_max;
	struct span continuing;
};

static void close_map(void *context)
{
	file_map_close(context);
}

/* Map folder/name for as long as the scope lives. {NULL, 0} when there is no such file. */
static status map_text(struct mem_scope *scope, const char *folder, const char *name,
		       struct span *ret_text, struct fault *reterr)
{
	char path[FILE_PATH_BYTES];
	*ret_text = (struct span){NULL, 0};
	status st = path_join(path, folder, name, reterr);
	if (st != ST_OK || !file_exists(path))
		return st;
	struct file_map *map = mem_new(scope, struct file_map);
	if (map == NULL)
		return fault_set(reterr, mem_refusal(), "no memory to read '%s'", path);
	st = file_map_open(path, map, reterr);
	if (st != ST_OK)
		return st;
	st = mem_on_close(scope, close_map, map);
	if (st != ST_OK) {
		file_map_close(map);
		return fault_set(reterr, st, "no memory to read '%s'", path);
	}
	if (map->bytes > VOCABULARY_BYTES_MAX)
		return fault_set(reterr, ST_LIMIT, "'%s' is too large", path);
	*ret_text = (struct span){(const char *)map->data, map->bytes};
	return ST_OK;
}

void import_vocabulary_finish(struct vocabulary *v)
{
	static const char *const bert[] = {"[CLS]", "[SEP]", "[UNK]", "[PAD]", "[MASK]"};
	static const char *const roberta[] = {"<s>", "</s>", "<unk>", "<pad>", "<mask>"};
	const char *const *names = v->kind == PACKED_WORDPIECE ? bert : roberta;
	int64_t *ids[] = {&v->first_id, &v->last_id, &v->unknown_id};
	for (size_t i = 0; i < 5; i++) {
		int64_t id = vocabulary_find(v, span_of(names[i]));
		if (i < ARRAY_COUNT(ids) && *ids[i] < 0)
			*ids[i] = id;
		if (id >= 0)
			v->pieces[id].bytes = 0;
	}
}

/* The values of base64; 64: none. */
static unsigned base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (unsigned)(c - 'A');
	if (c >= 'a' && c <= 'z')
		return (unsigned)(c - 'a') + 26;
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0') + 52;
	return c == '+' ? 62 : c == '/' ? 63 : 64;
}

static status read_map(struct mem_scope *scope, struct span base64, struct vocabulary *v,
		       struct fault *reterr)
{
	char *bytes = mem_new_array(scope, char, base64.bytes);
	size_t count = 0;
	unsigned bits = 0, held = 0;
	v->map = mem_new(scope, struct tokenizer_map);
	if (bytes == NULL || v->map == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for the character map");
	for (size_t i = 0; i < base64.bytes && base64_value(base64.data[i]) < 64; i++) {
		held = held << 6 | base64_value(base64.data[i]);
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			bytes[count++] = (char)(held >> bits & 0xff);
		}
	}
	tokenizer_map_init(v->map, scope);
	status st = tokenizer_map_read(v->map, (struct span){bytes, count}, reterr);
	mem_free(bytes);
	return st;
}

static status bad_tokenizer(struct fault *reterr)
{
	return fault_set(reterr, ST_INVALID, "tokenizer.json is malformed");
}

/* One normaliser; others than these two change nothing that the character map does not. */
static status apply_normalizer(struct mem_scope *scope, const struct json *n, struct vocabulary *v,
			       struct fault *reterr)
{
	struct span type = json_text(json_get(n, "type"));
	if (span_equal(type, SPAN("BertNormalizer"))) {
		v->lower = json_bool(json_get(n, "lowercase"), true);
		v->strip_accents = json_bool(json_get(n, "strip_accents"), v->lower);
		if (!json_bool(json_get(n, "clean_text"), true) ||
		    !json_bool(json_get(n, "handle_chinese_chars"), true))
			return fault_set(reterr, ST_UNSUPPORTED,
					 "the tokenizer does not clean its text");
	} else if (span_equal(type, SPAN("Precompiled"))) {
		return read_map(scope, json_text(json_get(n, "precompiled_charsmap")), v, reterr);
	} else if (v->kind == PACKED_WORDPIECE) {
		return fault_set(reterr, ST_UNSUPPORTED, "the normaliser '%.*s' is not known",
				 SPAN_ARG(span_slice(type, 0, 40)));
	}
	return ST_OK;
}

static status apply_normalizers(struct mem_scope *scope, struct span text, struct vocabulary *v,
				struct fault *reterr)
{
	struct json *root;
	if (text.bytes == 0 || span_equal(text, SPAN("null")))
		return ST_OK;
	status st = json_parse(text, &root, reterr);
	if (st != ST_OK)
		return st;
	const struct json *list = json_get(root, "normalizers");
	if (list == NULL)
		st = apply_normalizer(scope, root, v, reterr);
	for (size_t i = 0; i < json_count(list) && st == ST_OK; i++)
		st = apply_normalizer(scope, json_at(list, i), v, reterr);
	json_free(root);
	return st;
}

/* WordPiece: {"piece": id, ...}. */
static status read_pieces(struct mem_scope *scope, struct span text, struct vocabulary *v,
			  struct fault *reterr)
{
	struct scan s = {.text = text};
	uint32_t top = 0;
	for (bool more = scan_open(&s, '{'); more; more = scan_next(&s, '}')) {
		struct span piece = scan_string(&s, scope);
		scan_colon(&s);
		double id = scan_number(&s);
		if (s.bad || !(id >= 0 && id < v->count))
			return bad_tokenizer(reterr);
		v->pieces[(uint32_t)id] = piece;
		top = (uint32_t)size_max(top, (size_t)id + 1);
	}
	v->count = top;
	return s.bad || top == 0 ? bad_tokenizer(reterr) : ST_OK;
}

/* Unigram: [["piece", score], ...] in the order of the ids. */
static status read_scored(struct mem_scope *scope, struct span text, struct vocabulary *v,
			  struct fault *reterr)
{
	struct scan s = {.text = text};
	uint32_t id = 0;
	for (bool more = scan_open(&s, '['); more; more = scan_next(&s, ']'), id++) {
		bool inside = scan_open(&s, '[');
		struct span piece = scan_string(&s, scope);
		if (!inside || !scan_next(&s, ']') || id >= v->count)
			return bad_tokenizer(reterr);
		double score = scan_number(&s);
		if (scan_next(&s, ']') || s.bad)
			return bad_tokenizer(reterr);
		v->pieces[id] = piece;
		v->scores[id] = (float)score;
	}
	v->count = id;
	return s.bad || id == 0 ? bad_tokenizer(reterr) : ST_OK;
}

static bool find_parts(struct span text, struct mem_scope *scope, struct parts *p)
{
	struct scan s = {.text = text};
	*p = (struct parts){.word_chars_max = 100, .continuing = SPAN("##")};
	for (bool more = scan_open(&s, '{'); more; more = scan_next(&s, '}')) {
		struct span key = scan_string(&s, scope);
		scan_colon(&s);
		struct span value = scan_skip(&s);
		if (span_equal(key, SPAN("model")))
			p->model = value;
		else if (span_equal(key, SPAN("normalizer")))
			p->normalizer = value;
		else if (span_equal(key, SPAN("added_tokens")))
			p->added = value;
	}
	struct scan m = {.text = p->model};
	for (bool more = scan_open(&m, '{'); more; more = scan_next(&m, '}')) {
		struct span key = scan_string(&m, scope);
		scan_colon(&m);
		if (span_equal(key, SPAN("max_input_chars_per_word")))
			p->word_chars_max = scan_number(&m);
		else if (span_equal(key, SPAN("continuing_subword_prefix")))
			p->continuing = scan_string(&m, scope);
		else if (span_equal(key, SPAN("vocab")))
			p->vocabulary = scan_skip(&m);
		else
			(void)scan_skip(&m);
	}
	return !s.bad && !m.bad && p->vocabulary.bytes > 0;
}

/* Added tokens that are special are not found in a text. */
static status hide_added(struct span text, struct vocabulary *v, struct fault *reterr)
{
	struct json *root;
	if (text.bytes == 0)
		return ST_OK;
	status st = json_parse(text, &root, reterr);
	if (st != ST_OK)
		return st;
	for (size_t i = 0; i < json_count(root); i++) {
		int64_t id = json_int(json_get(json_at(root, i), "id"), -1);
		if (id >= 0 && id < v->count &&
		    json_bool(json_get(json_at(root, i), "special"), false))
			v->pieces[id].bytes = 0;
	}
	json_free(root);
	return ST_OK;
}

static status read_tokenizer(struct mem_scope *scope, struct span text, uint32_t rows,
			     struct vocabulary *v, struct fault *reterr)
{
	struct parts p;
	if (!find_parts(text, scope, &p))
		return bad_tokenizer(reterr);
	bool unigram = p.vocabulary.data[0] == '[';
	if (!unigram && (!span_equal(p.continuing, SPAN("##")) || !(p.word_chars_max >= 1) ||
			 p.word_chars_max > 128))
		return fault_set(reterr, ST_UNSUPPORTED,
				 "tokenizer.json is neither WordPiece nor unigram");
	status st = vocabulary_init(v, scope, unigram ? PACKED_UNIGRAM : PACKED_WORDPIECE, rows,
				    reterr);
	if (st == ST_OK)
		st = unigram ? read_scored(scope, p.vocabulary, v, reterr)
			     : read_pieces(scope, p.vocabulary, v, reterr);
	if (st != ST_OK)
		return st;
	v->word_chars_max = (uint32_t)p.word_chars_max;
	import_vocabulary_finish(v);
	st = hide_added(p.added, v, reterr);
	return st == ST_OK ? apply_normalizers(scope, p.normalizer, v, reterr) : st;
}

/* vocab.txt: a piece a line, in the order of the ids. */
static status read_lines(struct mem_scope *scope, const char *folder, struct span text,
			 uint32_t rows, struct vocabulary *v, struct fault *reterr)
{
	status st = vocabulary_init(v, scope, PACKED_WORDPIECE, rows, reterr);
	if (st != ST_OK)
		return st;
	uint32_t id = 0;
	for (size_t at = 0; at < text.bytes; id++) {
		const char *end = memchr(text.data + at, '\n', text.bytes - at);
		size_t stop = end != NULL ? (size_t)(end - text.data) : text.bytes;
		if (id == v->count)
			return fault_set(reterr, ST_INVALID,
					 "vocab.txt has more lines than the model rows");
		v->pieces[id] = span_trim(span_slice(text, at, stop));
		at = stop + 1;
	}
	v->count = id;
	struct span config;
	struct json *root = NULL;
	st = map_text(scope, folder, "tokenizer_config.json", &config, reterr);
	if (st == ST_OK && config.bytes > 0)
		st = json_parse(config, &root, reterr);
	if (st != ST_OK)
		return st;
	v->lower = json_bool(json_get(root, "do_lower_case"), true);
	v->strip_accents = json_bool(json_get(root, "strip_accents"), v->lower);
	json_free(root);
	import_vocabulary_finish(v);
	return id > 0 ? ST_OK : fault_set(reterr, ST_INVALID, "vocab.txt is empty");
}

status import_vocabulary_read(struct mem_scope *scope, const char *folder, uint32_t rows,
			      struct vocabulary *ret_vocabulary, struct fault *reterr)
{
	struct span text;
	status st = map_text(scope, folder, "tokenizer.json", &text, reterr);
	if (st == ST_OK && text.bytes > 0)
		return read_tokenizer(scope, text, rows, ret_vocabulary, reterr);
	if (st == ST_OK)
		st = map_text(scope, folder, "vocab.txt", &text, reterr);
	if (st == ST_OK && text.bytes > 0)
		return read_lines(scope, folder, text, rows, ret_vocabulary, reterr);
	return st != ST_OK ? st
			   : fault_set(reterr, ST_UNSUPPORTED,
				       "the model has neither tokenizer.json nor vocab.txt");
}
