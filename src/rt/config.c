#include "rt/config.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/assert.h"
#include "base/size.h"
#include "rt/config_table.h"
#include "rt/file.h"

enum {
	SCOPE_BYTES = 512 * 1024,
	FILE_BYTES_MAX = 64 * 1024,
	KEY_BYTES = 64,
	VALUE_BYTES_MAX = 4096
};

struct value {
	char *text;
	int64_t number; /* bytes, seconds, a count, 0 or 1 */
	double real;
	size_t line; /* of the file being read: finds a key written twice */
};

struct config {
	struct mem_scope *scope;
	struct value *values; /* one for each of config_keys */
};

static const struct config_key *key_find(const char *name)
{
	for (size_t i = 0; i < config_key_count; i++) {
		if (strcmp(config_keys[i].name, name) == 0)
			return &config_keys[i];
	}
	return NULL;
}

static bool is_section(const char *name)
{
	size_t bytes = strlen(name);
	for (size_t i = 0; i < config_key_count; i++) {
		const char *key = config_keys[i].name;
		if (strncmp(key, name, bytes) == 0 && key[bytes] == '.')
			return true;
	}
	return false;
}

/* ---- one value ---- */

static int64_t unit_of(enum config_kind kind, const char *suffix)
{
	static const struct {
		enum config_kind kind;
		char letter;
		int64_t unit;
	} units[] = {
		{CONFIG_BYTES, 'K', 1 << 10}, {CONFIG_BYTES, 'M', 1 << 20},
		{CONFIG_BYTES, 'G', 1 << 30}, {CONFIG_SECONDS, 's', 1},
		{CONFIG_SECONDS, 'm', 60},    {CONFIG_SECONDS, 'h', 3600},
		{CONFIG_SECONDS, 'd', 86400},
	};
	if (suffix[0] == '\0')
		return 1;
	for (size_t i = 0; i < ARRAY_COUNT(units) && suffix[1] == '\0'; i++) {
		if (units[i].kind == kind && units[i].letter == suffix[0])
			return units[i].unit;
	}
	return 0;
}

static bool parse_number(const struct config_key *key, const char *text, int64_t *ret)
{
	char *end;
	errno = 0;
	long long number = strtoll(text, &end, 10);
	int64_t unit = unit_of(key->kind, end), product;
	if (end == text || isspace((unsigned char)*text) || errno != 0 || unit == 0 ||
	    __builtin_mul_overflow((int64_t)number, unit, &product))
		return false;
	if (product < key->least || product > key->most)
		return false;
	*ret = product;
	return true;
}

static bool parse_bool(const char *text, int64_t *ret)
{
	static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
	for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
		if (strcmp(words[i], text) == 0) {
			*ret = (int64_t)(i & 1);
			return true;
		}
	}
	return false;
}

static bool is_choice(const char *choices, const char *text)
{
	size_t bytes = strlen(text);
	for (const char *at = choices; at != NULL; at = strchr(at, '|')) {
		at += *at == '|';
		if (bytes > 0 && strncmp(at, text, bytes) == 0 &&
		    (at[bytes] == '|' || at[bytes] == '\0'))
			return true;
	}
	return false;
}

static bool parse_real(const char *text, double *ret)
{
	char *end;
	double real = strtod(text, &end);
	if (end == text || *end != '\0' || !isfinite(real))
		return false;
	*ret = real;
	return true;
}

static bool value_parse(const struct config_key *key, const char *text, struct value *v)
{
	switch (key->kind) {
	case CONFIG_TEXT:
	case CONFIG_SECRET:
		return true;
	case CONFIG_CHOICE:
		return is_choice(key->choices, text);
	case CONFIG_INT:
	case CONFIG_BYTES:
	case CONFIG_SECONDS:
		return parse_number(key, text, &v->number);
	case CONFIG_REAL:
		return parse_real(text, &v->real);
	case CONFIG_BOOL:
		return parse_bool(text, &v->number);
	}
	return false;
}

