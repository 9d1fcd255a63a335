/* JSON: every value below the outermost array, or the outermost object, is a unit, rendered as
 * lines "key.key: value". A file of any size streams.
 *
 * JSON lines: every line is a value. An object with "id" and "text" is a document of its own, and
 * its text goes through the plain-text parser with offsets from 0; anything else is rendered as
 * above, one unit a line. A line is looked at twice, since its keys may come in any order. */
#include "base/size.h"
#include "base/utf8.h"
#include "doc/cut.h"
#include "doc/dialect.h"
#include "doc/json_scan.h"
#include "doc/parse.h"
#include "rt/buf.h"

enum { PATH_BYTES = 1024, ID_BYTES = CHUNKER_LABEL_BYTES };

/* ---- rendering ---- */

struct render {
	struct chunker *out;
	bool lines; /* a unit is a whole value of depth 0 */
	char path[PATH_BYTES];
	size_t path_bytes;                /* of the value at hand */
	size_t base[JSON_SCAN_DEPTH + 1]; /* path_bytes of the container at each depth */
	bool is_array[JSON_SCAN_DEPTH];
	uint32_t depth, arrays;
	bool begun, listed; /* listed: the last value was of the same array */
	bool string_begun;
};

/* The value at hand is complete. */
static void value_end(struct render *r)
{
	bool element = r->depth > 0 && r->is_array[r->depth - 1];
	bool unit = r->lines ? r->depth == 0 : r->depth <= 1 || (element && r->arrays == 1);
	if (unit && r->begun) {
		chunker_mark(r->out, SPAN("\n"));
		chunker_end(r->out);
		r->begun = false;
	}
	r->path_bytes = r->base[r->depth];
}

/* "path: " before a value, or ", " between the values of a list. */
static void value_begin(struct render *r, uint64_t from)
{
	struct span path = {r->path, r->path_bytes};
	bool element = r->depth > 0 && r->is_array[r->depth - 1];
	if (!r->begun) {
		chunker_begin(r->out, dialect_is_question(path) ? UNIT_RECORD : UNIT_LINES);
		r->begun = true;
	} else if (element && r->listed) {
		chunker_mark(r->out, SPAN(", "));
		return;
	} else {
		chunker_mark(r->out, SPAN("\n"));
	}
	if (path.bytes > 0) {
		chunker_add_from(r->out, path, from, from);
		chunker_mark(r->out, SPAN(": "));
	}
	r->listed = element;
}

static void container_open(struct render *r, bool array)
{
	r->is_array[r->depth] = array;
	r->arrays += array;
	r->base[++r->depth] = r->path_bytes;
	r->listed = false;
}

static void container_close(struct render *r)
{
	r->depth--;
	r->arrays -= r->is_array[r->depth];
	r->listed = false;
	value_end(r);
}

static void key_set(struct render *r, struct span key)
{
	r->path_bytes = r->base[r->depth];
	size_t dot = r->path_bytes > 0;
	if (r->path_bytes + dot + key.bytes > sizeof(r->path))
		return;
	if (dot != 0)
		r->path[r->path_bytes++] = '.';
	for (size_t i = 0; i < key.bytes; i++)
		r->path[r->path_bytes++] = (unsigned char)key.data[i] < ' ' ? ' ' : key.data[i];
	r->listed = false;
}

static void render_event(void *context, enum json_event event, struct span text, uint64_t from,
			 uint64_t to)
{
	struct render *r = context;
	switch (event) {
	case JSON_EVENT_OPEN:
		container_open(r, text.data[0] == '[');
		break;
	case JSON_EVENT_CLOSE:
		container_close(r);
		break;
	case JSON_EVENT_KEY:
		key_set(r, text);
		break;
	case JSON_EVENT_STRING:
		r->string_begun = false;
		break;
	case JSON_EVENT_PIECE:
		if (!r->string_begun)
			value_begin(r, from);
		r->string_begun = true;
		chunker_add_from(r->out, text, from, to);
		break;
	case JSON_EVENT_STRING_END:
		value_end(r);
		break;
	case JSON_EVENT_LITERAL:
		if (!span_equal(text, SPAN("null"))) {
			value_begin(r, from);
			chunker_add_from(r->out, text, from, to);
		}
		value_end(r);
		break;
	}
}

