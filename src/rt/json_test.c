#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "base/size.h"
#include "rt/json.h"

static struct mem_scope *scope;
static struct buf out;
static struct json_writer w;

static int setup(void **state)
{
	(void)state;
	scope = mem_scope_open(mem_scope_root(), "json", 0);
	buf_init(&out, scope, MIB);
	json_writer_init(&w, &out);
	return scope == NULL;
}

static int teardown(void **state)
{
	(void)state;
	mem_scope_close(scope);
	return 0;
}

static struct json *parse(const char *text)
{
	struct json *root = NULL;
	struct fault fault = {0};
	if (json_parse(span_of(text), &root, &fault) != ST_OK)
		fail_msg("%s", fault.text);
	return root;
}

static void assert_refused(struct span text, const char *part)
{
	struct json *root = NULL;
	struct fault fault = {0};
	assert_int_equal(json_parse(text, &root, &fault), ST_INVALID);
	assert_null(root);
	if (strstr(fault.text, part) == NULL)
		fail_msg("'%s' does not tell '%s'", fault.text, part);
}

static void test_json__reads_every_kind(void **state)
{
	(void)state;
	CLEANUP(json_freep)
	struct json *root = parse("{\"n\":null,\"t\":true,\"f\":false,\"i\":-42,\"r\":2.75,\"s\":"
				  "\"\\u4e2d\\n\",\"a\":[1,[],{}]}");
	assert_int_equal(json_kind(root), JSON_OBJECT);
	assert_int_equal(json_count(root), 7);
	assert_int_equal(json_kind(json_get(root, "n")), JSON_NULL);
	assert_true(json_bool(json_get(root, "t"), false));
	assert_false(json_bool(json_get(root, "f"), true));
	assert_int_equal(json_kind(json_get(root, "i")), JSON_INTEGER);
	assert_int_equal(json_int(json_get(root, "i"), 0), -42);
	assert_true(json_real(json_get(root, "i"), 0) <= -42);
	assert_int_equal(json_kind(json_get(root, "r")), JSON_REAL);
	assert_int_equal(json_int(json_get(root, "r"), 0), 2);
	assert_true(span_equal(json_text(json_get(root, "s")), SPAN("中\n")));
	const struct json *a = json_get(root, "a");
	assert_int_equal(json_kind(a), JSON_ARRAY);
	assert_int_equal(json_count(a), 3);
	assert_int_equal(json_kind(json_at(a, 2)), JSON_OBJECT);
	assert_null(json_at(a, 3));
}

static void test_json__wrong_kinds_answer_with_the_fallback(void **state)
{
	(void)state;
	CLEANUP(json_freep) struct json *root = parse("{\"s\":\"x\",\"big\":1e300}");
	const struct json *s = json_get(root, "s");
	assert_int_equal(json_kind(NULL), JSON_NONE);
	assert_null(json_get(json_get(json_get(root, "no"), "such"), "thing"));
	assert_null(json_at(root, 0));
	assert_null(json_get(s, "x"));
	assert_int_equal(json_int(s, 7), 7);
	assert_int_equal(json_int(json_get(root, "big"), 7), 7);
	assert_true(json_bool(s, true));
	assert_true(json_real(s, 0.5) < 0.6);
	assert_null(json_text(root).data);
	assert_int_equal(json_count(s), 0);
	assert_null(json_first(s));
	json_free(NULL);
}

static void test_json__scalars_are_documents(void **state)
{
	(void)state;
	CLEANUP(json_freep) struct json *text = parse(" \"x\" ");
	CLEANUP(json_freep) struct json *number = parse("12");
	assert_true(span_equal(json_text(text), SPAN("x")));
	assert_int_equal(json_int(number, 0), 12);
}

static void test_json__objects_are_walked_in_order(void **state)
{
	(void)state;
	CLEANUP(json_freep) struct json *root = parse("{\"z\":1,\"a\":2,\"m\":3}");
	char keys[4] = "";
	size_t n = 0;
	for (void *at = json_first(root); at != NULL; at = json_next(root, at)) {
		assert_int_equal(json_int(json_value(at), 0), (int64_t)n + 1);
		keys[n++] = json_key(at)[0];
	}
	assert_string_equal(keys, "zam");
}

static void test_json__bad_text_is_refused_with_its_place(void **state)
{
	(void)state;
	assert_refused(SPAN(""), "JSON, line 1");
	assert_refused(SPAN("{\"a\":1,\n \"b\" 2}"), "line 2");
	assert_refused(SPAN("{\"a\":1,\"a\":2}"), "duplicate");
	assert_refused(SPAN("{} x"), "JSON");
	assert_refused(SPAN("[1,]"), "JSON");
	assert_refused(SPAN("\"\xFF\""), "JSON");
	assert_refused(SPAN("\"\\ud800\""), "JSON");
	assert_refused(SPAN("[NaN]"), "JSON");
	assert_refused(SPAN("99999999999999999999"), "JSON");
	assert_refused((struct span){NULL, 0}, "JSON");
	assert_refused((struct span){"[\0]", 3}, "JSON");
}