/* "expected ..." for a person who wrote something else. */
static void describe(const struct config_key *key, char *out, size_t bytes)
{
	switch (key->kind) {
	case CONFIG_TEXT:
	case CONFIG_SECRET:
		(void)snprintf(out, bytes, "a text");
		break;
	case CONFIG_CHOICE:
		(void)snprintf(out, bytes, "one of %s", key->choices);
		break;
	case CONFIG_INT:
		(void)snprintf(out, bytes, "a whole number from %" PRId64 " to %" PRId64,
			       key->least, key->most);
		break;
	case CONFIG_BYTES:
		(void)snprintf(out, bytes,
			       "a size such as 64K, 10M or 2G, from %" PRId64 " to %" PRId64
			       " bytes",
			       key->least, key->most);
		break;
	case CONFIG_SECONDS:
		(void)snprintf(out, bytes,
			       "a duration such as 90s, 15m, 12h or 30d, from %" PRId64
			       " to %" PRId64 " seconds",
			       key->least, key->most);
		break;
	case CONFIG_REAL:
		(void)snprintf(out, bytes, "a number");
		break;
	case CONFIG_BOOL:
		(void)snprintf(out, bytes, "true or false");
		break;
	}
}

/* where: "plimsoll.yaml:12: " or the name of the environment variable, for messages. */
static status value_set(struct config *c, const struct config_key *key, const char *text,
			const char *where, struct fault *reterr)
{
	struct value fresh = {.text = NULL}, *v = &c->values[key - config_keys];
	if (strlen(text) > VALUE_BYTES_MAX)
		return fault_set(reterr, ST_INVALID, "%s%s: longer than %d bytes", where, key->name,
				 VALUE_BYTES_MAX);
	if (!value_parse(key, text, &fresh)) {
		char expected[120];
		describe(key, expected, sizeof expected);
		return fault_set(reterr, ST_INVALID, "%s%s: '%.40s' is not %s", where, key->name,
				 text, expected);
	}
	fresh.text = mem_copy_text(c->scope, span_of(text));
	if (fresh.text == NULL)
		return fault_set(reterr, mem_refusal(), "no memory for the setting %s", key->name);
	fresh.line = v->line;
	mem_free(v->text);
	*v = fresh;
	return ST_OK;
}

/* ---- the file: events of libyaml; two levels of mappings are all there is ---- */

struct reading {
	struct config *config;
	const char *path;
	size_t line;            /* of the event at hand */
	size_t key_line;        /* of the key whose value is due */
	size_t depth;           /* open mappings */
	char prefix[KEY_BYTES]; /* "history." inside the section history */
	char key[KEY_BYTES];    /* the whole key, while its value is due */
};

static status complain(const struct reading *r, const char *what, const char *name,
		       struct fault *reterr)
{
	return fault_set(reterr, ST_INVALID, "%s:%zu: %s%.60s", r->path, r->line, what, name);
}

static status read_key(struct reading *r, const char *name, struct fault *reterr)
{
	int n = snprintf(r->key, sizeof r->key, "%s%s", r->prefix, name);
	if (n <= 0 || (size_t)n >= sizeof r->key || name[0] == '\0')
		return complain(r, "unknown key ", name, reterr);
	r->key_line = r->line;
	return ST_OK;
}

static status read_value(struct reading *r, const char *text, struct fault *reterr)
{
	char where[FILE_PATH_BYTES + 24];
	const struct config_key *key = key_find(r->key);
	if (r->depth == 1 && text[0] == '\0' && is_section(r->key)) {
		r->key[0] = '\0'; /* "history:" with nothing under it: an empty section */
		return ST_OK;
	}
	if (key == NULL)
		return complain(r, "unknown key ", r->key, reterr);
	struct value *v = &r->config->values[key - config_keys];
	if (v->line != 0)
		return complain(r, "a second time: ", r->key, reterr);
	(void)snprintf(where, sizeof where, "%s:%zu: ", r->path, r->line);
	status st = value_set(r->config, key, text, where, reterr);
	v->line = r->line;
	r->key[0] = '\0';
	return st;
}

