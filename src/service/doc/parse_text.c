/* Plain text: blank lines end paragraphs, and so does a line end, unless the lines look wrapped by
 * a program at some column: then they are one paragraph. */
#include "doc/cut.h"
#include "doc/lines.h"
#include "doc/outline.h"
#include "doc/parse.h"

/* Wrapped lines are about this long, in columns (a Han character takes two). */
enum { WRAP_COLUMNS_MIN = 50, WRAP_COLUMNS_MAX = 130 };

struct text_parser {
	struct chunker *out;
	struct lines lines;
	bool started;     /* a line that is not blank was seen */
	bool blank_above; /* the line before is blank, or there is none */
	bool wraps;       /* the line before may go on in this one */
};

static size_t columns(struct span text)
{
	/* Narrow characters weigh 1, wide ones 3 and take two columns. */
	size_t weight = cut_weight(text), wide = 0;
	for (size_t i = 0; i < text.bytes; i++)
		wide += ((unsigned char)text.data[i] & 0xF0) == 0xE0;
	return weight > wide ? weight - wide : weight;
}

static bool may_wrap(struct span text)
{
	size_t width = columns(text);
	return width >= WRAP_COLUMNS_MIN && width <= WRAP_COLUMNS_MAX &&
	       !cut_ends_sentence(cut_trim(text));
}

/* A letter right at the start: not indented, no list item, no time stamp. */
static bool may_go_on(struct span text)
{
	unsigned char c = (unsigned char)text.data[0];
	bool letter = (c | 32) >= 'a' && (c | 32) <= 'z';
	bool quote = c == '(' || c == '"' || c == '\'';
	return letter || quote || (c >= 0x80 && cut_trim(text).data == text.data);
}

static void unit_end(struct text_parser *p)
{
	if (chunker_in_unit(p->out))
		chunker_end(p->out);
}

static bool heading_of(const struct text_parser *p, const struct line *line,
		       const struct line *next, uint32_t *ret_level, struct span *ret_text)
{
	*ret_text = cut_trim(line->text);
	if (outline_atx(line->text, ret_level, ret_text) ||
	    outline_chapter(line->text, p->blank_above, ret_level))
		return true;
	bool alone = p->blank_above && (next == NULL || next->blank);
	return alone && outline_numbered(line->text, ret_level);
}

/* The first line, when it stands alone like a title. */
static bool is_title(const struct line *line, const struct line *next)
{
	struct span text = cut_trim(line->text);
	uint32_t level;
	bool apart = next != NULL && (next->blank || outline_chapter(next->text, true, &level));
	return apart && outline_is_short(text) && memchr(text.data, ':', text.bytes) == NULL &&
	       memchr(text.data, ',', text.bytes) == NULL &&
	       memmem(text.data, text.bytes, "：", 3) == NULL &&
	       memmem(text.data, text.bytes, "，", 3) == NULL;
}

static void heading_add(struct text_parser *p, const struct line *line, uint32_t level,
			struct span text)
{
	unit_end(p);
	bool title = !p->started && level <= 1 && !chunker_has_title(p->out);
	if (title)
		chunker_title(p->out, text);
	chunker_heading(p->out, level, title ? SPAN("") : text);
	chunker_begin(p->out, UNIT_HEADING);
	chunker_add(p->out, line->whole);
	chunker_end(p->out);
}

static void line_visit(void *context, const struct line *line, const struct line *next)
{
	struct text_parser *p = context;
	uint32_t level;
	struct span text;
	if (line->begins && line->ends && line->blank) {
		unit_end(p);
		chunker_gap(p->out, line->whole);
		p->blank_above = true;
		p->wraps = false;
		return;
	}
	bool complete = line->begins && line->ends;
	if (complete && heading_of(p, line, next, &level, &text)) {
		heading_add(p, line, level, text);
		p->wraps = false;
	} else if (complete && !p->started && !chunker_has_title(p->out) && is_title(line, next)) {
		heading_add(p, line, 1, cut_trim(line->text));
		p->wraps = false;
	} else {
		bool goes_on = !line->begins || (p->wraps && may_go_on(line->text));
		if (!goes_on)
			unit_end(p);
		if (!chunker_in_unit(p->out))
			chunker_begin(p->out, UNIT_PARAGRAPH);
		chunker_add(p->out, line->whole);
		p->wraps = complete && may_wrap(line->text);
	}
	p->started = true;
	p->blank_above = false;
}

static void text_feed(void *state, struct span text)
{
	struct text_parser *p = state;
	lines_feed(&p->lines, text);
}

/* Ready for another text with the same storage. */
static void text_end(void *state)
{
	struct text_parser *p = state;
	lines_end(&p->lines);
	unit_end(p);
	p->started = p->wraps = false;
	p->blank_above = true;
}

status parse_text_init(struct mem_scope *scope, struct chunker *chunker, struct parser *ret_parser,
		       struct fault *reterr)
{
	struct text_parser *p = mem_new(scope, struct text_parser);
	if (p == NULL)
		return fault_set(reterr, mem_refusal(), "no memory to parse the text");
	p->out = chunker;
	p->blank_above = true;
	status st = lines_init(&p->lines, scope, line_visit, p, reterr);
	if (st == ST_OK)
		*ret_parser = (struct parser){.state = p, .feed = text_feed, .end = text_end};
	return st;
}
