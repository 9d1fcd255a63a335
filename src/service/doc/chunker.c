#include "doc/chunker.h"

#include <utf8proc.h>

#include "base/assert.h"
#include "base/size.h"
#include "base/utf8.h"
#include "doc/cut.h"

/* The text at hand:
 *
 *     text[0]            last            run                     unit              bytes
 *      | the last passage | gap           | closed units, gaps    | the open unit    |
 *
 * The last passage is settled but not emitted, so that a crumb may still join it; `last` is 0 when
 * there is none. The run never outgrows twice the target, or the ceiling, by more than a slice: it
 * gives up its front while the unit is still open. Hence the capacity, at up to 4 bytes a weight.
 */
enum {
	GAP_BYTES_MAX = 4096, /* a wider gap ends the run */
	SLICE_BYTES = 4096,   /* text is taken over in such steps */
	MARKS_MAX = 2048,
	UNITS_MAX = 1024, /* of a run; borders beyond that are not seen */
};

/* text[at..] comes from bytes from..to of the text form. */
struct mark {
	size_t at;
	uint64_t from, to;
};

struct label {
	char text[CHUNKER_LABEL_BYTES];
	size_t bytes;
};

struct unit {
	size_t at; /* where it begins; a cut unit begins at the run */
	enum unit_kind kind;
	bool has_context, inner; /* inner: its beginning was cut off */
};

struct chunker {
	struct mem_scope *scope;
	struct chunker_options options;
	size_t want, most;  /* weights: target and ceiling */
	size_t high, crumb; /* 1.5 targets, a sixth of one */
	size_t trigger;     /* the run gives up its front above this */

	char *text;
	size_t bytes, capacity;
	size_t last, run;
	size_t last_weight, run_weight;
	struct unit *units; /* of the run */
	size_t unit_count;
	size_t unit_weight; /* of the open one */
	bool unit_open, long_unit;

	uint64_t at;   /* offset in the text form behind all that was given */
	bool rendered; /* marks tell the offsets; else they are at - bytes + position */
	struct mark *marks;
	size_t mark_count;

	struct label id, title, last_path, last_context, context, inner_context;
	bool context_on;
	struct label levels[CHUNKER_LEVELS];
	struct fault fault; /* code ST_OK: none */
};

static void label_set(struct label *label, struct span text, size_t bytes_max)
{
	text = cut_trim(text);
	if (text.bytes > bytes_max)
		text.bytes = utf8_floor(text, bytes_max);
	label->bytes = 0;
	/* A label is one line: runs of white space and control characters become one space. */
	for (size_t i = 0; i < text.bytes; i++) {
		bool blank = (unsigned char)text.data[i] <= ' ';
		if (blank && label->bytes > 0 && label->text[label->bytes - 1] == ' ')
			continue;
		label->text[label->bytes++] = blank ? ' ' : text.data[i];
	}
}

static struct span label_span(const struct label *label)
{
	return (struct span){label->text, label->bytes};
}

static bool chunker_allocate(struct chunker *c)
{
	size_t weights = c->most + c->crumb + c->trigger;
	c->capacity = weights * UTF8_BYTES_MAX + 2 * GAP_BYTES_MAX + 2 * SLICE_BYTES;
	c->text = mem_new_array(c->scope, char, c->capacity);
	c->marks = mem_new_array(c->scope, struct mark, MARKS_MAX);
	c->units = mem_new_array(c->scope, struct unit, UNITS_MAX);
	return c->text != NULL && c->marks != NULL && c->units != NULL;
}

status chunker_open(struct mem_scope *parent, const struct chunker_options *options,
		    struct chunker **ret_chunker, struct fault *reterr)
{
	ASSERT(options->chars >= 1 && options->chars <= options->chars_max);
	ASSERT(options->chars_max <= CHUNKER_CHARS_MAX);
	struct mem_scope *scope = mem_scope_open(parent, "chunker", 0);
	if (scope == NULL)
		return fault_set(reterr, mem_refusal(), "no memory to cut the document");
	struct chunker *c = mem_new(scope, struct chunker);
	if (c != NULL) {
		c->scope = scope;
		c->options = *options;
		c->want = (size_t)options->chars * CUT_WIDE;
		c->most = (size_t)options->chars_max * CUT_WIDE;
		c->high = size_min(c->want + c->want / 2, c->most);
		c->crumb = c->want / 6;
		c->trigger = size_max(2 * c->want, c->most);
	}
	if (c == NULL || !chunker_allocate(c)) {
		status st = fault_set(reterr, mem_refusal(), "no memory to cut the document");
		mem_scope_close(scope);
		return st;
	}
	*ret_chunker = c;
	return ST_OK;
}

