#include "doc/dialect.h"

#include "base/size.h"
#include "base/utf8.h"
#include "doc/cut.h"

enum { RECORDS_MAX = 20, NAME_WEIGHT_MAX = 30 * CUT_WIDE };

/* Walks over the cells of a text: the same grammar as parse_table.c, without its streaming. */
struct cells {
	struct span text;
	char delimiter;
	size_t at;
	bool whole;    /* nothing follows the text */
	bool row_ends; /* after the cell just given */
};

/* The next cell, quotes taken off; false at the end or when the text stops inside a cell. */
static bool cell_next(struct cells *c, struct span *ret_cell)
{
	if (c->at >= c->text.bytes)
		return false;
	const char *text = c->text.data;
	bool quoted = text[c->at] == '"', inside = quoted;
	size_t from = c->at, at = c->at + quoted;
	for (; at < c->text.bytes; at++) {
		if (quoted && text[at] == '"')
			inside = !inside;
		else if (!inside &&
			 (text[at] == c->delimiter || text[at] == '\n' || text[at] == '\r'))
			break;
	}
	if (inside || (at >= c->text.bytes && !c->whole))
		return false;
	struct span cell = span_slice(c->text, from, at);
	if (quoted && cell.bytes >= 2 && cell.data[cell.bytes - 1] == '"')
		cell = span_slice(cell, 1, cell.bytes - 1);
	c->row_ends = at >= c->text.bytes || text[at] != c->delimiter;
	at += at < c->text.bytes;
	if (c->row_ends && at < c->text.bytes && text[at - 1] == '\r' && text[at] == '\n')
		at++;
	c->at = at;
	*ret_cell = cell;
	return true;
}

/* How many of the first records have as many cells as the first one, if that is more than one. */
static size_t agreement(struct span head, bool whole, char delimiter, size_t *ret_columns)
{
	struct cells c = {.text = head, .delimiter = delimiter, .whole = whole};
	struct span cell;
	size_t records = 0, agreeing = 0, columns = 0, first = 0;
	while (records < RECORDS_MAX && cell_next(&c, &cell)) {
		columns++;
		if (!c.row_ends)
			continue;
		first = records == 0 ? columns : first;
		agreeing += columns == first;
		records++;
		columns = 0;
	}
	if (records == 0)
		first = columns; /* one record, longer than the head */
	*ret_columns = first;
	return first > 1 ? size_max(agreeing, 1) : 0;
}

static char guess_delimiter(struct span head, bool whole, bool tabs)
{
	const char candidates[] = {tabs ? '\t' : ',', tabs ? ',' : '\t', ';', '|'};
	size_t best = 0, best_columns = 0;
	char delimiter = candidates[0];
	for (size_t i = 0; i < sizeof(candidates); i++) {
		size_t columns;
		size_t score = agreement(head, whole, candidates[i], &columns);
		if (score > best || (score == best && score > 0 && columns > 2 * best_columns)) {
			best = score;
			best_columns = columns;
			delimiter = candidates[i];
		}
	}
	return delimiter;
}

static bool is_number(struct span cell)
{
	size_t digits = 0;
	for (size_t i = 0; i < cell.bytes; i++) {
		bool digit = cell.data[i] >= '0' && cell.data[i] <= '9';
		digits += digit;
		if (!digit && memchr("+-.,:/% eE$", cell.data[i], 11) == NULL)
			return false;
	}
	return digits > 0;
}

static bool is_name(struct span cell)
{
	return cell.bytes > 0 && !is_number(cell) && cut_weight(cell) <= NAME_WEIGHT_MAX &&
	       !cut_ends_sentence(cell) && memchr(cell.data, '\n', cell.bytes) == NULL &&
	       memmem(cell.data, cell.bytes, "://", 3) == NULL &&
	       memmem(cell.data, cell.bytes, "，", 3) == NULL;
}

static bool is_known_name(const struct dialect *d, size_t index)
{
	for (size_t i = 0; i < index && i < d->names; i++) {
		if (d->name_bytes[i] == d->name_bytes[index] &&
		    memcmp(d->name[i], d->name[index], d->name_bytes[i]) == 0)
			return true;
	}
	return false;
}

/* Read the first record as a header; false when it does not look like one. An unnamed first column
 * is what pandas writes for its index. */
static bool header_read(struct dialect *d, struct cells *c)
{
	struct span cell;
	d->names = 0;
	for (size_t column = 0; cell_next(c, &cell); column++) {
		cell = cut_trim(cell);
		if (!is_name(cell) && !(column == 0 && cell.bytes == 0))
			return false;
		if (column < DIALECT_COLUMNS) {
			size_t bytes = cell.bytes < DIALECT_NAME_BYTES
					       ? cell.bytes
					       : utf8_floor(cell, DIALECT_NAME_BYTES);
			if (bytes > 0)
				memcpy(d->name[column], cell.data, bytes);
			d->name_bytes[column] = bytes;
			d->names = column + 1;
			if (is_known_name(d, column))
				return false;
		}
		if (c->row_ends)
			return true;
	}
	return false;
}

static const char QUESTIONS[] =
	" 问题 问 提问 标准问题 标准问 question questions q query prompt instruction ";
static const char ANSWERS[] =
	" 答案 答 回答 答复 标准答案 answer answers a response reply output completion ";

/* Is name one of list, whose words stand between blanks? Case of ASCII letters aside. */
static bool is_one_of(const char *list, struct span name)
{
	char padded[DIALECT_NAME_BYTES + 2];
	if (name.bytes == 0 || name.bytes > DIALECT_NAME_BYTES)
		return false;
	padded[0] = padded[name.bytes + 1] = ' ';
	for (size_t i = 0; i < name.bytes; i++) {
		char c = name.data[i];
		padded[i + 1] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
	}
	return memmem(list, strlen(list), padded, name.bytes + 2) != NULL;
}

bool dialect_is_question(struct span name)
{
	return is_one_of(QUESTIONS, name);
}

static bool has_name_of(const struct dialect *d, const char *list)
{
	for (size_t i = 0; i < d->names; i++) {
		if (is_one_of(list, (struct span){d->name[i], d->name_bytes[i]}))
			return true;
	}
	return false;
}

void dialect_guess(struct dialect *d, struct span head, bool whole, bool tabs)
{
	*d = (struct dialect){.delimiter = guess_delimiter(head, whole, tabs)};
	struct cells c = {.text = head, .delimiter = d->delimiter, .whole = whole};
	struct span cell;
	bool more = header_read(d, &c) && (!whole || cell_next(&c, &cell));
	d->header = more && (d->names > 1 || has_name_of(d, " text content 内容 文本 正文 "));
	if (!d->header)
		d->names = 0;
	d->pairs = has_name_of(d, QUESTIONS) && has_name_of(d, ANSWERS);
}
