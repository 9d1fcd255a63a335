/* HTML through libxml2's parser, as events: no tree is built, so memory does not follow the file.
 * Nothing is ever fetched: the parser has no network and no entity loader to use, and the process
 * that runs it could not open a file either.
 *
 * What comes out is the text form: headings, paragraphs, list items ("- x") and table rows ("a |
 * b") on lines of their own, a blank line between paragraphs. */
#include <libxml/HTMLparser.h>
#include <libxml/xmlerror.h>
#include <stdlib.h>

#include "base/size.h"
#include "base/utf8.h"
#include "doc/cut.h"
#include "doc/parse.h"

enum {
	TITLE_BYTES = 512,
	HEADING_BYTES = 1024,
	HEADER_BYTES = CHUNKER_LABEL_BYTES,
	DEPTH_MAX = 20000,
	LONG_ROW_BYTES = 400,
	END_TAG_BYTES = 6
};

enum role {
	ROLE_INLINE,
	ROLE_BLOCK,
	ROLE_SKIP, /* it and all inside is no text */
	ROLE_HEAD,
	ROLE_TITLE,
	ROLE_BODY,
	ROLE_HEADING,
	ROLE_ITEM,
	ROLE_PRE,
	ROLE_TABLE,
	ROLE_ROW,
	ROLE_CELL,
	ROLE_HEADER_CELL,
	ROLE_BREAK,
};

/* Sorted by name. */
static const struct role_name {
	const char *name;
	enum role role;
} ROLES[] = {
	{"address", ROLE_BLOCK},    {"article", ROLE_BLOCK},    {"aside", ROLE_BLOCK},
	{"blockquote", ROLE_BLOCK}, {"body", ROLE_BODY},        {"br", ROLE_BREAK},
	{"button", ROLE_SKIP},      {"canvas", ROLE_SKIP},      {"caption", ROLE_BLOCK},
	{"center", ROLE_BLOCK},     {"dd", ROLE_BLOCK},         {"details", ROLE_BLOCK},
	{"div", ROLE_BLOCK},        {"dl", ROLE_BLOCK},         {"dt", ROLE_BLOCK},
	{"fieldset", ROLE_BLOCK},   {"figcaption", ROLE_BLOCK}, {"figure", ROLE_BLOCK},
	{"footer", ROLE_BLOCK},     {"form", ROLE_BLOCK},       {"h1", ROLE_HEADING},
	{"h2", ROLE_HEADING},       {"h3", ROLE_HEADING},       {"h4", ROLE_HEADING},
	{"h5", ROLE_HEADING},       {"h6", ROLE_HEADING},       {"head", ROLE_HEAD},
	{"header", ROLE_BLOCK},     {"hr", ROLE_BLOCK},         {"iframe", ROLE_SKIP},
	{"legend", ROLE_BLOCK},     {"li", ROLE_ITEM},          {"main", ROLE_BLOCK},
	{"math", ROLE_SKIP},        {"nav", ROLE_SKIP},         {"noframes", ROLE_SKIP},
	{"noscript", ROLE_SKIP},    {"object", ROLE_SKIP},      {"ol", ROLE_BLOCK},
	{"p", ROLE_BLOCK},          {"pre", ROLE_PRE},          {"script", ROLE_SKIP},
	{"section", ROLE_BLOCK},    {"select", ROLE_SKIP},      {"style", ROLE_SKIP},
	{"summary", ROLE_BLOCK},    {"svg", ROLE_SKIP},         {"table", ROLE_TABLE},
	{"tbody", ROLE_BLOCK},      {"td", ROLE_CELL},          {"template", ROLE_SKIP},
	{"textarea", ROLE_SKIP},    {"tfoot", ROLE_BLOCK},      {"th", ROLE_HEADER_CELL},
	{"thead", ROLE_BLOCK},      {"title", ROLE_TITLE},      {"tr", ROLE_ROW},
	{"ul", ROLE_BLOCK},
};

/* A few words kept aside while their element is open. */
struct aside {
	char text[HEADING_BYTES];
	size_t bytes;
	bool open;
};

