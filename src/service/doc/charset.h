/* doc/charset.h -- which characters the bytes stand for, and UTF-8 out of them.
 *
 * Detection, in this order: byte order mark; UTF-8 that holds (a few wrong bytes among many right
 * ones are forgiven); UTF-16 without a mark; the charset an HTML file names; uchardet's statistics,
 * with GB18030 preferred to a guess of a Western charset when all high bytes pair up. Later bytes
 * that do not fit become U+FFFD and are never fatal. UTF-8, -16 and -32 are decoded here, the rest
 * by iconv.
 *
 * iconv loads a module from disk at its first use of a charset, which a sandboxed process cannot:
 * charset_preload() opens all it may need before.
 *
 * Threads  One. */
#ifndef DOC_CHARSET_H
#define DOC_CHARSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"

enum charset_kind {
	CHARSET_UTF8,
	CHARSET_UTF16_LE,
	CHARSET_UTF16_BE,
	CHARSET_UTF32_LE,
	CHARSET_UTF32_BE,
	CHARSET_TABLE, /* through iconv */
};

enum { CHARSET_TABLES = 27, CHARSET_HEAD_BYTES = 64 * 1024, CHARSET_ROOM_BYTES = 32 };

/* Converters opened in advance; (void *)-1 where iconv has none. */
struct charset_tables {
	void *opened[CHARSET_TABLES];
	bool loaded;
};

struct charset {
	enum charset_kind kind;
	size_t mark_bytes; /* of the byte order mark */
	size_t table;      /* for CHARSET_TABLE: which */
};

void charset_preload(struct charset_tables *tables, struct span head);
void charset_unload(struct charset_tables *tables);

/* head: the first bytes of the file, at most CHARSET_HEAD_BYTES; whole: it is all there is. Without
 * loaded tables only UTF-8, -16 and -32 are told apart. ST_UNSUPPORTED when it is no text at all.
 */
MUST_CHECK status charset_detect(const struct charset_tables *tables, struct span head, bool whole,
				 bool html, struct charset *ret_charset, struct fault *reterr);
const char *charset_name(const struct charset *charset);

/* Convert a piece. *ret_used: bytes of `in` consumed; the rest, an unfinished character of a few
 * bytes, is to be given again in front of what follows. `last`: nothing follows, all is consumed.
 * Writes whole code points, at most `room` bytes, and returns how many; room >=
 * CHARSET_ROOM_BYTES. */
size_t charset_convert(const struct charset *charset, const struct charset_tables *tables,
		       struct span in, bool last, char *out, size_t room, size_t *ret_used);

/* UTF-8 only: true when `in` up to *ret_used is fit to be text as it stands, so that no copy is
 * needed. */
bool charset_is_clean(struct span in, bool last, size_t *ret_used);

#endif
