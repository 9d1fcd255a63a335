/* cmd/cmd.h -- the verbs of the command line: how they are described, parsed and run.
 *
 * A verb is one row of the table in verbs.c: its words ("kb add"), its operands, its options and
 * the function that runs it. Help, usage errors and shell completion are made from the same rows.
 *
 * Exit codes  CMD_OK, CMD_FAILED (the fault is printed), CMD_USAGE. */
#ifndef CMD_CMD_H
#define CMD_CMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "mem/scope.h"
#include "qa/service.h"
#include "rt/cancel.h"
#include "rt/json.h"

enum { CMD_OK = 0, CMD_FAILED = 1, CMD_USAGE = 2, CMD_OPTIONS_MAX = 16, CMD_SETTINGS_MAX = 16 };

struct cmd_option {
	const char *name;  /* without dashes */
	char letter;       /* 0 = none */
	const char *value; /* "N", "DIR"...; NULL: a switch */
	const char *help;
};

struct cmd;

struct cmd_verb {
	const char *words;    /* "kb add" */
	const char *operands; /* "NAME PATH..." */
	const char *summary;  /* one line */
	int (*run)(struct cmd *cmd);
	size_t least, most; /* operands */
	struct cmd_option
		options[CMD_OPTIONS_MAX]; /* ends with name == NULL; --json, --data, --set and
					     --help are understood by all */
};

/* One parsed command line. */
struct cmd {
	const struct cmd_verb *verb;
	char **operands;
	size_t operand_count;
	const char
		*values[CMD_OPTIONS_MAX]; /* by place in verb->options; a switch that is set: "" */
	bool json;
	const char *data;
	const char *settings[CMD_SETTINGS_MAX + 1];
	struct mem_scope *scope;
	struct cancel *cancel; /* set by SIGINT and SIGTERM */
};

extern const struct cmd_verb cmd_verbs[];
extern const size_t cmd_verb_count;

/* ---- arguments (args.c) ---- */

/* Parse and run. Prints usage errors. */
int cmd_run(struct mem_scope *scope, struct cancel *cancel, int argc, char **argv);
/* The value of an option of this verb (asserted), or NULL. */
const char *cmd_value(const struct cmd *cmd, const char *option);
/* A whole number from least to most; fallback when the option is absent. False: printed, CMD_USAGE.
 */
bool cmd_number(const struct cmd *cmd, const char *option, int64_t least, int64_t most,
		int64_t *inout);
void cmd_help(const struct cmd_verb *verb);
int cmd_usage(const struct cmd *cmd, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- output (output.c) ---- */

/* Print the fault ("plimsoll: kb add: ..." or, with --json, {"error":...}); returns CMD_FAILED. */
int cmd_fail(const struct cmd *cmd, const struct fault *fault);
/* Open the data directory of this command line. */
MUST_CHECK status cmd_open(struct cmd *cmd, bool create, struct service **ret_service,
			   struct fault *reterr);
/* A JSON answer: write into json.writer, then cmd_json_end() prints it with a line end. */
struct cmd_json {
	struct buf text;
	struct json_writer writer;
};
void cmd_json_begin(struct cmd *cmd, struct cmd_json *ret_json);
int cmd_json_end(struct cmd *cmd, struct cmd_json *json);
/* "12.3 MB" */
enum { CMD_SIZE_BYTES = 16 };
const char *cmd_size(uint64_t bytes, char out[CMD_SIZE_BYTES]);

/* ---- progress (progress.c): a bar on a terminal, plain lines otherwise, nothing with --json ----
 */

struct progress {
	bool enabled, terminal;
	uint64_t shown_ms;   /* when the bar was last drawn */
	size_t columns_used; /* of the bar, to wipe it */
};
void progress_init(struct progress *p, const struct cmd *cmd);
/* Draw "label  [####    ] 42 %  note"; total 0: no bar, only the note. */
void progress_bar(struct progress *p, const char *label, uint64_t done, uint64_t total,
		  const char *note);
/* Wipe the bar and print one line. */
void progress_line(struct progress *p, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void progress_end(struct progress *p);

#endif