static status read_section(struct reading *r, struct fault *reterr)
{
	r->depth++;
	if (r->depth > 2)
		return complain(r, "a setting has no parts of its own: ", r->key, reterr);
	if (r->depth == 2) {
		(void)snprintf(r->prefix, sizeof r->prefix, "%.62s.", r->key);
		if (!is_section(r->key)) {
			r->line = r->key_line;
			return complain(r, "unknown section ", r->key, reterr);
		}
	}
	r->key[0] = '\0';
	return ST_OK;
}

static status read_event(struct reading *r, const yaml_event_t *e, struct fault *reterr)
{
	r->line = e->start_mark.line + 1;
	switch (e->type) {
	case YAML_SCALAR_EVENT: {
		const char *text = (const char *)e->data.scalar.value;
		if (r->depth == 0 && e->data.scalar.length == 0)
			return ST_OK; /* a file of comments only */
		if (r->depth == 0 || strlen(text) != e->data.scalar.length)
			return complain(r, "expected 'section:' and 'key: value' lines", "",
					reterr);
		return r->key[0] == '\0' ? read_key(r, text, reterr) : read_value(r, text, reterr);
	}
	case YAML_MAPPING_START_EVENT:
		if (r->depth > 0 && r->key[0] == '\0')
			return complain(r, "a key must be a word", "", reterr);
		return read_section(r, reterr);
	case YAML_MAPPING_END_EVENT:
		r->depth--;
		r->prefix[0] = r->key[0] = '\0';
		return ST_OK;
	case YAML_SEQUENCE_START_EVENT:
	case YAML_SEQUENCE_END_EVENT:
		return complain(r, "a list is not expected here", "", reterr);
	case YAML_ALIAS_EVENT:
		return complain(r, "aliases are not supported", "", reterr);
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_STREAM_END_EVENT:
	case YAML_DOCUMENT_START_EVENT:
	case YAML_DOCUMENT_END_EVENT:
		return ST_OK;
	}
	return ST_OK;
}

static status read_events(struct reading *r, yaml_parser_t *parser, struct fault *reterr)
{
	status st = ST_OK;
	for (bool end = false; st == ST_OK && !end;) {
		yaml_event_t event;
		if (yaml_parser_parse(parser, &event) == 0) {
			if (parser->error == YAML_MEMORY_ERROR)
				return fault_set(reterr, ST_OOM, "no memory to read %s", r->path);
			r->line = parser->problem_mark.line + 1;
			return complain(r, parser->problem != NULL ? parser->problem : "not YAML",
					"", reterr);
		}
		end = event.type == YAML_STREAM_END_EVENT;
		st = read_event(r, &event, reterr);
		yaml_event_delete(&event);
	}
	return st;
}

static status read_file(struct config *c, const char *dir, struct fault *reterr)
{
	char path[FILE_PATH_BYTES];
	struct span text;
	status st = path_join(path, dir, "plimsoll.yaml", reterr);
	if (st != ST_OK || !file_exists(path))
		return st;
	st = file_read(c->scope, path, FILE_BYTES_MAX, &text, reterr);
	if (st != ST_OK)
		return st;
	yaml_parser_t parser;
	if (yaml_parser_initialize(&parser) == 0)
		return fault_set(reterr, ST_OOM, "no memory to read %s", path);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text.data, text.bytes);
	struct reading r = {.config = c, .path = path};
	st = read_events(&r, &parser, reterr);
	yaml_parser_delete(&parser);
	return st;
}

/* ---- environment and command line ---- */

static void env_name(const char *key, char out[KEY_BYTES + 16])
{
	int n = snprintf(out, KEY_BYTES + 16, "PLIMSOLL_%s", key);
	for (int i = 0; i < n; i++)
		out[i] = out[i] == '.' ? '_' : (char)toupper((unsigned char)out[i]);
}

static status read_environment(struct config *c, struct fault *reterr)
{
	status st = ST_OK;
	for (size_t i = 0; st == ST_OK && i < config_key_count; i++) {
		char name[KEY_BYTES + 16], where[KEY_BYTES + 32];
		env_name(config_keys[i].name, name);
		const char *text = getenv(name);
		if (text == NULL)
			continue;
		(void)snprintf(where, sizeof where, "environment %s: ", name);
		st = value_set(c, &config_keys[i], text, where, reterr);
	}
	return st;
}