void chunker_close(struct chunker *c)
{
	if (c != NULL)
		mem_scope_close(c->scope);
}

static bool passes(const struct chunker *c)
{
	return c->fault.code == ST_OK && c->options.on_text == NULL;
}

static void check(struct chunker *c, status st)
{
	if (st != ST_OK)
		c->fault.code = st;
}

/* ---- offsets ---- */

static void mark_add(struct chunker *c, uint64_t from, uint64_t to)
{
	c->rendered = true;
	struct mark *last = c->mark_count > 0 ? &c->marks[c->mark_count - 1] : NULL;
	if (last != NULL && last->from == from && last->to == to)
		return;
	/* A full table grows coarse, never wrong: the last mark then covers all that follows. */
	if (c->mark_count == MARKS_MAX)
		last->to = to;
	else
		c->marks[c->mark_count++] = (struct mark){c->bytes, from, to};
}

static uint64_t offset_of_start(const struct chunker *c, size_t at)
{
	if (!c->rendered)
		return c->at - c->bytes + at;
	uint64_t from = 0;
	for (size_t i = 0; i < c->mark_count && c->marks[i].at <= at; i++)
		from = c->marks[i].from;
	return from;
}

static uint64_t offset_of_end(const struct chunker *c, size_t at)
{
	if (!c->rendered)
		return c->at - c->bytes + at;
	uint64_t to = 0;
	for (size_t i = 0; i < c->mark_count && c->marks[i].at < at; i++)
		to = c->marks[i].to;
	return to;
}

/* Forget the first `bytes` of the text. */
static void drop_front(struct chunker *c, size_t bytes)
{
	ASSERT(bytes <= c->bytes);
	memmove(c->text, c->text + bytes, c->bytes - bytes);
	c->bytes -= bytes;
	c->last -= size_min(c->last, bytes);
	c->run -= size_min(c->run, bytes);
	for (size_t i = 0; i < c->unit_count; i++)
		c->units[i].at -= size_min(c->units[i].at, bytes);
	size_t kept = 0;
	for (size_t i = 0; i < c->mark_count; i++) {
		bool covers = i + 1 < c->mark_count ? c->marks[i + 1].at > bytes : c->bytes > 0;
		if (!covers)
			continue;
		c->marks[kept] = c->marks[i];
		c->marks[kept].at -= size_min(c->marks[kept].at, bytes);
		kept++;
	}
	c->mark_count = kept;
}

/* ---- emitting ---- */

static void path_write(const struct chunker *c, struct label *out)
{
	out->bytes = 0;
	for (size_t i = 0; i < CHUNKER_LEVELS; i++) {
		struct span level = label_span(&c->levels[i]);
		if (level.bytes == 0 || out->bytes + 3 + level.bytes > sizeof(out->text))
			continue;
		if (out->bytes > 0) {
			memcpy(out->text + out->bytes, " > ", 3);
			out->bytes += 3;
		}
		memcpy(out->text + out->bytes, level.data, level.bytes);
		out->bytes += level.bytes;
	}
}

static bool has_word(struct span text)
{
	for (size_t at = 0; at < text.bytes;) {
		uint32_t point;
		at += utf8_decode(text, at, &point);
		utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)point);
		if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NO)
			return true;
	}
	return false;
}

/* Hand out text[0..last) as a passage and forget it, with the gap behind it. */
static void emit_last(struct chunker *c)
{
	struct span text = cut_trim((struct span){c->text, c->last});
	if (has_word(text) && passes(c)) {
		size_t first = (size_t)(text.data - c->text);
		struct doc_chunk chunk = {
			.doc_id = label_span(&c->id),
			.title = label_span(&c->title),
			.heading = label_span(&c->last_path),
			.context = label_span(&c->last_context),
			.text = text,
			.start = offset_of_start(c, first),
			.end = offset_of_end(c, first + text.bytes),
			.file_at = *c->options.file_at,
		};
		check(c, c->options.on_chunk(c->options.context, &chunk, &c->fault));
	}
	drop_front(c, c->run);
	c->last = c->last_weight = 0;
}

