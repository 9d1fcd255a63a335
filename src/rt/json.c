/* jansson's names that rt/json.h uses for itself are moved out of the way while its header is read.
 */
#define json_object jansson_object
#define json_array jansson_array
#define json_real jansson_real
#define JSON_OBJECT JANSSON_OBJECT
#define JSON_ARRAY JANSSON_ARRAY
#define JSON_STRING JANSSON_STRING
#define JSON_INTEGER JANSSON_INTEGER
#define JSON_REAL JANSSON_REAL
#define JSON_TRUE JANSSON_TRUE
#define JSON_FALSE JANSSON_FALSE
#define JSON_NULL JANSSON_NULL
#include <jansson.h>
#undef json_object
#undef json_array
#undef json_real
#undef JSON_OBJECT
#undef JSON_ARRAY
#undef JSON_STRING
#undef JSON_INTEGER
#undef JSON_REAL
#undef JSON_TRUE
#undef JSON_FALSE
#undef JSON_NULL

#include "rt/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/utf8.h"

/* ---- reading ---- */

/* A node is jansson's json_t under another name. */
static json_t *tree(const struct json *node)
{
	union {
		const struct json *in;
		json_t *out;
	} u = {.in = node};
	return u.out;
}

static const struct json *node_of(const json_t *value)
{
	return (const struct json *)value;
}

/* jansson itself stops at a depth of 2048, and some of its functions recurse: count first. Offset
 * of the bracket that goes too deep, or text.bytes. */
static size_t too_deep_at(struct span text)
{
	size_t depth = 0;
	bool in_string = false;
	for (size_t i = 0; i < text.bytes; i++) {
		char c = text.data[i];
		if (in_string && c == '\\')
			i++;
		else if (c == '"')
			in_string = !in_string;
		else if (!in_string && (c == '{' || c == '[') && ++depth > JSON_DEPTH_MAX)
			return i;
		else if (!in_string && (c == '}' || c == ']') && depth > 0)
			depth--;
	}
	return text.bytes;
}

static status fault_at(struct span text, size_t at, struct fault *reterr)
{
	size_t line = 1, start = 0;
	for (size_t i = 0; i < at; i++) {
		if (text.data[i] == '\n')
			line++, start = i + 1;
	}
	return fault_set(reterr, ST_INVALID, "JSON, line %zu, column %zu: nested deeper than %d",
			 line, utf8_count(span_slice(text, start, at)) + 1, JSON_DEPTH_MAX);
}

