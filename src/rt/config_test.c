#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"
#include "mem/faults.h"
#include "rt/config.h"
#include "rt/config_table.h"
#include "rt/file.h"

static char folder[] = "/tmp/plimsoll-config-XXXXXX";
static struct mem_scope *scope;

static int setup(void **state)
{
	(void)state;
	memcpy(folder + sizeof folder - 7, "XXXXXX", 6);
	scope = mem_scope_open(mem_scope_root(), "test", 0);
	return scope == NULL || mkdtemp(folder) == NULL;
}

static int teardown(void **state)
{
	(void)state;
	int left = mem_scope_live(scope) != 0;
	mem_scope_close(scope);
	return dir_remove(folder, NULL) != ST_OK || left;
}

static void write_file(const char *text)
{
	char path[FILE_PATH_BYTES];
	assert_int_equal(path_join(path, folder, "plimsoll.yaml", NULL), ST_OK);
	assert_int_equal(file_replace(path, span_of(text), NULL), ST_OK);
}

static struct config *open_with(const char *text)
{
	struct config *c = NULL;
	struct fault fault = {0};
	write_file(text);
	if (config_open(scope, folder, &c, &fault) != ST_OK)
		fail_msg("%s", fault.text);
	return c;
}

static void assert_refused(const char *text, const char *line, const char *part)
{
	struct config *c = NULL;
	struct fault fault = {0};
	write_file(text);
	assert_int_equal(config_open(scope, folder, &c, &fault), ST_INVALID);
	assert_null(c);
	if (strstr(fault.text, line) == NULL || strstr(fault.text, part) == NULL)
		fail_msg("'%s' tells not '%s' and '%s'", fault.text, line, part);
	assert_int_equal(mem_scope_live(scope), 0);
}

static void test_config__defaults_without_a_file(void **state)
{
	(void)state;
	struct config *c = NULL;
	assert_int_equal(config_open(scope, NULL, &c, NULL), ST_OK);
	assert_string_equal(config_text(c, "server.listen"), "127.0.0.1:7861");
	assert_int_equal(config_int(c, "server.body_max"), MIB);
	assert_int_equal(config_int(c, "server.upload_max"), GIB);
	assert_int_equal(config_int(c, "history.ttl"), 30 * 86400);
	assert_int_equal(config_int(c, "history.window"), 5);
	assert_int_equal(config_int(c, "memory.line"), 0);
	assert_true(config_bool(c, "generate.enabled"));
	assert_string_equal(config_text(c, "embed.precision"), "bf16");
	assert_string_equal(config_text(c, "generate.api_key"), "");
	config_close(c);
	assert_int_equal(config_open(scope, "/nonexistent", &c, NULL), ST_OK);
	config_close(c);
	config_close(NULL);
}

static void test_config__file_environment_and_command_line(void **state)
{
	(void)state;
	struct config *c =
		open_with("# note\nhistory:\n  store: redis://h:1/2\n  ttl: 12h\n"
			  "server: {queue: 7, upload_max: 2G}\ngenerate:\n  enabled: no\n");
	assert_string_equal(config_text(c, "history.store"), "redis://h:1/2");
	assert_int_equal(config_int(c, "history.ttl"), 12 * 3600);
	assert_int_equal(config_int(c, "server.queue"), 7);
	assert_int_equal(config_int(c, "server.upload_max"), 2 * GIB);
	assert_false(config_bool(c, "generate.enabled"));
	config_close(c);
	(void)setenv("PLIMSOLL_HISTORY_STORE", "sqlite", 1);
	(void)setenv("PLIMSOLL_SERVER_BODY_MAX", "64K", 1);
	c = open_with("history:\n  store: redis://h:1/2\n");
	(void)unsetenv("PLIMSOLL_HISTORY_STORE");
	(void)unsetenv("PLIMSOLL_SERVER_BODY_MAX");
	assert_string_equal(config_text(c, "history.store"), "sqlite");
	assert_int_equal(config_int(c, "server.body_max"), 64 * KIB);
	assert_int_equal(config_set(c, "server.body_max", "2M", NULL), ST_OK);
	assert_int_equal(config_int(c, "server.body_max"), 2 * MIB);
	assert_int_equal(config_set(c, "server.body_max", "2T", NULL), ST_INVALID);
	assert_int_equal(config_set(c, "server.nothing", "1", NULL), ST_INVALID);
	assert_int_equal(config_int(c, "server.body_max"), 2 * MIB);
	config_close(c);
}

static void test_config__a_bad_environment_is_named(void **state)
{
	(void)state;
	struct config *c = NULL;
	struct fault fault;
	(void)setenv("PLIMSOLL_LOG_LEVEL", "loud", 1);
	assert_int_equal(config_open(scope, NULL, &c, &fault), ST_INVALID);
	(void)unsetenv("PLIMSOLL_LOG_LEVEL");
	assert_non_null(strstr(fault.text, "PLIMSOLL_LOG_LEVEL"));
	assert_non_null(strstr(fault.text, "error|warning|info|debug"));
}