/* The run up to `to` becomes the last passage; the one before it is emitted. */
static void settle(struct chunker *c, size_t to)
{
	if (c->last > 0) {
		to -= c->run;
		emit_last(c);
	}
	const struct unit *first = &c->units[0];
	path_write(c, &c->last_path);
	c->last_context.bytes = 0;
	if (c->unit_count > 0 && first->inner && c->inner_context.bytes > 0)
		c->last_context = c->inner_context;
	else if (c->unit_count > 0 && first->has_context)
		c->last_context = c->context;
	/* Units that end before the cut go; one that is cut begins the rest. */
	size_t kept = 0;
	for (size_t i = 0; i < c->unit_count; i++) {
		size_t end = i + 1 < c->unit_count ? c->units[i + 1].at : c->bytes;
		bool gone = end <= to && !(c->unit_open && i + 1 == c->unit_count);
		if (gone)
			continue;
		c->units[kept] = c->units[i];
		if (c->units[kept].at < to) {
			c->units[kept].at = to;
			c->units[kept].inner = true;
		}
		kept++;
	}
	c->unit_count = kept;
	struct span whole = {c->text + c->run, to - c->run};
	c->last_weight = cut_weight(whole);
	c->run_weight -= size_min(c->run_weight, c->last_weight);
	c->last = c->run = to;
}

/* ---- where to cut ---- */

/* A passage ends between `low` and `high` weights into the run, best near `want`; a border of units
 * may be taken from `floor` on. */
struct window {
	size_t floor, low, want, high;
};

static size_t unit_end(const struct chunker *c, size_t index)
{
	return index + 1 < c->unit_count ? c->units[index + 1].at : c->bytes;
}

static bool is_heading(enum unit_kind kind)
{
	return kind == UNIT_HEADING || kind == UNIT_TABLE_HEAD;
}

/* The border of units to cut at, as an offset into the text; 0 when there is none that fits.
 * *ret_lines: the unit that stands where the window wants the cut is of lines. */
static size_t border_find(const struct chunker *c, const struct window *w, bool *ret_lines)
{
	size_t weight = 0, best = 0, best_away = 0;
	*ret_lines = false;
	for (size_t i = 0; i < c->unit_count; i++) {
		const struct unit *unit = &c->units[i];
		size_t begins = weight;
		weight += cut_weight((struct span){c->text + unit->at, unit_end(c, i) - unit->at});
		bool lines = unit->kind == UNIT_LINES || unit->kind == UNIT_RECORD;
		bool wanted = begins <= w->want && weight > w->want;
		if (wanted)
			*ret_lines = lines;
		bool after_heading = i > 0 && is_heading(c->units[i - 1].kind);
		if (i > 0 && !after_heading && begins >= w->floor && begins <= w->high) {
			size_t away = begins > w->want ? begins - w->want : w->want - begins;
			if (best == 0 || away < best_away) {
				best = unit->at;
				best_away = away;
			}
		}
		if (best != 0 || !wanted || !lines || weight - begins > c->most)
			continue;
		/* A whole block stands across the window: end before it, or behind it. */
		if (i > 0 && !after_heading && begins >= c->crumb)
			return unit->at;
		if (weight <= c->most && i + 1 < c->unit_count)
			return unit_end(c, i);
	}
	return best;
}

static size_t place_find(const struct chunker *c, const struct window *w)
{
	bool lines;
	size_t border = border_find(c, w, &lines);
	if (border > c->run)
		return border;
	struct cut_rule rule = {.least = w->low, .want = w->want, .most = w->high, .lines = lines};
	return c->run + cut_find((struct span){c->text + c->run, c->bytes - c->run}, &rule);
}

/* The run is above the trigger: give up passages at its front. */
static void relieve(struct chunker *c)
{
	struct window w = {c->want / 3, c->want / 2, size_min(c->want, c->high), c->high};
	while (c->run_weight > c->trigger)
		settle(c, place_find(c, &w));
}

static bool run_is_headings(const struct chunker *c)
{
	for (size_t i = 0; i < c->unit_count; i++) {
		if (c->units[i].kind != UNIT_HEADING)
			return false;
	}
	return true;
}

/* The section ends here (`all`: the document does, and nothing may wait for more). */
static void run_end(struct chunker *c, bool all)
{
	ASSERT(!c->unit_open);
	if (!all && run_is_headings(c))
		return;
	while (c->run_weight > c->high) {
		bool block = c->unit_count == 1 && c->units[0].kind != UNIT_PARAGRAPH;
		if (block && c->run_weight <= c->most)
			break;
		size_t pieces = (c->run_weight + c->high - 1) / c->high;
		size_t want = c->run_weight / pieces;
		size_t least =
			pieces == 2 ? c->run_weight - c->high : 0; /* or the rest is too much */
		struct window w = {size_max(c->want / 3, least), size_max(want / 2, least), want,
				   c->high};
		settle(c, place_find(c, &w));
	}
	bool crumb = c->run_weight < c->crumb;
	if (crumb && c->last > 0 && c->last_weight + c->run_weight <= c->most) {
		c->last_weight += c->run_weight;
		c->last = c->run = c->bytes;
		c->unit_count = c->run_weight = 0;
	} else if ((!crumb || all) && c->bytes > c->run) {
		settle(c, c->bytes);
	}
}