status config_open(struct mem_scope *parent, const char *dir, struct config **ret_config,
		   struct fault *reterr)
{
	struct mem_scope *scope = mem_scope_open(parent, "config", SCOPE_BYTES);
	struct config *c = scope != NULL ? mem_new(scope, struct config) : NULL;
	if (c != NULL)
		c->values = mem_new_array(scope, struct value, config_key_count);
	if (c == NULL || c->values == NULL) {
		status why = mem_refusal();
		mem_scope_close(scope);
		return fault_set(reterr, why, "no memory for the settings");
	}
	c->scope = scope;
	status st = ST_OK;
	for (size_t i = 0; st == ST_OK && i < config_key_count; i++)
		st = value_set(c, &config_keys[i], config_keys[i].fallback, "default: ", reterr);
	if (st == ST_OK && dir != NULL)
		st = read_file(c, dir, reterr);
	if (st == ST_OK)
		st = read_environment(c, reterr);
	if (st != ST_OK) {
		mem_scope_close(scope);
		return st;
	}
	*ret_config = c;
	return ST_OK;
}

void config_close(struct config *config)
{
	if (config != NULL)
		mem_scope_close(config->scope);
}

status config_set(struct config *config, const char *key, const char *value, struct fault *reterr)
{
	const struct config_key *known = key_find(key);
	if (known == NULL)
		return fault_set(reterr, ST_INVALID, "unknown setting '%.60s'", key);
	return value_set(config, known, value, "", reterr);
}

/* ---- asking ---- */

static const struct value *value_of(const struct config *c, const char *key, unsigned kinds)
{
	const struct config_key *known = key_find(key);
	ASSERT(known != NULL);
	ASSERT((kinds >> known->kind & 1) != 0);
	return &c->values[known - config_keys];
}

const char *config_text(const struct config *config, const char *key)
{
	unsigned kinds = 1u << CONFIG_TEXT | 1u << CONFIG_SECRET | 1u << CONFIG_CHOICE;
	return value_of(config, key, kinds)->text;
}

int64_t config_int(const struct config *config, const char *key)
{
	unsigned kinds = 1u << CONFIG_INT | 1u << CONFIG_BYTES | 1u << CONFIG_SECONDS;
	return value_of(config, key, kinds)->number;
}

double config_real(const struct config *config, const char *key)
{
	return value_of(config, key, 1u << CONFIG_REAL)->real;
}

bool config_bool(const struct config *config, const char *key)
{
	return value_of(config, key, 1u << CONFIG_BOOL)->number != 0;
}

static bool write_key(struct buf *out, const struct config_key *key,
		      const struct config_key *former)
{
	const char *dot = strchr(key->name, '.');
	int section = (int)(dot - key->name);
	bool text = key->kind == CONFIG_TEXT || key->kind == CONFIG_SECRET;
	if (former == NULL || strncmp(former->name, key->name, (size_t)section + 1) != 0)
		(void)buf_printf(out, "\n%.*s:\n", section, key->name);
	(void)buf_printf(out, "  # %s\n  # %s\n", key->help, key->help_zh);
	return buf_printf(out, text ? "  %s: \"%s\"\n" : "  %s: %s\n", dot + 1, key->fallback);
}

bool config_write_default(struct buf *out)
{
	(void)buf_add_text(
		out,
		"# Plimsoll settings. Every key with its default; delete what you do not change.\n"
		"# Environment variables come before this file (history.store:\n"
		"# PLIMSOLL_HISTORY_STORE), the command line before both.\n"
		"# Plimsoll 配置:列出全部键及其默认值。优先级:命令行 > 环境变量 > 本文件。\n");
	bool done = false;
	for (size_t i = 0; i < config_key_count; i++)
		done = write_key(out, &config_keys[i], i > 0 ? &config_keys[i - 1] : NULL);
	return done;
}
