#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka needs the above */
#include <cmocka.h>

#include "base/size.h"
#include "embed/models.h"
#include "embed/packed.h"
#include "embed/tokenizer.h"
#include "embed/tokenizer_build.h"
#include "embed/tokenizer_inside.h"
#include "rt/digest.h"
#include "rt/json.h"

enum { IDS_MAX = 1 << 16, WINDOW = 510 };

static _Alignas(16) unsigned char scratch[TOKENIZER_SCRATCH_BYTES];
static int32_t ids[IDS_MAX], other[IDS_MAX];

static size_t encode(const struct tokenizer *t, struct span text, size_t max, int32_t *out)
{
	struct tokenizer_cursor c;
	size_t count = 0, n;
	tokenizer_begin(&c, (struct span){NULL, 0}, text);
	while ((n = tokenizer_encode(t, &c, scratch, out + count, size_min(max, IDS_MAX - count))) >
	       0) {
		count += n;
		assert_true(count < IDS_MAX);
	}
	assert_true(c.done);
	return count;
}

static void check(const struct tokenizer *t, const char *text, const char *wanted)
{
	char made[1024];
	size_t bytes = 0, count = encode(t, span_of(text), IDS_MAX, ids);
	made[0] = '\0';
	for (size_t i = 0; i < count; i++)
		bytes += (size_t)snprintf(made + bytes, sizeof(made) - bytes, "%s%d",
					  i > 0 ? " " : "", ids[i]);
	assert_string_equal(made, wanted);
}

static struct span build(struct mem_scope *scope, enum packed_tokenizer kind,
			 const char *const *pieces, const float *scores, size_t count)
{
	struct vocabulary v;
	struct span section;
	struct fault fault = {0};
	assert_int_equal(vocabulary_init(&v, scope, kind, count, &fault), ST_OK);
	for (size_t i = 0; i < count; i++) {
		v.pieces[i] = span_of(pieces[i]);
		if (scores != NULL)
			v.scores[i] = scores[i];
	}
	v.unknown_id = 0;
	v.first_id = 1;
	v.last_id = 2;
	if (kind == PACKED_UNIGRAM) {
		v.map = mem_new(scope, struct tokenizer_map);
		tokenizer_map_init(v.map, scope);
		static const char *const map[][2] = {{"\t", " "},
						     {"\xef\xbd\x81", "a"},
						     {"\x01", ""},
						     {"e\xcc\x81", "\xc3\xa9"}};
		for (size_t i = 0; i < ARRAY_COUNT(map); i++)
			assert_int_equal(tokenizer_map_add(v.map, span_of(map[i][0]),
							   span_of(map[i][1]), &fault),
					 ST_OK);
	}
	if (tokenizer_build(scope, &v, &section, &fault) != ST_OK)
		fail_msg("%s", fault_text(&fault));
	return section;
}

static const char *const words[] = {"[UNK]", "[CLS]", "[SEP]", "un", "##aff", "##able", "hello",
				    "##a",   "!",     "中",    "e",  "#",     "##s",    "cafe"};
static const char *const pieces[] = {"<unk>", "<s>", "</s>", "▁", "a", "b",  "ab",
				     "▁ab",   "aa",  "aaa",  "é", "c", "▁c", "bc"};
static const float scores[] = {0, 0, 0, -2, -3, -3, -4, -5, -5.5f, -8, -3, -4, -5, -4.5f};

static struct tokenizer open_words(struct mem_scope *scope)
{
	struct tokenizer t;
	struct span s = build(scope, PACKED_WORDPIECE, words, NULL, ARRAY_COUNT(words));
	assert_int_equal(tokenizer_init(s, &t, NULL), ST_OK);
	return t;
}

static struct tokenizer open_pieces(struct mem_scope *scope)
{
	struct tokenizer t;
	struct span s = build(scope, PACKED_UNIGRAM, pieces, scores, ARRAY_COUNT(pieces));
	assert_int_equal(tokenizer_init(s, &t, NULL), ST_OK);
	return t;
}

