/* The program: signals, then the verb. SIGINT and SIGTERM ask the running work to stop; a second
 * one ends the process at once, which is safe by the crash rule of kb/kb.h. */
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/workers.h"
#include "doc/doc.h"
#include "mem/faults.h"

static struct cancel stop;

static void on_signal(int number)
{
	if (cancel_is_set(&stop)) {
		(void)signal(number, SIG_DFL);
		(void)raise(number);
	}
	cancel_set(&stop);
}

int main(int argc, char **argv)
{
	if (!mem_fault_from_environment()) {
		(void)fprintf(stderr,
			      "plimsoll: PLIMSOLL_FAULT must be like alloc:17 or io:5:forever\n");
		return CMD_USAGE;
	}
	if (argc > 1 && strcmp(argv[1], "doc-worker") == 0)
		return doc_worker_main(argc, argv);
	(void)setlocale(LC_CTYPE, "C.UTF-8");
	struct sigaction action = {.sa_handler = on_signal};
	sigemptyset(&action.sa_mask);
	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	if (argc > 1 && strcmp(argv[1], "ingest-worker") == 0)
		return ingest_worker_main(mem_scope_root(), &stop, argc, argv);
	return cmd_run(mem_scope_root(), &stop, argc, argv);
}
