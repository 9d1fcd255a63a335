/* rt/config.h -- the settings of a data directory: defaults, then plimsoll.yaml, then environment
 * (history.store <- PLIMSOLL_HISTORY_STORE), then the command line. libyaml parses.
 *
 * Every key is known to the table in config.c (name, kind, default, one line of help in both
 * languages where it is shown); an unknown key, a wrong kind or a value out of range is an error
 * with file and line. Sizes take K, M, G suffixes (powers of 1024), durations s, m, h, d.
 *
 * Threads  Read-only once loaded. */
#ifndef RT_CONFIG_H
#define RT_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "mem/scope.h"
#include "rt/buf.h"

struct config;

/* Load dir/plimsoll.yaml (absent: defaults) and the environment. dir NULL: no file. */
MUST_CHECK status config_open(struct mem_scope *parent, const char *dir, struct config **ret_config,
			      struct fault *reterr);
void config_close(struct config *config);
/* From the command line: key=value beats all. */
MUST_CHECK status config_set(struct config *config, const char *key, const char *value,
			     struct fault *reterr);

/* The key must exist and be of that kind (asserted: keys are literals in our code). */
const char *config_text(const struct config *config, const char *key); /* "" when unset */
int64_t config_int(const struct config *config, const char *key); /* bytes, seconds or a count */
double config_real(const struct config *config, const char *key);
bool config_bool(const struct config *config, const char *key);

/* The commented plimsoll.yaml that `plimsoll init` writes: every key with its default. */
bool config_write_default(struct buf *out);

#endif