struct html {
	struct chunker *out;
	htmlParserCtxtPtr context;
	uint32_t depth, skip_depth; /* skip_depth: depth of the element that is skipped, 0 = none */
	struct aside title, heading, header;
	uint32_t heading_level;
	bool blank; /* white space is due before the next word */
	bool pre;
	bool unit_before;  /* something stands in the text form already */
	size_t unit_bytes; /* of the unit at hand */
	bool item;         /* the next unit is a list item */
	bool row;          /* inside a row of a table */
	bool row_header;   /* all its cells so far are header cells */
	uint32_t cells;
	bool table_started, cell_due;

	parse_pull_fn *pull;
	void *pull_context;
	struct span piece; /* pulled and not read yet */
	size_t match;
	int match_tag;
};

static int compare_role(const void *name, const void *entry)
{
	return strcmp(name, ((const struct role_name *)entry)->name);
}

static enum role role_of(const xmlChar *name)
{
	const struct role_name *found =
		bsearch(name, ROLES, ARRAY_COUNT(ROLES), sizeof(ROLES[0]), compare_role);
	return found != NULL ? found->role : ROLE_INLINE;
}

/* ---- text ---- */

static void aside_add(struct aside *a, struct span text)
{
	size_t room = sizeof(a->text) - a->bytes;
	size_t bytes = text.bytes <= room ? text.bytes : utf8_floor(text, room);
	memcpy(a->text + a->bytes, text.data, bytes);
	a->bytes += bytes;
}

static struct span aside_span(const struct aside *a)
{
	return cut_trim((struct span){a->text, a->bytes});
}

static void unit_end(struct html *h)
{
	if (chunker_in_unit(h->out))
		chunker_end(h->out);
	h->blank = false;
}

static void unit_begin(struct html *h, enum unit_kind kind, bool tight)
{
	if (h->unit_before)
		chunker_gap(h->out, tight ? SPAN("\n") : SPAN("\n\n"));
	chunker_begin(h->out, kind);
	h->unit_before = true;
	h->unit_bytes = 0;
}

/* What stands before the first word of a block, a list item or a cell. */
static void word_prepare(struct html *h)
{
	if (!chunker_in_unit(h->out)) {
		bool lines = h->row || h->pre || h->item;
		enum unit_kind kind = h->row && h->row_header && !h->table_started ? UNIT_TABLE_HEAD
				      : lines                                      ? UNIT_LINES
										   : UNIT_PARAGRAPH;
		unit_begin(h, kind, h->item || (h->row && h->table_started));
		if (h->item)
			chunker_add(h->out, SPAN("- "));
		h->item = false;
	} else if (h->cell_due) {
		chunker_add(h->out, SPAN(" | "));
		aside_add(&h->header, SPAN(" | "));
	} else if (h->blank) {
		chunker_add(h->out, SPAN(" "));
		aside_add(&h->header, SPAN(" "));
	}
	h->cell_due = h->blank = false;
}

static void word_add(struct html *h, struct span word)
{
	struct aside *a = h->title.open ? &h->title : h->heading.open ? &h->heading : NULL;
	if (a != NULL) {
		if (h->blank)
			aside_add(a, SPAN(" "));
		h->blank = false;
		aside_add(a, word);
		return;
	}
	word_prepare(h);
	chunker_add(h->out, word);
	h->unit_bytes += word.bytes;
	if (h->row && h->row_header)
		aside_add(&h->header, word);
}

/* The length of the blank at `at`, 0 when there is none. No-break spaces fill empty cells and pull
 * words apart; as text they are blanks like others. */