void chunker_flush(struct chunker *c)
{
	if (!passes(c))
		return;
	run_end(c, true);
	if (c->last > 0)
		emit_last(c);
	c->unit_count = c->run_weight = 0;
	drop_front(c, c->bytes);
}

/* ---- labels ---- */

void chunker_document(struct chunker *c, struct span id, struct span title)
{
	chunker_flush(c);
	ASSERT(id.bytes <= CHUNKER_LABEL_BYTES);
	c->id.bytes = id.bytes; /* an id is kept as it is */
	if (id.bytes > 0)
		memcpy(c->id.text, id.data, id.bytes);
	label_set(&c->title, title, CHUNKER_LABEL_BYTES);
	for (size_t i = 0; i < CHUNKER_LEVELS; i++)
		c->levels[i].bytes = 0;
	c->context.bytes = c->inner_context.bytes = 0;
	c->context_on = false;
	c->at = 0;
	c->rendered = false;
	c->mark_count = 0;
}

void chunker_title(struct chunker *c, struct span title)
{
	label_set(&c->title, title, CHUNKER_LABEL_BYTES);
}

bool chunker_has_title(const struct chunker *c)
{
	return c->title.bytes > 0;
}

void chunker_heading(struct chunker *c, uint32_t level, struct span text)
{
	ASSERT(level >= 1);
	ASSERT(!c->unit_open);
	if (passes(c))
		run_end(c, false);
	level = level > CHUNKER_LEVELS ? CHUNKER_LEVELS : level;
	label_set(&c->levels[level - 1], text, CHUNKER_HEADING_BYTES);
	for (size_t i = level; i < CHUNKER_LEVELS; i++)
		c->levels[i].bytes = 0;
}

void chunker_table(struct chunker *c)
{
	ASSERT(!c->unit_open);
	bool used = false;
	for (size_t i = 0; i < c->unit_count; i++)
		used = used || c->units[i].has_context;
	if (used && passes(c)) {
		run_end(c, false);
		/* What is left is headings or a crumb: it can do without. */
		for (size_t i = 0; i < c->unit_count; i++)
			c->units[i].has_context = false;
	}
	c->context_on = false;
}

void chunker_context(struct chunker *c, struct span context)
{
	c->context_on = context.bytes > 0;
	if (context.bytes > 0)
		label_set(&c->context, context, CHUNKER_LABEL_BYTES);
}

void chunker_inner_context(struct chunker *c, struct span context)
{
	label_set(&c->inner_context, context, CHUNKER_LABEL_BYTES);
}

/* ---- units ---- */

void chunker_begin(struct chunker *c, enum unit_kind kind)
{
	ASSERT(!c->unit_open);
	if (!passes(c)) {
		c->unit_open = true;
		return;
	}
	if (kind == UNIT_RECORD && (c->unit_count == 0 || !run_is_headings(c)))
		chunker_flush(c);
	if (c->unit_count == 0)
		c->run = c->bytes;
	bool has_context = c->context_on && kind != UNIT_TABLE_HEAD;
	if (c->unit_count < UNITS_MAX)
		c->units[c->unit_count++] =
			(struct unit){.at = c->bytes, .kind = kind, .has_context = has_context};
	c->unit_open = true;
	c->long_unit = false;
	c->unit_weight = 0;
	c->inner_context.bytes = 0;
}

/* The open unit alone is above the trigger and has a context of its own: what stands before it must
 * not share it. */
static void long_unit_begin(struct chunker *c)
{
	c->long_unit = true;
	size_t at = c->units[c->unit_count - 1].at;
	if (at > c->run && c->run_weight - c->unit_weight >= c->crumb)
		settle(c, at);
}

static void take(struct chunker *c, struct span text)
{
	while (text.bytes > 0 && passes(c)) {
		size_t bytes =
			text.bytes > SLICE_BYTES ? utf8_floor(text, SLICE_BYTES) : text.bytes;
		struct span slice = span_slice(text, 0, bytes);
		text = span_slice(text, bytes, text.bytes);
		ASSERT(c->bytes + bytes <= c->capacity);
		memcpy(c->text + c->bytes, slice.data, bytes);
		c->bytes += bytes;
		if (!c->rendered)
			c->at += bytes;
		size_t weight = cut_weight(slice);
		c->unit_weight += weight;
		c->run_weight += weight;
		if (c->unit_weight > c->trigger && !c->long_unit && c->inner_context.bytes > 0)
			long_unit_begin(c);
		if (c->run_weight > c->trigger)
			relieve(c);
	}
}

