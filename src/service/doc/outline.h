/* doc/outline.h -- which lines are headings, in Markdown and, conservatively, in plain text.
 *
 * Pure functions over one line without its end. */
#ifndef DOC_OUTLINE_H
#define DOC_OUTLINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

/* "## Title ##" -> level 2, "Title". */
bool outline_atx(struct span line, uint32_t *ret_level, struct span *ret_text);

/* "第三章 总则" (编 1, 章 2, 节 3), "Chapter 3 Limits", "Part II", "Section 4". alone: the line
 * above is blank, so that a looser form may be taken for a heading. */
bool outline_chapter(struct span line, bool alone, uint32_t *ret_level);

/* "三、范围", "（二）定义", "2.1 Scope": headings only where the lines around are blank. */
bool outline_numbered(struct span line, uint32_t *ret_level);

/* Short, one line, and not a sentence. */
bool outline_is_short(struct span line);

/* A list marker ("- ", "* ", "+ ", "3. ", "3) ") after the indentation? *ret_indent: columns before
 * it. */
bool outline_list_item(struct span line, uint32_t *ret_indent);

#endif
