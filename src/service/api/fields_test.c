#include "api/fields.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct json *root;

static struct fields parse(const char *text, struct field_error *error)
{
	struct fault fault = {0};
	json_free(root);
	root = NULL;
	if (json_parse(span_of(text), &root, &fault) != ST_OK)
		fail_msg("%s", fault.text);
	*error = (struct field_error){0};
	return (struct fields){.object = root, .error = error};
}

static void test_fields__reads_values_and_fallbacks(void **state)
{
	(void)state;
	struct field_error error;
	struct fields f = parse("{\"a\":\"x\",\"n\":7,\"r\":1,\"t\":true,\"z\":null}", &error);
	assert_true(span_equal(fields_text(&f, "a", FIELD_REQUIRED, 1), SPAN("x")));
	assert_null(fields_text(&f, "z", FIELD_OPTIONAL, 1).data);
	assert_int_equal(fields_int(&f, "n", 1, 7, 0), 7);
	assert_int_equal(fields_int(&f, "none", 1, 7, 3), 3);
	assert_true(fields_real(&f, "r", 0, 2, 0.5) > 0.99);
	assert_true(fields_bool(&f, "t", false));
	assert_true(fields_bool(&f, "z", true));
	assert_true(fields_ok(&f));
}

static void test_fields__first_error_sticks_and_names_its_field(void **state)
{
	(void)state;
	struct field_error error;
	struct fields f = parse("{\"m\":[{\"role\":3}],\"n\":99}", &error);
	struct fields inside = fields_inside(&f, "m", 0, json_at(json_get(root, "m"), 0));
	(void)fields_text(&inside, "role", FIELD_REQUIRED, 10);
	(void)fields_int(&f, "n", 1, 10, 1);
	assert_int_equal(error.fault.code, ST_INVALID);
	assert_string_equal(error.param, "m[0].role");
	assert_string_equal(error.fault.text, "m[0].role must be a string");
}

static void test_fields__refuses(void **state)
{
	(void)state;
	static const char *const wrong[][2] = {
		{"{}", "v is missing"},
		{"{\"v\":null}", "v is missing"},
		{"{\"v\":\"\"}", "v must not be empty"},
		{"{\"v\":[]}", "v must be a string"},
		{"{\"v\":\"12345678901\"}", "v is 11 bytes long, but at most 10 are accepted"},
		{"{\"v\":\"a\\u0000b\"}", NULL}, /* by the parser or by us */
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]) && wrong[i][1] != NULL; i++) {
		struct field_error error;
		struct fields f = parse(wrong[i][0], &error);
		(void)fields_text(&f, "v", FIELD_REQUIRED, 10);
		assert_string_equal(error.fault.text, wrong[i][1]);
	}
	struct field_error error;
	struct fields f = parse("{\"v\":11}", &error);
	(void)fields_int(&f, "v", 1, 10, 1);
	assert_string_equal(error.fault.text, "v must be from 1 to 10");
	f = parse("{\"v\":1.5}", &error);
	(void)fields_int(&f, "v", 1, 10, 1);
	assert_string_equal(error.fault.text, "v must be a whole number");
	f = parse("{\"v\":\"1\"}", &error);
	(void)fields_real(&f, "v", 1, 10, 1);
	assert_string_equal(error.fault.text, "v must be a number");
	f = parse("{\"v\":[1,2,3]}", &error);
	(void)fields_array(&f, "v", FIELD_REQUIRED, 2);
	assert_string_equal(error.fault.text, "v has 3 elements, but at most 2 are accepted");
	f = parse("{\"v\":[]}", &error);
	(void)fields_array(&f, "v", FIELD_REQUIRED, 2);
	assert_string_equal(error.fault.text, "v must not be empty");
}

static int teardown(void **state)
{
	(void)state;
	json_free(root);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields__reads_values_and_fallbacks),
		cmocka_unit_test(test_fields__first_error_sticks_and_names_its_field),
		cmocka_unit_test(test_fields__refuses),
	};
	return cmocka_run_group_tests(tests, NULL, teardown);
}