status json_parse(struct span text, struct json **ret_root, struct fault *reterr)
{
	size_t deep = too_deep_at(text);
	if (deep < text.bytes)
		return fault_at(text, deep, reterr);
	json_error_t error;
	json_t *root = json_loadb(text.data != NULL ? text.data : "", text.bytes,
				  JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (root == NULL && json_error_code(&error) == json_error_out_of_memory)
		return fault_set(reterr, ST_OOM, "no memory for %zu bytes of JSON", text.bytes);
	if (root == NULL)
		return fault_set(reterr, ST_INVALID, "JSON, line %d, column %d: %s",
				 error.line > 0 ? error.line : 1,
				 error.column > 0 ? error.column : 1, error.text);
	*ret_root = (struct json *)root;
	return ST_OK;
}

void json_free(struct json *root)
{
	json_decref(tree(root));
}

void json_freep(struct json **root)
{
	json_free(*root);
	*root = NULL;
}

enum json_kind json_kind(const struct json *node)
{
	if (node == NULL)
		return JSON_NONE;
	switch (json_typeof(tree(node))) {
	case JANSSON_OBJECT:
		return JSON_OBJECT;
	case JANSSON_ARRAY:
		return JSON_ARRAY;
	case JANSSON_STRING:
		return JSON_STRING;
	case JANSSON_INTEGER:
		return JSON_INTEGER;
	case JANSSON_REAL:
		return JSON_REAL;
	case JANSSON_TRUE:
	case JANSSON_FALSE:
		return JSON_BOOL;
	case JANSSON_NULL:
		return JSON_NULL;
	}
	return JSON_NONE;
}

const struct json *json_get(const struct json *object, const char *key)
{
	return json_kind(object) == JSON_OBJECT ? node_of(json_object_get(tree(object), key))
						: NULL;
}

const struct json *json_at(const struct json *array, size_t index)
{
	return json_kind(array) == JSON_ARRAY ? node_of(json_array_get(tree(array), index)) : NULL;
}

size_t json_count(const struct json *array_or_object)
{
	enum json_kind kind = json_kind(array_or_object);
	if (kind == JSON_ARRAY)
		return json_array_size(tree(array_or_object));
	return kind == JSON_OBJECT ? json_object_size(tree(array_or_object)) : 0;
}

struct span json_text(const struct json *string)
{
	if (json_kind(string) != JSON_STRING)
		return (struct span){NULL, 0};
	return (struct span){json_string_value(tree(string)), json_string_length(tree(string))};
}

bool json_bool(const struct json *node, bool fallback)
{
	return json_kind(node) == JSON_BOOL ? json_typeof(tree(node)) == JANSSON_TRUE : fallback;
}

int64_t json_int(const struct json *node, int64_t fallback)
{
	if (json_kind(node) == JSON_INTEGER)
		return json_integer_value(tree(node));
	if (json_kind(node) != JSON_REAL)
		return fallback;
	double value = json_real_value(tree(node));
	bool fits = value >= -9223372036854775808.0 && value < 9223372036854775808.0;
	return fits ? (int64_t)value : fallback;
}

double json_real(const struct json *node, double fallback)
{
	enum json_kind kind = json_kind(node);
	return kind == JSON_INTEGER || kind == JSON_REAL ? json_number_value(tree(node)) : fallback;
}

void *json_first(const struct json *object)
{
	return json_kind(object) == JSON_OBJECT ? json_object_iter(tree(object)) : NULL;
}

void *json_next(const struct json *object, void *at)
{
	return json_object_iter_next(tree(object), at);
}

const char *json_key(void *at)
{
	return json_object_iter_key(at);
}

const struct json *json_value(void *at)
{
	return node_of(json_object_iter_value(at));
}

/* ---- writing ---- */

void json_writer_init(struct json_writer *w, struct buf *out)
{
	*w = (struct json_writer){.out = out};
}

/* A value begins here: the comma before it, if one is due. */
static void begin(struct json_writer *w)
{
	if (w->comma)
		(void)buf_add_byte(w->out, ',');
	w->comma = true;
}

static void open_level(struct json_writer *w, char bracket)
{
	begin(w);
	ASSERT(w->depth < JSON_DEPTH_MAX);
	w->depth++;
	w->comma = false;
	(void)buf_add_byte(w->out, bracket);
}

static void close_level(struct json_writer *w, char bracket)
{
	ASSERT(w->depth > 0);
	w->depth--;
	w->comma = true;
	(void)buf_add_byte(w->out, bracket);
}

void json_object(struct json_writer *w)
{
	open_level(w, '{');
}

void json_object_end(struct json_writer *w)
{
	close_level(w, '}');
}

void json_array(struct json_writer *w)
{
	open_level(w, '[');
}

void json_array_end(struct json_writer *w)
{
	close_level(w, ']');
}

static void add_escape(struct buf *out, unsigned char c)
{
	static const char short_form[] = "\bb\ff\nn\rr\tt\"\"\\\\";
	for (size_t i = 0; i + 1 < sizeof short_form; i += 2) {
		if ((unsigned char)short_form[i] == c) {
			char pair[2] = {'\\', short_form[i + 1]};
			(void)buf_add(out, (struct span){pair, 2});
			return;
		}
	}
	(void)buf_printf(out, "\\u%04x", c);
}

/* Runs that need no escape are added whole. U+007F is written as it is; so is all beyond ASCII. */
static void add_quoted(struct buf *out, struct span text)
{
	(void)buf_add_byte(out, '"');
	size_t run = 0;
	for (size_t at = 0; at < text.bytes;) {
		unsigned char c = (unsigned char)text.data[at];
		uint32_t point = c;
		size_t length = c < 0x80 ? 1 : utf8_decode(text, at, &point);
		bool bad = c >= 0x80 && length == 1;
		if (bad || c < 0x20 || c == '"' || c == '\\') {
			(void)buf_add(out, span_slice(text, run, at));
			if (bad)
				(void)buf_add(out, SPAN("\xEF\xBF\xBD"));
			else
				add_escape(out, c);
			run = at + length;
		}
		at += length;
	}
	(void)buf_add(out, span_slice(text, run, text.bytes));
	(void)buf_add_byte(out, '"');
}

void json_key_write(struct json_writer *w, const char *key)
{
	begin(w);
	add_quoted(w->out, span_of(key));
	(void)buf_add_byte(w->out, ':');
	w->comma = false;
}

void json_write_text(struct json_writer *w, struct span text)
{
	begin(w);
	add_quoted(w->out, text);
}

void json_write_int(struct json_writer *w, int64_t value)
{
	begin(w);
	(void)buf_printf(w->out, "%lld", (long long)value);
}

void json_write_real(struct json_writer *w, double value)
{
	char text[40];
	if (!isfinite(value)) {
		json_write_null(w);
		return;
	}
	for (int digits = 1; digits <= 17; digits++) {
		(void)snprintf(text, sizeof text, "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	begin(w);
	/* "-0" would be read back as the integer 0. */
	(void)buf_add_text(w->out, strcmp(text, "-0") == 0 ? "-0.0" : text);
}

void json_write_bool(struct json_writer *w, bool value)
{
	json_write_raw(w, value ? SPAN("true") : SPAN("false"));
}

void json_write_null(struct json_writer *w)
{
	json_write_raw(w, SPAN("null"));
}

void json_write_raw(struct json_writer *w, struct span json)
{
	begin(w);
	(void)buf_add(w->out, json);
}

/* A place in a tree: a container and the member to write next. */
struct place {
	const struct json *container;
	void *member; /* of an object */
	size_t index; /* of an array */
};

static void write_leaf(struct json_writer *w, const struct json *node)
{
	switch (json_kind(node)) {
	case JSON_BOOL:
		json_write_bool(w, json_bool(node, false));
		break;
	case JSON_INTEGER:
		json_write_int(w, json_int(node, 0));
		break;
	case JSON_REAL:
		json_write_real(w, json_real(node, 0));
		break;
	case JSON_STRING:
		json_write_text(w, json_text(node));
		break;
	case JSON_NONE:
	case JSON_NULL:
	case JSON_ARRAY:
	case JSON_OBJECT:
		json_write_null(w);
		break;
	}
}

/* The next member of a place with its key written, or NULL when there is none. */
static const struct json *take_member(struct json_writer *w, struct place *p)
{
	if (json_kind(p->container) == JSON_ARRAY)
		return json_at(p->container, p->index++);
	if (p->member == NULL)
		return NULL;
	const struct json *value = json_value(p->member);
	json_key_write(w, json_key(p->member));
	p->member = json_next(p->container, p->member);
	return value;
}

void json_write_node(struct json_writer *w, const struct json *node)
{
	struct place stack[JSON_DEPTH_MAX];
	size_t depth = 0;
	for (const struct json *at = node;;) {
		enum json_kind kind = json_kind(at);
		if (kind == JSON_OBJECT || kind == JSON_ARRAY) {
			open_level(w, kind == JSON_OBJECT ? '{' : '[');
			ASSERT(depth < JSON_DEPTH_MAX);
			stack[depth++] = (struct place){at, json_first(at), 0};
		} else {
			write_leaf(w, at);
		}
		for (at = NULL; depth > 0 && at == NULL;) {
			at = take_member(w, &stack[depth - 1]);
			if (at == NULL)
				close_level(w, json_kind(stack[--depth].container) == JSON_OBJECT
						       ? '}'
						       : ']');
		}
		if (at == NULL)
			return;
	}
}

void json_put_text(struct json_writer *w, const char *key, struct span text)
{
	json_key_write(w, key);
	json_write_text(w, text);
}

void json_put_int(struct json_writer *w, const char *key, int64_t value)
{
	json_key_write(w, key);
	json_write_int(w, value);
}

void json_put_real(struct json_writer *w, const char *key, double value)
{
	json_key_write(w, key);
	json_write_real(w, value);
}

void json_put_bool(struct json_writer *w, const char *key, bool value)
{
	json_key_write(w, key);
	json_write_bool(w, value);
}

void json_put_null(struct json_writer *w, const char *key)
{
	json_key_write(w, key);
	json_write_null(w);
}
