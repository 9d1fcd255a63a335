/* Markdown, line by line: passages are verbatim bytes of the file, so this looks only for the
 * borders of blocks and leaves inline markup alone. A rendering parser (md4c) gives no byte offsets
 * for blocks, needs the whole file in memory, and is slow on hostile nesting; one state and one
 * line of look-ahead are enough here. */
#include "doc/cut.h"
#include "doc/lines.h"
#include "doc/outline.h"
#include "doc/parse.h"

enum block {
	BLOCK_NONE,
	BLOCK_PARAGRAPH,
	BLOCK_QUOTE,
	BLOCK_LIST,
	BLOCK_FENCE,
	BLOCK_TABLE,
	BLOCK_FRONT
};

struct markdown {
	struct chunker *out;
	struct lines lines;
	enum block block;
	char fence; /* '`' or '~' while inside a fence, which may stand inside a list item */
	size_t fence_length;
	uint32_t indent; /* of the list item's marker */
	bool underline;  /* the next line is the underline of the heading at hand */
	bool started;
};

static void unit_end(struct markdown *m)
{
	if (chunker_in_unit(m->out))
		chunker_end(m->out);
	if (m->block == BLOCK_TABLE)
		chunker_context(m->out, SPAN(""));
	m->block = BLOCK_NONE;
}

static void unit_begin(struct markdown *m, enum block block, enum unit_kind kind,
		       const struct line *line)
{
	if (block != BLOCK_TABLE)
		unit_end(m);
	m->block = block;
	chunker_begin(m->out, kind);
	chunker_add(m->out, line->whole);
}

static uint32_t indent_of(struct span text)
{
	uint32_t columns = 0;
	for (size_t i = 0; i < text.bytes && (text.data[i] == ' ' || text.data[i] == '\t'); i++)
		columns += text.data[i] == '\t' ? 4 : 1;
	return columns;
}

/* The length of a run of three or more ` or ~ that begins the line, 0 when there is none. */
static size_t fence_of(struct span text, char *ret_char)
{
	text = span_trim(text);
	if (text.bytes < 3 || (text.data[0] != '`' && text.data[0] != '~'))
		return 0;
	size_t run = 0;
	while (run < text.bytes && text.data[run] == text.data[0])
		run++;
	/* `code` on one line is no fence. */
	if (run < 3 ||
	    (text.data[0] == '`' && memchr(text.data + run, '`', text.bytes - run) != NULL))
		return 0;
	*ret_char = text.data[0];
	return run;
}

static bool closes_fence(const struct markdown *m, struct span text)
{
	char c = 0;
	size_t run = fence_of(text, &c);
	return run >= m->fence_length && c == m->fence && span_trim(text).bytes == run;
}

/* Made of these characters only, with at least one of the first? */
static bool is_made_of(struct span text, const char *set, size_t *ret_count)
{
	*ret_count = 0;
	for (size_t i = 0; i < text.bytes; i++) {
		if (text.data[i] == '\0' || strchr(set, text.data[i]) == NULL)
			return false;
		*ret_count += text.data[i] == set[0];
	}
	return *ret_count > 0;
}

static bool is_rule(struct span text)
{
	size_t count;
	return indent_of(text) < 4 && ((is_made_of(text, "- \t", &count) && count >= 3) ||
				       (is_made_of(text, "* \t", &count) && count >= 3) ||
				       (is_made_of(text, "_ \t", &count) && count >= 3));
}

/* 1 or 2 when text underlines a heading, else 0. */
static uint32_t underline_level(struct span text)
{
	size_t count;
	struct span trimmed = span_trim(text);
	if (indent_of(text) > 3)
		return 0;
	if (is_made_of(trimmed, "=", &count))
		return 1;
	return is_made_of(trimmed, "-", &count) && count >= 2 ? 2 : 0;
}

static bool is_table_rule(struct span text)
{
	size_t dashes;
	return is_made_of(text, "-|: \t", &dashes) && memchr(text.data, '|', text.bytes) != NULL;
}

static bool has_bar(struct span text)
{
	return memchr(text.data, '|', text.bytes) != NULL;
}

/* Heading text without emphasis, code marks and link targets. */
static struct span plain_heading(struct span text, char *out, size_t room)
{
	size_t bytes = 0;
	bool target = false;
	for (size_t i = 0; i < text.bytes && bytes < room; i++) {
		char c = text.data[i];
		if (target) {
			target = c != ')';
			continue;
		}
		if (c == ']' && i + 1 < text.bytes && text.data[i + 1] == '(') {
			target = true;
			continue;
		}
		if (c != '*' && c != '`' && c != '[' && c != ']')
			out[bytes++] = c;
	}
	return cut_trim((struct span){out, bytes});
}

static void heading_enter(struct markdown *m, uint32_t level, struct span text)
{
	char plain[CHUNKER_LABEL_BYTES];
	struct span name = plain_heading(text, plain, sizeof(plain));
	bool title = level == 1 && !chunker_has_title(m->out);
	unit_end(m);
	if (title)
		chunker_title(m->out, name);
	chunker_heading(m->out, level, title ? SPAN("") : name);
}

/* "title: X" in front matter. */
static void front_title(struct markdown *m, struct span text)
{
	struct span key = SPAN("title:");
	if (!span_starts_with(text, key) || chunker_has_title(m->out))
		return;
	struct span value = span_trim(span_slice(text, key.bytes, text.bytes));
	if (value.bytes >= 2 && (value.data[0] == '"' || value.data[0] == '\'') &&
	    value.data[value.bytes - 1] == value.data[0])
		value = span_slice(value, 1, value.bytes - 1);
	chunker_title(m->out, value);
}