static void test_wordpiece__takes_the_longest_pieces(void **state)
{
	(void)state;
	struct mem_scope *scope = mem_scope_open(mem_scope_root(), "test", 0);
	struct tokenizer t = open_words(scope);
	assert_int_equal(t.first_id, 1);
	check(&t, "unaffable", "3 4 5");
	check(&t, "UNAFFABLE!!", "3 4 5 8 8");
	check(&t, "hellos hello,", "6 12 6 0");
	check(&t, "hello中hello", "6 9 6");
	check(&t, "unx", "0"); /* the whole word, not the piece that fails */
	check(&t, "caf\xc3\xa9 cafe\xcc\x81", "13 13");
	check(&t, "##s # a", "11 11 0 11 0");
	check(&t, "he\x01llo\xff \xe2\x80\x8bhello", "6 6");
	check(&t, " \t\r\n", "");
	mem_scope_close(scope);
}

static void test_unigram__takes_the_best_sum(void **state)
{
	(void)state;
	struct mem_scope *scope = mem_scope_open(mem_scope_root(), "test", 0);
	struct tokenizer t = open_pieces(scope);
	check(&t, "ab", "7");
	check(&t, "  ab\t\tc ", "7 12");
	check(&t, "aab", "3 4 6");
	check(&t,
	      "\xef\xbd\x81\x01"
	      "b",
	      "7");
	check(&t, "e\xcc\x81", "3 10");
	check(&t, "xyz c", "3 0 12"); /* a run of unknowns is one */
	check(&t, "a\xff\xfe", "3 4 0");
	check(&t, " \t ", "");
	mem_scope_close(scope);
}

/* Every way of asking for the ids piece by piece gives the same ids, prefix or not. */
static void test_encode__does_not_depend_on_the_calls(void **state)
{
	(void)state;
	static const char *const parts[] = {"a",    "b",    "c",    " ",   "x", "hello",
					    "un",   "aff",  "中",   "\t",  "!", "e\xcc\x81",
					    "\xff", "able", "aaaa", "\x01"};
	struct mem_scope *scope = mem_scope_open(mem_scope_root(), "test", 0);
	struct tokenizer both[] = {open_words(scope), open_pieces(scope)};
	uint64_t seed = 1;
	for (int round = 0; round < 400; round++) {
		char text[2048];
		size_t bytes = 0, wanted = (size_t)round * 4 + 1;
		while (bytes < wanted) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			const char *part = parts[seed >> 60];
			memcpy(text + bytes, part, strlen(part));
			bytes += strlen(part);
		}
		struct span all = {text, bytes};
		for (size_t k = 0; k < ARRAY_COUNT(both); k++) {
			size_t count = encode(&both[k], all, IDS_MAX, ids);
			assert_int_equal(encode(&both[k], all, 1 + (size_t)round % 7, other),
					 count);
			assert_memory_equal(ids, other, count * sizeof(ids[0]));
			struct tokenizer_cursor c;
			tokenizer_begin(&c, span_slice(all, 0, bytes / 3),
					span_slice(all, bytes / 3, bytes));
			size_t n = tokenizer_encode(&both[k], &c, scratch, other, IDS_MAX);
			assert_int_equal(n, count);
			assert_memory_equal(ids, other, count * sizeof(ids[0]));
			assert_int_equal(
				tokenizer_count(&both[k], (struct span){NULL, 0}, all, scratch),
				count);
		}
	}
	mem_scope_close(scope);
}