static void tell(struct chunker *c, struct span text)
{
	if (c->fault.code == ST_OK && text.bytes > 0)
		check(c, c->options.on_text(c->options.context, text, &c->fault));
}

void chunker_add(struct chunker *c, struct span text)
{
	ASSERT(c->unit_open && !c->rendered);
	if (c->options.on_text != NULL)
		tell(c, text);
	else
		take(c, text);
}

void chunker_add_from(struct chunker *c, struct span text, uint64_t from, uint64_t to)
{
	ASSERT(c->unit_open);
	ASSERT(from <= to);
	if (!passes(c))
		return;
	/* A long piece that is verbatim is told apart, so that its parts have offsets of their own.
	 */
	while (text.bytes > SLICE_BYTES / 4 && to - from == text.bytes && passes(c)) {
		size_t bytes = utf8_floor(text, SLICE_BYTES / 4);
		mark_add(c, from, from + bytes);
		take(c, span_slice(text, 0, bytes));
		text = span_slice(text, bytes, text.bytes);
		from += bytes;
	}
	mark_add(c, from, to);
	take(c, text);
}

void chunker_reach(struct chunker *c, uint64_t to)
{
	if (c->mark_count > 0 && c->marks[c->mark_count - 1].to < to)
		c->marks[c->mark_count - 1].to = to;
}

void chunker_end(struct chunker *c)
{
	ASSERT(c->unit_open);
	c->unit_open = false;
	if (!passes(c))
		return;
	enum unit_kind kind = c->unit_count > 0 ? c->units[c->unit_count - 1].kind : UNIT_PARAGRAPH;
	if (kind == UNIT_RECORD)
		chunker_flush(c);
	else if (c->long_unit)
		run_end(c, false);
}

/* Bytes that are in no unit: kept behind a run, or behind a passage that may yet grow. */
static void gap_take(struct chunker *c, struct span text)
{
	if (c->bytes == 0)
		return;
	size_t settled = c->unit_count > 0 ? c->bytes : c->last;
	if (c->bytes - settled + text.bytes > GAP_BYTES_MAX) {
		chunker_flush(c);
		return;
	}
	memcpy(c->text + c->bytes, text.data, text.bytes);
	c->bytes += text.bytes;
	if (c->unit_count == 0)
		c->run = c->bytes;
	else
		c->run_weight += cut_weight(text);
}

void chunker_gap(struct chunker *c, struct span text)
{
	ASSERT(!c->unit_open && !c->rendered);
	if (c->options.on_text != NULL) {
		tell(c, text);
		return;
	}
	while (text.bytes > 0 && passes(c)) {
		size_t bytes = text.bytes > SLICE_BYTES / 2 ? utf8_floor(text, SLICE_BYTES / 2)
							    : text.bytes;
		struct span part = span_slice(text, 0, bytes);
		text = span_slice(text, part.bytes, text.bytes);
		size_t before = c->bytes;
		gap_take(c, part);
		ASSERT(c->bytes == before + part.bytes || c->bytes == 0);
		c->at += part.bytes;
		if (c->run_weight > c->trigger && c->unit_count > 0)
			relieve(c);
	}
}

void chunker_mark(struct chunker *c, struct span text)
{
	ASSERT(text.bytes <= GAP_BYTES_MAX / 2);
	if (!passes(c))
		return;
	if (c->unit_open)
		take(c, text);
	else
		gap_take(c, text);
}

size_t chunker_unit_weight(const struct chunker *c)
{
	return c->unit_open ? c->unit_weight : 0;
}

size_t chunker_target_weight(const struct chunker *c)
{
	return c->want;
}

void chunker_skip(struct chunker *c, size_t bytes)
{
	ASSERT(c->bytes == 0);
	c->at += bytes;
}

uint64_t chunker_at(const struct chunker *c)
{
	return c->at;
}

bool chunker_in_unit(const struct chunker *c)
{
	return c->unit_open;
}

status chunker_finish(struct chunker *c, struct fault *reterr)
{
	if (c->unit_open)
		chunker_end(c);
	chunker_flush(c);
	return chunker_failed(c, reterr);
}

status chunker_failed(const struct chunker *c, struct fault *reterr)
{
	if (c->fault.code != ST_OK && reterr != NULL)
		*reterr = c->fault;
	return c->fault.code;
}

void chunker_fail(struct chunker *c, const struct fault *fault)
{
	if (c->fault.code == ST_OK)
		c->fault = *fault;
}
