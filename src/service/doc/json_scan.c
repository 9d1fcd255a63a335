#include "doc/json_scan.h"

#include "base/assert.h"
#include "base/size.h"
#include "base/utf8.h"

/* What may come next outside strings. */
enum {
	NEXT_VALUE,
	NEXT_VALUE_OR_END, /* after [ */
	NEXT_KEY_OR_END,   /* after { */
	NEXT_KEY,          /* after , in an object */
	NEXT_COLON,
	NEXT_COMMA_OR_END,
	NEXT_TOP, /* between values of depth 0 */
	IN_LITERAL,
	IN_STRING,
};

enum { STRING_PLAIN, STRING_ESCAPE, STRING_UNICODE };

void json_scan_init(struct json_scan *s, json_event_fn *visit, void *context, uint64_t at,
		    uint64_t line)
{
	*s = (struct json_scan){.visit = visit, .context = context, .at = at, .line = line};
	s->state = NEXT_TOP;
}

static void refuse(struct json_scan *s, const char *why)
{
	if (s->fault.code == ST_OK)
		fault_set(&s->fault, ST_INVALID, "not valid JSON: %s in line %llu", why,
			  (unsigned long long)s->line);
}

static void value_done(struct json_scan *s)
{
	s->state = s->depth == 0 ? NEXT_TOP : NEXT_COMMA_OR_END;
}

/* ---- strings ---- */

static void string_piece(struct json_scan *s, struct span text, uint64_t from)
{
	if (!s->string_is_key) {
		s->visit(s->context, JSON_EVENT_PIECE, text, from, s->at);
		return;
	}
	size_t room = sizeof(s->key) - s->key_bytes;
	size_t bytes = text.bytes <= room ? text.bytes : utf8_floor(text, room);
	memcpy(s->key + s->key_bytes, text.data, bytes);
	s->key_bytes += bytes;
}

static void string_point(struct json_scan *s, uint32_t point)
{
	char text[UTF8_BYTES_MAX];
	bool control = point < 0x20 && point != '\n' && point != '\t';
	size_t bytes = utf8_encode(control ? ' ' : point, text);
	string_piece(s, (struct span){text, bytes}, s->at - 1);
}

/* A high surrogate that no low one followed. */
static void surrogate_drop(struct json_scan *s)
{
	if (s->surrogate != 0)
		string_point(s, UTF8_REPLACEMENT);
	s->surrogate = 0;
}

static void string_escape(struct json_scan *s, char c)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/  \n\n\t";
	s->string_state = STRING_PLAIN;
	if (c == 'u') {
		s->string_state = STRING_UNICODE;
		s->unit = s->digits = 0;
		return;
	}
	const char *found = c != '\0' ? strchr(from, c) : NULL;
	if (found == NULL) {
		refuse(s, "an unknown escape");
		return;
	}
	surrogate_drop(s);
	string_point(s, (uint32_t)to[found - from]);
}

static void string_unicode(struct json_scan *s, char c)
{
	uint32_t digit = c >= '0' && c <= '9'                 ? (uint32_t)(c - '0')
			 : (c | 32) >= 'a' && (c | 32) <= 'f' ? (uint32_t)((c | 32) - 'a' + 10)
							      : 16;
	if (digit == 16) {
		refuse(s, "a \\u escape without four digits");
		return;
	}
	s->unit = s->unit << 4 | digit;
	if (++s->digits < 4)
		return;
	s->string_state = STRING_PLAIN;
	if (s->unit >= 0xDC00 && s->unit < 0xE000 && s->surrogate != 0) {
		string_point(s, 0x10000 + ((s->surrogate - 0xD800) << 10) + (s->unit - 0xDC00));
		s->surrogate = 0;
		return;
	}
	surrogate_drop(s);
	if (s->unit >= 0xD800 && s->unit < 0xDC00)
		s->surrogate = s->unit;
	else
		string_point(s, s->unit);
}

static void string_begin(struct json_scan *s, bool key)
{
	s->state = IN_STRING;
	s->string_state = STRING_PLAIN;
	s->string_is_key = key;
	s->key_bytes = 0;
	if (!key)
		s->visit(s->context, JSON_EVENT_STRING, SPAN(""), s->at, s->at);
}

static void string_end(struct json_scan *s)
{
	surrogate_drop(s);
	if (s->string_is_key) {
		struct span key = {s->key, s->key_bytes};
		s->visit(s->context, JSON_EVENT_KEY, key, s->at, s->at);
		s->state = NEXT_COLON;
	} else {
		s->visit(s->context, JSON_EVENT_STRING_END, SPAN(""), s->at, s->at + 1);
		value_done(s);
	}
}

/* As much of text as is plain; returns the bytes taken, 0 when the first one means something. */
static size_t string_plain(struct json_scan *s, struct span text)
{
	size_t bytes = 0;
	for (; bytes < text.bytes && text.data[bytes] != '"' && text.data[bytes] != '\\'; bytes++)
		s->line += text.data[bytes] == '\n';
	if (bytes == 0)
		return 0;
	surrogate_drop(s);
	uint64_t from = s->at;
	s->at += bytes;
	string_piece(s, span_slice(text, 0, bytes), from);
	return bytes;
}

