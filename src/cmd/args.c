#include "cmd/cmd.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/size.h"

static const struct cmd_option common[] = {
	{"data", 'd', "DIR", "the data directory (else $PLIMSOLL_DATA, else ./plimsoll-data)"},
	{"set", 's', "KEY=VALUE", "a setting of plimsoll.yaml, for this call"},
	{"json", 'j', NULL, "answer in JSON"},
	{"help", 'h', NULL, "this help"},
};

enum { COMMON_COUNT = ARRAY_COUNT(common), FIRST_CODE = 1000 };

static size_t option_count(const struct cmd_verb *verb)
{
	size_t count = 0;
	while (count < CMD_OPTIONS_MAX && verb->options[count].name != NULL)
		count++;
	return count;
}

static void print_option(const struct cmd_option *o)
{
	char left[64];
	(void)snprintf(left, sizeof left, "%s%c%s--%s%s%s", o->letter != 0 ? "-" : " ",
		       o->letter != 0 ? o->letter : ' ', o->letter != 0 ? ", " : "  ", o->name,
		       o->value != NULL ? " " : "", o->value != NULL ? o->value : "");
	(void)printf("  %-28s %s\n", left, o->help);
}

void cmd_help(const struct cmd_verb *verb)
{
	if (verb != NULL) {
		(void)printf("usage: plimsoll %s [options] %s\n\n%s\n\n", verb->words,
			     verb->operands, verb->summary);
		for (size_t i = 0; i < option_count(verb); i++)
			print_option(&verb->options[i]);
		for (size_t i = 0; i < COMMON_COUNT; i++)
			print_option(&common[i]);
		return;
	}
	(void)printf(
		"plimsoll %s - a private knowledge base you can ask, whose memory cannot grow\n\n"
		"usage: plimsoll VERB [options] [operands]\n\n",
		PLIMSOLL_VERSION);
	for (size_t i = 0; i < cmd_verb_count; i++)
		(void)printf("  %-14s %-22s %s\n", cmd_verbs[i].words, cmd_verbs[i].operands,
			     cmd_verbs[i].summary);
	(void)printf("\n`plimsoll VERB --help` explains a verb.\n");
}

int cmd_usage(const struct cmd *cmd, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	(void)fprintf(stderr, "plimsoll: ");
	(void)vfprintf(stderr, format, args);
	va_end(args);
	if (cmd != NULL && cmd->verb != NULL)
		(void)fprintf(stderr,
			      "\nusage: plimsoll %s [options] %s   (`plimsoll %s --help`)\n",
			      cmd->verb->words, cmd->verb->operands, cmd->verb->words);
	else
		(void)fprintf(stderr, "\n`plimsoll --help` lists the verbs.\n");
	return CMD_USAGE;
}

const char *cmd_value(const struct cmd *cmd, const char *option)
{
	size_t i = 0;
	while (i < option_count(cmd->verb) && strcmp(cmd->verb->options[i].name, option) != 0)
		i++;
	ASSERT(i < option_count(cmd->verb));
	return cmd->values[i];
}

bool cmd_number(const struct cmd *cmd, const char *option, int64_t least, int64_t most,
		int64_t *inout)
{
	const char *text = cmd_value(cmd, option);
	if (text == NULL)
		return true;
	char *end;
	errno = 0;
	long long value = strtoll(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || value < least || value > most) {
		(void)cmd_usage(cmd, "--%s must be a whole number from %lld to %lld, not '%s'",
				option, (long long)least, (long long)most, text);
		return false;
	}
	*inout = value;
	return true;
}

/* The verb that the first one or two words name, the longer match first. */
static const struct cmd_verb *find_verb(int argc, char **argv, int *ret_words)
{
	for (int words = 2; words >= 1; words--) {
		char name[64];
		if (argc <= words)
			continue;
		(void)snprintf(name, sizeof name, words == 2 ? "%s %s" : "%s", argv[1], argv[2]);
		for (size_t i = 0; i < cmd_verb_count; i++) {
			if (strcmp(cmd_verbs[i].words, name) == 0) {
				*ret_words = words;
				return &cmd_verbs[i];
			}
		}
	}
	return NULL;
}

/* getopt_long()'s tables for a verb; codes are FIRST_CODE + place, the common options last. */
static void make_tables(const struct cmd_verb *verb, struct option *longs, char *letters)
{
	size_t own = option_count(verb);
	for (size_t i = 0; i < own + COMMON_COUNT; i++) {
		const struct cmd_option *o = i < own ? &verb->options[i] : &common[i - own];
		*longs++ =
			(struct option){o->name, o->value != NULL ? required_argument : no_argument,
					NULL, (int)(FIRST_CODE + i)};
		if (o->letter == 0)
			continue;
		*letters++ = o->letter;
		if (o->value != NULL)
			*letters++ = ':';
	}
	*longs = (struct option){0};
	*letters = '\0';
}