/* Longer than the window: cut where all paths meet, and every byte is read once. */
static void test_unigram__reads_long_runs_in_pieces(void **state)
{
	(void)state;
	struct mem_scope *scope = mem_scope_open(mem_scope_root(), "test", 0);
	struct tokenizer t = open_pieces(scope);
	enum { LONG = 40000 };
	char *text = mem_new_array(scope, char, LONG);
	memset(text, 'b', LONG);
	for (size_t i = 0; i < LONG; i += 3)
		text[i] = 'a';
	size_t count = encode(&t, (struct span){text, LONG}, IDS_MAX, ids), letters = 0;
	for (size_t i = 0; i < count; i++)
		letters += ids[i] == 3 ? 0 : strlen(pieces[ids[i]]) - (ids[i] == 7 ? 3 : 0);
	assert_int_equal(letters, LONG);
	assert_int_equal(encode(&t, (struct span){text, LONG}, WINDOW, other), count);
	assert_memory_equal(ids, other, count * sizeof(ids[0]));
	mem_scope_close(scope);
}

static void test_trie__finds_every_key_and_no_other(void **state)
{
	(void)state;
	enum { KEYS = 20000 };
	struct mem_scope *scope = mem_scope_open(mem_scope_root(), "test", 0);
	struct trie_key *keys = mem_new_array(scope, struct trie_key, KEYS);
	struct trie trie;
	char text[16];
	for (uint32_t i = 0; i < KEYS; i++) {
		int n = snprintf(text, sizeof(text), "%x", i * 2654435761u);
		keys[i] = (struct trie_key){
			{mem_copy_text(scope, ((struct span){text, (size_t)n})), (size_t)n}, i};
	}
	assert_int_equal(trie_build(scope, keys, KEYS, &trie, NULL), ST_OK);
	for (uint32_t i = 0; i < 2 * KEYS; i++) {
		struct trie_walk walk = {.state = 0};
		bool found = true;
		snprintf(text, sizeof(text), "%x", i < KEYS ? i * 2654435761u : i * 40503u + 1);
		for (const char *p = text; *p != '\0' && found; p++)
			found = trie_step(&trie, &walk, (unsigned char)*p);
		if (i < KEYS)
			assert_true(found && walk.has_value && walk.value == i);
		else if (found && walk.has_value)
			assert_true(walk.value * 2654435761u == i * 40503u + 1);
	}
	mem_scope_close(scope);
}

/* A damaged section is refused or gives wrong ids; it is never read outside. */
static void test_init__survives_damage(void **state)
{
	(void)state;
	struct mem_scope *scope = mem_scope_open(mem_scope_root(), "test", 0);
	struct span sections[] = {
		build(scope, PACKED_WORDPIECE, words, NULL, ARRAY_COUNT(words)),
		build(scope, PACKED_UNIGRAM, pieces, scores, ARRAY_COUNT(pieces))};
	struct tokenizer t;
	for (size_t k = 0; k < ARRAY_COUNT(sections); k++) {
		size_t bytes = sections[k].bytes;
		for (size_t cut = 0; cut < sizeof(struct tokenizer_section); cut++)
			assert_int_equal(tokenizer_init(span_slice(sections[k], 0, cut), &t, NULL),
					 ST_CORRUPT);
		assert_int_equal(tokenizer_init(span_slice(sections[k], 0, bytes / 2), &t, NULL),
				 ST_CORRUPT);
		for (size_t i = 0; i < bytes; i++) {
			/* a copy of just this size, so that a sanitizer sees the end */
			uint32_t *copy = mem_new_array(scope, uint32_t, bytes / 4);
			memcpy(copy, sections[k].data, bytes);
			((unsigned char *)copy)[i] ^= (unsigned char)(1 + i % 255);
			if (tokenizer_init((struct span){(char *)copy, bytes}, &t, NULL) == ST_OK)
				(void)encode(&t, SPAN("hello ab caf\xc3\xa9 unaffable aaab c\t"), 7,
					     ids);
			mem_free(copy);
		}
	}
	mem_scope_close(scope);
}

