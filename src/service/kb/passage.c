#include "kb/passage.h"

static bool part_add(struct span part, struct buf *out)
{
	return part.bytes == 0 || (buf_add(out, part) && buf_add_byte(out, '\n'));
}

bool passage_add(struct span title, struct span heading, struct span context, struct span text,
		 struct buf *out)
{
	if (heading.bytes > 0 && span_starts_with(heading, title))
		title.bytes = 0;
	return part_add(title, out) && part_add(heading, out) && part_add(context, out) &&
	       buf_add(out, text);
}