static void test_config__mistakes_have_file_and_line(void **state)
{
	(void)state;
	assert_refused("server:\n  queue: 1\n  quue: 2\n",
		       "plimsoll.yaml:3:", "unknown key server.quue");
	assert_refused("\nserve:\n  queue: 1\n", "plimsoll.yaml:2:", "serve");
	assert_refused("server:\n  queue: many\n", ":2:", "'many' is not a whole number");
	assert_refused("server:\n  queue: 0\n", ":2:", "from 1 to");
	assert_refused("server:\n  queue: 1\n  queue: 2\n", ":3:", "second time");
	assert_refused("server:\n  queue: [1, 2]\n", ":2:", "list");
	assert_refused("server:\n  queue: {a: 1}\n", ":2:", "no parts");
	assert_refused("- a\n", ":1:", "list");
	assert_refused("hello\n", ":1:", "expected");
	assert_refused("server: 5\n", ":1:", "unknown key server");
	assert_refused("a: &x 1\nb: *x\n", ":1:", "unknown key a");
	assert_refused("server:\n\tqueue: 1\n", ":2:", "");
	assert_refused("server:\n  listen: \"a\n", "plimsoll.yaml:", "");
	assert_refused("history:\n  ttl: 5w\n", ":2:", "duration");
	assert_refused("generate:\n  enabled: perhaps\n", ":2:", "true or false");
	assert_refused("server:\n  body_max: 99999999999G\n", ":2:", "size");
	assert_refused("server:\n  workers: -1\n", ":2:", "whole number");
	assert_refused("? [x]\n: 1\n", ":1:", "");
	assert_refused("server:\n  listen: \"a\\0b\"\n", ":2:", "");
}

static void test_config__empty_files_and_sections_are_fine(void **state)
{
	(void)state;
	config_close(open_with(""));
	config_close(open_with("# only a comment\n"));
	config_close(open_with("---\n"));
	config_close(open_with("server:\nhistory:\n  window: 3\n"));
	struct config *c = open_with("embed:\n  model:\n");
	assert_string_equal(config_text(c, "embed.model"), "");
	config_close(c);
}

static void test_config__secrets_are_never_told(void **state)
{
	(void)state;
	char text[6000];
	struct config *c = NULL;
	struct fault fault;
	(void)snprintf(text, sizeof text, "generate:\n  api_key: \"sk-very-secret%5000s\"\n", "x");
	write_file(text);
	assert_int_equal(config_open(scope, folder, &c, &fault), ST_INVALID);
	assert_null(strstr(fault.text, "secret"));
	c = open_with("generate:\n  api_key: sk-very-secret\n");
	assert_string_equal(config_text(c, "generate.api_key"), "sk-very-secret");
	config_close(c);
}

static void test_config__the_default_file_is_read_back(void **state)
{
	(void)state;
	struct buf out;
	buf_init(&out, scope, 64 * KIB);
	assert_true(config_write_default(&out));
	assert_true(utf8_is_valid(buf_span(&out)));
	for (size_t i = 0; i < config_key_count; i++) {
		assert_non_null(strstr(out.data, strchr(config_keys[i].name, '.') + 1));
		assert_non_null(strstr(out.data, config_keys[i].help_zh));
	}
	struct config *c = open_with(out.data);
	buf_fini(&out);
	struct config *plain = NULL;
	assert_int_equal(config_open(scope, NULL, &plain, NULL), ST_OK);
	for (size_t i = 0; i < config_key_count; i++) {
		const struct config_key *key = &config_keys[i];
		if (key->kind == CONFIG_TEXT || key->kind == CONFIG_SECRET ||
		    key->kind == CONFIG_CHOICE)
			assert_string_equal(config_text(c, key->name),
					    config_text(plain, key->name));
		else if (key->kind == CONFIG_BOOL)
			assert_int_equal(config_bool(c, key->name), config_bool(plain, key->name));
		else
			assert_int_equal(config_int(c, key->name), config_int(plain, key->name));
	}
	config_close(plain);
	config_close(c);
}

static void fail_in_turn(enum mem_fault_kind kind)
{
	write_file("server:\n  queue: 7\nhistory:\n  store: sqlite\n");
	for (uint64_t n = 1;; n++) {
		struct config *c = NULL;
		mem_fault_arm(kind, n, false);
		status st = config_open(scope, folder, &c, NULL);
		bool fired = mem_fault_fired(kind) > 0;
		mem_fault_disarm(kind);
		assert_int_equal(st == ST_OK, !fired);
		assert_true(fired == (c == NULL));
		config_close(c);
		assert_int_equal(mem_scope_live(scope), 0);
		if (!fired)
			break;
	}
}

static void test_config__each_failure_gives_everything_back(void **state)
{
	(void)state;
	fail_in_turn(MEM_FAULT_ALLOC);
	fail_in_turn(MEM_FAULT_IO);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_config__defaults_without_a_file),
		T(test_config__file_environment_and_command_line),
		T(test_config__a_bad_environment_is_named),
		T(test_config__mistakes_have_file_and_line),
		T(test_config__empty_files_and_sections_are_fine),
		T(test_config__secrets_are_never_told),
		T(test_config__the_default_file_is_read_back),
		T(test_config__each_failure_gives_everything_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