static size_t place_of(const struct cmd_verb *verb, int code)
{
	size_t own = option_count(verb);
	if (code >= FIRST_CODE)
		return (size_t)code - FIRST_CODE;
	for (size_t i = 0; i < own + COMMON_COUNT; i++) {
		if ((i < own ? verb->options[i].letter : common[i - own].letter) == code)
			return i;
	}
	return own + COMMON_COUNT;
}

/* False: a usage error was printed, or help was; *ret_exit then holds the exit code. */
static bool parse_options(struct cmd *cmd, int argc, char **argv, int *ret_exit)
{
	struct option longs[CMD_OPTIONS_MAX + COMMON_COUNT + 1];
	char letters[2 * (CMD_OPTIONS_MAX + COMMON_COUNT) + 1];
	make_tables(cmd->verb, longs, letters);
	size_t own = option_count(cmd->verb), settings = 0;
	optind = 1;
	for (int code; (code = getopt_long(argc, argv, letters, longs, NULL)) != -1;) {
		if (code == '?') {
			*ret_exit = cmd_usage(cmd, "see the options of this verb");
			return false;
		}
		size_t place = place_of(cmd->verb, code);
		const char *name = place < own ? "" : common[place - own].name;
		if (place < own) {
			cmd->values[place] = optarg != NULL ? optarg : "";
		} else if (strcmp(name, "help") == 0) {
			cmd_help(cmd->verb);
			*ret_exit = CMD_OK;
			return false;
		} else if (strcmp(name, "json") == 0) {
			cmd->json = true;
		} else if (strcmp(name, "data") == 0) {
			cmd->data = optarg;
		} else if (settings < CMD_SETTINGS_MAX) {
			cmd->settings[settings++] = optarg;
		}
	}
	cmd->operands = argv + optind;
	cmd->operand_count = (size_t)(argc - optind);
	return true;
}

/* `plimsoll --data DIR kb list` means `plimsoll kb list --data DIR`: the words that name the verb
 * go in front of the options that stand before them. */
static void move_verb_to_front(int argc, char **argv)
{
	int at = 1;
	while (at < argc && argv[at][0] == '-') {
		const char *name = argv[at] + (argv[at][1] == '-' ? 2 : 1);
		bool letter = argv[at][1] != '-' && name[0] != '\0' && name[1] == '\0';
		for (size_t i = 0; i < COMMON_COUNT; i++) {
			bool same =
				letter ? common[i].letter == *name : !strcmp(common[i].name, name);
			if (same && common[i].value != NULL && at + 1 < argc)
				at++;
		}
		at++;
	}
	for (int front = 1, word = at; at > 1 && word < argc && word < at + 2; word++, front++) {
		char *moved = argv[word];
		if (moved[0] == '-')
			break;
		memmove(argv + front + 1, argv + front, (size_t)(word - front) * sizeof *argv);
		argv[front] = moved;
	}
}

int cmd_run(struct mem_scope *scope, struct cancel *cancel, int argc, char **argv)
{
	if (argc < 2)
		return cmd_help(NULL), CMD_USAGE;
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    strcmp(argv[1], "help") == 0)
		return cmd_help(NULL), CMD_OK;
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0)
		return (void)printf("plimsoll %s\n", PLIMSOLL_VERSION), CMD_OK;
	int words = 0;
	move_verb_to_front(argc, argv);
	struct cmd cmd = {.scope = scope, .cancel = cancel};
	cmd.verb = find_verb(argc, argv, &words);
	if (cmd.verb == NULL) {
		if (argc > 2 && argv[2][0] != '-')
			return cmd_usage(NULL, "there is no verb '%s %s'", argv[1], argv[2]);
		return cmd_usage(NULL, "there is no verb '%s'", argv[1]);
	}
	int exit_code;
	if (!parse_options(&cmd, argc - words, argv + words, &exit_code))
		return exit_code;
	if (cmd.operand_count < cmd.verb->least)
		return cmd_usage(&cmd, "%s needs %s", cmd.verb->words, cmd.verb->operands);
	if (cmd.operand_count > cmd.verb->most)
		return cmd_usage(&cmd, "'%s' is one operand too many",
				 cmd.operands[cmd.verb->most]);
	return cmd.verb->run(&cmd);
}