static void test_json__depth_is_bounded(void **state)
{
	(void)state;
	char text[2 * JSON_DEPTH_MAX + 8];
	memset(text, '[', JSON_DEPTH_MAX);
	memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
	struct json *root = NULL;
	assert_int_equal(json_parse((struct span){text, 2 * JSON_DEPTH_MAX}, &root, NULL), ST_OK);
	json_write_node(&w, root);
	assert_memory_equal(out.data, text, 2 * JSON_DEPTH_MAX);
	json_free(root);
	memset(text, '[', JSON_DEPTH_MAX + 1);
	memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
	assert_refused((struct span){text, 2 * JSON_DEPTH_MAX + 2},
		       "column 65: nested deeper than 64");
	root = parse(
		"\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[\"");
	json_free(root); /* brackets in a string are text */
}

static void test_json__a_million_brackets_are_refused(void **state)
{
	(void)state;
	char *text = mem_new_array(scope, char, MIB);
	memset(text, '[', MIB);
	assert_refused((struct span){text, MIB}, "nested deeper");
	mem_free(text);
}

static void test_json__writes_commas_and_quotes(void **state)
{
	(void)state;
	json_object(&w);
	json_put_text(&w, "a\"b", SPAN("x\\y\n\t\x01\x7f/中"));
	json_put_int(&w, "i", INT64_MIN);
	json_put_bool(&w, "t", true);
	json_put_null(&w, "n");
	json_key_write(&w, "list");
	json_array(&w);
	json_array(&w);
	json_array_end(&w);
	json_write_bool(&w, false);
	json_object(&w);
	json_object_end(&w);
	json_write_raw(&w, SPAN("[1]"));
	json_array_end(&w);
	json_put_real(&w, "r", 0.1);
	json_object_end(&w);
	assert_string_equal(out.data,
			    "{\"a\\\"b\":\"x\\\\y\\n\\t\\u0001\x7f/中\",\"i\":-9223372036854775808,"
			    "\"t\":true,\"n\":null,\"list\":[[],false,{},[1]],\"r\":0.1}");
	CLEANUP(json_freep) struct json *back = parse(out.data);
	assert_true(span_equal(json_text(json_get(back, "a\"b")), SPAN("x\\y\n\t\x01\x7f/中")));
}

static void test_json__bad_bytes_become_replacements(void **state)
{
	(void)state;
	json_write_text(&w, (struct span){"a\xFFz\xE4\xB8\0", 6});
	assert_string_equal(out.data, "\"a\xEF\xBF\xBDz\xEF\xBF\xBD\xEF\xBF\xBD\\u0000\"");
}

static void test_json__reals_come_back_exactly(void **state)
{
	(void)state;
	static const double values[] = {0.1,     1.0 / 3, 1e-300,      DBL_MAX,
					DBL_MIN, -2.5,    123456789.0, (double)0.83f};
	for (size_t i = 0; i < ARRAY_COUNT(values); i++) {
		buf_clear(&out);
		json_writer_init(&w, &out);
		json_write_real(&w, values[i]);
		assert_true(!(strtod(out.data, NULL) < values[i]) &&
			    !(strtod(out.data, NULL) > values[i]));
		CLEANUP(json_freep) struct json *back = parse(out.data);
		assert_true(json_kind(back) == JSON_REAL || json_kind(back) == JSON_INTEGER);
	}
	buf_clear(&out);
	json_writer_init(&w, &out);
	json_array(&w);
	json_write_real(&w, (double)NAN);
	json_write_real(&w, -(double)INFINITY);
	json_array_end(&w);
	assert_string_equal(out.data, "[null,null]");
}

static void test_json__a_tree_is_written_as_it_was(void **state)
{
	(void)state;
	static const char text[] =
		"{\"b\":[1,{\"x\":[]},\"t\"],\"a\":{},\"r\":1.5,\"n\":null,\"f\":false}";
	CLEANUP(json_freep) struct json *root = parse(text);
	json_write_node(&w, root);
	assert_string_equal(out.data, text);
	json_write_node(&w, NULL); /* nothing is null */
	assert_true(span_equal(span_slice(buf_span(&out), sizeof text - 1, MIB), SPAN(",null")));
}

static void test_json__a_full_buffer_is_one_check_at_the_end(void **state)
{
	(void)state;
	struct buf small;
	struct json_writer sw;
	buf_init(&small, scope, 20);
	json_writer_init(&sw, &small);
	json_array(&sw);
	for (int i = 0; i < 100; i++)
		json_write_int(&sw, i);
	json_array_end(&sw);
	assert_int_equal(buf_check(&small, "list", NULL), ST_LIMIT);
	assert_true(small.bytes <= 20);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_json__reads_every_kind),
		T(test_json__wrong_kinds_answer_with_the_fallback),
		T(test_json__scalars_are_documents),
		T(test_json__objects_are_walked_in_order),
		T(test_json__bad_text_is_refused_with_its_place),
		T(test_json__depth_is_bounded),
		T(test_json__a_million_brackets_are_refused),
		T(test_json__writes_commas_and_quotes),
		T(test_json__bad_bytes_become_replacements),
		T(test_json__reals_come_back_exactly),
		T(test_json__a_tree_is_written_as_it_was),
		T(test_json__a_full_buffer_is_one_check_at_the_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
