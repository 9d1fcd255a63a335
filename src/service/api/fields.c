#include "api/fields.h"

#include <stdio.h>
#include <string.h>

bool fields_ok(const struct fields *f)
{
	return f->error->fault.code == ST_OK;
}

void fields_fail(struct fields *f, const char *key, const char *format, ...)
{
	if (!fields_ok(f))
		return;
	char text[FAULT_TEXT_BYTES];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	snprintf(f->error->param, sizeof(f->error->param), "%s%s", f->path, key);
	fault_set(&f->error->fault, ST_INVALID, "%s %s", f->error->param, text);
}

const struct json *fields_get(struct fields *f, const char *key)
{
	const struct json *value = json_get(f->object, key);
	return json_kind(value) == JSON_NULL ? NULL : value;
}

/* The value, when there is one and it has this kind; else what is wrong is recorded. */
static const struct json *get_kind(struct fields *f, const char *key, enum field_presence presence,
				   enum json_kind kind, const char *kind_name)
{
	if (!fields_ok(f))
		return NULL;
	const struct json *value = fields_get(f, key);
	if (value == NULL && presence == FIELD_REQUIRED)
		fields_fail(f, key, "is missing");
	else if (value != NULL && json_kind(value) != kind)
		fields_fail(f, key, "must be %s", kind_name);
	return fields_ok(f) ? value : NULL;
}

struct span fields_text(struct fields *f, const char *key, enum field_presence presence,
			size_t bytes_max)
{
	struct span text = json_text(get_kind(f, key, presence, JSON_STRING, "a string"));
	if (text.data == NULL)
		return text;
	if (text.bytes == 0 && presence == FIELD_REQUIRED)
		fields_fail(f, key, "must not be empty");
	else if (text.bytes > bytes_max)
		fields_fail(f, key, "is %zu bytes long, but at most %zu are accepted", text.bytes,
			    bytes_max);
	else if (memchr(text.data, '\0', text.bytes) != NULL)
		fields_fail(f, key, "must not contain U+0000");
	return text;
}

int64_t fields_int(struct fields *f, const char *key, int64_t least, int64_t most, int64_t fallback)
{
	const struct json *value = get_kind(f, key, FIELD_OPTIONAL, JSON_INTEGER, "a whole number");
	if (value == NULL)
		return fallback;
	int64_t number = json_int(value, fallback);
	if (number < least || number > most)
		fields_fail(f, key, "must be from %lld to %lld", (long long)least, (long long)most);
	return number;
}

double fields_real(struct fields *f, const char *key, double least, double most, double fallback)
{
	const struct json *value = fields_ok(f) ? fields_get(f, key) : NULL;
	if (value == NULL)
		return fallback;
	double number = json_real(value, fallback);
	if (json_kind(value) != JSON_REAL && json_kind(value) != JSON_INTEGER)
		fields_fail(f, key, "must be a number");
	else if (!(number >= least && number <= most))
		fields_fail(f, key, "must be from %g to %g", least, most);
	return number;
}

bool fields_bool(struct fields *f, const char *key, bool fallback)
{
	return json_bool(get_kind(f, key, FIELD_OPTIONAL, JSON_BOOL, "true or false"), fallback);
}

const struct json *fields_array(struct fields *f, const char *key, enum field_presence presence,
				size_t max)
{
	const struct json *value = get_kind(f, key, presence, JSON_ARRAY, "an array");
	if (value == NULL)
		return NULL;
	if (json_count(value) == 0)
		fields_fail(f, key, "must not be empty");
	else if (json_count(value) > max)
		fields_fail(f, key, "has %zu elements, but at most %zu are accepted",
			    json_count(value), max);
	return fields_ok(f) ? value : NULL;
}

struct fields fields_inside(struct fields *f, const char *key, int index, const struct json *object)
{
	struct fields inside = {.object = object, .error = f->error};
	char number[16] = "";
	if (index >= 0)
		snprintf(number, sizeof(number), "[%d]", index);
	if (json_kind(object) != JSON_OBJECT) {
		char name[FIELD_PATH_BYTES];
		snprintf(name, sizeof(name), "%.40s%s", key, number);
		fields_fail(f, name, "must be an object");
	}
	/* A path too long to be shown is cut: it is only ever shown. */
	int cut = snprintf(inside.path, sizeof(inside.path), "%.30s%.16s%s.", f->path, key, number);
	(void)cut;
	return inside;
}
