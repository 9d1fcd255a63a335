/* api/fields.h -- reading the fields of a JSON request, with messages that say what to change.
 *
 *     struct field_error error = {0};
 *     struct fields f = {.object = root, .error = &error};
 *     struct span model = fields_text(&f, "model", FIELD_REQUIRED, 256);
 *     int64_t n = fields_int(&f, "n", 1, 200, 10);
 *     if (error.fault.code != ST_OK) ...              one check at the end
 *
 * The first error sticks ("messages[2].role must be a string") with the field's path in
 * error.param; later reads then do nothing. null counts as absent. Unknown fields are ignored.
 * Spans point into the tree. */
#ifndef API_FIELDS_H
#define API_FIELDS_H

#include "rt/json.h"

enum { FIELD_PATH_BYTES = 64, FIELD_PARAM_BYTES = 96 };
enum field_presence { FIELD_OPTIONAL, FIELD_REQUIRED };

struct field_error {
	struct fault fault; /* code ST_OK: none */
	char param[FIELD_PARAM_BYTES];
};

struct fields {
	const struct json *object;
	char path[FIELD_PATH_BYTES]; /* "" or "messages[2]." */
	struct field_error *error;
};

/* The value of key, or NULL when absent or null. */
const struct json *fields_get(struct fields *f, const char *key);
/* Record an error about key: "PATH.KEY " and the sentence. Only the first counts. */
void fields_fail(struct fields *f, const char *key, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
bool fields_ok(const struct fields *f);

/* {NULL, 0} when absent. A required text is not empty. No text holds NUL. */
struct span fields_text(struct fields *f, const char *key, enum field_presence presence,
			size_t bytes_max);
int64_t fields_int(struct fields *f, const char *key, int64_t least, int64_t most,
		   int64_t fallback);
double fields_real(struct fields *f, const char *key, double least, double most, double fallback);
bool fields_bool(struct fields *f, const char *key, bool fallback);
/* The array of key with 1..max elements, or NULL. */
const struct json *fields_array(struct fields *f, const char *key, enum field_presence presence,
				size_t max);
/* The fields of an object inside: element `index` of array `key`, or key itself when index < 0. */
struct fields fields_inside(struct fields *f, const char *key, int index,
			    const struct json *object);

#endif