/* The form in which SentencePiece publishes a map: "a" becomes "bc". */
static void test_map__reads_the_published_form(void **state)
{
	(void)state;
	struct mem_scope *scope = mem_scope_open(mem_scope_root(), "test", 0);
	uint32_t blob[1 + 256 + 1] = {256 * 4, 1u << 10};
	blob[1 + 0x60] = 0x61 | 1u << 8 | 2u << 10; /* 1 ^ 'a'; its end is at 0x60 ^ 2 */
	blob[1 + 0x62] = 0x80000000u;
	memcpy(&blob[257], "bc", 3);
	struct span all = {(const char *)blob, sizeof(blob)};
	struct tokenizer_map map;
	tokenizer_map_init(&map, scope);
	assert_int_equal(tokenizer_map_read(&map, all, NULL), ST_OK);
	assert_int_equal(map.count, 1);
	assert_true(span_equal(tokenizer_map_from(&map, 0), SPAN("a")));
	assert_true(span_equal(tokenizer_map_to(&map, 0), SPAN("bc")));
	for (size_t cut = 0; cut < sizeof(blob) - 1; cut += 3)
		assert_int_equal(tokenizer_map_read(&map, span_slice(all, 0, cut), NULL),
				 ST_INVALID);
	blob[1 + 0x60] = 0x61 | 0x60u << 10; /* a loop: its children are the root's */
	assert_int_equal(tokenizer_map_read(&map, all, NULL), ST_OK);
	blob[1 + 0x60] = 0x61 | 0x61u << 10;
	assert_int_equal(tokenizer_map_read(&map, all, NULL), ST_INVALID);
	mem_scope_close(scope);
}

/* The models' own tokenizers, on all texts; the fixture is made by tools/tokenizer-reference. */
struct fixture {
	struct file_map file;
	struct tokenizer tokenizer;
	char data[FILE_PATH_BYTES]; /* the folder of the texts; "" when there is none */
	int checked;
};

static bool open_model(struct fixture *f, const char *name)
{
	struct model_dirs dirs;
	struct model_info info;
	struct packed_header h;
	struct fault fault;
	if (model_dirs_init(&dirs, NULL, &fault) != ST_OK ||
	    model_resolve(&dirs, name, &info, &fault) != ST_OK ||
	    file_map_open(info.path, &f->file, &fault) != ST_OK)
		return false;
	memcpy(&h, f->file.data, sizeof(h));
	struct span s = {(const char *)f->file.data + h.tokenizer.offset, h.tokenizer.bytes};
	assert_int_equal(tokenizer_init(s, &f->tokenizer, &fault), ST_OK);
	return true;
}

static void digest_text(const struct fixture *f, struct sha256_stream *s, struct span text)
{
	if (text.bytes == 0)
		return;
	uint32_t count = (uint32_t)encode(&f->tokenizer, text, WINDOW, ids);
	assert_int_equal(sha256_update(s, (struct span){(const char *)&count, 4}, NULL), ST_OK);
	assert_int_equal(sha256_update(s, (struct span){(const char *)ids, count * 4}, NULL),
			 ST_OK);
}

/* digest MODEL FILE TEXTS TOKENS SHA256 */
static void check_file(struct fixture *f, const char *file, const char *wanted)
{
	char path[FILE_PATH_BYTES], hex[SHA256_HEX_BYTES];
	struct sha256_stream s;
	struct sha256 digest;
	struct file_map map;
	assert_int_equal(path_join(path, f->data, file, NULL), ST_OK);
	if (f->data[0] == '\0' || !file_exists(path))
		return;
	assert_int_equal(file_map_open(path, &map, NULL), ST_OK);
	assert_int_equal(sha256_init(&s, NULL), ST_OK);
	struct span all = {(const char *)map.data, map.bytes};
	for (size_t at = 0; at < all.bytes;) {
		const char *end = memchr(all.data + at, '\n', all.bytes - at);
		size_t stop = end != NULL ? (size_t)(end - all.data) : all.bytes;
		struct json *root;
		assert_int_equal(json_parse(span_slice(all, at, stop), &root, NULL), ST_OK);
		digest_text(f, &s, json_text(json_get(root, "title")));
		digest_text(f, &s, json_text(json_get(root, "text")));
		json_free(root);
		at = stop + 1;
	}
	assert_int_equal(sha256_final(&s, &digest, NULL), ST_OK);
	sha256_hex(&digest, hex);
	if (strcmp(hex, wanted) != 0)
		fail_msg("the ids of %s are not those of the model's own tokenizer", file);
	file_map_close(&map);
	f->checked++;
}

