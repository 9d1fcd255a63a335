/* CSV and its kin: RFC 4180 in a stream, each record a unit, rendered as "column: value".
 *
 * The grammar is small, and the offsets of every cell are needed, which libcsv does not give (and
 * it keeps a whole cell in memory). Liberties that real files take are read as people mean them: a
 * quote inside an unquoted cell is a character, and so is what follows a closing quote. */
#include "base/size.h"
#include "base/utf8.h"
#include "doc/cut.h"
#include "doc/dialect.h"
#include "doc/parse.h"

enum { HEAD_BYTES = 32 * 1024, KEY_BYTES = 160, KEY_CELL_BYTES = 60, KEY_CELLS = 2 };

enum cell_state {
	CELL_START, /* nothing of the cell read yet */
	CELL_BARE,
	CELL_QUOTED,
	CELL_QUOTE, /* a quote inside a quoted cell: its end, or the first of two */
};

struct table {
	struct chunker *out;
	struct dialect dialect;
	bool tabs, guessed, header_passed, last_was_cr;
	char *head;
	size_t head_bytes;

	uint64_t at; /* offset of the byte at hand in the text form */
	uint64_t row_from;
	size_t column;
	enum cell_state state;
	bool cell_has_text, row_has_text, inner_set;

	/* The first short cells of the record: what tells it, should it have to be cut. */
	char key[KEY_BYTES];
	size_t key_bytes, key_cells, key_cell_bytes;
};

static struct span column_name(const struct table *t)
{
	if (t->column >= t->dialect.names)
		return SPAN("");
	return (struct span){t->dialect.name[t->column], t->dialect.name_bytes[t->column]};
}

static void key_add(struct table *t, struct span text, size_t bytes_max)
{
	bytes_max = size_min(bytes_max, sizeof(t->key) - t->key_bytes);
	size_t bytes = text.bytes <= bytes_max ? text.bytes : utf8_floor(text, bytes_max);
	if (bytes > bytes_max)
		return;
	memcpy(t->key + t->key_bytes, text.data, bytes);
	t->key_bytes += bytes;
}

/* The first text of a cell: the record begins, or a separator; then the column's name. */
static void cell_begin(struct table *t)
{
	struct span name = column_name(t);
	if (!t->row_has_text) {
		chunker_begin(t->out, t->dialect.pairs ? UNIT_RECORD : UNIT_LINES);
		if (name.bytes > 0)
			chunker_add_from(t->out, name, t->row_from, t->row_from);
	} else {
		struct span between = t->dialect.header ? SPAN("; ") : SPAN(", ");
		chunker_mark(t->out, t->dialect.pairs ? SPAN("\n") : between);
		chunker_mark(t->out, name);
	}
	if (name.bytes > 0)
		chunker_mark(t->out, SPAN(": "));
	if (t->key_cells < KEY_CELLS) {
		key_add(t, t->key_bytes > 0 ? SPAN("; ") : SPAN(""), 2);
		key_add(t, name, name.bytes);
		key_add(t, name.bytes > 0 ? SPAN(": ") : SPAN(""), 2);
		t->key_cell_bytes = 0;
	}
	t->cell_has_text = t->row_has_text = true;
}

static void cell_text(struct table *t, struct span text, uint64_t from)
{
	if (text.bytes == 0 || !t->header_passed)
		return;
	if (!t->cell_has_text) {
		/* White space in front of a cell is nobody's. */
		struct span trimmed = cut_trim(text);
		if (trimmed.bytes == 0)
			return;
		from += (uint64_t)(trimmed.data - text.data);
		text = span_slice(text, (size_t)(trimmed.data - text.data), text.bytes);
		cell_begin(t);
	}
	if (!t->inner_set &&
	    chunker_unit_weight(t->out) + text.bytes > chunker_target_weight(t->out)) {
		if (t->key_cells >= KEY_CELLS && column_name(t).bytes > 0) {
			key_add(t, SPAN("; "), 2);
			key_add(t, column_name(t), KEY_BYTES);
		}
		chunker_inner_context(t->out, (struct span){t->key, t->key_bytes});
		t->inner_set = true;
	} else if (t->key_cells < KEY_CELLS && t->key_cell_bytes < KEY_CELL_BYTES) {
		key_add(t, text, KEY_CELL_BYTES - t->key_cell_bytes);
		t->key_cell_bytes += text.bytes;
	}
	chunker_add_from(t->out, text, from, from + text.bytes);
}

