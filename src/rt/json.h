/* rt/json.h -- JSON in (a tree, over jansson) and JSON out (a writer over struct buf).
 *
 * Reading   json_parse() refuses depth over JSON_DEPTH_MAX, invalid UTF-8, duplicate keys and
 *           trailing bytes; the fault gives line and column. Accessors take NULL and the wrong type
 *           and answer with NULL or the default, so that a chain of look-ups needs one check at its
 *           end. Everything reached from a tree is borrowed and lives until json_free() of the
 *           root.
 * Writing   commas and quotes are the writer's business; strings must be UTF-8 (a bad byte becomes
 *           U+FFFD). Refusals stick in the buf. Nesting up to JSON_DEPTH_MAX is asserted.
 * Threads   A tree may be read by many threads at once; a writer belongs to one. */
#ifndef RT_JSON_H
#define RT_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"
#include "rt/buf.h"

enum { JSON_DEPTH_MAX = 64 };

struct json; /* a node: object, array, string, number, true, false or null */

enum json_kind {
	JSON_NONE, /* of NULL */
	JSON_NULL,
	JSON_BOOL,
	JSON_INTEGER,
	JSON_REAL,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT,
};

MUST_CHECK status json_parse(struct span text, struct json **ret_root, struct fault *reterr);
void json_free(struct json *root); /* NULL is allowed */
void json_freep(struct json **root);

enum json_kind json_kind(const struct json *node);
const struct json *json_get(const struct json *object, const char *key);
const struct json *json_at(const struct json *array, size_t index);
size_t json_count(const struct json *array_or_object);
struct span json_text(const struct json *string); /* {NULL, 0} when not a string */
bool json_bool(const struct json *node, bool fallback);
int64_t json_int(const struct json *node, int64_t fallback); /* a real is truncated */
double json_real(const struct json *node, double fallback) __asm__("rt_json_real");
/* Walk an object: `for (void *it = json_first(o); it; it = json_next(o, it))`. */
void *json_first(const struct json *object);
void *json_next(const struct json *object, void *at);
const char *json_key(void *at);
const struct json *json_value(void *at);

struct json_writer {
	struct buf *out;
	uint32_t depth;
	bool comma; /* a value stands before this place */
};

void json_writer_init(struct json_writer *w, struct buf *out);
/* jansson exports json_object and json_array too: ours have other names for the linker, or each
 * program would put its own in the place of those that jansson calls. */
void json_object(struct json_writer *w) __asm__("rt_json_object");
void json_object_end(struct json_writer *w);
void json_array(struct json_writer *w) __asm__("rt_json_array");
void json_array_end(struct json_writer *w);
void json_key_write(struct json_writer *w, const char *key);
void json_write_text(struct json_writer *w, struct span text);
void json_write_int(struct json_writer *w, int64_t value);
void json_write_real(struct json_writer *w, double value); /* shortest form; null when not finite */
void json_write_bool(struct json_writer *w, bool value);
void json_write_null(struct json_writer *w);
void json_write_raw(struct json_writer *w, struct span json);         /* already JSON */
void json_write_node(struct json_writer *w, const struct json *node); /* a parsed tree again */
/* key and value in one call */
void json_put_text(struct json_writer *w, const char *key, struct span text);
void json_put_int(struct json_writer *w, const char *key, int64_t value);
void json_put_real(struct json_writer *w, const char *key, double value);
void json_put_bool(struct json_writer *w, const char *key, bool value);
void json_put_null(struct json_writer *w, const char *key);

#endif
