/* doc/json_scan.h -- JSON as a stream of events, with byte offsets, in constant memory.
 *
 * rt/json.h builds trees, which a file of any size cannot afford; this keeps one bit a level, a key
 * and a literal. Several values one after the other are accepted. Strings arrive in decoded pieces,
 * keys whole (a longer one is cut). Control characters in strings become spaces, but tab and line
 * feed stay.
 *
 * Errors  ST_INVALID with the line; they stick. Nesting is limited to JSON_SCAN_DEPTH. */
#ifndef DOC_JSON_SCAN_H
#define DOC_JSON_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

enum { JSON_SCAN_DEPTH = 256, JSON_SCAN_KEY_BYTES = 256, JSON_SCAN_LITERAL_BYTES = 64 };

enum json_event {
	JSON_EVENT_OPEN,  /* { or [ : text is that byte */
	JSON_EVENT_CLOSE, /* } or ] */
	JSON_EVENT_KEY,
	JSON_EVENT_STRING, /* begins; text is empty */
	JSON_EVENT_PIECE,  /* of the string, from bytes from..to */
	JSON_EVENT_STRING_END,
	JSON_EVENT_LITERAL, /* number, true, false, null */
};

typedef void json_event_fn(void *context, enum json_event event, struct span text, uint64_t from,
			   uint64_t to);

struct json_scan {
	json_event_fn *visit;
	void *context;
	uint64_t at;   /* offset of the next byte */
	uint64_t line; /* 1-based */
	int state, string_state;
	bool string_is_key;
	bool is_object[JSON_SCAN_DEPTH];
	uint32_t depth;
	uint32_t unit, surrogate; /* of a \u escape */
	uint32_t digits;
	char key[JSON_SCAN_KEY_BYTES], literal[JSON_SCAN_LITERAL_BYTES];
	size_t key_bytes, literal_bytes;
	uint64_t literal_from;
	struct fault fault;
};

void json_scan_init(struct json_scan *s, json_event_fn *visit, void *context, uint64_t at,
		    uint64_t line);
void json_scan_feed(struct json_scan *s, struct span text);
/* Nothing follows. */
MUST_CHECK status json_scan_end(struct json_scan *s, struct fault *reterr);

#endif