/* Lines inside something that takes all lines until its end. True when the line was taken. */
static bool take_inside(struct markdown *m, const struct line *line)
{
	if (m->underline) {
		m->underline = false;
		chunker_add(m->out, line->whole);
		unit_end(m);
		return true;
	}
	if (m->block == BLOCK_FRONT) {
		chunker_add(m->out, line->whole);
		front_title(m, line->text);
		if (span_equal(span_trim(line->text), SPAN("---")))
			unit_end(m);
		return true;
	}
	if (m->fence != 0) {
		chunker_add(m->out, line->whole);
		if (line->begins && line->ends && closes_fence(m, line->text)) {
			m->fence = 0;
			if (m->block == BLOCK_FENCE)
				unit_end(m);
		}
		return true;
	}
	if (line->begins || !chunker_in_unit(m->out))
		return false;
	chunker_add(m->out, line->whole); /* a further piece of a long line */
	return true;
}

/* The header with the rule below it is a unit, and so is every row. */
static bool take_table(struct markdown *m, const struct line *line, const struct line *next)
{
	if (m->block == BLOCK_TABLE) {
		if (line->blank || !has_bar(line->text)) {
			unit_end(m);
			return false;
		}
		if (!chunker_in_unit(m->out))
			chunker_begin(m->out, UNIT_LINES);
		chunker_add(m->out, line->whole);
		if (line->ends)
			chunker_end(m->out);
		return true;
	}
	if (!has_bar(line->text) || next == NULL || !is_table_rule(next->text))
		return false;
	unit_end(m);
	chunker_table(m->out);
	chunker_context(m->out, line->text);
	unit_begin(m, BLOCK_TABLE, UNIT_TABLE_HEAD, line);
	return true;
}

static bool take_fence(struct markdown *m, const struct line *line)
{
	char c = 0;
	size_t run = fence_of(line->text, &c);
	if (run == 0)
		return false;
	m->fence = c;
	m->fence_length = run;
	if (m->block == BLOCK_LIST && indent_of(line->text) > m->indent)
		chunker_add(m->out, line->whole);
	else
		unit_begin(m, BLOCK_FENCE, UNIT_LINES, line);
	return true;
}

static bool take_heading(struct markdown *m, const struct line *line, const struct line *next)
{
	uint32_t level;
	struct span text;
	if (outline_atx(line->text, &level, &text)) {
		heading_enter(m, level, text);
		unit_begin(m, BLOCK_NONE, UNIT_HEADING, line);
		unit_end(m);
		return true;
	}
	bool paragraph = m->block == BLOCK_NONE && line->ends && indent_of(line->text) < 4;
	level = paragraph && next != NULL && next->ends ? underline_level(next->text) : 0;
	if (level == 0 || line->text.data[0] == '>' ||
	    outline_list_item(line->text, &(uint32_t){0}))
		return false;
	heading_enter(m, level, line->text);
	unit_begin(m, BLOCK_PARAGRAPH, UNIT_HEADING, line);
	m->underline = true;
	return true;
}

static void take_blank(struct markdown *m, const struct line *line, const struct line *next)
{
	bool goes_on = m->block == BLOCK_LIST && next != NULL && !next->blank &&
		       indent_of(next->text) > m->indent + 1;
	if (goes_on) {
		chunker_add(m->out, line->whole);
		return;
	}
	unit_end(m);
	chunker_gap(m->out, line->whole);
}

static void take_rest(struct markdown *m, const struct line *line)
{
	uint32_t indent;
	if (outline_list_item(line->text, &indent)) {
		if (m->block == BLOCK_LIST && indent > m->indent + 1) {
			chunker_add(m->out, line->whole);
		} else {
			unit_begin(m, BLOCK_LIST, UNIT_LINES, line);
			m->indent = indent;
		}
		return;
	}
	bool quote = span_trim(line->text).data[0] == '>';
	if (m->block == BLOCK_NONE || (quote && m->block != BLOCK_QUOTE && m->block != BLOCK_LIST))
		unit_begin(m, quote ? BLOCK_QUOTE : BLOCK_PARAGRAPH,
			   indent_of(line->text) > 3 ? UNIT_LINES : UNIT_PARAGRAPH, line);
	else
		chunker_add(m->out, line->whole);
}

static void line_visit(void *context, const struct line *line, const struct line *next)
{
	struct markdown *m = context;
	bool first = !m->started;
	m->started = m->started || !line->blank;
	if (take_inside(m, line))
		return;
	if (first && span_equal(span_trim(line->text), SPAN("---")) && next != NULL &&
	    !next->blank) {
		unit_begin(m, BLOCK_FRONT, UNIT_LINES, line);
	} else if (line->blank && line->begins && line->ends) {
		take_blank(m, line, next);
	} else if (take_table(m, line, next) || take_fence(m, line) ||
		   take_heading(m, line, next)) {
		return;
	} else if (is_rule(line->text)) {
		unit_end(m);
		chunker_gap(m->out, line->whole);
	} else {
		take_rest(m, line);
	}
}

static void markdown_feed(void *state, struct span text)
{
	struct markdown *m = state;
	lines_feed(&m->lines, text);
}

static void markdown_end(void *state)
{
	struct markdown *m = state;
	lines_end(&m->lines);
	unit_end(m);
}

status parse_markdown_init(struct mem_scope *scope, struct chunker *chunker,
			   struct parser *ret_parser, struct fault *reterr)
{
	struct markdown *m = mem_new(scope, struct markdown);
	if (m == NULL)
		return fault_set(reterr, mem_refusal(), "no memory to parse Markdown");
	m->out = chunker;
	status st = lines_init(&m->lines, scope, line_visit, m, reterr);
	if (st == ST_OK)
		*ret_parser =
			(struct parser){.state = m, .feed = markdown_feed, .end = markdown_end};
	return st;
}
