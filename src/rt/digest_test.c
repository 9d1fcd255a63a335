#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/size.h"
#include "mem/faults.h"
#include "rt/digest.h"
#include "rt/file.h"

/* FIPS 180-2 examples. */
static const char hex_abc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
static const char hex_empty[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
static const char hex_million_a[] =
	"cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

static void assert_hex(const struct sha256 *digest, const char *expected)
{
	char hex[SHA256_HEX_BYTES];
	sha256_hex(digest, hex);
	assert_string_equal(hex, expected);
}

static void test_sha256__known_answers(void **state)
{
	(void)state;
	struct sha256 digest;
	assert_int_equal(sha256_of(SPAN("abc"), &digest, NULL), ST_OK);
	assert_hex(&digest, hex_abc);
	assert_int_equal(sha256_of((struct span){NULL, 0}, &digest, NULL), ST_OK);
	assert_hex(&digest, hex_empty);
}

static void test_sha256__in_pieces(void **state)
{
	(void)state;
	struct sha256_stream s;
	struct sha256 digest;
	assert_int_equal(sha256_init(&s, NULL), ST_OK);
	for (int i = 0; i < 1000000 / 8; i++)
		assert_int_equal(sha256_update(&s, SPAN("aaaaaaaa"), NULL), ST_OK);
	assert_int_equal(sha256_final(&s, &digest, NULL), ST_OK);
	assert_hex(&digest, hex_million_a);
	assert_int_equal(sha256_init(&s, NULL), ST_OK);
	sha256_fini(&s); /* abandoned */
	sha256_fini(&s);
}

static void test_sha256__of_files_of_every_length(void **state)
{
	(void)state;
	static const size_t lengths[] = {0, 1, 65535, 65536, 65537, 131072, 1000000};
	char path[] = "/tmp/plimsoll-digest-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	for (size_t i = 0; i < ARRAY_COUNT(lengths); i++) {
		struct mem_scope *scope = mem_scope_open(mem_scope_root(), "digest", 0);
		char *text = mem_new_array(scope, char, lengths[i] + 1);
		memset(text, 'a', lengths[i]);
		struct span whole = {text, lengths[i]};
		struct sha256 a, b;
		uint64_t bytes = 99;
		assert_int_equal(file_replace(path, whole, NULL), ST_OK);
		assert_int_equal(sha256_of(whole, &a, NULL), ST_OK);
		assert_int_equal(sha256_of_file(path, &b, &bytes, NULL), ST_OK);
		assert_int_equal(bytes, lengths[i]);
		assert_memory_equal(a.bytes, b.bytes, sizeof a.bytes);
		mem_scope_close(scope);
	}
	(void)close(fd);
	(void)unlink(path);
}

static void test_sha256__a_file_that_cannot_be_read(void **state)
{
	(void)state;
	struct sha256 digest = {{1}};
	struct fault fault;
	uint64_t bytes = 5;
	assert_int_equal(sha256_of_file("/nonexistent", &digest, &bytes, &fault), ST_NOT_FOUND);
	for (uint64_t n = 1; n <= 2; n++) { /* open, read */
		mem_fault_arm(MEM_FAULT_IO, n, false);
		assert_int_equal(sha256_of_file("/proc/self/exe", &digest, &bytes, &fault), ST_IO);
		mem_fault_disarm(MEM_FAULT_IO);
	}
	assert_int_equal(bytes, 5);
	assert_int_equal(digest.bytes[0], 1);
}

static void test_base64__rfc_4648_examples(void **state)
{
	(void)state;
	static const char *const pairs[][2] = {{"", ""},
					       {"f", "Zg=="},
					       {"fo", "Zm8="},
					       {"foo", "Zm9v"},
					       {"foob", "Zm9vYg=="},
					       {"fooba", "Zm9vYmE="},
					       {"foobar", "Zm9vYmFy"},
					       {"\xFB\xFF\xFE", "+//+"}};
	struct mem_scope *scope = mem_scope_open(mem_scope_root(), "base64", 0);
	struct buf out;
	buf_init(&out, scope, 100);
	for (size_t i = 0; i < ARRAY_COUNT(pairs); i++) {
		buf_clear(&out);
		assert_true(base64_add(&out, span_of(pairs[i][0])));
		assert_string_equal(buf_span(&out).data, pairs[i][1]);
	}
	buf_clear(&out);
	assert_false(base64_add(&out, (struct span){"x", SIZE_MAX}));
	assert_int_equal(out.refused, ST_LIMIT);
	mem_scope_close(scope);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sha256__known_answers),
		cmocka_unit_test(test_sha256__in_pieces),
		cmocka_unit_test(test_sha256__of_files_of_every_length),
		cmocka_unit_test(test_sha256__a_file_that_cannot_be_read),
		cmocka_unit_test(test_base64__rfc_4648_examples),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