static size_t blank_bytes(struct span text, size_t at)
{
	char c = text.data[at];
	if (c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f')
		return 1;
	return span_starts_with(span_slice(text, at, text.bytes), SPAN("\xC2\xA0")) ? 2 : 0;
}

static void on_characters(void *context, const xmlChar *data, int bytes)
{
	struct html *h = context;
	struct span text = {(const char *)data, (size_t)bytes};
	if (h->skip_depth != 0 && !h->title.open)
		return;
	if (h->pre && !h->heading.open && !h->title.open) {
		if (chunker_in_unit(h->out) || cut_trim(text).bytes > 0) {
			word_prepare(h);
			chunker_add(h->out, text);
		}
		return;
	}
	for (size_t at = 0; at < text.bytes;) {
		size_t blank = blank_bytes(text, at), end = at;
		h->blank = h->blank || blank > 0;
		while (blank == 0 && end < text.bytes && blank_bytes(text, end) == 0)
			end++;
		if (end > at)
			word_add(h, span_slice(text, at, end));
		at = blank > 0 ? at + blank : end;
	}
}

/* ---- elements ---- */

/* The border of a block inside a row is white space, unless the row is long already: tables that
 * lay out a page hold whole articles in one cell. (The text form must not depend on the size of
 * passages, so the chunker is not asked.) */
static void block_border(struct html *h)
{
	if (h->row && h->unit_bytes < LONG_ROW_BYTES)
		h->blank = true;
	else
		unit_end(h);
}

static void row_end(struct html *h)
{
	unit_end(h);
	if (h->row && h->row_header && h->cells > 1 && !h->table_started)
		chunker_context(h->out, aside_span(&h->header));
	h->table_started = h->table_started || h->cells > 0;
	h->row = h->cell_due = false;
}

static void row_begin(struct html *h)
{
	row_end(h);
	h->row = true;
	h->row_header = true;
	h->cells = 0;
	h->header.bytes = 0;
}

static void heading_end(struct html *h)
{
	h->heading.open = false;
	h->blank = false;
	struct span text = aside_span(&h->heading);
	h->heading.bytes = 0;
	if (text.bytes == 0)
		return;
	chunker_heading(h->out, h->heading_level, text);
	unit_begin(h, UNIT_HEADING, false);
	chunker_add(h->out, text);
	chunker_end(h->out);
}

static void element_open(struct html *h, enum role role, const char *name)
{
	switch (role) {
	case ROLE_BREAK:
		if (h->pre && chunker_in_unit(h->out))
			chunker_add(h->out, SPAN("\n"));
		h->blank = true;
		break;
	case ROLE_HEADING:
		unit_end(h);
		h->row = false;
		h->heading.open = true;
		h->heading.bytes = 0;
		h->heading_level = (uint32_t)(name[1] - '0');
		break;
	case ROLE_ITEM:
		block_border(h);
		h->item = !h->row;
		break;
	case ROLE_PRE:
		block_border(h);
		h->pre = true;
		break;
	case ROLE_TABLE:
		unit_end(h);
		chunker_table(h->out);
		h->row = h->table_started = false;
		break;
	case ROLE_ROW:
		row_begin(h);
		break;
	case ROLE_CELL:
	case ROLE_HEADER_CELL:
		if (!h->row)
			row_begin(h);
		h->cell_due = h->cells++ > 0;
		h->row_header = h->row_header && role == ROLE_HEADER_CELL;
		break;
	case ROLE_BLOCK:
	case ROLE_BODY:
		block_border(h);
		break;
	case ROLE_INLINE:
	case ROLE_SKIP:
	case ROLE_HEAD:
	case ROLE_TITLE:
		break;
	}
}

static void element_close(struct html *h, enum role role)
{
	switch (role) {
	case ROLE_HEADING:
		if (h->heading.open)
			heading_end(h);
		break;
	case ROLE_ITEM:
		block_border(h);
		h->item = false;
		break;
	case ROLE_PRE:
		h->pre = false;
		block_border(h);
		break;
	case ROLE_TABLE:
		row_end(h);
		h->table_started = false;
		chunker_context(h->out, SPAN(""));
		break;
	case ROLE_ROW:
		row_end(h);
		break;
	case ROLE_BLOCK:
	case ROLE_BODY:
		block_border(h);
		break;
	case ROLE_INLINE:
	case ROLE_SKIP:
	case ROLE_HEAD:
	case ROLE_TITLE:
	case ROLE_BREAK:
	case ROLE_CELL:
	case ROLE_HEADER_CELL:
		break;
	}
}

static void on_open(void *context, const xmlChar *name, const xmlChar **attributes)
{
	struct html *h = context;
	enum role role = role_of(name);
	(void)attributes;
	h->depth++;
	if (h->depth > DEPTH_MAX) {
		struct fault fault;
		fault_set(&fault, ST_INVALID, "the page nests more than %d elements", DEPTH_MAX);
		chunker_fail(h->out, &fault);
		xmlStopParser(h->context);
		return;
	}
	if (role == ROLE_BODY)
		h->skip_depth = 0;
	if (role == ROLE_TITLE && h->title.bytes == 0) {
		h->title.open = true;
		h->blank = false;
	}
	if (h->skip_depth == 0 && (role == ROLE_SKIP || role == ROLE_HEAD || role == ROLE_TITLE))
		h->skip_depth = h->depth;
	if (h->skip_depth == 0)
		element_open(h, role, (const char *)name);
}

static void on_close(void *context, const xmlChar *name)
{
	struct html *h = context;
	enum role role = role_of(name);
	if (role == ROLE_TITLE && h->title.open) {
		h->title.open = false;
		chunker_title(h->out, aside_span(&h->title));
		h->blank = false;
	}
	if (h->skip_depth == 0)
		element_close(h, role);
	else if (h->depth <= h->skip_depth)
		h->skip_depth = 0;
	h->depth -= h->depth > 0;
}

/* ---- parser ---- */

/* libxml2 stops at </html>, and closes the body at </body>; browsers go on, and real pages have
 * text behind both. So the last letter of these tags is changed, which makes them unknown ones, to
 * be passed over. h->match: how much of such a tag the bytes before this one are. */
static char end_tag_defuse(struct html *h, char c)
{
	static const char tags[2][END_TAG_BYTES + 1] = {"</html", "</body"};
	char lower = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
	if (h->match == 2)
		h->match_tag = lower == 'b';
	if (h->match > 0 && lower == tags[h->match_tag][h->match])
		h->match++;
	else
		h->match = c == '<';
	if (h->match < END_TAG_BYTES)
		return c;
	h->match = 0;
	return 'x';
}

/* Fill what is asked for: after a short read libxml2 takes the end of the buffer for the end of a
 * word. */
static int on_read(void *context, char *into, int bytes_max)
{
	struct html *h = context;
	size_t filled = 0, room = (size_t)bytes_max;
	while (filled < room) {
		if (h->piece.bytes == 0 && chunker_failed(h->out, NULL) == ST_OK)
			h->piece = h->pull(h->pull_context);
		size_t bytes = size_min(h->piece.bytes, room - filled);
		if (bytes == 0)
			break;
		for (size_t i = 0; i < bytes; i++)
			into[filled + i] = end_tag_defuse(h, h->piece.data[i]);
		h->piece = span_slice(h->piece, bytes, h->piece.bytes);
		filled += bytes;
	}
	return (int)filled;
}

/* libxml2's push parser of Debian 12 waits for the end of the input once it has met an attribute,
 * so the page is pulled. */
static void html_drain(void *state, parse_pull_fn *pull, void *context)
{
	struct html *h = state;
	h->pull = pull;
	h->pull_context = context;
	int options = HTML_PARSE_RECOVER | HTML_PARSE_NONET | HTML_PARSE_NOERROR |
		      HTML_PARSE_NOWARNING | HTML_PARSE_IGNORE_ENC;
	htmlDocPtr doc = htmlCtxtReadIO(h->context, on_read, NULL, h, NULL, "UTF-8", options);
	if (h->context->lastError.code == XML_ERR_NO_MEMORY) {
		struct fault fault;
		fault_set(&fault, ST_LIMIT, "the page needs more memory than the limit");
		chunker_fail(h->out, &fault);
	}
	xmlFreeDoc(doc);
	if (h->heading.open)
		heading_end(h);
	unit_end(h);
}

static void html_close(void *state)
{
	struct html *h = state;
	htmlFreeParserCtxt(h->context);
}

static void ignore_error(void *context, const char *format, ...)
{
	(void)context;
	(void)format;
}

status parse_html_init(struct mem_scope *scope, struct chunker *chunker, struct parser *ret_parser,
		       struct fault *reterr)
{
	struct html *h = mem_new(scope, struct html);
	if (h == NULL)
		return fault_set(reterr, mem_refusal(), "no memory to parse the page");
	h->out = chunker;
	h->context = htmlNewParserCtxt();
	if (h->context == NULL)
		return fault_set(reterr, ST_OOM, "no memory to parse the page");
	*h->context->sax = (htmlSAXHandler){
		.startElement = on_open,
		.endElement = on_close,
		.characters = on_characters,
		.ignorableWhitespace = on_characters,
		.warning = ignore_error,
		.error = ignore_error,
	};
	h->context->userData = h;
	status st = mem_on_close(scope, html_close, h);
	if (st != ST_OK) {
		html_close(h);
		return fault_set(reterr, st, "no memory to parse the page");
	}
	*ret_parser = (struct parser){.state = h, .drain = html_drain};
	return ST_OK;
}
