/* Shell completion, printed from the table of verbs: words, options, and the names of knowledge
 * bases (asked from the program itself when the user presses Tab). */
#include <stdio.h>
#include <string.h>

#include "cmd/verbs.h"

/* Each distinct first word, and for "kb add" its second word. */
static void print_words(const char *first)
{
	const char *last = "";
	size_t last_bytes = 0;
	for (size_t i = 0; i < cmd_verb_count; i++) {
		const char *words = cmd_verbs[i].words, *space = strchr(words, ' ');
		size_t bytes = space != NULL ? (size_t)(space - words) : strlen(words);
		if (first == NULL && (bytes != last_bytes || strncmp(words, last, bytes) != 0))
			(void)printf("%.*s ", (int)bytes, words);
		if (first != NULL && space != NULL && strlen(first) == bytes &&
		    strncmp(words, first, bytes) == 0)
			(void)printf("%s ", space + 1);
		last = words;
		last_bytes = bytes;
	}
}

static void print_options(void)
{
	for (size_t i = 0; i < cmd_verb_count; i++) {
		const struct cmd_verb *v = &cmd_verbs[i];
		(void)printf("\t\t\"%s\") options=\"--data --set --json --help", v->words);
		for (size_t o = 0; o < CMD_OPTIONS_MAX && v->options[o].name != NULL; o++)
			(void)printf(" --%s", v->options[o].name);
		(void)printf("\" ;;\n");
	}
}

static void print_bash(void)
{
	(void)printf("# plimsoll completion for bash: eval \"$(plimsoll completion bash)\"\n"
		     "_plimsoll() {\n"
		     "\tlocal word=\"${COMP_WORDS[COMP_CWORD]}\" first=\"${COMP_WORDS[1]}\" verb "
		     "options=\"\"\n"
		     "\tCOMPREPLY=()\n"
		     "\tcase \"$first\" in kb|model) verb=\"$first ${COMP_WORDS[2]}\" ;; *) "
		     "verb=\"$first\" ;; esac\n"
		     "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n\t\tCOMPREPLY=($(compgen -W \"");
	print_words(NULL);
	(void)printf("help version\" -- \"$word\"))\n\t\treturn\n\tfi\n"
		     "\tif [ \"$COMP_CWORD\" -eq 2 ]; then\n\t\tcase \"$first\" in\n\t\tkb) "
		     "COMPREPLY=($(compgen -W \"");
	print_words("kb");
	(void)printf("\" -- \"$word\")); return ;;\n\t\tmodel) COMPREPLY=($(compgen -W \"");
	print_words("model");
	(void)printf(
		"\" -- \"$word\")); return ;;\n"
		"\t\tcompletion) COMPREPLY=($(compgen -W \"bash zsh\" -- \"$word\")); return ;;\n"
		"\t\tesac\n\tfi\n\tcase \"$verb\" in\n");
	print_options();
	(void)printf(
		"\tesac\n\tcase \"$word\" in\n"
		"\t-*) COMPREPLY=($(compgen -W \"$options\" -- \"$word\")); return ;;\n\tesac\n"
		"\tcase \"$verb $COMP_CWORD\" in\n"
		"\t\"search 2\"|\"ask 2\"|\"eval 2\"|\"kb \"*\" 3\")\n"
		"\t\tCOMPREPLY=($(compgen -W \"$(plimsoll kb list 2>/dev/null | cut -d' ' -f1)\" "
		"-- \"$word\")) ;;\n"
		"\t*) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n\tesac\n}\n"
		"complete -o filenames -F _plimsoll plimsoll\n");
}

int cmd_completion(struct cmd *cmd)
{
	if (strcmp(cmd->operands[0], "bash") == 0) {
		print_bash();
		return CMD_OK;
	}
	if (strcmp(cmd->operands[0], "zsh") == 0) {
		(void)printf("# plimsoll completion for zsh: eval \"$(plimsoll completion zsh)\"\n"
			     "autoload -U +X bashcompinit && bashcompinit\n");
		print_bash();
		return CMD_OK;
	}
	return cmd_usage(cmd, "completion knows bash and zsh, not '%s'", cmd->operands[0]);
}