/* ---- structure ---- */

static void container_open(struct json_scan *s, bool object)
{
	if (s->depth == JSON_SCAN_DEPTH) {
		refuse(s, "nesting deeper than 256 levels");
		return;
	}
	s->is_object[s->depth++] = object;
	s->visit(s->context, JSON_EVENT_OPEN, object ? SPAN("{") : SPAN("["), s->at, s->at + 1);
	s->state = object ? NEXT_KEY_OR_END : NEXT_VALUE_OR_END;
}

static void container_close(struct json_scan *s, bool object)
{
	if (s->depth == 0 || s->is_object[s->depth - 1] != object) {
		refuse(s, "a bracket that was not opened");
		return;
	}
	s->depth--;
	s->visit(s->context, JSON_EVENT_CLOSE, object ? SPAN("}") : SPAN("]"), s->at, s->at + 1);
	value_done(s);
}

static bool is_literal_byte(char c)
{
	return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '+' ||
	       c == '-' || c == '.';
}

static bool is_literal(struct span text)
{
	if (span_equal(text, SPAN("true")) || span_equal(text, SPAN("false")) ||
	    span_equal(text, SPAN("null")) || span_equal(text, SPAN("NaN")) ||
	    span_equal(text, SPAN("Infinity")) || span_equal(text, SPAN("-Infinity")))
		return true;
	for (size_t i = 0; i < text.bytes; i++) {
		if (memchr("0123456789+-.eE", text.data[i], 15) == NULL)
			return false;
	}
	return text.bytes > 0 &&
	       (text.data[0] == '-' || (text.data[0] >= '0' && text.data[0] <= '9'));
}

static void literal_end(struct json_scan *s)
{
	struct span text = {s->literal, s->literal_bytes};
	if (!is_literal(text)) {
		refuse(s, "a word that is no value");
		return;
	}
	s->visit(s->context, JSON_EVENT_LITERAL, text, s->literal_from, s->at);
	value_done(s);
}

static void literal_add(struct json_scan *s, char c)
{
	if (s->literal_bytes == sizeof(s->literal))
		refuse(s, "a word that is no value");
	else
		s->literal[s->literal_bytes++] = c;
}

static void value_begin(struct json_scan *s, char c)
{
	if (c == '{' || c == '[') {
		container_open(s, c == '{');
	} else if (c == '"') {
		string_begin(s, false);
	} else if (is_literal_byte(c)) {
		s->state = IN_LITERAL;
		s->literal_bytes = 0;
		s->literal_from = s->at;
		literal_add(s, c);
	} else {
		refuse(s, "a value is missing");
	}
}

/* One byte outside strings and literals that is not white space. */
static void structure(struct json_scan *s, char c)
{
	switch (s->state) {
	case NEXT_VALUE_OR_END:
		if (c == ']')
			container_close(s, false);
		else
			value_begin(s, c);
		break;
	case NEXT_KEY_OR_END:
	case NEXT_KEY:
		if (c == '}' && s->state == NEXT_KEY_OR_END)
			container_close(s, true);
		else if (c == '"')
			string_begin(s, true);
		else
			refuse(s, "a key is missing");
		break;
	case NEXT_COLON:
		s->state = NEXT_VALUE;
		if (c != ':')
			refuse(s, "a colon is missing");
		break;
	case NEXT_COMMA_OR_END:
		if (c == ',')
			s->state = s->is_object[s->depth - 1] ? NEXT_KEY : NEXT_VALUE;
		else if (c == '}' || c == ']')
			container_close(s, c == '}');
		else
			refuse(s, "a comma is missing");
		break;
	default:
		value_begin(s, c);
		break;
	}
}

static void string_byte(struct json_scan *s, char c)
{
	if (s->string_state == STRING_ESCAPE)
		string_escape(s, c);
	else if (s->string_state == STRING_UNICODE)
		string_unicode(s, c);
	else if (c == '\\')
		s->string_state = STRING_ESCAPE;
	else
		string_end(s);
}

void json_scan_feed(struct json_scan *s, struct span text)
{
	for (size_t i = 0; i < text.bytes && s->fault.code == ST_OK;) {
		char c = text.data[i];
		if (s->state == IN_STRING) {
			size_t bytes = s->string_state == STRING_PLAIN
					       ? string_plain(s, span_slice(text, i, text.bytes))
					       : 0;
			if (bytes > 0) {
				i += bytes;
				continue;
			}
			string_byte(s, c);
		} else if (s->state == IN_LITERAL && is_literal_byte(c)) {
			literal_add(s, c);
		} else {
			if (s->state == IN_LITERAL)
				literal_end(s);
			if (c == '\n')
				s->line++;
			else if (c != ' ' && c != '\t' && c != '\r' && s->fault.code == ST_OK)
				structure(s, c);
		}
		i++;
		s->at++;
	}
}

status json_scan_end(struct json_scan *s, struct fault *reterr)
{
	if (s->fault.code == ST_OK && s->state == IN_LITERAL)
		literal_end(s);
	if (s->fault.code == ST_OK && s->state != NEXT_TOP)
		refuse(s, "the end of the file");
	if (s->fault.code != ST_OK && reterr != NULL)
		*reterr = s->fault;
	return s->fault.code;
}