/* ---- one JSON text ---- */

struct json_parser {
	struct chunker *out;
	struct json_scan scan;
	struct render render;
};

static void json_feed(void *state, struct span text)
{
	struct json_parser *p = state;
	json_scan_feed(&p->scan, text);
	if (p->scan.fault.code != ST_OK)
		chunker_fail(p->out, &p->scan.fault);
}

static void json_end(void *state)
{
	struct json_parser *p = state;
	struct fault fault;
	if (json_scan_end(&p->scan, &fault) != ST_OK)
		chunker_fail(p->out, &fault);
	if (p->render.begun)
		chunker_end(p->out);
}

/* ---- JSON lines ---- */

/* Which key's value is being read, at depth 1. */
enum field { FIELD_ID, FIELD_TITLE, FIELD_TEXT, FIELDS, FIELD_OTHER };

struct record_parser {
	struct chunker *out;
	struct render render;
	struct json_scan scan;
	struct parser text_parser;
	struct buf line; /* a line that came in pieces */
	uint64_t line_from, line_number;
	struct buf fields[FIELDS];
	bool present[FIELDS];
	enum field field;
	uint32_t depth;
	bool in_document; /* the last record was a document of its own */
};

static void capture_event(void *context, enum json_event event, struct span text, uint64_t from,
			  uint64_t to)
{
	static const char *const keys[FIELDS] = {"id", "title", "text"};
	struct record_parser *p = context;
	bool member = p->depth == 1 && p->field < FIELDS;
	(void)from;
	(void)to;
	if (event == JSON_EVENT_OPEN) {
		p->depth++;
		p->field = FIELD_OTHER;
	} else if (event == JSON_EVENT_CLOSE) {
		p->depth--;
	} else if (event == JSON_EVENT_KEY && p->depth == 1) {
		p->field = FIELD_OTHER;
		for (size_t i = 0; i < FIELDS; i++) {
			if (span_equal(text, span_of(keys[i])))
				p->field = (enum field)i;
		}
	} else if (event == JSON_EVENT_STRING && member) {
		buf_clear(&p->fields[p->field]);
		p->present[p->field] = true;
	} else if (event == JSON_EVENT_PIECE && member) {
		buf_add(&p->fields[p->field], text);
	} else if (event == JSON_EVENT_LITERAL && member && p->field == FIELD_ID) {
		p->present[FIELD_ID] = buf_add(&p->fields[FIELD_ID], text);
	}
}

static void record_refuse(struct record_parser *p, status code, const char *why)
{
	struct fault fault;
	fault_set(&fault, code, "line %llu: %s", (unsigned long long)p->line_number, why);
	chunker_fail(p->out, &fault);
}

static void record_document(struct record_parser *p)
{
	const struct buf *id = &p->fields[FIELD_ID];
	if (id->refused == ST_LIMIT)
		record_refuse(p, ST_INVALID, "its id is longer than 1024 bytes");
	else if (id->refused != ST_OK || p->fields[FIELD_TEXT].refused != ST_OK)
		record_refuse(p, ST_LIMIT, "its text needs more memory than the limit");
	else {
		chunker_document(p->out, buf_span(id), buf_span(&p->fields[FIELD_TITLE]));
		p->text_parser.feed(p->text_parser.state, buf_span(&p->fields[FIELD_TEXT]));
		p->text_parser.end(p->text_parser.state);
		p->in_document = true;
	}
}

