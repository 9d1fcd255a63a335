#include "doc/format.h"

#include "base/size.h"

static const struct {
	const char *extension;
	enum doc_format format;
} EXTENSIONS[] = {
	{"txt", FORMAT_TEXT},          {"text", FORMAT_TEXT},         {"log", FORMAT_TEXT},
	{"md", FORMAT_MARKDOWN},       {"markdown", FORMAT_MARKDOWN}, {"html", FORMAT_HTML},
	{"htm", FORMAT_HTML},          {"xhtml", FORMAT_HTML},        {"csv", FORMAT_CSV},
	{"tsv", FORMAT_TSV},           {"json", FORMAT_JSON},         {"jsonl", FORMAT_JSON_LINES},
	{"ndjson", FORMAT_JSON_LINES},
};

static bool equal_folded(struct span a, const char *lower)
{
	if (a.bytes != strlen(lower))
		return false;
	for (size_t i = 0; i < a.bytes; i++) {
		char c = a.data[i] >= 'A' && a.data[i] <= 'Z' ? (char)(a.data[i] + 32) : a.data[i];
		if (c != lower[i])
			return false;
	}
	return true;
}

enum doc_format format_of_name(struct span name)
{
	size_t at = name.bytes;
	while (at > 0 && name.data[at - 1] != '.' && name.data[at - 1] != '/')
		at--;
	if (at == 0 || name.data[at - 1] != '.')
		return FORMAT_NONE;
	struct span extension = span_slice(name, at, name.bytes);
	for (size_t i = 0; i < ARRAY_COUNT(EXTENSIONS); i++) {
		if (equal_folded(extension, EXTENSIONS[i].extension))
			return EXTENSIONS[i].format;
	}
	return FORMAT_NONE;
}

#define MAGIC(at, text, what)                                                                      \
	{                                                                                          \
		at, text, sizeof(text) - 1, what                                                   \
	}

/* Signatures that no text begins with. */
static const struct {
	size_t at;
	const char *text;
	size_t bytes;
	const char *what;
} MAGICS[] = {
	MAGIC(0, "%PDF-", "a PDF document"),
	MAGIC(0, "\x89PNG\r\n", "a PNG picture"),
	MAGIC(0, "\xFF\xD8\xFF", "a JPEG picture"),
	MAGIC(0, "GIF87a", "a GIF picture"),
	MAGIC(0, "GIF89a", "a GIF picture"),
	MAGIC(0, "II*\0", "a TIFF picture"),
	MAGIC(0, "MM\0*", "a TIFF picture"),
	MAGIC(8, "WEBP", "a WebP picture"),
	MAGIC(0, "PK\x03\x04", "a ZIP container (docx, xlsx, pptx, epub, zip...)"),
	MAGIC(0, "PK\x05\x06", "an empty ZIP container"),
	MAGIC(0, "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1",
	      "an OLE container (doc, xls, ppt, or a locked office file)"),
	MAGIC(0, "{\\rtf", "an RTF document"),
	MAGIC(0, "\x1F\x8B\x08", "a gzip archive"),
	MAGIC(0, "BZh91AY", "a bzip2 archive"),
	MAGIC(0,
	      "\xFD"
	      "7zXZ",
	      "an xz archive"),
	MAGIC(0, "\x28\xB5\x2F\xFD", "a zstd archive"),
	MAGIC(0, "7z\xBC\xAF", "a 7-Zip archive"),
	MAGIC(0, "Rar!\x1A", "a RAR archive"),
	MAGIC(0,
	      "\x7F"
	      "ELF",
	      "a program"),
	MAGIC(0, "SQLite format 3\0", "an SQLite database"),
	MAGIC(4, "ftyp", "a video or sound file"),
	MAGIC(0, "OggS", "a sound file"),
	MAGIC(0, "ID3\x03", "a sound file"),
	MAGIC(0, "ID3\x04", "a sound file"),
	MAGIC(257, "ustar", "a tar archive"),
};

status format_check(struct span head, struct fault *reterr)
{
	for (size_t i = 0; i < ARRAY_COUNT(MAGICS); i++) {
		struct span magic = {MAGICS[i].text, MAGICS[i].bytes};
		if (span_equal(span_slice(head, MAGICS[i].at, MAGICS[i].at + magic.bytes), magic))
			return fault_set(reterr, ST_UNSUPPORTED,
					 "the content is %s, not what the name says: this format "
					 "is not supported",
					 MAGICS[i].what);
	}
	return ST_OK;
}