static void cell_end(struct table *t, uint64_t to)
{
	if (t->cell_has_text) {
		chunker_reach(t->out, to);
		t->key_cells++;
	}
	t->cell_has_text = false;
	t->column++;
}

static void row_end(struct table *t, uint64_t to)
{
	cell_end(t, to);
	if (t->row_has_text) {
		chunker_mark(t->out, SPAN("\n"));
		chunker_end(t->out);
	}
	t->header_passed = true;
	t->row_has_text = t->inner_set = false;
	t->column = 0;
	t->key_bytes = t->key_cells = 0;
}

/* The run of plain bytes from `at`: up to a byte that may mean something in this state. */
static size_t run_end(const struct table *t, struct span text, size_t at)
{
	if (t->state == CELL_QUOTED) {
		const char *quote = memchr(text.data + at, '"', text.bytes - at);
		return quote != NULL ? (size_t)(quote - text.data) : text.bytes;
	}
	while (at < text.bytes && text.data[at] != t->dialect.delimiter && text.data[at] != '\n' &&
	       text.data[at] != '\r')
		at++;
	return at;
}

/* One byte that is no part of a plain run. */
static void special(struct table *t, char c)
{
	if (c == t->dialect.delimiter) {
		cell_end(t, t->at);
	} else if (c == '\r' || !t->last_was_cr) {
		row_end(t, t->at);
	}
	t->state = CELL_START;
	t->last_was_cr = c == '\r';
	if (c != t->dialect.delimiter)
		t->row_from = t->at + 1;
}

static void table_parse(struct table *t, struct span text)
{
	for (size_t at = 0; at < text.bytes;) {
		char c = text.data[at];
		if (t->last_was_cr && c != '\n')
			t->last_was_cr = false;
		if (t->state == CELL_QUOTE && c == '"') {
			cell_text(t, SPAN("\""), t->at);
			t->state = CELL_QUOTED;
			at++, t->at++;
			continue;
		}
		if (t->state == CELL_START && c == '"') {
			t->state = CELL_QUOTED;
			at++, t->at++;
			continue;
		}
		if (t->state == CELL_START || t->state == CELL_QUOTE)
			t->state = CELL_BARE;
		size_t end = run_end(t, text, at);
		cell_text(t, span_slice(text, at, end), t->at);
		t->at += end - at;
		at = end;
		if (at == text.bytes)
			break;
		if (t->state == CELL_QUOTED)
			t->state = CELL_QUOTE;
		else
			special(t, text.data[at]);
		at++, t->at++;
	}
}

static void table_guess(struct table *t, bool whole)
{
	struct span head = {t->head, t->head_bytes};
	dialect_guess(&t->dialect, head, whole, t->tabs);
	t->header_passed = !t->dialect.header;
	t->guessed = true;
	table_parse(t, head);
	mem_free(t->head);
	t->head = NULL;
}

static void table_feed(void *state, struct span text)
{
	struct table *t = state;
	while (!t->guessed && text.bytes > 0) {
		size_t room = HEAD_BYTES - t->head_bytes;
		size_t bytes = text.bytes <= room ? text.bytes : utf8_floor(text, room);
		memcpy(t->head + t->head_bytes, text.data, bytes);
		t->head_bytes += bytes;
		if (bytes < text.bytes)
			table_guess(t, false);
		text = span_slice(text, bytes, text.bytes);
	}
	table_parse(t, text);
}

static void table_end(void *state)
{
	struct table *t = state;
	if (!t->guessed)
		table_guess(t, true);
	row_end(t, t->at);
}

status parse_table_init(struct mem_scope *scope, struct chunker *chunker, bool tabs,
			struct parser *ret_parser, struct fault *reterr)
{
	struct table *t = mem_new(scope, struct table);
	char *head = t != NULL ? mem_new_array(scope, char, HEAD_BYTES) : NULL;
	if (head == NULL)
		return fault_set(reterr, mem_refusal(), "no memory to parse a table");
	t->out = chunker;
	t->tabs = tabs;
	t->head = head;
	t->at = t->row_from = chunker_at(chunker);
	*ret_parser = (struct parser){.state = t, .feed = table_feed, .end = table_end};
	return ST_OK;
}