/* case MODEL HEX IDS */
static void check_case(struct fixture *f, const char *hex, char *wanted)
{
	char text[4096];
	size_t bytes = 0, count;
	for (; hex[0] != '-' && hex[0] != '\0'; hex += 2) {
		unsigned value;
		assert_int_equal(sscanf(hex, "%2x", &value), 1);
		text[bytes++] = (char)value;
	}
	count = encode(&f->tokenizer, (struct span){text, bytes}, 5, ids);
	for (size_t i = 0; i < count; i++) {
		long id = strtol(wanted, &wanted, 10);
		if (id != ids[i])
			fail_msg("token %zu of '%.*s' is %d, not %ld", i, (int)bytes, text, ids[i],
				 id);
	}
	assert_int_equal(wanted[strspn(wanted, " ")], '\0');
	f->checked++;
}

static void run_fixture(const char *name)
{
	static struct fixture f;
	f = (struct fixture){.checked = 0};
	if (!open_model(&f, name)) {
		print_message("skipped: %s is not there (tools/models fetches it)\n", name);
		skip();
	}
	const char *data = getenv("PLIMSOLL_TEST_DATA");
	snprintf(f.data, sizeof(f.data), "%s/retrieval",
		 data != NULL ? data : PLIMSOLL_SOURCE_DIR "/../shared/data");
	if (!file_exists(f.data)) {
		print_message("skipped: the texts (no %s)\n", f.data);
		f.data[0] = '\0';
	}
	FILE *lines = fopen(PLIMSOLL_SOURCE_DIR "/src/service/embed/tokenizer_fixture.tsv", "r");
	assert_non_null(lines);
	static char line[16384];
	while (fgets(line, sizeof(line), lines) != NULL) {
		char *field[6] = {line, NULL, NULL, NULL, NULL, NULL};
		line[strcspn(line, "\n")] = '\0';
		for (size_t i = 1; i < ARRAY_COUNT(field) && field[i - 1] != NULL; i++) {
			field[i] = strchr(field[i - 1], '\t');
			if (field[i] != NULL)
				*field[i]++ = '\0';
		}
		if (field[3] == NULL || strcmp(field[1], name) != 0)
			continue;
		if (strcmp(field[0], "digest") == 0)
			check_file(&f, field[2], field[5]);
		else
			check_case(&f, field[2], field[3]);
	}
	fclose(lines);
	file_map_close(&f.file);
	assert_true(f.checked > 30);
}

static void test_minilm__equals_its_own_tokenizer(void **state)
{
	(void)state;
	run_fixture("all-MiniLM-L6-v2");
}

static void test_e5__equals_its_own_tokenizer(void **state)
{
	(void)state;
	run_fixture("multilingual-e5-small");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wordpiece__takes_the_longest_pieces),
		cmocka_unit_test(test_unigram__takes_the_best_sum),
		cmocka_unit_test(test_encode__does_not_depend_on_the_calls),
		cmocka_unit_test(test_unigram__reads_long_runs_in_pieces),
		cmocka_unit_test(test_trie__finds_every_key_and_no_other),
		cmocka_unit_test(test_init__survives_damage),
		cmocka_unit_test(test_map__reads_the_published_form),
		cmocka_unit_test(test_minilm__equals_its_own_tokenizer),
		cmocka_unit_test(test_e5__equals_its_own_tokenizer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