static void record_line(struct record_parser *p, struct span line, uint64_t from)
{
	p->line_number++;
	if (cut_trim(line).bytes == 0)
		return;
	for (size_t i = 0; i < FIELDS; i++) {
		buf_clear(&p->fields[i]);
		p->present[i] = false;
	}
	p->field = FIELD_OTHER;
	p->depth = 0;
	json_scan_init(&p->scan, capture_event, p, from, p->line_number);
	json_scan_feed(&p->scan, line);
	struct fault fault;
	if (json_scan_end(&p->scan, &fault) != ST_OK) {
		chunker_fail(p->out, &fault);
		return;
	}
	if (p->present[FIELD_ID] && p->present[FIELD_TEXT]) {
		record_document(p);
		return;
	}
	if (p->in_document)
		chunker_document(p->out, SPAN(""), SPAN(""));
	p->in_document = false;
	json_scan_init(&p->scan, render_event, &p->render, from, p->line_number);
	json_scan_feed(&p->scan, line);
	if (json_scan_end(&p->scan, &fault) != ST_OK)
		chunker_fail(p->out, &fault);
}

static void record_feed(void *state, struct span text)
{
	struct record_parser *p = state;
	while (text.bytes > 0 && chunker_failed(p->out, NULL) == ST_OK) {
		const char *feed = memchr(text.data, '\n', text.bytes);
		size_t bytes = feed != NULL ? (size_t)(feed - text.data) : text.bytes;
		struct span part = span_slice(text, 0, bytes);
		bool whole = feed != NULL && p->line.bytes == 0;
		if (!whole && !buf_add(&p->line, part)) {
			p->line_number++;
			record_refuse(p, ST_LIMIT,
				      "longer than 32 MiB, or than the memory there is");
			return;
		}
		if (feed != NULL) {
			struct span line = whole ? part : buf_span(&p->line);
			record_line(p, line, p->line_from);
			p->line_from += line.bytes + 1;
			buf_clear(&p->line);
		}
		text = span_slice(text, bytes + (feed != NULL), text.bytes);
	}
}

static void record_end(void *state)
{
	struct record_parser *p = state;
	if (p->line.bytes > 0 && chunker_failed(p->out, NULL) == ST_OK)
		record_line(p, buf_span(&p->line), p->line_from);
}

static status record_init(struct mem_scope *scope, struct chunker *chunker,
			  struct parser *ret_parser, struct fault *reterr)
{
	struct record_parser *p = mem_new(scope, struct record_parser);
	if (p == NULL)
		return fault_set(reterr, mem_refusal(), "no memory to parse JSON lines");
	p->out = p->render.out = chunker;
	p->render.lines = true;
	p->line_from = chunker_at(chunker);
	buf_init(&p->line, scope, PARSE_RECORD_BYTES);
	buf_init(&p->fields[FIELD_ID], scope, ID_BYTES);
	buf_init(&p->fields[FIELD_TITLE], scope, PARSE_RECORD_BYTES);
	buf_init(&p->fields[FIELD_TEXT], scope, PARSE_RECORD_BYTES);
	status st = parse_text_init(scope, chunker, &p->text_parser, reterr);
	if (st == ST_OK)
		*ret_parser = (struct parser){.state = p, .feed = record_feed, .end = record_end};
	return st;
}

status parse_json_init(struct mem_scope *scope, struct chunker *chunker, bool lines,
		       struct parser *ret_parser, struct fault *reterr)
{
	if (lines)
		return record_init(scope, chunker, ret_parser, reterr);
	struct json_parser *p = mem_new(scope, struct json_parser);
	if (p == NULL)
		return fault_set(reterr, mem_refusal(), "no memory to parse JSON");
	p->out = p->render.out = chunker;
	json_scan_init(&p->scan, render_event, &p->render, chunker_at(chunker), 1);
	*ret_parser = (struct parser){.state = p, .feed = json_feed, .end = json_end};
	return ST_OK;
}
