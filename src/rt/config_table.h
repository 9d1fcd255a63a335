/* rt/config_table.h -- every key there is. What config.c and the default file are made from. */
#ifndef RT_CONFIG_TABLE_H
#define RT_CONFIG_TABLE_H

#include <stddef.h>
#include <stdint.h>

enum config_kind {
	CONFIG_TEXT,
	CONFIG_SECRET, /* text that no message and no default file ever shows */
	CONFIG_CHOICE, /* text out of `choices` */
	CONFIG_INT,
	CONFIG_BYTES,   /* 512, 64K, 10M, 2G */
	CONFIG_SECONDS, /* 90, 90s, 15m, 12h, 30d */
	CONFIG_REAL,
	CONFIG_BOOL,
};

struct config_key {
	const char *name; /* "section.key" */
	enum config_kind kind;
	const char *fallback; /* as it would be written in the file */
	const char *choices;  /* "a|b|c", CONFIG_CHOICE only */
	int64_t least, most;  /* of numbers */
	const char *help, *help_zh;
};

extern const struct config_key config_keys[];
extern const size_t config_key_count;

#endif
